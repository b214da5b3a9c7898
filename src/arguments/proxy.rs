//! `--kube-proxy-arg`.

use super::values::only;
use super::{Argument, argument, feature_gates};

/// The arguments, by name. The cluster CIDR and the node's name come from the flags of the same names.
pub(super) const TABLE: &[Argument<()>] = &[
    argument("feature-gates", |(), text| feature_gates::check(text)),
    argument("proxy-mode", |(), text| only(text, "nftables")),
];
