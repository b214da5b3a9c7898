//! The words of the contract: what is written, what is read, what is watched.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::StoreError;

/// A point in the store's history. One counter for all keys, one step per successful write. A fresh store is at 1, so
/// its first write gets 2, as etcd's does. Never reused, not even for a write that a crash has lost.
pub type Revision = u64;

/// One key with its value. Cloning shares key and value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The whole key, such as `/registry/pods/default/web`.
    pub key: Arc<str>,
    /// The value as it was written.
    pub value: Bytes,
    /// The revision of the write that created the key.
    pub create_revision: Revision,
    /// The revision of the last write of the key.
    pub revision: Revision,
}

impl fmt::Debug for Entry {
    /// Leaves the value out: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("bytes", &self.value.len())
            .field("create_revision", &self.create_revision)
            .field("revision", &self.revision)
            .finish()
    }
}

/// What a list asks for: the keys with a prefix, in byte order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range<'a> {
    /// Only keys that start so; empty for all.
    pub prefix: &'a str,
    /// Only keys after this one: the last key of the page before.
    pub start_after: Option<&'a str>,
    /// At most so many entries; 0 for all.
    pub limit: usize,
    /// The revision to list at; `None` for the current one.
    pub at: Option<Revision>,
}

/// One page of a list, all of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, in byte order of their keys.
    pub entries: Vec<Entry>,
    /// Whether keys follow after the last one.
    pub more: bool,
    /// How many keys follow after the last one.
    pub remaining: u64,
    /// The revision of the snapshot the page was read from.
    pub revision: Revision,
}

/// What a write expects of its key; anything else is [`StoreError::Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the last writer wins.
    Any,
    /// The key does not exist.
    Absent,
    /// The key exists and was last written at this revision.
    Revision(Revision),
}

/// What a write does to its key.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the value. The store keeps these very bytes, so they should own no more memory than they show.
    Put(Bytes),
    /// Removes the key. Removing a key that does not exist is a [`StoreError::Conflict`].
    Delete,
}

impl fmt::Debug for Change {
    /// Leaves the value out: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Put(value) => write!(f, "Put({} bytes)", value.len()),
            Change::Delete => f.write_str("Delete"),
        }
    }
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After the sync that makes it survive a power loss.
    Synced,
    /// At once. It is synced with the next `Synced` write or after a bounded delay, and a crash before that loses it.
    /// For what is written often and soon outdated: events, lease renewals.
    Deferred,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Write {
    /// The key.
    pub key: String,
    /// What the key must look like for the write to happen.
    pub expect: Expect,
    /// What happens to it.
    pub change: Change,
    /// When it is acknowledged.
    pub durability: Durability,
}

/// A write that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The new entry; for a delete the last value, with `revision` that of the delete.
    pub entry: Entry,
    /// The entry before the write, if there was one.
    pub previous: Option<Entry>,
}

/// Whether an event sets or removes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Created or changed.
    Put,
    /// Removed.
    Delete,
}

/// One write as a watcher sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether the key was set or removed.
    pub kind: EventKind,
    /// The revision of the write.
    pub revision: Revision,
    /// The new entry; for a delete the last value, with `revision` that of the delete.
    pub entry: Entry,
    /// The entry before the write, if there was one.
    pub previous: Option<Entry>,
}

impl Event {
    /// The event `write` becomes at `revision`, or the conflict that keeps it from happening to `current`.
    pub(crate) fn decide(current: Option<&Entry>, write: &Write, revision: Revision) -> Result<Event, StoreError> {
        let expected = match write.expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Revision(revision) => current.is_some_and(|entry| entry.revision == revision),
        };
        let conflict = || StoreError::Conflict { current: current.cloned() };
        if !expected {
            return Err(conflict());
        }
        match &write.change {
            Change::Put(value) => Ok(Event {
                kind: EventKind::Put,
                revision,
                entry: Entry {
                    key: current.map_or_else(|| Arc::from(write.key.as_str()), |entry| entry.key.clone()),
                    value: value.clone(),
                    create_revision: current.map_or(revision, |entry| entry.create_revision),
                    revision,
                },
                previous: current.cloned(),
            }),
            Change::Delete => {
                let last = current.ok_or_else(conflict)?;
                Ok(Event {
                    kind: EventKind::Delete,
                    revision,
                    entry: Entry { revision, ..last.clone() },
                    previous: Some(last.clone()),
                })
            }
        }
    }

    /// What the writer is told.
    pub(crate) fn written(&self) -> Written {
        Written { entry: self.entry.clone(), previous: self.previous.clone() }
    }

    /// The key's entry after the event.
    pub(crate) fn after(&self) -> Option<&Entry> {
        match self.kind {
            EventKind::Put => Some(&self.entry),
            EventKind::Delete => None,
        }
    }
}

/// The sizes a store accepts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key.
    pub key: usize,
    /// The longest value. Upstream's API server takes request bodies of 3 MiB.
    pub value: usize,
    /// How much the history of past writes may hold before the oldest is dropped, whether or not anyone compacts.
    pub history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { key: 4 << 10, value: 3 << 20, history: 64 << 20 }
    }
}

impl Limits {
    /// Refuses a write that is too large.
    pub(crate) fn admit(&self, write: &Write) -> Result<(), StoreError> {
        let too_large = |what, bytes, limit| Err(StoreError::TooLarge { what, bytes, limit });
        if write.key.len() > self.key {
            return too_large("key", write.key.len(), self.key);
        }
        match &write.change {
            Change::Put(value) if value.len() > self.value => too_large("value", value.len(), self.value),
            _ => Ok(()),
        }
    }
}
