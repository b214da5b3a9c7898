//! statefulset-controller: pods with names, claims and an order.
//!
//! Watches: stateful sets, pods and controller revisions they own or could own.
//! Writes: pods, persistent volume claims, controller revisions, the sets' status, events.
//! Invariant: an ordinal has at most one pod, and no pod without its claims. In order, a pod is made only when all before it
//! are available, and removed only when all after it are gone.

mod identity;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use api::{DeleteOptions, Object, Patch, Status};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, controlled_by, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::{Owner, claim, possible_owners, selector_of};
use crate::pod_control::{is_namespace_terminating, pod_from_template};
use crate::revisions::{Established, HASH_LABEL, History, Revision};
use identity::Claim;
use plan::{Member, Set, Step};

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<StatefulSets> {
    let kind = kinds::stateful_sets();
    let state = StatefulSets {
        client: setup.client.clone(),
        events: setup.events(),
        sets: setup.client.cache(&kind),
        pods: setup.client.cache(&kinds::pods()),
        claims: setup.client.cache(&kinds::persistent_volume_claims()),
        revisions: setup.client.cache(&kinds::controller_revisions()),
    };
    let (owned, owned_too) = (controlled_by(&kind), controlled_by(&kind));
    Controller::new("statefulset-controller", Arc::new(state), reconcile)
        .workers(5)
        .needs(&kinds::persistent_volume_claims())
        .watch(&kind, itself)
        .watch(&kinds::pods(), move |state: &StatefulSets, change: &Change, keys: &mut Keys<'_>| {
            owned(state, change, keys);
            possible_owners(&state.sets, &change.object).into_iter().for_each(|key| keys.add(key));
        })
        .watch(&kinds::controller_revisions(), move |state: &StatefulSets, change: &Change, keys: &mut Keys<'_>| {
            owned_too(state, change, keys);
        })
}

/// What the loop works with.
pub(crate) struct StatefulSets {
    client: Client,
    events: Recorder,
    sets: Arc<Cache>,
    pods: Arc<Cache>,
    claims: Arc<Cache>,
    revisions: Arc<Cache>,
}

async fn reconcile(state: Arc<StatefulSets>, key: Key) -> Result {
    let Some(object) = state.sets.get_key(&key) else { return Ok(Outcome::Done) };
    let value = object.to_value()?;
    let selector = selector_of(&value).map_err(|error| Error::Other(error.to_string()))?;
    if selector.is_everything() {
        return Ok(Outcome::Done);
    }
    let set: Set = object.view()?;
    let kind = kinds::stateful_sets();
    let owner = Owner { resource: &kind, object: &object };
    let collisions = set.status.collision_count.unwrap_or(0);
    let established = History::establish(&state.client, &state.revisions, owner, &value, &selector, collisions).await?;
    let Established::History(history) = established else {
        state.write_status(&object, json!({ "collisionCount": collisions + 1 })).await?;
        return Ok(Outcome::After(Duration::ZERO));
    };
    Turn { state: &state, owner, value, set, selector, history: *history }.run().await
}

/// One set with its history, as of this turn.
struct Turn<'a> {
    state: &'a StatefulSets,
    owner: Owner<'a>,
    value: Value,
    set: Set,
    selector: LabelSelector,
    /// Its `current` is the revision of the template: upstream's update revision.
    history: History,
}

impl Turn<'_> {
    async fn run(&self) -> Result {
        let members = self.members().await?;
        let object = self.owner.object;
        let update = &*self.history.current.object.meta.name;
        let steps = match object.meta.is_deleting() {
            true => Vec::new(),
            false => plan::steps(&self.set, &members, update),
        };
        let mut failure = self.keep_claims_owned(&members).await.err();
        for step in steps {
            if failure.is_none() {
                failure = self.take(&step, &members).await.err();
            }
        }
        let members = self.members().await?;
        let status =
            plan::status(&self.set, &members, &self.current().object.meta.name, update, object.meta.generation);
        if status != self.set.status {
            self.state.write_status(object, status.patch()).await?;
        }
        let live = |hash: &str| {
            let is = |label: Option<&str>| label.is_some_and(|name| name.ends_with(hash));
            members.iter().any(|member| is(member.object.meta.labels.get(HASH_LABEL)))
                || status.current_revision.ends_with(hash)
        };
        let limit = self.set.spec.revision_history_limit.unwrap_or(10);
        self.history.clean_up(&self.state.client, &self.state.revisions, limit, live).await?;
        match failure {
            Some(refused) if !is_namespace_terminating(&refused) => Err(refused.into()),
            // Ready pods become available by time alone.
            _ if status.ready_replicas > status.available_replicas => {
                Ok(Outcome::After(Duration::from_secs(self.set.spec.min_ready_seconds.clamp(1, 10).unsigned_abs())))
            }
            _ => Ok(Outcome::Done),
        }
    }

    /// The revision that pods below the partition have.
    fn current(&self) -> &Revision {
        let name = &*self.set.status.current_revision;
        let old = self.history.old.iter().chain(&self.history.duplicates);
        old.into_iter().find(|revision| *revision.object.meta.name == *name).unwrap_or(&self.history.current)
    }

    async fn members(&self) -> std::result::Result<Vec<Member>, Error> {
        let object = self.owner.object;
        let ours = |pod: &Arc<Object>| {
            let name = pod.meta.name.strip_prefix(&*object.meta.name).and_then(|rest| rest.strip_prefix('-'));
            name.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        };
        let candidates = self.owner.candidates(&self.state.pods).into_iter().filter(ours).collect();
        let claimed = claim(&self.state.client, self.owner, &self.state.pods, &self.selector, candidates).await?;
        let (seconds, now) = (self.set.spec.min_ready_seconds, Timestamp::now());
        let read = claimed.iter().map(|pod| Member::read(&object.meta.name, pod, seconds, now));
        Ok(read.collect::<std::result::Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    async fn take(&self, step: &Step, members: &[Member]) -> std::result::Result<(), Status> {
        let member = |ordinal: i64| members.iter().find(|member| member.ordinal == ordinal);
        match step {
            Step::Create(ordinal) => self.create(*ordinal).await,
            Step::Replace(ordinal) => match member(*ordinal) {
                Some(member) => {
                    let meta = &member.object.meta;
                    let (kind, reason, how) = match crate::pods::phase(&member.object) {
                        "Failed" => (EventType::Warning, "RecreatingFailedPod", "failed"),
                        _ => (EventType::Normal, "RecreatingTerminatedPod", "terminated"),
                    };
                    let message =
                        format!("StatefulSet {} is recreating {how} Pod {}", self.owner.object.meta.key(), meta.name);
                    self.event(kind, reason, message);
                    self.delete(&member.object).await
                }
                None => Ok(()),
            },
            Step::Delete(ordinal) => match member(*ordinal) {
                Some(member) => self.delete(&member.object).await,
                None => Ok(()),
            },
        }
    }

    fn claims_of(&self, ordinal: i64) -> Vec<Claim> {
        let labels = self.value.pointer("/spec/selector/matchLabels").cloned().unwrap_or_default();
        let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap_or_default();
        identity::claims(&self.set.spec.volume_claim_templates, &self.owner.object.meta.name, ordinal, &labels)
    }

    async fn create(&self, ordinal: i64) -> std::result::Result<(), Status> {
        let (set, namespace) = (&*self.owner.object.meta.name, &*self.owner.object.meta.namespace);
        let claims = self.claims_of(ordinal);
        let name = format!("{set}-{ordinal}");
        for claim in &claims {
            if self.state.claims.get(namespace, &claim.name).is_some() {
                continue;
            }
            let kind = kinds::persistent_volume_claims();
            match self.state.client.create(&kind, namespace, claim.value.clone()).await {
                Ok(made) => {
                    seen(&self.state.claims, &made).await;
                    let message = format!("create Claim {} Pod {name} in StatefulSet {set} success", claim.name);
                    self.event(EventType::Normal, "SuccessfulCreate", message);
                }
                Err(refused) if refused.is_already_exists() => {}
                Err(refused) => {
                    let message = format!(
                        "create Claim {} for Pod {name} in StatefulSet {set} failed error: {refused}",
                        claim.name
                    );
                    self.event(EventType::Warning, "FailedCreate", message);
                    return Err(refused);
                }
            }
        }
        let current = self.current();
        let (template, revision) = match self.set.is_made_from_current(ordinal) {
            true => (current.template(), &current.object.meta.name),
            false => (self.value["spec"]["template"].clone(), &self.history.current.object.meta.name),
        };
        let pod = pod_from_template(self.owner, &template);
        let pod = identity::pod_for(pod, set, ordinal, &self.set.spec.service_name, revision, &claims);
        match self.state.client.create(&kinds::pods(), namespace, pod).await {
            Ok(made) => {
                seen(&self.state.pods, &made).await;
                let message = format!("create Pod {name} in StatefulSet {set} successful");
                self.event(EventType::Normal, "SuccessfulCreate", message);
                Ok(())
            }
            Err(refused) => {
                if !is_namespace_terminating(&refused) {
                    let message = format!("create Pod {name} in StatefulSet {set} failed error: {refused}");
                    self.event(EventType::Warning, "FailedCreate", message);
                }
                Err(refused)
            }
        }
    }

    async fn delete(&self, pod: &Object) -> std::result::Result<(), Status> {
        let (set, meta) = (&self.owner.object.meta.name, &pod.meta);
        let options = DeleteOptions { uid: Some(meta.uid.to_string()), ..DeleteOptions::default() };
        match self.state.client.delete(&kinds::pods(), &meta.namespace, &meta.name, options).await {
            Ok(()) => {
                let message = format!("delete Pod {} in StatefulSet {set} successful", meta.name);
                self.event(EventType::Normal, "SuccessfulDelete", message);
            }
            Err(refused) if refused.is_not_found() || refused.is_conflict() => {}
            Err(refused) => {
                let message = format!("delete Pod {} in StatefulSet {set} failed error: {refused}", meta.name);
                self.event(EventType::Warning, "FailedDelete", message);
                return Err(refused);
            }
        }
        seen_deleted(&self.state.pods, pod).await;
        Ok(())
    }

    /// Claims go with the set, or with a pod the set is scaled down by, where the retention policy says so: garbage
    /// collection follows their owners.
    async fn keep_claims_owned(&self, members: &[Member]) -> std::result::Result<(), Status> {
        let policy = self.set.spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
        let object = self.owner.object;
        let (with_set, with_pod) = (policy.when_deleted == "Delete", policy.when_scaled == "Delete");
        for member in members {
            let condemned = !self.set.ordinals().contains(&member.ordinal);
            let by_pod = with_pod && condemned && !object.meta.is_deleting();
            let by_set = with_set && !by_pod;
            for claim in self.claims_of(member.ordinal) {
                let Some(claim) = self.state.claims.get(&object.meta.namespace, &claim.name) else { continue };
                let pod = &member.object;
                let wanted = [
                    (by_set, &object.meta.uid, self.owner.reference()),
                    (by_pod, &pod.meta.uid, Owner { resource: &kinds::pods(), object: pod }.reference()),
                ];
                let owned = |uid: &str| claim.meta.owner_references.iter().any(|owner| *owner.uid == *uid);
                let changes: Vec<Value> = wanted
                    .into_iter()
                    .filter(|(wanted, uid, _)| *wanted != owned(uid))
                    .map(
                        |(wanted, uid, reference)| {
                            if wanted { reference } else { json!({ "$patch": "delete", "uid": uid }) }
                        },
                    )
                    .collect();
                if changes.is_empty() {
                    continue;
                }
                let patch = json!({ "metadata": { "uid": claim.meta.uid, "ownerReferences": changes } });
                let (kind, meta) = (kinds::persistent_volume_claims(), &claim.meta);
                let patch = Patch::Strategic(patch);
                let written = self.state.client.patch(&kind, &meta.namespace, &meta.name, "", patch).await?;
                seen(&self.state.claims, &written).await;
            }
        }
        Ok(())
    }

    fn event(&self, kind: EventType, reason: &str, message: String) {
        self.state.events.event(Reference::to(self.owner.resource, self.owner.object), kind, reason, message);
    }
}

impl StatefulSets {
    async fn write_status(&self, set: &Object, status: Value) -> std::result::Result<(), Status> {
        let patch = Patch::Merge(json!({ "metadata": { "uid": set.meta.uid }, "status": status }));
        let (namespace, name) = (&set.meta.namespace, &set.meta.name);
        let written = self.client.patch(self.sets.resource(), namespace, name, "status", patch).await?;
        seen(&self.sets, &written).await;
        Ok(())
    }
}
