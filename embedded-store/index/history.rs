//! The events of the retained window: what watches read and what lists at a past revision undo.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::{Entry, Event, Revision};

/// What an event costs beside the bytes of its key and of the value it replaced.
const EVENT_BYTES: usize = size_of::<Event>() + 32;

/// The last events, bounded by compaction and by the memory they hold.
pub(super) struct History {
    events: VecDeque<Event>,
    /// Every event after this revision is here.
    oldest: Revision,
    bytes: usize,
    limit: usize,
}

impl History {
    pub(super) fn new(oldest: Revision, limit: usize) -> History {
        History { events: VecDeque::new(), oldest, bytes: 0, limit }
    }

    pub(super) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(super) fn push(&mut self, event: Event) {
        self.bytes += cost(&event);
        self.events.push_back(event);
    }

    /// Lets go of the oldest events until the rest fits the limit. The caller drops them, outside its lock.
    pub(super) fn trim(&mut self) -> Vec<Event> {
        let mut forgotten = Vec::new();
        while self.bytes > self.limit {
            let Some(event) = self.pop() else { break };
            self.oldest = event.revision;
            forgotten.push(event);
        }
        forgotten
    }

    /// Lets go of the events up to and with `before`.
    pub(super) fn compact(&mut self, before: Revision) -> Vec<Event> {
        let mut forgotten = Vec::new();
        while self.events.front().is_some_and(|event| event.revision <= before) {
            forgotten.extend(self.pop());
        }
        self.oldest = self.oldest.max(before);
        // A burst leaves a large ring behind; an idle store should not keep it.
        if self.events.capacity() > 1024 && self.events.len() < self.events.capacity() / 4 {
            self.events.shrink_to(self.events.len() * 2);
        }
        forgotten
    }

    /// The events after `after`, oldest first.
    pub(super) fn after(&self, after: Revision) -> impl Iterator<Item = &Event> {
        let start = self.events.partition_point(|event| event.revision <= after);
        self.events.range(start..)
    }

    /// What the keys with `prefix` that changed in (`at`, `from`] were at `at`.
    pub(super) fn undo(&self, prefix: &str, at: Revision, from: Revision) -> BTreeMap<Arc<str>, Option<Entry>> {
        let mut undone = BTreeMap::new();
        for event in self.after(at).take_while(|event| event.revision <= from) {
            if event.entry.key.starts_with(prefix) && !undone.contains_key(&event.entry.key) {
                undone.insert(event.entry.key.clone(), event.previous.clone());
            }
        }
        undone
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= cost(&event);
        Some(event)
    }
}

/// The value an event sets is the index's, or counted when the next event replaces it.
fn cost(event: &Event) -> usize {
    EVENT_BYTES + event.entry.key.len() + event.previous.as_ref().map_or(0, |entry| entry.value.len())
}
