//! How long to wait before a pod that failed is followed by another: ten seconds, doubled with every failure since the
//! last success, up to ten minutes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::pod::JobPod;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(600);

/// The failures of one job since its last success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    failures: u32,
    last: Option<Timestamp>,
}

impl Record {
    /// The record with the pods that ended since.
    pub(super) fn with(&self, succeeded: &[&JobPod], failed: &[&JobPod]) -> Self {
        let last_success = succeeded.iter().map(|pod| pod.finished_at()).max();
        let mut since: Vec<Timestamp> = failed.iter().map(|pod| pod.finished_at()).collect();
        since.retain(|at| last_success.is_none_or(|success| *at > success));
        let before = if last_success.is_some() { Self::default() } else { self.clone() };
        let more = u32::try_from(since.len()).unwrap_or(u32::MAX);
        Self { failures: before.failures.saturating_add(more), last: since.into_iter().max().or(before.last) }
    }

    /// How long until the next pod may be made.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        self.last.map_or(Duration::ZERO, |last| remaining(self.failures, last, now))
    }
}

/// How long until the pod may be made that follows one of this index.
pub(super) fn remaining_of_index(last: Option<&JobPod>, now: Timestamp) -> Duration {
    let Some(pod) = last else { return Duration::ZERO };
    let failures = u32::try_from(pod.failures + pod.ignored + 1).unwrap_or(u32::MAX);
    remaining(failures, pod.finished_at(), now)
}

fn remaining(failures: u32, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let wait = FIRST.saturating_mul(1 << (failures - 1).min(20)).min(MOST);
    let elapsed = now.duration_since(last).max(SignedDuration::ZERO).unsigned_abs();
    wait.saturating_sub(elapsed)
}
