//! What this binary calls itself.

/// Our own version, and the Kubernetes version it serves.
pub(crate) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (Kubernetes v1.35.0)");
/// What nodes show as their kubelet's version.
pub(crate) const KUBELET: &str = concat!("v1.35.0+isopod-", env!("CARGO_PKG_VERSION"));
