//! persistentvolume-binder-controller: brings claims and volumes together, one to one.
//!
//! Watches: claims, volumes, storage classes.
//! Writes: `spec.claimRef` and phase of volumes, `spec.volumeName` and phase of claims, annotations for provisioners, events.
//! Invariant: a bound claim and its volume name each other, the volume by uid, so that a claim made again under the same
//! name does not inherit what was stored. Volumes are made and removed by provisioners outside; a released volume with
//! reclaim policy Delete waits for the one that made it.
//!
//! Binding is written in upstream's order (volume first), so that a crash in between is finished at the next look.

mod claim;
mod plan;
#[cfg(test)]
mod tests;
mod volume;

use std::sync::Arc;

use api::{Object, Patch, Status};
use client::Client;
use client::controller::{Controller, Keys, Result};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::seen;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";

/// One worker: two claims must not choose the same volume.
pub(crate) fn controller(setup: &Setup) -> Controller<Binder> {
    let client = setup.client.clone();
    let state = Binder {
        claims: client.cache(&kinds::persistent_volume_claims()),
        volumes: client.cache(&kinds::persistent_volumes()),
        classes: client.cache(&kinds::storage_classes()),
        events: setup.events_as("persistentvolume-controller"),
        client,
    };
    Controller::new("persistentvolume-binder-controller", Arc::new(state), reconcile)
        .watch(&kinds::persistent_volume_claims(), of_claim)
        .watch(&kinds::persistent_volumes(), of_volume)
        .watch(&kinds::storage_classes(), |state: &Binder, _: &Change, keys: &mut Keys<'_>| state.add_waiting(keys))
}

pub(crate) struct Binder {
    client: Client,
    claims: Arc<Cache>,
    volumes: Arc<Cache>,
    classes: Arc<Cache>,
    events: Recorder,
}

// Keys are `claim:namespace/name` and `volume:name`.

fn of_claim(_: &Binder, change: &Change, keys: &mut Keys<'_>) {
    keys.add(format!("claim:{}", change.object.meta.key()));
    // The volume is released when its claim goes.
    for claim in [Some(&change.object), change.previous.as_ref()].into_iter().flatten() {
        if let Ok(tree) = claim.to_value()
            && let Some(volume) = tree.pointer("/spec/volumeName").and_then(Value::as_str)
        {
            keys.add(format!("volume:{volume}"));
        }
    }
}

fn of_volume(state: &Binder, change: &Change, keys: &mut Keys<'_>) {
    keys.add(format!("volume:{}", change.object.meta.name));
    let Ok(tree) = change.object.to_value() else { return };
    match plan::claim_of(&tree) {
        Some((namespace, name)) => keys.add(format!("claim:{namespace}/{name}")),
        // It is free: some claim may have waited for it.
        None => state.add_waiting(keys),
    }
}

async fn reconcile(state: Arc<Binder>, key: Key) -> Result {
    match key.split_once(':') {
        Some(("claim", key)) => state.sync_claim(key).await,
        Some((_, name)) => state.sync_volume(name).await,
        None => unreachable!("keys are made above"),
    }
}

type Written = std::result::Result<Arc<Object>, Status>;

impl Binder {
    /// Every claim that is not bound.
    fn add_waiting(&self, keys: &mut Keys<'_>) {
        for claim in self.claims.list("") {
            if claim.to_value().is_ok_and(|tree| tree["status"]["phase"] != "Bound") {
                keys.add(format!("claim:{}", claim.meta.key()));
            }
        }
    }

    async fn patch(&self, cache: &Cache, object: &Object, subresource: &str, mut patch: Value) -> Written {
        // Both sides are written only as they were when the decision was made.
        patch["metadata"]["resourceVersion"] = object.meta.resource_version.to_string().into();
        let (namespace, name) = (&object.meta.namespace, &object.meta.name);
        let written = self.client.patch(cache.resource(), namespace, name, subresource, Patch::Merge(patch)).await?;
        seen(cache, &written).await;
        Ok(written)
    }

    /// Writes a phase, with what goes along, unless it stands already.
    async fn set_phase(&self, cache: &Cache, object: Arc<Object>, status: Value) -> Written {
        let now = object.to_value().map_err(Status::internal)?;
        let differs = |(field, value): (&String, &Value)| now["status"][field] != *value;
        if !status.as_object().into_iter().flatten().any(differs) {
            return Ok(object);
        }
        self.patch(cache, &object, "status", json!({ "status": status })).await
    }

    fn event(&self, cache: &Cache, object: &Object, kind: EventType, reason: &str, message: impl Into<String>) {
        self.events.event(Reference::to(cache.resource(), object), kind, reason, message);
    }
}
