//! The driver that ends in memory: for tests, and the model of what the others promise.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::index::{Entries, Index};
use crate::{Entry, Limits, Page, Range, Revision, Store, StoreError, Watch, Write, Written};

/// A store that forgets everything when it is dropped. `Durability` makes no difference.
pub struct MemoryStore {
    index: Arc<Index>,
    limits: Limits,
}

/// A fresh store in memory, at revision 1.
pub fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Limits::default()))
}

impl MemoryStore {
    /// A fresh store with limits of its own.
    pub fn new(limits: Limits) -> MemoryStore {
        MemoryStore { index: Arc::new(Index::new(Entries::new(), 1, &limits)), limits }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new(Limits::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl Store for MemoryStore {
    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        ready(self.index.revision()).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.index.get(key)).boxed()
    }

    fn list<'a>(&'a self, range: Range<'a>) -> BoxFuture<'a, Result<Page, StoreError>> {
        ready(self.index.list(range)).boxed()
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Written, StoreError>> {
        async move {
            self.limits.admit(&write)?;
            self.index.write(&write)
        }
        .boxed()
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    fn watch(&self, prefix: &str, after: Revision) -> BoxFuture<'_, Result<Watch, StoreError>> {
        ready(self.index.watch(prefix, after)).boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.index.compact(before)).boxed()
    }

    fn oldest(&self) -> Revision {
        self.index.oldest()
    }

    fn well(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.index.close();
        ready(Ok(())).boxed()
    }
}
