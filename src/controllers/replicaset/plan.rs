//! The status of a replica set, from counts.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pods::Condition;

/// The part of a set that its controller looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SetView {
    spec: Spec,
    status: SetStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    replicas: Option<i32>,
    min_ready_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SetStatus {
    replicas: i32,
    fully_labeled_replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    terminating_replicas: Option<i32>,
    observed_generation: i64,
    conditions: Vec<Condition>,
}

impl SetView {
    pub(super) fn replicas(&self) -> usize {
        usize::try_from(self.spec.replicas.unwrap_or(1)).unwrap_or_default()
    }

    pub(super) fn min_ready_seconds(&self) -> i64 {
        self.spec.min_ready_seconds.unwrap_or_default()
    }
}

/// What was counted among the set's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) replicas: i32,
    pub(super) fully_labeled: i32,
    pub(super) ready: i32,
    pub(super) available: i32,
    pub(super) terminating: i32,
}

/// The status to write as a merge patch; `None` when it stands already. `failure` is the message of a failed scaling, and
/// whether it was creating that failed.
pub(super) fn status(
    view: &SetView,
    counts: Counts,
    has_terminating: bool,
    failure: Option<(&str, bool)>,
    generation: i64,
    now: Timestamp,
) -> Option<Value> {
    let old = &view.status;
    let mut conditions = old.conditions.clone();
    let failed = conditions.iter().position(|c| c.kind == "ReplicaFailure");
    match (failure, failed) {
        (Some((message, creating)), None) => conditions.push(Condition {
            kind: "ReplicaFailure".into(),
            status: "True".into(),
            last_transition_time: Some(now),
            reason: Some(if creating { "FailedCreate" } else { "FailedDelete" }.into()),
            message: Some(message.to_owned()),
        }),
        (None, Some(at)) => drop(conditions.remove(at)),
        _ => {}
    }
    let terminating = has_terminating.then_some(counts.terminating);
    let same = old.replicas == counts.replicas
        && old.fully_labeled_replicas == counts.fully_labeled
        && old.ready_replicas == counts.ready
        && old.available_replicas == counts.available
        && old.terminating_replicas == terminating
        && old.observed_generation == generation
        && old.conditions == conditions;
    if same {
        return None;
    }
    // Counts of zero are absent, as Go writes them; `replicas` alone is always there.
    let count = |n: i32| if n == 0 { Value::Null } else { n.into() };
    let mut patch = json!({
        "replicas": counts.replicas,
        "fullyLabeledReplicas": count(counts.fully_labeled),
        "readyReplicas": count(counts.ready),
        "availableReplicas": count(counts.available),
        "observedGeneration": generation,
    });
    if let Some(terminating) = terminating {
        patch["terminatingReplicas"] = terminating.into();
    }
    if old.conditions != conditions {
        patch["conditions"] = if conditions.is_empty() { Value::Null } else { json!(conditions) };
    }
    Some(patch)
}
