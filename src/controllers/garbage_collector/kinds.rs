//! The kinds that are collected, and following those that come and go with custom resource definitions and other API servers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, OwnerReference, Resource};
use client::controller::group_of;
use client::served;
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};
use watch_cache::Cache;

use super::Collector;

/// How long after its beginning a kind of another API server is waited for: one that does not answer must not hold up all
/// that is deleted. Upstream is as patient.
const PATIENCE: Duration = Duration::from_secs(30);

/// The collected kinds by `plural.group`, each at one of its versions, with their caches.
#[derive(Default)]
pub(super) struct Kinds(RwLock<HashMap<String, Collected>>);

#[derive(Clone)]
struct Collected {
    resource: Arc<Resource>,
    cache: Arc<Cache>,
    /// How long it is waited for what is in it; `None` for as long as it takes.
    until: Option<Instant>,
}

impl Kinds {
    pub(super) fn get(&self, qualified: &str) -> Option<Arc<Resource>> {
        self.0.read().get(qualified).map(|kind| kind.resource.clone())
    }

    /// The kind an owner reference names, and its objects.
    pub(super) fn of_owner(&self, owner: &OwnerReference) -> Option<(Arc<Resource>, Arc<Cache>)> {
        let group = group_of(&owner.api_version);
        let kinds = self.0.read();
        let found = kinds.values().find(|kind| kind.resource.kind == owner.kind && &*kind.resource.group == group);
        found.map(|kind| (kind.resource.clone(), kind.cache.clone()))
    }

    /// The objects, of whatever kind, that name the owner. Waits until the caches are filled that can be.
    pub(super) async fn dependents(&self, namespace: &str, uid: &str) -> Vec<(Arc<Resource>, Arc<Object>)> {
        let kinds: Vec<Collected> = self.0.read().values().cloned().collect();
        let mut found = Vec::new();
        // Dependents of a namespaced owner are in its namespace.
        let inside = |kind: &&Collected| namespace.is_empty() || kind.resource.is_namespaced();
        for Collected { resource, cache, until } in kinds.iter().filter(inside) {
            match until {
                None => cache.synced().await,
                Some(until) => drop(timeout_at(*until, cache.synced()).await),
            }
            let snapshot = cache.snapshot();
            let owned =
                snapshot.range(namespace, None).filter(|o| o.meta.owner_references.iter().any(|r| &*r.uid == uid));
            found.extend(owned.map(|object| (resource.clone(), object.clone())));
        }
        found
    }
}

fn is_collected(resource: &Resource) -> bool {
    let verbs = ["delete", "list", "watch"].iter().all(|verb| resource.verbs.contains(verb));
    let event = &*resource.plural == "events" && matches!(&*resource.group, "" | "events.k8s.io");
    verbs && resource.stored && resource.stored_as.is_none() && !event
}

/// Keeps a feeder running for every collected kind, for ever.
pub(super) async fn follow(collector: Arc<Collector>) {
    let begin = |resource: Arc<Resource>, cache: Arc<Cache>, until| {
        let kind = Collected { resource: resource.clone(), cache: cache.clone(), until };
        collector.kinds.0.write().insert(resource.qualified(), kind);
        collector.clone().feed(resource, cache, until.is_some())
    };
    let end = |resource: &Arc<Resource>| {
        collector.kinds.0.write().remove(&resource.qualified());
        let gone = collector.graph.lock().retain(resource, |_, _| None);
        gone.into_iter().for_each(|key| collector.add(key));
    };
    let own = served::follow(&collector.client, is_collected, |row, cache| begin(row, cache, None), end);
    let patient = || Some(Instant::now() + PATIENCE);
    let others =
        served::follow_elsewhere(&collector.client, is_collected, |row, cache| begin(row, cache, patient()), end);
    tokio::join!(own, others);
}
