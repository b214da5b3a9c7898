//! Server-side apply without a server: merging what is applied into what is there, who owns which fields, and what differs
//! between two states. The rules are those of upstream's structured-merge-diff.

mod atomics;
mod compare;
mod elements;
mod last_applied;
mod merge;
mod owned;
mod prune;
mod reconcile;
mod remove;
#[cfg(test)]
mod tests;
mod update;
mod validate;
mod versions;

pub use atomics::atomics;
pub use compare::{Difference, compare};
pub use last_applied::{from_last_applied, sync_last_applied};
pub use merge::merge;
pub use owned::owned;
pub use remove::remove;
pub use update::{ApplyError, Conflict, Kind, Reset, apply, described, kind_of, track};
pub use validate::validate;
pub use versions::{Question, Unconverted};

/// How deep fields are told apart; what is deeper is owned as a whole. An object that holds its own fields' names has to be
/// readable, and readers of JSON stop at 128 levels.
const DEPTH: usize = 100;
