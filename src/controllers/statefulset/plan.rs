//! Which pods of a stateful set to create, delete or put right, in which order: pure functions of the set and its pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, ObjectError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pods::{self, PodView};
use crate::revisions::HASH_LABEL;

/// The part of a stateful set that its controller looks at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Set {
    pub(super) spec: Spec,
    pub(super) status: SetStatus,
}

/// `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    replicas: Option<i64>,
    pod_management_policy: String,
    update_strategy: UpdateStrategy,
    ordinals: Option<Ordinals>,
    pub(super) service_name: String,
    pub(super) min_ready_seconds: i64,
    pub(super) revision_history_limit: Option<usize>,
    pub(super) volume_claim_templates: Vec<Value>,
    pub(super) persistent_volume_claim_retention_policy: Option<Retention>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    r#type: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    partition: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: i64,
}

/// `spec.persistentVolumeClaimRetentionPolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Retention {
    pub(super) when_deleted: String,
    pub(super) when_scaled: String,
}

/// `status`, but for its conditions, which nobody sets.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SetStatus {
    pub(super) observed_generation: i64,
    pub(super) replicas: i64,
    pub(super) ready_replicas: i64,
    pub(super) current_replicas: i64,
    pub(super) updated_replicas: i64,
    pub(super) available_replicas: i64,
    pub(super) current_revision: String,
    pub(super) update_revision: String,
    pub(super) collision_count: Option<i64>,
}

impl Set {
    fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1)
    }

    fn start(&self) -> i64 {
        self.spec.ordinals.as_ref().map_or(0, |ordinals| ordinals.start)
    }

    /// The ordinals the set should have.
    pub(super) fn ordinals(&self) -> std::ops::Range<i64> {
        self.start()..self.start() + self.replicas()
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy != "Parallel"
    }

    fn rolls(&self) -> bool {
        self.spec.update_strategy.r#type != "OnDelete"
    }

    /// Below this ordinal pods stay as they are.
    fn first_updated(&self) -> i64 {
        let rolling = self.spec.update_strategy.rolling_update.as_ref();
        self.start() + rolling.and_then(|rolling| rolling.partition).unwrap_or(0)
    }

    /// Whether the pod of an ordinal is made from the current revision, not from the one being rolled out.
    pub(super) fn is_made_from_current(&self, ordinal: i64) -> bool {
        self.rolls() && ordinal < self.first_updated()
    }
}

/// One pod of the set.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) object: Arc<Object>,
    pub(super) ordinal: i64,
    ready: bool,
    available: bool,
}

impl Member {
    /// `None` for a pod whose name is not the set's and an ordinal.
    pub(super) fn read(
        set: &str,
        pod: &Arc<Object>,
        min_ready_seconds: i64,
        now: Timestamp,
    ) -> Result<Option<Self>, ObjectError> {
        let digits = pod.meta.name.strip_prefix(set).and_then(|rest| rest.strip_prefix('-'));
        let Some(ordinal) = digits.and_then(|digits| digits.parse().ok()).filter(|n: &i64| *n >= 0) else {
            return Ok(None);
        };
        let view = PodView::of(pod)?;
        let running = pods::phase(pod) == "Running";
        let available = running && view.available_in(min_ready_seconds, now) == Some(Duration::ZERO);
        let ready = running && view.is_ready();
        Ok(Some(Self { object: pod.clone(), ordinal, ready, available }))
    }

    fn is_deleting(&self) -> bool {
        self.object.meta.is_deleting()
    }

    fn is_healthy(&self) -> bool {
        self.ready && !self.is_deleting()
    }

    fn revision(&self) -> &str {
        self.object.meta.labels.get(HASH_LABEL).unwrap_or_default()
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Create the pod of an ordinal.
    Create(i64),
    /// Delete a pod that has ended: another takes its name.
    Replace(i64),
    /// Delete a pod: the set is to have fewer, or it is of an old revision.
    Delete(i64),
}

/// What to do now. In order, one step waits for the one before to show; in parallel all are done at once. An update takes
/// one pod at a time, from the highest ordinal down, in either case.
pub(super) fn steps(set: &Set, members: &[Member], update: &str) -> Vec<Step> {
    let wanted = set.ordinals();
    let by_ordinal: BTreeMap<i64, &Member> = members.iter().map(|member| (member.ordinal, member)).collect();
    let mut steps = Vec::new();
    for ordinal in wanted.clone() {
        let waits = match by_ordinal.get(&ordinal) {
            None => {
                steps.push(Step::Create(ordinal));
                true
            }
            Some(member) if pods::is_terminated(&member.object) => {
                if !member.is_deleting() {
                    steps.push(Step::Replace(ordinal));
                }
                true
            }
            Some(member) => member.is_deleting() || !member.available,
        };
        if waits && set.is_ordered() {
            return steps;
        }
    }
    let condemned = by_ordinal.values().rev().filter(|member| !wanted.contains(&member.ordinal));
    let first_unhealthy = by_ordinal
        .values()
        .filter(|member| wanted.contains(&member.ordinal))
        .chain(by_ordinal.values().filter(|member| !wanted.contains(&member.ordinal)));
    let first_unhealthy = first_unhealthy.into_iter().find(|member| !member.is_healthy()).map(|member| member.ordinal);
    for member in condemned {
        let unhealthy = !member.available && first_unhealthy != Some(member.ordinal);
        if set.is_ordered() && (member.is_deleting() || unhealthy) {
            return steps;
        }
        if !member.is_deleting() {
            steps.push(Step::Delete(member.ordinal));
            if set.is_ordered() {
                return steps;
            }
        }
    }
    if !set.rolls() || !steps.is_empty() {
        return steps;
    }
    for ordinal in (set.first_updated()..wanted.end).rev() {
        let Some(member) = by_ordinal.get(&ordinal) else { break };
        if member.revision() != update && !member.is_deleting() {
            steps.push(Step::Delete(ordinal));
            break;
        }
        if !member.is_healthy() || !member.available {
            break;
        }
    }
    steps
}

/// The status, from the pods as they are. `current` is the revision of the status or, at first, that of the template.
pub(super) fn status(set: &Set, members: &[Member], current: &str, update: &str, generation: i64) -> SetStatus {
    let count = |of: &dyn Fn(&Member) -> bool| members.iter().filter(|member| of(member)).count() as i64;
    let of_revision = |revision: &str| count(&|member| !member.is_deleting() && member.revision() == revision);
    let mut status = SetStatus {
        observed_generation: generation,
        replicas: members.len() as i64,
        ready_replicas: count(&|member| member.ready),
        current_replicas: of_revision(current),
        updated_replicas: of_revision(update),
        available_replicas: count(&|member| member.available),
        current_revision: current.to_owned(),
        update_revision: update.to_owned(),
        collision_count: set.status.collision_count,
    };
    let all = |n: i64| n == set.replicas();
    if set.rolls() && all(status.updated_replicas) && all(status.ready_replicas) && all(status.replicas) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
    status
}

impl SetStatus {
    /// As a merge patch.
    pub(super) fn patch(&self) -> Value {
        // Two counts are always there; zeros of the others are absent, as Go writes them.
        let count = |n: i64| if n == 0 { Value::Null } else { n.into() };
        json!({
            "observedGeneration": self.observed_generation,
            "replicas": self.replicas,
            "readyReplicas": count(self.ready_replicas),
            "currentReplicas": count(self.current_replicas),
            "updatedReplicas": count(self.updated_replicas),
            "availableReplicas": self.available_replicas,
            "currentRevision": self.current_revision,
            "updateRevision": self.update_revision,
            "collisionCount": self.collision_count.unwrap_or(0),
        })
    }
}
