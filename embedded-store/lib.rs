//! The store: keys and values under one increasing revision.
