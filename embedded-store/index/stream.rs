//! A watch: a cursor in the shared history.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::Index;
use crate::{Event, Revision, StoreError, Watch};

/// How many events one look at the history passes over, and so how long it may hold the lock.
const SCAN: usize = 2048;

pub(super) fn watch(index: Arc<Index>, prefix: String, after: Revision) -> Watch {
    let changed = index.changed.subscribe();
    let cursor = Cursor { index, changed, prefix, after, ended: false };
    Watch::new(futures::stream::unfold(cursor, |mut cursor| async move {
        if cursor.ended {
            return None;
        }
        let batch = cursor.next().await;
        cursor.ended = batch.is_err();
        Some((batch, cursor))
    }))
}

struct Cursor {
    index: Arc<Index>,
    changed: Receiver<()>,
    prefix: String,
    after: Revision,
    ended: bool,
}

impl Cursor {
    async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        loop {
            // Before the look, so that a change during it wakes the wait below.
            self.changed.mark_unchanged();
            let (events, seen) = self.look()?;
            if !events.is_empty() {
                return Ok(events);
            }
            if seen.is_break() {
                self.changed.changed().await.map_err(|_| StoreError::Closed)?;
            }
        }
    }

    /// The next events of the history, and whether that was all of it.
    fn look(&mut self) -> Result<(Vec<Event>, ControlFlow<()>), StoreError> {
        let state = self.index.state.read();
        let oldest = state.history.oldest();
        if self.after < oldest {
            return Err(StoreError::Compacted { oldest });
        }
        let mut events = Vec::new();
        let mut passed = 0;
        for event in state.history.after(self.after).take(SCAN) {
            passed += 1;
            self.after = event.revision;
            if event.entry.key.starts_with(&self.prefix) {
                events.push(event.clone());
            }
        }
        if passed == SCAN {
            return Ok((events, ControlFlow::Continue(())));
        }
        if events.is_empty() && state.closed {
            return Err(StoreError::Closed);
        }
        Ok((events, ControlFlow::Break(())))
    }
}
