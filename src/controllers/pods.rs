//! What the workload controllers ask of pods: phase, readiness, availability, and which to delete first.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, ObjectError};
use jiff::Timestamp;
use serde::Deserialize;

/// The part of a pod that workload controllers look at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodView {
    pub(crate) metadata: PodMeta,
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

/// `metadata` beyond what [`api::Meta`] holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodMeta {
    pub(crate) annotations: Option<HashMap<String, String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: String,
    pub(crate) conditions: Option<Vec<Condition>>,
    pub(crate) container_statuses: Option<Vec<ContainerStatus>>,
}

/// A condition of a pod, a node, or a workload.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub(crate) restart_count: i32,
}

impl PodView {
    pub(crate) fn of(pod: &Object) -> Result<Self, ObjectError> {
        pod.view()
    }

    fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().flatten().find(|c| c.kind == kind)
    }

    /// Whether the pod's Ready condition is true.
    pub(crate) fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|c| c.status == "True")
    }

    /// Since when the pod is ready; `None` when it is not.
    pub(crate) fn ready_since(&self) -> Option<Timestamp> {
        self.condition("Ready").filter(|c| c.status == "True")?.last_transition_time
    }

    /// How long until the pod counts as available; `None` when it is not ready, zero when it is available now.
    pub(crate) fn available_in(&self, min_ready_seconds: i64, now: Timestamp) -> Option<Duration> {
        if !self.is_ready() {
            return None;
        }
        if min_ready_seconds <= 0 {
            return Some(Duration::ZERO);
        }
        let at = self.ready_since()?.checked_add(jiff::SignedDuration::from_secs(min_ready_seconds)).ok()?;
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }
}

/// The phase, without decoding the pod.
pub(crate) fn phase(pod: &Object) -> &str {
    field(pod, "status.phase")
}

/// The node a pod is bound to, without decoding it; empty when it is not bound.
pub(crate) fn node_name(pod: &Object) -> &str {
    field(pod, "spec.nodeName")
}

fn field<'a>(pod: &'a Object, path: &str) -> &'a str {
    let row = api::resource::find("", "v1", "pods");
    row.and_then(|row| row.field(path)).and_then(|at| pod.meta.fields.get(at)).map_or("", |value| value)
}

/// Whether the pod has run to its end.
pub(crate) fn is_terminated(pod: &Object) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica: neither at its end nor on its way out.
pub(crate) fn is_active(pod: &Object) -> bool {
    !is_terminated(pod) && !pod.meta.is_deleting()
}

/// Sorts pods so that those to be deleted first come first, in upstream's order. `related` says how many active pods of the
/// same owner (or its siblings) a node has: of equal pods those on crowded nodes go first.
pub(crate) fn rank_for_deletion(
    pods: &[Arc<Object>],
    related: &HashMap<String, usize>,
    now: Timestamp,
) -> Result<Vec<Arc<Object>>, ObjectError> {
    let mut ranked = Vec::with_capacity(pods.len());
    for pod in pods {
        ranked.push((rank(pod, &PodView::of(pod)?, related, now), pod.clone()));
    }
    ranked.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.meta.uid.cmp(&y.meta.uid)));
    Ok(ranked.into_iter().map(|(_, pod)| pod).collect())
}

/// Lower is deleted earlier. Ages are compared by magnitude only, so that it is not always the youngest that goes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i32,
    crowd: Reverse<usize>,
    ready_age: i32,
    restarts: Reverse<i32>,
    age: i32,
}

fn rank(pod: &Object, view: &PodView, related: &HashMap<String, usize>, now: Timestamp) -> Rank {
    let node = view.spec.node_name.as_deref().unwrap_or_default();
    let cost = view.metadata.annotations.as_ref().and_then(|a| a.get("controller.kubernetes.io/pod-deletion-cost"));
    let age = |since: Option<Timestamp>| match since.map(|since| now.duration_since(since).as_nanos()) {
        Some(nanos) if nanos > 0 => nanos.ilog2() as i32,
        _ => -1,
    };
    let restarts = view.status.container_statuses.iter().flatten().map(|c| c.restart_count).max();
    Rank {
        assigned: !node.is_empty(),
        phase: match &*view.status.phase {
            "Pending" | "" => 0,
            "Unknown" => 1,
            _ => 2,
        },
        ready: view.is_ready(),
        cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or_default(),
        crowd: Reverse(related.get(node).copied().unwrap_or_default()),
        ready_age: age(view.ready_since()),
        restarts: Reverse(restarts.unwrap_or_default()),
        age: age(pod.meta.creation_timestamp),
    }
}

/// Puts the condition in place of one of its type. A status that stays keeps the time of its transition.
pub(crate) fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|c| c.kind == new.kind) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}
