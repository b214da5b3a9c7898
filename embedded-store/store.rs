//! The contract every driver keeps.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{Entry, Event, Page, Range, Revision, StoreError, Write, Written};

/// A revisioned key-value store. Used as `Arc<dyn Store>`. Every method may be called from any task; dropping the
/// future of a write leaves open whether it happens.
pub trait Store: Send + Sync + 'static {
    /// The current revision, at least that of every write acknowledged before the call.
    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// The current entry of `key`, or `None`.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// One page of the keys in `range`. Fails with `Compacted` or `Future` when `range.at` is not in the history.
    fn list<'a>(&'a self, range: Range<'a>) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Writes one key, if it is as expected. Visible to all readers and watchers when it returns, and never before it
    /// is durable (with `Durability::Synced`).
    fn write(&self, write: Write) -> BoxFuture<'_, Result<Written, StoreError>>;

    /// Waits until every write that was begun before the call has happened or never will, those that nobody waits for any
    /// more included: what happened is counted by the next [`revision`](Store::revision).
    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The writes to keys with `prefix` after revision `after`: those of the past at once, then each as it happens.
    /// `after` is between [`oldest`](Store::oldest) and the current revision.
    fn watch(&self, prefix: &str, after: Revision) -> BoxFuture<'_, Result<Watch, StoreError>>;

    /// Forgets the history before revision `before`, which itself can still be listed at and watched after.
    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The oldest revision `list` and `watch` can still be asked for.
    fn oldest(&self) -> Revision;

    /// Whether writes can be taken; else why not, and will not be until the store is opened again. Does not wait.
    fn well(&self) -> Result<(), StoreError>;

    /// Syncs what is deferred, folds the log into the checkpoint, lets go of the disk. Later calls fail with `Closed`.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A stream of events in batches: in revision order, no gap, no duplicate. When the consumer has fallen so far behind
/// that the history was compacted under it, it yields `Compacted` and ends; when the store closes, `Closed`.
pub struct Watch(BoxStream<'static, Result<Vec<Event>, StoreError>>);

impl Watch {
    /// A watch over a driver's own stream, which must keep the promises above.
    pub fn new(batches: impl Stream<Item = Result<Vec<Event>, StoreError>> + Send + 'static) -> Watch {
        Watch(Box::pin(batches))
    }
}

impl Stream for Watch {
    type Item = Result<Vec<Event>, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
