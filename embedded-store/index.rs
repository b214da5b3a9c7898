//! The index both drivers share: the current entries, the history that leads to them, and who is told of changes.
//!
//! Readers take the lock to clone a map in O(1) or one entry, never to walk; the one writer takes it per batch. Watchers
//! are not pushed to: each reads on in the shared history at its own pace, so a slow one holds up nobody.

mod history;
mod snapshots;
mod stream;

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{Entry, Event, Limits, Page, Range, Revision, StoreError, Watch, Write, Written};
use history::History;
use snapshots::Snapshots;

/// A snapshot of all keys: cloning is O(1).
pub(crate) type Entries = OrdMap<Arc<str>, Entry>;

/// The state of a store in memory.
pub(crate) struct Index {
    state: RwLock<State>,
    snapshots: Mutex<Snapshots>,
    /// Woken after each batch and on close. What it carries is only a hint to look.
    changed: watch::Sender<()>,
}

struct State {
    entries: Entries,
    revision: Revision,
    history: History,
    closed: bool,
}

impl Index {
    /// An index that holds `entries` at `revision` and knows nothing older.
    pub(crate) fn new(entries: Entries, revision: Revision, limits: &Limits) -> Index {
        let history = History::new(revision, limits.history);
        Index {
            state: RwLock::new(State { entries, revision, history, closed: false }),
            snapshots: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.open()?.revision)
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.open()?.entries.get(key).cloned())
    }

    /// What `get` says while the store is open.
    pub(crate) fn current(&self, key: &str) -> Option<Entry> {
        self.state.read().entries.get(key).cloned()
    }

    /// All entries and their revision.
    pub(crate) fn snapshot(&self) -> (Entries, Revision) {
        let state = self.state.read();
        (state.entries.clone(), state.revision)
    }

    pub(crate) fn oldest(&self) -> Revision {
        self.state.read().history.oldest()
    }

    pub(crate) fn list(&self, range: Range<'_>) -> Result<Page, StoreError> {
        let (entries, revision) = self.entries_at(range)?;
        let start = match range.start_after {
            Some(after) if after >= range.prefix => Bound::Excluded(after),
            _ => Bound::Included(range.prefix),
        };
        let mut rest = entries
            .range::<(Bound<&str>, Bound<&str>), str>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(range.prefix))
            .map(|(_, entry)| entry);
        if range.limit == 0 {
            return Ok(Page { entries: rest.cloned().collect(), more: false, remaining: 0, revision });
        }
        let page: Vec<Entry> = rest.by_ref().take(range.limit).cloned().collect();
        // Counting is the one part that walks what it does not return, so a list that goes on counts only once.
        let counted = self.snapshots.lock().remaining(revision, range.prefix, range.start_after);
        let remaining = match counted {
            Some(before) => before.saturating_sub(page.len() as u64),
            None => rest.count() as u64,
        };
        if let Some(last) = page.last().filter(|_| remaining > 0) {
            let evicted = self.snapshots.lock().keep(revision, &entries, range.prefix, &last.key, remaining);
            drop(evicted);
        }
        Ok(Page { entries: page, more: remaining > 0, remaining, revision })
    }

    /// Checks and applies one write at the next revision, in one step.
    pub(crate) fn write(&self, write: &Write) -> Result<Written, StoreError> {
        let mut state = self.state.write();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let event = Event::decide(state.entries.get(write.key.as_str()), write, state.revision + 1)?;
        let written = event.written();
        state.apply(event);
        let forgotten = state.history.trim();
        drop(state);
        self.forget(forgotten);
        self.changed.send_replace(());
        Ok(written)
    }

    /// Applies events that were decided elsewhere, in revision order, as one step to every reader.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.state.write();
        for event in events {
            state.apply(event);
        }
        let forgotten = state.history.trim();
        drop(state);
        self.forget(forgotten);
        self.changed.send_replace(());
    }

    pub(crate) fn compact(&self, before: Revision) -> Result<(), StoreError> {
        let mut state = self.state.write();
        if state.closed {
            return Err(StoreError::Closed);
        }
        if before > state.revision {
            return Err(StoreError::Future { current: state.revision });
        }
        let forgotten = state.history.compact(before);
        drop(state);
        self.forget(forgotten);
        Ok(())
    }

    pub(crate) fn watch(self: &Arc<Self>, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let state = self.open()?;
        state.contains(after)?;
        drop(state);
        Ok(stream::watch(self.clone(), prefix.to_owned(), after))
    }

    /// Ends all watches and refuses all further calls.
    pub(crate) fn close(&self) {
        self.state.write().closed = true;
        self.changed.send_replace(());
    }

    fn open(&self) -> Result<parking_lot::RwLockReadGuard<'_, State>, StoreError> {
        let state = self.state.read();
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }

    /// The entries as they were at `range.at`: all of them if the range is a page, else at least those with its prefix.
    fn entries_at(&self, range: Range<'_>) -> Result<(Entries, Revision), StoreError> {
        let state = self.open()?;
        let Some(at) = range.at.filter(|&at| at != state.revision) else {
            return Ok((state.entries.clone(), state.revision));
        };
        state.contains(at)?;
        let (mut entries, from) = match self.snapshots.lock().nearest(at) {
            Some(kept) => kept,
            None => (state.entries.clone(), state.revision),
        };
        // A page is kept for the pages after it, which may have another prefix: undo everything, not only this prefix.
        let prefix = if range.limit == 0 { range.prefix } else { "" };
        let undone = state.history.undo(prefix, at, from);
        drop(state);
        for (key, before) in undone {
            match before {
                Some(entry) => entries.insert(key, entry),
                None => entries.remove(&key),
            };
        }
        Ok((entries, at))
    }

    /// Drops what the history let go of, outside the lock, and the snapshots that were kept for it.
    fn forget(&self, forgotten: Vec<Event>) {
        if forgotten.is_empty() {
            return;
        }
        let oldest = self.oldest();
        let snapshots = self.snapshots.lock().forget(oldest);
        drop(snapshots);
    }
}

impl State {
    fn apply(&mut self, event: Event) {
        debug_assert!(event.revision > self.revision, "revisions only grow");
        self.revision = event.revision;
        match event.after() {
            Some(entry) => self.entries.insert(entry.key.clone(), entry.clone()),
            None => self.entries.remove(&event.entry.key),
        };
        self.history.push(event);
    }

    /// Whether the state at `revision` can still be told.
    fn contains(&self, revision: Revision) -> Result<(), StoreError> {
        if revision > self.revision {
            return Err(StoreError::Future { current: self.revision });
        }
        let oldest = self.history.oldest();
        if revision < oldest { Err(StoreError::Compacted { oldest }) } else { Ok(()) }
    }
}
