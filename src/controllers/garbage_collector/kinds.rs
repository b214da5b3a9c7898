//! The kinds that are collected, and following those that come and go with custom resource definitions.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Object, OwnerReference, Resource};
use client::controller::group_of;
use client::served;
use parking_lot::RwLock;
use watch_cache::Cache;

use super::Collector;

/// The collected kinds by `plural.group`, each at one of its versions, with their caches.
#[derive(Default)]
pub(super) struct Kinds(RwLock<HashMap<String, Collected>>);

type Collected = (Arc<Resource>, Arc<Cache>);

impl Kinds {
    pub(super) fn get(&self, qualified: &str) -> Option<Arc<Resource>> {
        self.0.read().get(qualified).map(|(resource, _)| resource.clone())
    }

    /// The kind an owner reference names.
    pub(super) fn of_owner(&self, owner: &OwnerReference) -> Option<Collected> {
        let group = group_of(&owner.api_version);
        let kinds = self.0.read();
        kinds.values().find(|(resource, _)| resource.kind == owner.kind && &*resource.group == group).cloned()
    }

    /// The objects, of whatever kind, that name the owner. Waits until the caches are filled.
    pub(super) async fn dependents(&self, namespace: &str, uid: &str) -> Vec<(Arc<Resource>, Arc<Object>)> {
        let kinds: Vec<Collected> = self.0.read().values().cloned().collect();
        let mut found = Vec::new();
        // Dependents of a namespaced owner are in its namespace.
        for (resource, cache) in kinds.iter().filter(|(kind, _)| namespace.is_empty() || kind.is_namespaced()) {
            cache.synced().await;
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
    let begin = |resource: Arc<Resource>, cache: Arc<Cache>| {
        collector.kinds.0.write().insert(resource.qualified(), (resource.clone(), cache.clone()));
        collector.clone().feed(resource, cache)
    };
    let end = |resource: &Arc<Resource>| {
        collector.kinds.0.write().remove(&resource.qualified());
        let gone = collector.graph.lock().retain(resource, |_, _| None);
        gone.into_iter().for_each(|key| collector.add(key));
    };
    served::follow(&collector.client, is_collected, begin, end).await;
}
