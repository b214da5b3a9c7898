//! What the cluster ships beside its core: cluster DNS.

pub mod dns;
