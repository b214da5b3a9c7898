//! watch-cache
