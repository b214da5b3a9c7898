//! disruption-controller: says of every pod disruption budget how many pods may be evicted now.
//!
//! Watches: pod disruption budgets, pods.
//! Writes: the budgets' status, events.
//! Invariant: `disruptionsAllowed` is never more than what the healthy pods exceed the budget by, as of a generation that the
//! status names; evictions of an older status are refused by the API server.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use api::{Object, Operation, OwnerReference, Patch, Reply, Resource};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, group_of, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::seen;
use crate::ownership::selector_of;
use crate::pods::PodView;
use plan::{Budget, BudgetStatus};

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<Budgets> {
    let kind = kinds::pod_disruption_budgets();
    let state = Budgets {
        client: setup.client.clone(),
        events: setup.events_as("controllermanager"),
        budgets: setup.client.cache(&kind),
        pods: setup.client.cache(&kinds::pods()),
        replica_sets: setup.client.cache(&kinds::replica_sets()),
    };
    Controller::new("disruption-controller", Arc::new(state), reconcile)
        .needs(&kinds::replica_sets())
        .watch(&kind, itself)
        .watch(&kinds::pods(), of_the_pod)
}

/// What the loop works with.
pub(crate) struct Budgets {
    client: Client,
    events: Recorder,
    budgets: Arc<Cache>,
    pods: Arc<Cache>,
    replica_sets: Arc<Cache>,
}

/// The budgets that select a pod, as it is or as it was.
fn of_the_pod(state: &Budgets, change: &Change, keys: &mut Keys<'_>) {
    let budgets = state.budgets.list(&change.object.meta.namespace);
    for budget in &budgets {
        let Some(selector) = budget.to_value().ok().and_then(|value| selector_of(&value).ok()) else { continue };
        let versions = [Some(&change.object), change.previous.as_ref()];
        if versions.into_iter().flatten().any(|pod| selector.matches(&pod.meta.labels)) {
            keys.object(budget);
        }
    }
}

async fn reconcile(state: Arc<Budgets>, key: Key) -> Result {
    let Some(object) = state.budgets.get_key(&key) else { return Ok(Outcome::Done) };
    let selector = selector_of(&object.to_value()?).map_err(|error| Error::Other(error.to_string()))?;
    let budget: Budget = object.view()?;
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let generation = object.meta.generation;
    let pods = state.selected(&object, &selector);
    if pods.is_empty() {
        state.event(&object, EventType::Normal, "NoPods", "No matching pods found".to_owned());
    }
    let scale = match budget.needs_scale() {
        true => state.scale_of(&pods).await,
        false => Ok(0),
    };
    let scale = match scale {
        Ok(scale) => scale,
        Err(error) => {
            let why = error.to_string();
            let message = format!("Failed to calculate the number of expected pods: {why}");
            state.event(&object, EventType::Warning, "CalculateExpectedPodCountFailed", message);
            state.write(&object, &budget.status, plan::failed(&budget.status, &why, generation, now)).await?;
            return Err(error);
        }
    };
    let names: BTreeMap<&str, bool> = pods.iter().map(|pod| (&*pod.meta.name, pod.meta.is_deleting())).collect();
    let disrupted = plan::still_disrupted(&budget.status, &names, now);
    let mut healthy = 0;
    for pod in &pods {
        let counts = !pod.meta.is_deleting() && !disrupted.contains_key(&*pod.meta.name);
        healthy += i64::from(counts && PodView::of(pod)?.is_ready());
    }
    let again = disrupted.values().min().map(|at| {
        let left = plan::DELETION_TIMEOUT - now.duration_since(*at);
        Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1)
    });
    let wanted = budget.wanted(pods.len() as i64, scale);
    let status = plan::status(&budget.status, wanted, healthy, disrupted, generation, now);
    state.write(&object, &budget.status, status).await?;
    Ok(again.map_or(Outcome::Done, Outcome::After))
}

impl Budgets {
    fn selected(&self, budget: &Object, selector: &LabelSelector) -> Vec<Arc<Object>> {
        let all = self.pods.list(&budget.meta.namespace);
        all.into_iter().filter(|pod| selector.matches(&pod.meta.labels)).collect()
    }

    /// How many pods the owners of these want together. Pods nobody manages count for nothing.
    async fn scale_of(&self, pods: &[Arc<Object>]) -> std::result::Result<i64, Error> {
        let mut scales: BTreeMap<Box<str>, i64> = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.meta.controller() else { continue };
            let namespace = &pod.meta.namespace;
            // A replica set of a deployment is the deployment's.
            let parent = match &*owner.kind {
                "ReplicaSet" => self.replica_sets.get(namespace, &owner.name),
                _ => None,
            };
            let parent = parent.as_ref().and_then(|set| set.meta.controller());
            let owner = parent.filter(|parent| &*parent.kind == "Deployment").unwrap_or(owner);
            if !scales.contains_key(&owner.uid) {
                scales.insert(owner.uid.clone(), self.replicas_of(namespace, owner).await?);
            }
        }
        Ok(scales.values().sum())
    }

    /// `spec.replicas` of an owner's scale: built-in kinds and custom resources alike. An owner that is gone wants none.
    async fn replicas_of(&self, namespace: &str, owner: &OwnerReference) -> std::result::Result<i64, Error> {
        let group = group_of(&owner.api_version);
        let is = |row: &&Arc<Resource>| row.kind == owner.kind && *row.group == *group;
        let rows = self.client.resources();
        let row = rows.iter().filter(is).find(|row| row.api_version() == *owner.api_version);
        let Some(row) = row.or_else(|| rows.iter().find(is)).filter(|row| row.has_subresource("scale")) else {
            let why = format!("{}/{} does not implement the scale subresource", owner.api_version, owner.kind);
            return Err(Error::Other(why));
        };
        let read = Operation::Get { resource_version: None };
        let scale = match self.client.call(row, namespace, &owner.name, "scale", read).await {
            Ok(Reply::Object { object, .. }) if object.meta.uid == owner.uid => object.to_value()?,
            Ok(_) => return Ok(0),
            Err(status) if status.is_not_found() => return Ok(0),
            Err(status) => return Err(status.into()),
        };
        Ok(scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0))
    }

    async fn write(&self, budget: &Object, old: &BudgetStatus, new: BudgetStatus) -> std::result::Result<(), Error> {
        if *old == new {
            return Ok(());
        }
        let mut status = serde_json::to_value(&new).map_err(|error| Error::Other(error.to_string()))?;
        // A merge patch keeps what it does not name: pods that count no more are to go.
        for name in old.disrupted_pods.iter().flatten().map(|(name, _)| name) {
            if new.disrupted_pods.as_ref().is_some_and(|kept| !kept.contains_key(name)) {
                status["disruptedPods"][name] = Value::Null;
            }
        }
        let meta = &budget.meta;
        // An eviction may have taken from the budget meanwhile: then the numbers are looked at anew.
        let version = meta.resource_version.to_string();
        let patch = json!({ "metadata": { "uid": meta.uid, "resourceVersion": version }, "status": status });
        let patch = Patch::Merge(patch);
        let kind = self.budgets.resource();
        let written = self.client.patch(kind, &meta.namespace, &meta.name, "status", patch).await?;
        seen(&self.budgets, &written).await;
        Ok(())
    }

    fn event(&self, budget: &Object, kind: EventType, reason: &str, message: String) {
        self.events.event(Reference::to(self.budgets.resource(), budget), kind, reason, message);
    }
}
