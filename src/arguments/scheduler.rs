//! `--kube-scheduler-arg`.

use super::values::only;
use super::{Argument, argument, feature_gates};

/// The arguments, by name. There is one scheduler, in the server's process.
pub(super) const TABLE: &[Argument<()>] = &[
    argument("feature-gates", |(), text| feature_gates::check(text)),
    argument("leader-elect", |(), text| only(text, "false")),
];
