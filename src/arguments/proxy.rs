//! `--kube-proxy-arg`.

use super::values::only;
use super::{Argument, argument};

/// The arguments, by name. The cluster CIDR and the node's name come from the flags of the same names.
pub(super) const TABLE: &[Argument<()>] = &[argument("proxy-mode", |(), text| only(text, "nftables"))];
