//! ConfigMaps, Secrets and whatever else pods refer to by name: watched one by one while a pod needs them, as a node may.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{Object, Resource};
use base64::Engine;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use watch_cache::Cache;

use crate::config::SelectedCaches;
use crate::error::{Result, invalid};

/// A cache that is not filled by then is reported to the pod, which tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is to be woken: one entry a pod worker.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<HashMap<String, Arc<Notify>>>);

impl Wakers {
    /// The bell of a pod.
    pub(crate) fn bell(&self, uid: &str) -> Arc<Notify> {
        self.0.lock().entry(uid.to_owned()).or_default().clone()
    }

    pub(crate) fn wake(&self, uid: &str) {
        if let Some(bell) = self.0.lock().get(uid) {
            bell.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.0.lock().values().for_each(|bell| bell.notify_one());
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

type Key = (String, String, String);

struct Entry {
    cache: Arc<Cache>,
    users: HashSet<String>,
    follower: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Objects by kind, namespace and name, with the pods that use them.
pub(crate) struct Sources {
    caches: SelectedCaches,
    wakers: Arc<Wakers>,
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
}

impl Sources {
    pub(crate) fn new(caches: SelectedCaches, wakers: Arc<Wakers>) -> Self {
        Self { caches, wakers, entries: Arc::default() }
    }

    /// The object as of now; from here on the pod is woken when it changes, until [`Sources::forget`].
    pub(crate) async fn get(
        &self,
        uid: &str,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>> {
        let cache = self.cache(uid, resource, namespace, name);
        if tokio::time::timeout(PATIENCE, cache.synced()).await.is_err() {
            return invalid(format!(
                "failed to sync {} cache: timed out waiting for the condition",
                resource.kind.to_lowercase()
            ));
        }
        Ok(cache.get(namespace, name))
    }

    fn cache(&self, uid: &str, resource: &Arc<Resource>, namespace: &str, name: &str) -> Arc<Cache> {
        let key = (resource.plural.to_string(), namespace.to_owned(), name.to_owned());
        let mut entries = self.entries.lock();
        let entry = entries.entry(key.clone()).or_insert_with(|| {
            let cache = (self.caches)(resource, namespace, &format!("metadata.name={name}"));
            let follower = tokio::spawn(follow(cache.clone(), key, Arc::downgrade(&self.entries), self.wakers.clone()))
                .abort_handle();
            Entry { cache, users: HashSet::new(), follower }
        });
        entry.users.insert(uid.to_owned());
        entry.cache.clone()
    }

    /// Lets go of everything only this pod used.
    pub(crate) fn forget(&self, uid: &str) {
        self.entries.lock().retain(|_, entry| {
            entry.users.remove(uid);
            !entry.users.is_empty()
        });
    }
}

async fn follow(cache: Arc<Cache>, key: Key, entries: Weak<Mutex<HashMap<Key, Entry>>>, wakers: Arc<Wakers>) {
    cache.synced().await;
    loop {
        let (_, mut changes) = cache.subscribe();
        while changes.next().await.is_ok() {
            let Some(entries) = entries.upgrade() else { return };
            let users: Vec<String> =
                entries.lock().get(&key).map(|e| e.users.iter().cloned().collect()).unwrap_or_default();
            users.iter().for_each(|uid| wakers.wake(uid));
        }
    }
}

/// What a ConfigMap or Secret holds, as bytes by key.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

/// The keys of a ConfigMap: `data` and `binaryData`.
pub(crate) fn config_map_data(object: &Object) -> Data {
    #[derive(serde::Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct View {
        data: Option<BTreeMap<String, String>>,
        binary_data: Option<BTreeMap<String, String>>,
    }
    let view: View = object.view().unwrap_or_default();
    let text = view.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into_bytes()));
    text.chain(view.binary_data.unwrap_or_default().into_iter().map(|(k, v)| (k, decode(&v)))).collect()
}

/// The keys of a Secret.
pub(crate) fn secret_data(object: &Object) -> Data {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct View {
        data: Option<BTreeMap<String, Option<String>>>,
    }
    let view: View = object.view().unwrap_or_default();
    view.data.unwrap_or_default().into_iter().map(|(k, v)| (k, decode(&v.unwrap_or_default()))).collect()
}

/// The API server has checked the encoding; what is malformed all the same reads as empty.
fn decode(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}
