//! A place in the ring of changes.

use std::future::poll_fn;
use std::sync::Arc;

use crate::{Cache, Change};

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
    /// Its place at the cache's bell.
    place: usize,
}

impl Subscription {
    pub(crate) fn new(cache: Arc<Cache>, sequence: u64) -> Self {
        let place = cache.bell.come();
        Self { cache, sequence, place }
    }

    /// Waits for changes and returns those that are there, at least one. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Lagged> {
        loop {
            poll_fn(|cx| self.cache.bell.poll(self.place, self.sequence, cx)).await;
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

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cache.bell.leave(self.place);
    }
}
