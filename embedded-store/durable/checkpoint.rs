//! The checkpoint: all entries as of one commit, so that the log behind it can be let go.

mod sled;

use std::hash::Hasher;

use crate::index::Entries;
use crate::{Entry, Revision, StoreError};

pub(super) use self::sled::SledCheckpoint;

/// Where the entries of a checkpoint are kept.
pub(super) trait Checkpoint: Send + 'static {
    /// Hands out all entries of the last checkpoint, or `None` if there is none yet.
    fn load(&mut self, each: &mut dyn FnMut(Entry)) -> Result<Option<Mark>, StoreError>;

    /// Makes `entries` the checkpoint: durable when it returns, all or nothing if a crash comes first. `changed` names
    /// the keys that differ from the last checkpoint that succeeded.
    fn save(&mut self, entries: &Entries, changed: &Changed, mark: Mark) -> Result<(), StoreError>;

    /// Lets go of memory until the next `save`.
    fn rest(&mut self);
}

/// How much free space makes it certain that a checkpoint of entries of `bytes` can be saved beside the last one. The log
/// leaves that much alone, or a full disk could never be relieved by a checkpoint.
pub(super) fn room_for(bytes: u64) -> u64 {
    // Leaves are stored in sizes a third apart; the rest is for sled's own metadata.
    bytes + bytes / 3 + (8 << 20)
}

/// Keys changed since a checkpoint.
pub(super) type Changed = std::collections::HashSet<std::sync::Arc<str>>;

/// What a checkpoint stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last commit it covers.
    pub(super) sequence: u64,
    /// The revision of its entries.
    pub(super) revision: Revision,
    /// No revision above this one had been handed out.
    pub(super) ceiling: Revision,
    pub(super) digest: Digest,
}

/// A sum over all keys and their revisions, so that an entry lost or left behind by the checkpoint is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) entries: u64,
    pub(super) sum: u64,
}

impl Digest {
    pub(super) fn of(entries: &Entries) -> Digest {
        let mut digest = Digest::default();
        entries.values().for_each(|entry| digest.add(entry));
        digest
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(entry.key.as_bytes());
        hasher.write_u64(entry.revision);
        self.entries += 1;
        // Spread the 32 bits, so that sums of different sets hardly meet.
        let spread = (u64::from(hasher.finalize()) ^ entry.revision).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.sum = self.sum.wrapping_add(spread);
    }
}
