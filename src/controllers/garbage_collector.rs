//! garbage-collector-controller: objects whose owners are gone go too; owners wait for, or let go of, their dependents.
//!
//! Watches: every stored kind, custom resources that appear at run time and what other API servers hold included; events alone
//! are left out.
//! Writes: deletes dependents, takes dangling owner references away, and the finalizers `foregroundDeletion` and `orphan`.
//! Invariant: an object all of whose owners are absent is deleted; one that has at least one owner stays and loses the
//! absent ones. Absence is never concluded from a cache: the server is asked before anything is deleted.
//!
//! The graph in memory holds what has an owner, and nothing else.

mod attempt;
mod graph;
mod kinds;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use api::{Object, Resource};
use client::Client;
use client::controller::Controller;
use client::queue::Queue;
use parking_lot::Mutex;
use watch_cache::{Cache, Change, ChangeKind};

use crate::{Loop, Setup};
use graph::{Graph, Identity};
use kinds::Kinds;

/// On an owner that waits for its dependents to go.
const FOREGROUND: &str = "foregroundDeletion";
/// On an owner whose dependents are to stay.
const ORPHAN: &str = "orphan";

pub(crate) fn start(setup: &Setup) -> Loop {
    let state = Arc::new(Collector {
        client: setup.client.clone(),
        kinds: Kinds::default(),
        graph: Mutex::default(),
        queue: OnceLock::new(),
    });
    let controller = Controller::new("garbage-collector-controller", state.clone(), attempt::reconcile).workers(20);
    // Set once, here, before anything runs.
    let _ = state.queue.set(controller.queue().clone());
    setup.start_with(controller, kinds::follow(state))
}

pub(crate) struct Collector {
    client: Client,
    kinds: Kinds,
    graph: Mutex<Graph>,
    queue: OnceLock<Arc<Queue>>,
}

impl Collector {
    /// Feeds one kind's objects and changes into the graph, for ever. `late` is a kind that others may have named as their owners'
    /// before it could be followed.
    async fn feed(self: Arc<Self>, resource: Arc<Resource>, cache: Arc<Cache>, late: bool) {
        cache.synced().await;
        let mut first = !late;
        loop {
            let (snapshot, mut changes) = cache.subscribe();
            if !std::mem::take(&mut first) {
                // History was lost, deletions in it: look at every object that has an owner.
                let gone = self.graph.lock().retain(&resource, |namespace, name| {
                    snapshot.get_key(&api::meta::key(namespace, name)).map(|object| object.meta.uid.to_string())
                });
                gone.into_iter().for_each(|key| self.add(key));
                self.graph.lock().dependents().for_each(|key| self.add(key));
            }
            for object in snapshot.range("", None) {
                self.observe(&resource, object, None);
            }
            while let Ok(changes) = changes.next().await {
                for change in changes {
                    self.changed(&resource, &change);
                }
            }
        }
    }

    fn add(&self, key: impl Into<Arc<str>>) {
        if let Some(queue) = self.queue.get() {
            queue.add(key);
        }
    }

    fn changed(&self, resource: &Arc<Resource>, change: &Change) {
        if change.kind != ChangeKind::Deleted {
            return self.observe(resource, &change.object, change.previous.as_deref());
        }
        let object = &change.object;
        let mut graph = self.graph.lock();
        graph.remove(&Identity::of(resource, object).key());
        let orphans = graph.dependents_of(&object.meta.uid);
        drop(graph);
        orphans.into_iter().for_each(|key| self.add(key));
        self.wake_owners(object);
    }

    /// Takes over what an object says about owners, and names the work that follows from it.
    fn observe(&self, resource: &Arc<Resource>, object: &Object, previous: Option<&Object>) {
        let key = Identity::of(resource, object).key();
        let refs = &object.meta.owner_references;
        let before = previous.map(|object| object.meta.owner_references.as_slice()).unwrap_or_default();
        if previous.is_none() || refs != before {
            self.graph.lock().set(&key, refs.iter().map(|owner| owner.uid.clone()));
            if refs.iter().any(|owner| self.is_doubtful(object, owner)) {
                self.add(key.clone());
            }
            // An owner may have waited for the reference that is gone now.
            previous.into_iter().for_each(|previous| self.wake_owners(previous));
        }
        if !object.meta.is_deleting() {
            return;
        }
        if has_finalizer(object, FOREGROUND) {
            if previous.is_some_and(is_waiting) {
                // Its dependents were named when it began to wait; its status may change with each that goes.
                return;
            }
            self.graph.lock().dependents_of(&object.meta.uid).into_iter().for_each(|key| self.add(key));
            self.add(key);
        } else if has_finalizer(object, ORPHAN) {
            self.add(key);
        }
    }

    /// Whether the caches do not show an owner alive and well; the server will be asked.
    fn is_doubtful(&self, object: &Object, owner: &api::OwnerReference) -> bool {
        let Some((resource, cache)) = self.kinds.of_owner(owner) else { return true };
        let namespace = if resource.is_namespaced() { &*object.meta.namespace } else { "" };
        match cache.get(namespace, &owner.name) {
            Some(found) => found.meta.uid != owner.uid || is_waiting(&found),
            None => true,
        }
    }

    /// Looks again at the owners that wait for their dependents to go.
    fn wake_owners(&self, object: &Object) {
        for owner in &object.meta.owner_references {
            let Some((resource, cache)) = self.kinds.of_owner(owner) else { continue };
            let namespace = if resource.is_namespaced() { &*object.meta.namespace } else { "" };
            if let Some(found) = cache.get(namespace, &owner.name).filter(|found| is_waiting(found)) {
                self.add(Identity::of(&resource, &found).key());
            }
        }
    }
}

/// Whether an object waits for its dependents to go.
fn is_waiting(object: &Object) -> bool {
    object.meta.is_deleting() && has_finalizer(object, FOREGROUND)
}

fn has_finalizer(object: &Object, name: &str) -> bool {
    object.meta.finalizers.iter().any(|finalizer| &**finalizer == name)
}
