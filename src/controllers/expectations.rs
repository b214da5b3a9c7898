//! Seeing one's own writes.
//!
//! Caches lag behind writes: a controller that looked again too early would create a second pod for the one it does not
//! see yet. Upstream counts expected events and gives up after five minutes. Here a write waits until the cache it will be
//! judged by has seen it, while the key is still in work: exact, and within the server a matter of microseconds.

use api::Object;
use watch_cache::Cache;

/// Waits until the cache knows of a written object.
pub(crate) async fn seen(cache: &Cache, written: &Object) {
    cache.wait_for(written.meta.resource_version).await;
}

/// Waits until the cache knows that an object was deleted, or is on its way out.
pub(crate) async fn seen_deleted(cache: &Cache, deleted: &Object) {
    let key = deleted.meta.key();
    let gone = |now: &Object| now.meta.uid != deleted.meta.uid || now.meta.is_deleting();
    cache.until(|cache| cache.get_key(&key).is_none_or(|now| gone(&now))).await;
}
