//! deployment-controller: brings pods from one template to the next through replica sets.
//!
//! Watches: deployments, replica sets they own or could own, pods of those (for Recreate).
//! Writes: replica sets (create, scale, annotate, delete), the deployment's status and revision, events.
//! Invariant: during a rolling update there are never more than `replicas + maxSurge` pods wanted, and never fewer than
//! `replicas - maxUnavailable` available ones taken away by us.

mod plan;
mod status;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{Object, Patch, Status};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, controlled_by, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::{Owner, claim, possible_owners, selector_of};
use crate::pods;
use plan::{Deployment, Scaling, Set, Strategy};

pub(crate) use plan::share;
pub(crate) use template::hash;

/// The revision of a replica set, and of the deployment's present one.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Revisions the same template had before.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many replicas the deployment wanted when the set was last scaled, and how many it could have had.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a deployment that its replica sets do not inherit.
const NOT_INHERITED: [&str; 7] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
    "deprecated.daemonset.template.generation",
];
/// Set by us on replica sets, their selectors and their pods.
const HASH_LABEL: &str = "pod-template-hash";

/// The loop.
pub(crate) fn deployments(setup: &Setup) -> Controller<Deployments> {
    let kind = kinds::deployments();
    let state = Deployments {
        client: setup.client.clone(),
        events: setup.events(),
        deployments: setup.client.cache(&kind),
        sets: setup.client.cache(&kinds::replica_sets()),
        pods: setup.client.cache(&kinds::pods()),
    };
    let owned = controlled_by(&kind);
    Controller::new("deployment-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kind, itself)
        .watch(&kinds::replica_sets(), move |state: &Deployments, change: &Change, keys: &mut Keys<'_>| {
            owned(state, change, keys);
            possible_owners(&state.deployments, &change.object).into_iter().for_each(|key| keys.add(key));
        })
        .watch(&kinds::pods(), |state: &Deployments, change: &Change, keys: &mut Keys<'_>| {
            // Recreate waits for the last old pod to go; nothing else here looks at pods.
            if change.kind == watch_cache::ChangeKind::Deleted || pods::is_terminated(&change.object) {
                let set = change.object.meta.controller().filter(|owner| &*owner.kind == "ReplicaSet");
                let set = set.and_then(|owner| state.sets.get(&change.object.meta.namespace, &owner.name));
                if let Some(owner) = set.as_ref().and_then(|set| set.meta.controller()) {
                    keys.named(&change.object.meta.namespace, &owner.name);
                }
            }
        })
}

/// What the loop works with.
pub(crate) struct Deployments {
    client: Client,
    events: Recorder,
    deployments: Arc<Cache>,
    sets: Arc<Cache>,
    pods: Arc<Cache>,
}

/// One deployment with its replica sets, as of this turn.
struct Turn<'a> {
    state: &'a Deployments,
    object: &'a Arc<Object>,
    value: Value,
    deployment: Deployment,
    sets: Vec<Set>,
}

async fn reconcile(state: Arc<Deployments>, key: Key) -> Result<Outcome, Error> {
    let Some(object) = state.deployments.get_key(&key) else { return Ok(Outcome::Done) };
    let value = object.to_value()?;
    let selector = selector_of(&value).map_err(|error| Error::Other(error.to_string()))?;
    if selector.is_everything() {
        return Ok(Outcome::Done);
    }
    let kind = kinds::deployments();
    let owner = Owner { resource: &kind, object: &object };
    let candidates = owner.candidates(&state.sets);
    let claimed = claim(&state.client, owner, &state.sets, &selector, candidates).await?;
    let sets = claimed.iter().map(Set::read).collect::<Result<Vec<_>, _>>()?;
    let deployment: Deployment = object.view()?;
    let mut turn = Turn { state: &state, object: &object, value, deployment, sets };
    turn.run().await
}

impl Turn<'_> {
    async fn run(&mut self) -> Result<Outcome, Error> {
        if self.object.meta.is_deleting() {
            return self.write_status(None).await;
        }
        if self.deployment.spec.paused || plan::is_scaling(&self.deployment, &self.sets) {
            let new = self.find_new();
            if let Some(new) = new {
                self.keep_new_up_to_date(new).await?;
            }
            let scaling = plan::scale(&self.deployment, &self.sets, self.find_new());
            self.apply(&scaling).await?;
            if self.deployment.spec.paused {
                self.clean_up().await?;
            }
            return self.write_status(None).await;
        }
        match self.deployment.strategy() {
            Strategy::Recreate => self.recreate().await,
            Strategy::RollingUpdate { .. } => self.roll().await,
        }
    }

    async fn roll(&mut self) -> Result<Outcome, Error> {
        let (new, created) = self.ensure_new().await?;
        let scaling = plan::roll_up(&self.deployment, &self.sets, new);
        if !scaling.is_empty() {
            self.apply(&scaling).await?;
            return self.write_status(created).await;
        }
        let scaling = plan::roll_down(&self.deployment, &self.sets, new);
        if !scaling.is_empty() {
            self.apply(&scaling).await?;
            return self.write_status(created).await;
        }
        self.clean_up().await?;
        self.write_status(created).await
    }

    async fn recreate(&mut self) -> Result<Outcome, Error> {
        let new = self.find_new();
        let scaling: Vec<Scaling> = plan::all_down(&self.sets, new);
        if !scaling.is_empty() {
            self.apply(&scaling).await?;
            return self.write_status(None).await;
        }
        if self.old_pods_remain(new) {
            return self.write_status(None).await;
        }
        let (new, created) = self.ensure_new().await?;
        let wanted = self.deployment.replicas();
        if self.sets[new].replicas != wanted {
            self.apply(&[Scaling { set: new, to: wanted }]).await?;
        }
        self.clean_up().await?;
        self.write_status(created).await
    }

    /// The set with the deployment's template; the oldest, if there are several.
    fn find_new(&self) -> Option<usize> {
        template::find(&self.value["spec"]["template"], &self.sets)
    }

    fn old_pods_remain(&self, new: Option<usize>) -> bool {
        let mut old = self.sets.iter().enumerate().filter(|(at, _)| Some(*at) != new);
        let pods = |set: &Set| self.state.pods.controlled_by(&self.object.meta.namespace, &set.object.meta.uid);
        old.any(|(_, set)| pods(set).iter().any(|pod| !pods::is_terminated(pod)))
    }

    /// The set of the present template, made if there is none; and what to say of it in the Progressing condition.
    async fn ensure_new(&mut self) -> Result<(usize, Option<status::Found>), Error> {
        if let Some(new) = self.find_new() {
            self.keep_new_up_to_date(new).await?;
            return Ok((new, Some(status::Found { name: self.sets[new].name().to_owned(), created: false })));
        }
        let revision = (self.latest_revision() + 1).to_string();
        let template = &self.value["spec"]["template"];
        let hash = hash(template, self.deployment.status.collision_count.unwrap_or(0));
        let wanted = plan::replicas_of_new(&self.deployment, &self.sets, None);
        let set = self.new_set(template, &hash, &revision, wanted);
        let kind = kinds::replica_sets();
        match self.state.client.create(&kind, &self.object.meta.namespace, set).await {
            Ok(made) => {
                seen(&self.state.sets, &made).await;
                if wanted > 0 {
                    let message = format!("Scaled up replica set {} from 0 to {wanted}", made.meta.name);
                    self.event(EventType::Normal, "ScalingReplicaSet", message);
                }
                self.note_revision(&revision).await?;
                let name = made.meta.name.to_string();
                self.sets.push(Set::read(&made)?);
                Ok((self.sets.len() - 1, Some(status::Found { name, created: true })))
            }
            Err(refused) if refused.is_already_exists() => {
                // Another template with the same hash: the next hash is salted with one more collision.
                let count = self.deployment.status.collision_count.unwrap_or(0) + 1;
                let patch = json!({"metadata": {"uid": self.object.meta.uid}, "status": {"collisionCount": count}});
                self.patch_deployment("status", patch).await?;
                Err(refused.into())
            }
            Err(refused) => {
                if !crate::pod_control::is_namespace_terminating(&refused) {
                    let message = format!("Failed to create new replica set {:?}: {refused}", self.set_name(&hash));
                    self.event(EventType::Warning, "ReplicaSetCreateError", message);
                }
                Err(refused.into())
            }
        }
    }

    fn set_name(&self, hash: &str) -> String {
        format!("{}-{hash}", self.object.meta.name)
    }

    fn new_set(&self, template: &Value, hash: &str, revision: &str, replicas: i64) -> Value {
        let mut template = template.clone();
        template["metadata"]["labels"][HASH_LABEL] = hash.into();
        let mut selector = self.value["spec"]["selector"].clone();
        selector["matchLabels"][HASH_LABEL] = hash.into();
        let mut annotations = self.inherited_annotations();
        annotations.insert(REVISION.into(), revision.into());
        self.note_sizes(&mut annotations);
        let owner = Owner { resource: &kinds::deployments(), object: self.object }.reference();
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": self.set_name(hash), "namespace": self.object.meta.namespace,
                "labels": template["metadata"]["labels"], "annotations": annotations, "ownerReferences": [owner],
            },
            "spec": {
                "replicas": replicas, "minReadySeconds": self.deployment.spec.min_ready_seconds,
                "selector": selector, "template": template,
            },
        })
    }

    fn inherited_annotations(&self) -> Map<String, Value> {
        let all = self.value.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
        all.into_iter().filter(|(key, _)| !NOT_INHERITED.contains(&key.as_str())).collect()
    }

    fn note_sizes(&self, annotations: &mut Map<String, Value>) {
        annotations.insert(DESIRED.into(), self.deployment.replicas().to_string().into());
        annotations.insert(MAX.into(), self.deployment.most().to_string().into());
    }

    fn latest_revision(&self) -> i64 {
        self.sets.iter().map(|set| set.revision).max().unwrap_or(0)
    }

    /// The present set carries the highest revision, the deployment's annotations, and its minReadySeconds.
    async fn keep_new_up_to_date(&mut self, new: usize) -> Result<(), Error> {
        let others = self.sets.iter().enumerate().filter(|(at, _)| *at != new).map(|(_, set)| set.revision).max();
        let revision = others.unwrap_or(0) + 1;
        let set = &self.sets[new];
        let mut annotations: Map<String, Value> = self.inherited_annotations();
        annotations.retain(|key, value| set.annotations.get(key).map(String::as_str) != value.as_str());
        if set.revision < revision {
            annotations.insert(REVISION.into(), revision.to_string().into());
            if set.revision > 0 {
                let before =
                    set.annotations.get(REVISION_HISTORY).map_or(String::new(), |history| format!("{history},"));
                annotations.insert(REVISION_HISTORY.into(), format!("{before}{}", set.revision).into());
            }
        }
        let mut patch = json!({"metadata": {"uid": set.object.meta.uid}});
        if !annotations.is_empty() {
            patch["metadata"]["annotations"] = annotations.into();
        }
        if set.min_ready_seconds != self.deployment.spec.min_ready_seconds {
            patch["spec"] = json!({"minReadySeconds": self.deployment.spec.min_ready_seconds});
        }
        if patch != json!({"metadata": {"uid": set.object.meta.uid}}) {
            let written = self.patch_set(new, patch).await?;
            self.sets[new] = Set::read(&written)?;
        }
        let revision = self.sets[new].revision.to_string();
        self.note_revision(&revision).await
    }

    async fn note_revision(&self, revision: &str) -> Result<(), Error> {
        if self.deployment.metadata.annotations.get(REVISION).is_some_and(|noted| noted == revision) {
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": self.object.meta.uid, "annotations": {REVISION: revision}}});
        self.patch_deployment("", patch).await?;
        Ok(())
    }

    async fn apply(&mut self, scalings: &[Scaling]) -> Result<(), Error> {
        for scaling in scalings {
            let set = &self.sets[scaling.set];
            let (from, to) = (set.replicas, scaling.to);
            let mut annotations = Map::new();
            self.note_sizes(&mut annotations);
            annotations.retain(|key, value| set.annotations.get(key).map(String::as_str) != value.as_str());
            if from == to && annotations.is_empty() {
                continue;
            }
            let patch = json!({
                "metadata": {"uid": set.object.meta.uid, "annotations": annotations},
                "spec": {"replicas": to},
            });
            let written = self.patch_set(scaling.set, patch).await?;
            if from != to {
                let way = if to > from { "up" } else { "down" };
                let message = format!("Scaled {way} replica set {} from {from} to {to}", written.meta.name);
                self.event(EventType::Normal, "ScalingReplicaSet", message);
            }
            self.sets[scaling.set] = Set::read(&written)?;
        }
        Ok(())
    }

    async fn patch_set(&self, at: usize, patch: Value) -> Result<Arc<Object>, Status> {
        let meta = &self.sets[at].object.meta;
        let kind = kinds::replica_sets();
        let written = self.state.client.patch(&kind, &meta.namespace, &meta.name, "", Patch::Merge(patch)).await?;
        seen(&self.state.sets, &written).await;
        Ok(written)
    }

    async fn patch_deployment(&self, subresource: &str, patch: Value) -> Result<Arc<Object>, Status> {
        let (meta, kind) = (&self.object.meta, kinds::deployments());
        let patch = Patch::Merge(patch);
        let written = self.state.client.patch(&kind, &meta.namespace, &meta.name, subresource, patch).await?;
        seen(&self.state.deployments, &written).await;
        Ok(written)
    }

    /// Deletes the oldest sets that nothing needs, beyond the history limit; only when the rollout is complete.
    async fn clean_up(&self) -> Result<(), Error> {
        let new = self.find_new();
        let complete =
            status::is_complete(&self.deployment, &status::counts(&self.deployment, &self.sets, new), self.object);
        if !complete && !self.deployment.spec.paused {
            return Ok(());
        }
        for at in plan::surplus_history(&self.deployment, &self.sets, new) {
            let set = &self.sets[at].object;
            let options = api::DeleteOptions { uid: Some(set.meta.uid.to_string()), ..Default::default() };
            match self.state.client.delete(&kinds::replica_sets(), &set.meta.namespace, &set.meta.name, options).await {
                Ok(()) => seen_deleted(&self.state.sets, set).await,
                Err(status) if status.is_not_found() => {}
                Err(status) => return Err(status.into()),
            }
        }
        Ok(())
    }

    async fn write_status(&self, found: Option<status::Found>) -> Result<Outcome, Error> {
        let new = self.find_new();
        let counts = status::counts(&self.deployment, &self.sets, new);
        let next =
            status::next(&self.deployment, &counts, &self.sets, new, found.as_ref(), self.object, Timestamp::now());
        if let Some(patch) = next.patch {
            self.patch_deployment("status", json!({"metadata": {"uid": self.object.meta.uid}, "status": patch}))
                .await?;
        }
        Ok(next.check_again.map_or(Outcome::Done, Outcome::After))
    }

    fn event(&self, kind: EventType, reason: &str, message: String) {
        self.state.events.event(Reference::to(&kinds::deployments(), self.object), kind, reason, message);
    }
}
