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
    caches: RwLock<BTreeMap<Box<str>, Slot>>,
    applied: watch::Sender<Revision>,
}

/// A cache, and the row by which objects are read into it now: definitions of custom kinds change.
#[derive(Clone, Debug)]
struct Slot {
    cache: Arc<Cache>,
    row: Arc<Resource>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("applied", &*self.applied.borrow()).finish_non_exhaustive()
    }
}

/// A kind that is to be cached from now on, and who waits for it.
struct Addition {
    slot: Slot,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl Feed {
    /// Fills a cache for each of `rows` and keeps them filled.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        rows: impl IntoIterator<Item = Arc<Resource>>,
        history: usize,
    ) -> Result<Self, StoreError> {
        let slot = |row: Arc<Resource>| Slot { cache: Cache::new(row.clone(), history), row };
        let caches: BTreeMap<Box<str>, Slot> =
            rows.into_iter().map(|row| (row.store_prefix().into(), slot(row))).collect();
        let shared = Arc::new(Shared { store, caches: RwLock::new(caches), applied: watch::Sender::new(0) });
        let events = shared.fill().await?;
        let (additions, added) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(shared.clone(), events, added)).abort_handle();
        Ok(Self { shared, additions, task })
    }

    /// The cache of a kind that is stored as itself.
    pub(crate) fn cache(&self, prefix: &str) -> Option<Arc<Cache>> {
        self.shared.caches.read().get(prefix).map(|slot| slot.cache.clone())
    }

    /// Begins to cache a kind; returns when the cache is filled. The cache of a kind that is cached already is filled again if
    /// its definition has changed: objects are shown in the form that their schema gives them now.
    pub(crate) async fn add(&self, resource: Arc<Resource>, history: usize) -> Result<Arc<Cache>, StoreError> {
        let known = self.shared.caches.read().get(&*resource.store_prefix()).cloned();
        let cache = match known {
            Some(slot) if is_same(&slot.row, &resource) => return Ok(slot.cache),
            Some(slot) => slot.cache,
            None => Cache::new(resource.clone(), history),
        };
        let slot = Slot { cache: cache.clone(), row: resource };
        let (done, filled) = oneshot::channel();
        let gone = |_| StoreError::Closed;
        self.additions.send(Addition { slot, done }).map_err(|_| StoreError::Closed)?;
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
        let slots: Vec<Slot> = self.caches.read().values().cloned().collect();
        for slot in slots {
            self.list_into(&slot, revision).await?;
        }
        self.applied.send_replace(revision);
        Ok(events)
    }

    async fn list_into(&self, slot: &Slot, revision: Revision) -> Result<(), StoreError> {
        let prefix = slot.row.store_prefix();
        let page = self.store.list(Range { prefix: &prefix, at: Some(revision), ..Range::default() }).await?;
        let objects = page.entries.into_iter().filter_map(|entry| refreshed(&entry, &slot.row).map(Arc::new));
        slot.cache.replace(objects, revision);
        Ok(())
    }

    fn apply(&self, events: &[Event]) {
        for event in events {
            let caches = self.caches.read();
            let key = &*event.entry.key;
            let nearest = caches.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back();
            let Some((rest, slot)) = nearest.and_then(|(prefix, slot)| Some((key.strip_prefix(&**prefix)?, slot)))
            else {
                continue;
            };
            let cache = &slot.cache;
            match event.kind {
                EventKind::Put => {
                    let stores_less = slot.row.custom.as_ref().is_some_and(|custom| custom.definition.stores_less());
                    let read = if stores_less { refreshed } else { object };
                    if let Some(object) = read(&event.entry, &slot.row) {
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

/// As [`object`]; objects of custom kinds in the form their schema gives them now.
pub(crate) fn refreshed(entry: &embedded_store::Entry, resource: &Resource) -> Option<Object> {
    let object = object(entry, resource)?;
    let Some(custom) = &resource.custom else { return Some(object) };
    let mut value: serde_json::Value = serde_json::from_slice(object.stored_bytes()).ok()?;
    let before = value.clone();
    custom.definition.refresh(&mut value);
    if value == before {
        return Some(object);
    }
    Object::encode(&value, entry.revision, resource).ok()
}

/// Whether objects read by either row are the same.
fn is_same(one: &Resource, other: &Resource) -> bool {
    match (&one.custom, &other.custom) {
        (Some(one), Some(other)) => Arc::ptr_eq(&one.definition, &other.definition),
        (None, None) => true,
        _ => false,
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
            Some(Addition { slot, done }) = additions.recv() => {
                // All events up to `applied` are dealt out and later ones are still in the watch: the list joins there.
                let revision = *shared.applied.borrow();
                let filled = shared.list_into(&slot, revision).await;
                if filled.is_ok() {
                    shared.caches.write().insert(slot.row.store_prefix().into(), slot);
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
