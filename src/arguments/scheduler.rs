//! `--kube-scheduler-arg`.

use super::values::only;
use super::{Argument, argument};

/// The arguments, by name. There is one scheduler, in the server's process.
pub(super) const TABLE: &[Argument<()>] = &[argument("leader-elect", |(), text| only(text, "false"))];
