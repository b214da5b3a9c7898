//! Store → watch caches: one watch of the whole store, dealt out to one cache a kind.
//!
//! One task does it, so every cache sees the changes in the store's order. How far it has come is one number for all
//! caches ([`Feed::applied`]): a write touches the one cache it belongs to, and a reader that needs the present state of a
//! kind nobody writes to asks that number instead of a progress note in each cache.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Resource, meta};
use embedded_store::{Event, EventKind, Range, Revision, Store, StoreError};
use futures::StreamExt;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use watch_cache::Cache;

/// The caches and the task that fills them; the task ends with it.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    additions: mpsc::UnboundedSender<Addition>,
    task: AbortHandle,
}

struct Shared {
    store: Arc<dyn Store>,
    /// Store prefix → cache. Prefixes do not nest.
    caches: RwLock<BTreeMap<Box<str>, Arc<Cache>>>,
    applied: watch::Sender<Revision>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("applied", &*self.applied.borrow()).finish_non_exhaustive()
    }
}

/// A kind that is to be cached from now on, and who waits for it.
struct Addition {
    cache: Arc<Cache>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl Feed {
    /// Fills a cache for each of `rows` and keeps them filled.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        rows: impl IntoIterator<Item = Arc<Resource>>,
        history: usize,
    ) -> Result<Self, StoreError> {
        let caches: BTreeMap<Box<str>, Arc<Cache>> =
            rows.into_iter().map(|row| (row.store_prefix().into(), Cache::new(row, history))).collect();
        let shared = Arc::new(Shared { store, caches: RwLock::new(caches), applied: watch::Sender::new(0) });
        let events = shared.fill().await?;
        let (additions, added) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(shared.clone(), events, added)).abort_handle();
        Ok(Self { shared, additions, task })
    }

    /// The cache of a kind that is stored as itself.
    pub(crate) fn cache(&self, prefix: &str) -> Option<Arc<Cache>> {
        self.shared.caches.read().get(prefix).cloned()
    }

    /// Begins to cache a kind; returns when the cache is filled. A kind that is cached already stays as it is.
    pub(crate) async fn add(&self, resource: Arc<Resource>, history: usize) -> Result<Arc<Cache>, StoreError> {
        if let Some(cache) = self.cache(&resource.store_prefix()) {
            return Ok(cache);
        }
        let cache = Cache::new(resource, history);
        let (done, filled) = oneshot::channel();
        let gone = |_| StoreError::Closed;
        self.additions.send(Addition { cache: cache.clone(), done }).map_err(|_| StoreError::Closed)?;
        filled.await.map_err(gone)??;
        Ok(cache)
    }

    /// Stops caching a kind. Whoever holds the cache keeps its last state.
    pub(crate) fn remove(&self, prefix: &str) {
        self.shared.caches.write().remove(prefix);
    }

    /// The revision all caches are complete up to.
    pub(crate) fn applied(&self) -> Revision {
        *self.shared.applied.borrow()
    }

    /// Waits until all caches are complete up to `revision`.
    pub(crate) async fn wait_for(&self, revision: Revision) {
        if self.applied() >= revision {
            return;
        }
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.shared.applied.subscribe().wait_for(|applied| *applied >= revision).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Fills all caches with one state of the store and watches from there.
    async fn fill(&self) -> Result<embedded_store::Watch, StoreError> {
        let revision = self.store.revision().await?;
        let events = self.store.watch("", revision).await?;
        let caches: Vec<Arc<Cache>> = self.caches.read().values().cloned().collect();
        for cache in caches {
            self.list_into(&cache, revision).await?;
        }
        self.applied.send_replace(revision);
        Ok(events)
    }

    async fn list_into(&self, cache: &Cache, revision: Revision) -> Result<(), StoreError> {
        let prefix = cache.resource().store_prefix();
        let page = self.store.list(Range { prefix: &prefix, at: Some(revision), ..Range::default() }).await?;
        let objects = page.entries.into_iter().filter_map(|entry| object(&entry, cache.resource()).map(Arc::new));
        cache.replace(objects, revision);
        Ok(())
    }

    fn apply(&self, events: &[Event]) {
        for event in events {
            let caches = self.caches.read();
            let key = &*event.entry.key;
            let nearest = caches.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back();
            let Some((rest, cache)) = nearest.and_then(|(prefix, cache)| Some((key.strip_prefix(&**prefix)?, cache)))
            else {
                continue;
            };
            match event.kind {
                EventKind::Put => {
                    if let Some(object) = object(&event.entry, cache.resource()) {
                        cache.put(Arc::new(object));
                    }
                }
                EventKind::Delete => {
                    let (namespace, name) = meta::split_key(rest);
                    cache.remove(namespace, name, event.revision);
                }
            }
        }
        if let Some(last) = events.last() {
            self.applied.send_replace(last.revision);
        }
    }
}

/// The object in a store entry. One that cannot be read is left out of the cache, and stays in the store for a person to
/// look at: it must not take the whole kind with it.
pub(crate) fn object(entry: &embedded_store::Entry, resource: &Resource) -> Option<Object> {
    match Object::stored(entry.value.clone(), entry.revision, resource) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = &*entry.key, %error, "the store holds a value that is no object");
            None
        }
    }
}

async fn run(shared: Arc<Shared>, mut events: embedded_store::Watch, mut additions: mpsc::UnboundedReceiver<Addition>) {
    loop {
        tokio::select! {
            batch = events.next() => match batch {
                Some(Ok(batch)) => shared.apply(&batch),
                Some(Err(StoreError::Closed)) | None => return,
                Some(Err(error)) => {
                    tracing::warn!(%error, "the watch of the store broke off, caches are filled again");
                    match refill(&shared).await {
                        Some(again) => events = again,
                        None => return,
                    }
                }
            },
            Some(Addition { cache, done }) = additions.recv() => {
                // All events up to `applied` are dealt out and later ones are still in the watch: the list joins there.
                let revision = *shared.applied.borrow();
                let filled = shared.list_into(&cache, revision).await;
                if filled.is_ok() {
                    shared.caches.write().insert(cache.resource().store_prefix().into(), cache);
                }
                // Whoever asked may have gone; the cache is filled all the same.
                let _ = done.send(filled);
            }
        }
    }
}

/// Tries until it succeeds or the store is closed.
async fn refill(shared: &Shared) -> Option<embedded_store::Watch> {
    let mut pause = Duration::from_millis(50);
    loop {
        match shared.fill().await {
            Ok(events) => return Some(events),
            Err(StoreError::Closed) => return None,
            Err(error) => {
                tracing::warn!(%error, "the watch caches cannot be filled, will try again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}
