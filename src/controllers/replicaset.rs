//! replicaset-controller and replicationcontroller-controller: one loop over two rows.
//!
//! Watches: replica sets (replication controllers), pods they own, pods nobody owns.
//! Writes: pods (create, delete, owner references), the sets' status, events.
//! Invariant: a set has as many active pods as `spec.replicas` says; those it can do without longest go first.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::selector::LabelSelector;
use api::{Object, Patch, Resource, Status};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, controlled_by, itself};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::ownership::{Owner, claim, possible_owners, selector_of};
use crate::pod_control::{PodControl, is_namespace_terminating, pod_from_template};
use crate::pods::{self, PodView};
use plan::{Counts, SetView};

/// At most so many pods are created or deleted in one go.
const BURST: usize = 500;

/// The loop for `apps/v1` replica sets.
pub(crate) fn replica_sets(setup: &Setup) -> Controller<Sets> {
    build(setup, kinds::replica_sets(), "replicaset-controller", "replicaset-controller")
}

/// The loop for `v1` replication controllers.
pub(crate) fn replication_controllers(setup: &Setup) -> Controller<Sets> {
    build(setup, kinds::replication_controllers(), "replicationcontroller-controller", "replication-controller")
}

fn build(setup: &Setup, kind: Arc<Resource>, name: &'static str, component: &str) -> Controller<Sets> {
    let events = setup.events_as(component);
    let state = Sets {
        client: setup.client.clone(),
        pods: PodControl::new(&setup.client, &events),
        sets: setup.client.cache(&kind),
        kind: kind.clone(),
    };
    let owned = controlled_by(&kind);
    Controller::new(name, Arc::new(state), reconcile).workers(5).watch(&kind, itself).watch(
        &kinds::pods(),
        move |sets: &Sets, change: &Change, keys: &mut Keys<'_>| {
            owned(sets, change, keys);
            possible_owners(&sets.sets, &change.object).into_iter().for_each(|key| keys.add(key));
        },
    )
}

/// What the loop works with.
pub(crate) struct Sets {
    client: Client,
    pods: PodControl,
    sets: Arc<Cache>,
    kind: Arc<Resource>,
}

async fn reconcile(state: Arc<Sets>, key: Key) -> Result {
    let Some(set) = state.sets.get_key(&key) else { return Ok(Outcome::Done) };
    let value = set.to_value()?;
    // Validation lets no such selector through; a set of an older release may have one.
    let selector = selector_of(&value).map_err(|error| Error::Other(error.to_string()))?;
    if selector.is_everything() {
        return Ok(Outcome::Done);
    }
    let owner = Owner { resource: &state.kind, object: &set };
    let candidates = owner.candidates(state.pods.pods());
    let running: Vec<_> = candidates.into_iter().filter(|pod| !pods::is_terminated(pod)).collect();
    let claimed = claim(&state.client, owner, state.pods.pods(), &selector, running).await?;
    let active: Vec<Arc<Object>> = claimed.iter().filter(|pod| pods::is_active(pod)).cloned().collect();

    let view: SetView = set.view()?;
    let failure = if set.meta.is_deleting() { None } else { state.scale(owner, &value, &view, &active).await };
    // What was created or deleted just now shows in the next status: the cache has it, and its change brings the key back.
    let status = state.update_status(&set, &view, &value, &selector, &claimed, failure.as_ref()).await?;
    match failure {
        Some(status) if !is_namespace_terminating(&status) => Err(status.into()),
        _ => Ok(status),
    }
}

impl Sets {
    /// Creates or deletes pods until there are as many as wanted.
    async fn scale(&self, owner: Owner<'_>, value: &Value, view: &SetView, active: &[Arc<Object>]) -> Option<Status> {
        let wanted = view.replicas();
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            tracing::debug!(wanted, active = active.len(), missing, "creating pods");
            let template = &value["spec"]["template"];
            return self.pods.create_many(owner, missing, |_| pod_from_template(owner, template)).await.1;
        }
        if active.len() > wanted {
            let surplus = (active.len() - wanted).min(BURST);
            tracing::debug!(wanted, active = active.len(), surplus, "deleting pods");
            let ranked = match pods::rank_for_deletion(active, &self.crowds(owner), Timestamp::now()) {
                Ok(ranked) => ranked,
                Err(error) => return Some(Status::internal(error)),
            };
            return self.pods.delete_many(owner, &ranked[..surplus]).await.err();
        }
        None
    }

    /// How many active pods of this set and of its siblings (the other sets of the same deployment) each node has.
    fn crowds(&self, owner: Owner<'_>) -> HashMap<String, usize> {
        let namespace = &owner.object.meta.namespace;
        let sets = match owner.object.meta.controller() {
            Some(parent) => self.sets.controlled_by(namespace, &parent.uid),
            None => Vec::new(),
        };
        // Its own cache may not show the set yet.
        let siblings: BTreeSet<&str> = sets.iter().map(|set| &*set.meta.uid).chain([&*owner.object.meta.uid]).collect();
        let mut crowds = HashMap::new();
        for pod in siblings.iter().flat_map(|uid| self.pods.pods().controlled_by(namespace, uid)) {
            if pods::is_active(&pod) {
                *crowds.entry(pods::node_name(&pod).to_owned()).or_default() += 1;
            }
        }
        crowds
    }

    async fn update_status(
        &self,
        set: &Object,
        view: &SetView,
        value: &Value,
        selector: &LabelSelector,
        claimed: &[Arc<Object>],
        failure: Option<&Status>,
    ) -> Result {
        let now = Timestamp::now();
        let template_labels = template_labels(value, selector);
        let mut counts = Counts::default();
        let mut next = None;
        for pod in claimed {
            if !pods::is_active(pod) {
                counts.terminating += 1;
                continue;
            }
            let available_in = PodView::of(pod)?.available_in(view.min_ready_seconds(), now);
            counts.replicas += 1;
            counts.fully_labeled += i32::from(template_labels.matches(&pod.meta.labels));
            counts.ready += i32::from(available_in.is_some());
            counts.available += i32::from(available_in.is_some_and(|wait| wait.is_zero()));
            next = available_in.filter(|wait| !wait.is_zero()).into_iter().chain(next).min();
        }
        let has_terminating = &*self.kind.kind == "ReplicaSet";
        let failed_to_create = counts.replicas < view.replicas() as i32;
        let failure = failure.map(|status| (status.message.as_str(), failed_to_create));
        let status = plan::status(view, counts, has_terminating, failure, set.meta.generation, now);
        if let Some(patch) = status {
            let patch = Patch::Merge(json!({ "metadata": { "uid": set.meta.uid }, "status": patch }));
            self.client.patch(&self.kind, &set.meta.namespace, &set.meta.name, "status", patch).await?;
        }
        Ok(next.map_or(Outcome::Done, Outcome::After))
    }
}

/// Pods that carry all labels of the template count as fully labeled.
fn template_labels(value: &Value, selector: &LabelSelector) -> LabelSelector {
    match value.pointer("/spec/template/metadata/labels").and_then(Value::as_object) {
        Some(labels) => LabelSelector::from_labels(labels.iter().map(|(k, v)| (&**k, v.as_str().unwrap_or_default()))),
        None => selector.clone(),
    }
}
