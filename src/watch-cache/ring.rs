//! The recent changes of one kind, numbered without a gap.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Change;

/// How long changes are kept at least, room permitting: upstream compacts its history as often.
const KEEP: Duration = Duration::from_secs(300);

/// The frames of so many changes are kept, as many as a subscriber takes at once: who is further behind is no company.
const FRAMES: usize = 256;

#[derive(Debug)]
pub(crate) struct Ring {
    changes: VecDeque<(Instant, Arc<Change>)>,
    /// The sequence number of the first change still held.
    first: u64,
    /// The revision up to which changes were dropped: a watch can start after it, not before.
    oldest: u64,
    capacity: usize,
}

impl Ring {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { changes: VecDeque::new(), first: 0, oldest: 0, capacity: capacity.max(1) }
    }

    /// Begins history at `revision`.
    pub(crate) fn start(&mut self, revision: u64) {
        self.first = self.next();
        self.changes.clear();
        self.oldest = revision;
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        let now = Instant::now();
        while self.changes.len() >= self.capacity
            || self.changes.front().is_some_and(|(at, _)| now.duration_since(*at) > KEEP)
        {
            let Some((_, dropped)) = self.changes.pop_front() else { break };
            self.first += 1;
            self.oldest = dropped.revision;
        }
        self.changes.push_back((now, change));
        let late = self.changes.len().checked_sub(FRAMES + 1).and_then(|at| self.changes.get(at));
        if let Some((_, late)) = late {
            late.frames.close();
        }
    }

    /// The sequence number of the change to come.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The sequence number of the first change after `revision`; `None` when it may have been dropped.
    pub(crate) fn after(&self, revision: u64) -> Option<u64> {
        if revision < self.oldest {
            return None;
        }
        Some(self.first + self.changes.partition_point(|(_, change)| change.revision <= revision) as u64)
    }

    /// Up to `limit` changes from `sequence` on; `None` when the first of them was dropped.
    pub(crate) fn from(&self, sequence: u64, limit: usize) -> Option<Vec<Arc<Change>>> {
        let at = sequence.checked_sub(self.first)? as usize;
        Some(self.changes.range(at.min(self.changes.len())..).take(limit).map(|(_, change)| change.clone()).collect())
    }
}
