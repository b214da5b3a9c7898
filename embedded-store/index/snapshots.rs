//! Snapshots kept for lists that go on: the second page of a list reads the very map the first one read.
//!
//! Keeping one costs nothing until keys change under it, and then only tree nodes: the values are the history's.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Entries;
use crate::Revision;

/// How many lists can go on at once before one has to be undone from the history again.
const KEPT: usize = 4;

#[derive(Default)]
pub(super) struct Snapshots(VecDeque<Snapshot>);

pub(super) struct Snapshot {
    revision: Revision,
    entries: Entries,
    /// Where the last page ended.
    prefix: Box<str>,
    last: Arc<str>,
    remaining: u64,
}

impl Snapshots {
    /// The snapshot from which the least has to be undone to reach `at`.
    pub(super) fn nearest(&self, at: Revision) -> Option<(Entries, Revision)> {
        let nearest = self.0.iter().filter(|kept| kept.revision >= at).min_by_key(|kept| kept.revision)?;
        Some((nearest.entries.clone(), nearest.revision))
    }

    /// How many keys follow after `start_after`, if that is where a page ended.
    pub(super) fn remaining(&self, revision: Revision, prefix: &str, start_after: Option<&str>) -> Option<u64> {
        let start_after = start_after?;
        let ended =
            |kept: &&Snapshot| kept.revision == revision && *kept.prefix == *prefix && *kept.last == *start_after;
        self.0.iter().find(ended).map(|kept| kept.remaining)
    }

    /// Keeps `entries` for the page after `last`, and returns the snapshot that had to go for it.
    pub(super) fn keep(
        &mut self,
        revision: Revision,
        entries: &Entries,
        prefix: &str,
        last: &Arc<str>,
        remaining: u64,
    ) -> Option<Snapshot> {
        let same = |kept: &Snapshot| kept.revision == revision && *kept.prefix == *prefix;
        let evicted = match self.0.iter().position(same) {
            Some(position) => self.0.remove(position),
            None if self.0.len() == KEPT => self.0.pop_front(),
            None => None,
        };
        self.0.push_back(Snapshot {
            revision,
            entries: entries.clone(),
            prefix: prefix.into(),
            last: last.clone(),
            remaining,
        });
        evicted
    }

    /// Takes out the snapshots from before `oldest`.
    pub(super) fn forget(&mut self, oldest: Revision) -> Vec<Snapshot> {
        let (gone, kept) = self.0.drain(..).partition(|kept| kept.revision < oldest);
        self.0 = kept;
        gone.into()
    }
}
