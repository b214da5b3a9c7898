//! What the cluster ships beside its core: cluster DNS first.
