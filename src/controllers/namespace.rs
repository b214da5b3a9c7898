//! namespace-controller: empties namespaces that are to be deleted, and lets them go.
//!
//! Watches: namespaces; pods, whose end lets the next step begin.
//! Writes: deletes every object of a terminating namespace, its conditions, its finalizer (through `finalize`).
//! Invariant: a namespace goes only when nothing of any kind is left in it. Pods go first, so that nothing they need
//! (secrets, policies, services) is taken from them while they end.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, ListOptions, Object, Operation, Patch, Propagation, Resource, Status};
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::expectations::seen;
use plan::Remains;

/// The finalizer in `spec.finalizers` that this controller answers for.
const FINALIZER: &str = "kubernetes";

pub(crate) fn controller(setup: &Setup) -> Controller<Namespaces> {
    let namespaces = kinds::namespaces();
    let state =
        Namespaces { client: setup.client.clone(), cache: setup.client.cache(&namespaces), kind: namespaces.clone() };
    Controller::new("namespace-controller", Arc::new(state), reconcile)
        .workers(10)
        .watch(&namespaces, itself)
        .watch(&kinds::pods(), when_a_pod_is_gone)
}

pub(crate) struct Namespaces {
    client: Client,
    cache: Arc<Cache>,
    kind: Arc<Resource>,
}

fn when_a_pod_is_gone(state: &Namespaces, change: &Change, keys: &mut Keys<'_>) {
    let namespace = &change.object.meta.namespace;
    if change.kind == ChangeKind::Deleted && state.cache.get("", namespace).is_some_and(|home| home.meta.is_deleting())
    {
        keys.named("", namespace);
    }
}

async fn reconcile(state: Arc<Namespaces>, key: Key) -> Result {
    let Some(namespace) = state.cache.get_key(&key) else { return Ok(Outcome::Done) };
    let Some(since) = namespace.meta.deletion_timestamp else { return Ok(Outcome::Done) };
    let value = namespace.to_value()?;
    let finalizers: Vec<&str> =
        value["spec"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !finalizers.contains(&FINALIZER) {
        return Ok(Outcome::Done);
    }
    if value["status"]["phase"] != "Terminating" {
        state.patch_status(&namespace, json!({ "phase": "Terminating" })).await?;
    }
    let remains = state.delete_content(&key).await;
    if let Some(conditions) = plan::conditions(&value["status"]["conditions"], &remains, Timestamp::now()) {
        state.patch_status(&namespace, json!({ "conditions": conditions })).await?;
    }
    if !remains.is_empty() {
        tracing::debug!(objects = remains.count(), errors = remains.errors.len(), "content is left");
        return Ok(Outcome::After(look_again(Timestamp::now().duration_since(since))));
    }
    state.finalize(value).await?;
    tracing::info!(namespace = &*key, "namespace is empty and released");
    Ok(Outcome::Done)
}

/// Most content goes within a second; what waits for somebody else's finalizer may take days.
fn look_again(waited: jiff::SignedDuration) -> Duration {
    let waited = Duration::try_from(waited).unwrap_or_default();
    (waited / 4).clamp(Duration::from_millis(250), Duration::from_secs(15))
}

impl Namespaces {
    async fn patch_status(&self, namespace: &Object, status: Value) -> std::result::Result<(), Status> {
        let patch = Patch::Strategic(json!({ "metadata": { "uid": namespace.meta.uid }, "status": status }));
        match self.client.patch(&self.kind, "", &namespace.meta.name, "status", patch).await {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    /// Deletes what there is, and tells what is left.
    async fn delete_content(&self, namespace: &str) -> Remains {
        let elsewhere = self.client.elsewhere();
        let mut remains = Remains::new(elsewhere.stale);
        let pods = kinds::pods();
        self.delete_kind(&pods, namespace, &mut remains).await;
        if remains.count() > 0 || !remains.errors.is_empty() {
            return remains;
        }
        // A kind may be served at several versions; one of them reaches all its objects.
        let mut seen = HashSet::from([pods.qualified()]);
        for kind in self.client.resources().into_iter().chain(elsewhere.resources) {
            let verbs = ["delete", "list"].iter().all(|verb| kind.verbs.contains(verb));
            let mine = kind.is_namespaced() && kind.stored && kind.stored_as.is_none() && verbs;
            if mine && seen.insert(kind.qualified()) {
                self.delete_kind(&kind, namespace, &mut remains).await;
            }
        }
        remains
    }

    async fn delete_kind(&self, kind: &Arc<Resource>, namespace: &str, remains: &mut Remains) {
        let list = || self.client.list(kind, namespace, ListOptions::default());
        let result = async {
            let items = list().await?.items;
            if items.is_empty() {
                return Ok(Vec::new());
            }
            // Nobody else decides what becomes of dependents: they are in the namespace too, and go.
            let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
            if kind.verbs.contains(&"deletecollection") {
                let delete = Operation::DeleteCollection(options, ListOptions::default());
                self.client.call(kind, namespace, "", "", delete).await?;
            } else {
                for item in items {
                    match self.client.delete(kind, namespace, &item.meta.name, options.clone()).await {
                        Err(status) if !status.is_not_found() => return Err(status),
                        _ => {}
                    }
                }
            }
            list().await.map(|list| list.items)
        };
        match result.await {
            Ok(items) => remains.add(kind, &items),
            // The kind went away meanwhile, and its objects with it.
            Err(status) if status.is_not_found() || status.code == 405 => {}
            Err(status) => remains.errors.push(status.to_string()),
        }
    }

    /// Takes this controller's finalizer away.
    async fn finalize(&self, mut namespace: Value) -> std::result::Result<(), Status> {
        if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        // The conditions written above have made a new version; what is put here is the finalizers alone.
        if let Some(metadata) = namespace["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        match self.client.update(&self.kind, "", &name, "finalize", namespace).await {
            // It is gone now, unless a finalizer of somebody else's holds it.
            Ok(written) => seen(&self.cache, &written).await,
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
        Ok(())
    }
}
