//! persistentvolumeclaim-protection-controller, persistentvolume-protection-controller and
//! volumeattributesclass-protection-controller: what is in use is not deleted under its users.
//!
//! Watches: claims and pods; volumes; classes of attributes with the claims and volumes that name them.
//! Writes: the finalizers `kubernetes.io/pvc-protection`, `kubernetes.io/pv-protection` and `kubernetes.io/vac-protection`
//! (admission sets them on new objects), which are taken away when a deleted claim has no pod, a deleted volume no claim, and
//! nothing names a deleted class.
//! Invariant: a claim that a scheduled pod names, a volume that is bound, and a class that is named stay until that ends.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::tree::Tree;
use api::{ListOptions, Object, Patch, Resource, Status};
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use serde_json::{Value, json};
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::expectations::seen;
use crate::pods;

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
const CLASS: &str = "kubernetes.io/vac-protection";

/// The loop for claims.
pub(crate) fn claims(setup: &Setup) -> Controller<Protected> {
    let kind = kinds::persistent_volume_claims();
    Controller::new(
        "persistentvolumeclaim-protection-controller",
        protected(setup, kind.clone(), CLAIM),
        reconcile_claim,
    )
    .workers(2)
    .watch(&kind, itself)
    .watch(&kinds::pods(), when_a_pod_ends)
}

/// The loop for volumes.
pub(crate) fn volumes(setup: &Setup) -> Controller<Protected> {
    let kind = kinds::persistent_volumes();
    Controller::new("persistentvolume-protection-controller", protected(setup, kind.clone(), VOLUME), reconcile_volume)
        .watch(&kind, itself)
}

/// The loop for classes of volume attributes.
pub(crate) fn classes(setup: &Setup) -> Controller<Protected> {
    let kind = kinds::volume_attributes_classes();
    Controller::new(
        "volumeattributesclass-protection-controller",
        protected(setup, kind.clone(), CLASS),
        reconcile_class,
    )
    .watch(&kind, itself)
    .watch(&kinds::persistent_volume_claims(), when_a_class_is_left)
    .watch(&kinds::persistent_volumes(), when_a_class_is_left)
}

fn protected(setup: &Setup, kind: Arc<Resource>, finalizer: &'static str) -> Arc<Protected> {
    let client = setup.client.clone();
    let objects = client.cache(&kind);
    let users = match finalizer {
        CLAIM => vec![client.cache(&kinds::pods())],
        CLASS => vec![client.cache(&kinds::persistent_volume_claims()), client.cache(&kinds::persistent_volumes())],
        _ => Vec::new(),
    };
    Arc::new(Protected { client, kind, finalizer, objects, users })
}

pub(crate) struct Protected {
    client: Client,
    kind: Arc<Resource>,
    finalizer: &'static str,
    objects: Arc<Cache>,
    /// Who may be using them.
    users: Vec<Arc<Cache>>,
}

fn when_a_pod_ends(_: &Protected, change: &Change, keys: &mut Keys<'_>) {
    let pod = &change.object;
    if change.kind != ChangeKind::Deleted && !pods::is_terminated(pod) {
        return;
    }
    if let Ok(tree) = pod.to_value() {
        claims_of(&tree).for_each(|claim| keys.named(&pod.meta.namespace, &claim));
    }
}

/// The claims a pod names, those of its ephemeral volumes included.
fn claims_of(pod: &Value) -> impl Iterator<Item = String> {
    pod.items("spec.volumes").iter().filter_map(move |volume| match volume.at("ephemeral") {
        Some(_) => Some(format!("{}-{}", pod.text("metadata.name"), volume.text("name"))),
        None => volume.at("persistentVolumeClaim").map(|claim| claim.text("claimName").to_owned()),
    })
}

async fn reconcile_claim(state: Arc<Protected>, key: Key) -> Result {
    let Some(claim) = state.objects.get_key(&key) else { return Ok(Outcome::Done) };
    let (namespace, name) = (&*claim.meta.namespace, &*claim.meta.name);
    if !claim.meta.is_deleting() {
        return state.hold(&claim).await;
    }
    let in_use = |pods: &[Arc<Object>]| {
        let scheduled = pods.iter().filter(|pod| !pods::node_name(pod).is_empty());
        scheduled.filter_map(|pod| pod.to_value().ok()).any(|pod| claims_of(&pod).any(|claim| claim == name))
    };
    if state.users.iter().any(|pods| in_use(&pods.list(namespace))) {
        return Ok(Outcome::Done);
    }
    // A pod may have come that the cache does not show yet.
    let pods = state.client.list(&kinds::pods(), namespace, ListOptions::default()).await?;
    if in_use(&pods.items) { Ok(Outcome::Done) } else { state.release(&claim).await }
}

async fn reconcile_volume(state: Arc<Protected>, key: Key) -> Result {
    let Some(volume) = state.objects.get_key(&key) else { return Ok(Outcome::Done) };
    if !volume.meta.is_deleting() {
        return state.hold(&volume).await;
    }
    let bound = volume.to_value()?.text("status.phase") == "Bound";
    if bound { Ok(Outcome::Done) } else { state.release(&volume).await }
}

/// The classes of attributes that a claim or a volume names: the one it has, the one it shall have, and the one that is tried.
fn classes_of(user: &Value) -> impl Iterator<Item = &str> {
    let places = [
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    ];
    places.into_iter().map(|place| user.text(place)).filter(|name| !name.is_empty())
}

fn when_a_class_is_left(_: &Protected, change: &Change, keys: &mut Keys<'_>) {
    let trees = |object: Option<&Arc<Object>>| object.and_then(|object| object.to_value().ok());
    let (before, now) = match change.kind {
        ChangeKind::Deleted => (trees(Some(&change.object)), None),
        _ => (trees(change.previous.as_ref()), trees(Some(&change.object))),
    };
    let named = |name: &&str| now.as_ref().is_some_and(|now| classes_of(now).any(|other| other == *name));
    let Some(before) = before else { return };
    classes_of(&before).filter(|name| !named(name)).for_each(|name| keys.named("", name));
}

async fn reconcile_class(state: Arc<Protected>, key: Key) -> Result {
    let Some(class) = state.objects.get_key(&key) else { return Ok(Outcome::Done) };
    if !class.meta.is_deleting() {
        return state.hold(&class).await;
    }
    let names =
        |user: &Arc<Object>| user.to_value().is_ok_and(|user| classes_of(&user).any(|name| name == &*class.meta.name));
    let used = state.users.iter().any(|users| users.list("").iter().any(names));
    if used { Ok(Outcome::Done) } else { state.release(&class).await }
}

impl Protected {
    async fn hold(&self, object: &Object) -> Result {
        if !object.meta.finalizers.iter().any(|finalizer| &**finalizer == self.finalizer) {
            self.patch(object, json!({ "finalizers": [self.finalizer] })).await?;
        }
        Ok(Outcome::Done)
    }

    async fn release(&self, object: &Object) -> Result {
        if object.meta.finalizers.iter().any(|finalizer| &**finalizer == self.finalizer) {
            self.patch(object, json!({ "$deleteFromPrimitiveList/finalizers": [self.finalizer] })).await?;
        }
        Ok(Outcome::Done)
    }

    async fn patch(&self, object: &Object, mut metadata: Value) -> std::result::Result<(), Status> {
        metadata["uid"] = (&*object.meta.uid).into();
        let patch = Patch::Strategic(json!({ "metadata": metadata }));
        match self.client.patch(&self.kind, &object.meta.namespace, &object.meta.name, "", patch).await {
            Ok(written) => seen(&self.objects, &written).await,
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
        Ok(())
    }
}
