//! What this binary calls itself.

/// The Kubernetes version served, as nodes and `/version` show it.
pub const KUBERNETES: &str = "v1.35.0";
/// Our own version, and the Kubernetes version it serves.
pub const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (Kubernetes v1.35.0)");
/// What nodes show as their kubelet's version.
pub const KUBELET: &str = concat!("v1.35.0+isopod-", env!("CARGO_PKG_VERSION"));
