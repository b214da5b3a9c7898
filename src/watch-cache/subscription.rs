//! A place in the ring of changes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Cache, Change, Moved};

/// At most so many changes are handed out at once, so that no reader holds the lock for long.
const BATCH: usize = 256;

/// The ring has passed this subscriber by: take a snapshot and subscribe again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader fell behind the history")]
pub struct Lagged;

/// Changes in order, none twice, none left out.
#[derive(Debug)]
pub struct Subscription {
    cache: Arc<Cache>,
    sequence: u64,
    moved: watch::Receiver<Moved>,
}

impl Subscription {
    pub(crate) fn new(cache: Arc<Cache>, sequence: u64, moved: watch::Receiver<Moved>) -> Self {
        Self { cache, sequence, moved }
    }

    /// Waits for changes and returns those that are there, at least one. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Lagged> {
        loop {
            let sequence = self.sequence;
            // The sender lives in `cache`, which we hold, so the wait cannot fail.
            let _ = self.moved.wait_for(|m| m.sequence > sequence).await;
            let changes = self.ready()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }

    /// The changes that are there now, possibly none.
    pub fn ready(&mut self) -> Result<Vec<Arc<Change>>, Lagged> {
        let changes = self.cache.state.read().ring.from(self.sequence, BATCH).ok_or(Lagged)?;
        self.sequence += changes.len() as u64;
        Ok(changes)
    }

    /// The revision up to which this subscriber has seen everything; `None` while changes wait for it.
    pub fn caught_up(&self) -> Option<u64> {
        let state = self.cache.state.read();
        (state.ring.next() == self.sequence).then_some(state.revision)
    }
}
