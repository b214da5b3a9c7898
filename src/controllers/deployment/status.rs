//! The status of a deployment: counts, and the conditions Available, Progressing and ReplicaFailure.

use std::time::Duration;

use api::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{Deployment, DeploymentStatus, Progress, Set};
use crate::pods::Condition;

/// The new set, as this turn found or made it.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) created: bool,
}

/// What there is, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    unavailable: i64,
    terminating: i64,
}

/// The next status.
pub(super) struct Next {
    /// What to merge into the status; `None` when it stands already.
    pub(super) patch: Option<Value>,
    /// When the progress deadline may have passed.
    pub(super) check_again: Option<Duration>,
}

/// Sums over all sets.
pub(super) fn counts(_: &Deployment, sets: &[Set], new: Option<usize>) -> Counts {
    let sum = |of: fn(&Set) -> i64| sets.iter().map(of).sum::<i64>();
    let available = sum(|set| set.status.available_replicas);
    Counts {
        replicas: sum(|set| set.status.replicas),
        updated: new.map_or(0, |at| sets[at].status.replicas),
        ready: sum(|set| set.status.ready_replicas),
        available,
        unavailable: (sum(|set| set.replicas) - available).max(0),
        terminating: sum(|set| set.status.terminating_replicas.unwrap_or(0)),
    }
}

/// Whether every wanted pod is of the present template and available, and nothing else is there.
pub(super) fn is_complete(deployment: &Deployment, counts: &Counts, object: &Object) -> bool {
    let wanted = deployment.replicas();
    counts.updated == wanted
        && counts.replicas == wanted
        && counts.available == wanted
        && deployment.status.observed_generation >= object.meta.generation
}

/// The status after this turn.
pub(super) fn next(
    deployment: &Deployment,
    counts: &Counts,
    sets: &[Set],
    new: Option<usize>,
    found: Option<&Found>,
    object: &Object,
    now: Timestamp,
) -> Next {
    let old = &deployment.status;
    let mut conditions = old.conditions.clone();
    let minimum = counts.available >= deployment.fewest();
    let (status, reason, message) = if minimum {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut conditions, "Available", status, reason, message, now);
    progress(deployment, counts, sets, new, found, object, &mut conditions, now);
    let failure = new
        .into_iter()
        .chain(0..sets.len())
        .find_map(|at| sets[at].status.conditions.iter().find(|c| c.kind == "ReplicaFailure").cloned());
    match failure {
        Some(failure) => {
            let (reason, message) = (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default());
            set(&mut conditions, "ReplicaFailure", &failure.status, &reason, &message, now);
        }
        None => conditions.retain(|c| c.condition.kind != "ReplicaFailure"),
    }
    let check_again = deadline(deployment, &conditions, counts, object, now);
    let same =
        counts_of(old) == *counts && old.observed_generation == object.meta.generation && old.conditions == conditions;
    let zero = |n: i64| if n == 0 { Value::Null } else { n.into() };
    let patch = json!({
        "observedGeneration": object.meta.generation,
        "replicas": zero(counts.replicas), "updatedReplicas": zero(counts.updated), "readyReplicas": zero(counts.ready),
        "availableReplicas": zero(counts.available), "unavailableReplicas": zero(counts.unavailable),
        "terminatingReplicas": counts.terminating,
        "conditions": conditions.iter().map(render).collect::<Vec<_>>(),
    });
    Next { patch: (!same).then_some(patch), check_again }
}

fn counts_of(status: &DeploymentStatus) -> Counts {
    Counts {
        replicas: status.replicas,
        updated: status.updated_replicas,
        ready: status.ready_replicas,
        available: status.available_replicas,
        unavailable: status.unavailable_replicas,
        terminating: status.terminating_replicas.unwrap_or(-1),
    }
}

#[expect(clippy::too_many_arguments, reason = "one decision over everything there is")]
fn progress(
    deployment: &Deployment,
    counts: &Counts,
    sets: &[Set],
    new: Option<usize>,
    found: Option<&Found>,
    object: &Object,
    conditions: &mut Vec<Progress>,
    now: Timestamp,
) {
    let Some(seconds) = deployment.spec.progress_deadline_seconds.filter(|s| *s < i64::from(i32::MAX)) else {
        conditions.retain(|c| c.condition.kind != "Progressing");
        return;
    };
    let current = conditions.iter().find(|c| c.condition.kind == "Progressing").cloned();
    let reason = current.as_ref().and_then(|c| c.condition.reason.clone()).unwrap_or_default();
    if deployment.spec.paused {
        if reason != "ProgressDeadlineExceeded" {
            set(conditions, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now);
        }
        return;
    }
    if reason == "DeploymentPaused" {
        set(conditions, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now);
    }
    if let Some(found) = found
        && (found.created || current.is_none())
    {
        let (reason, what) =
            if found.created { ("NewReplicaSetCreated", "Created") } else { ("FoundNewReplicaSet", "Found") };
        set(conditions, "Progressing", "True", reason, &format!("{what} new replica set \"{}\"", found.name), now);
    }
    let name = new.map_or_else(|| object.meta.name.to_string(), |at| sets[at].name().to_owned());
    let what = if new.is_some() { "ReplicaSet" } else { "Deployment" };
    let done = counts.replicas == counts.updated && reason == "NewReplicaSetAvailable";
    // A rollout that was complete stays so while pods merely come and go.
    if done && !found.is_some_and(|f| f.created) {
        return;
    }
    let old = &deployment.status;
    let moved = counts.updated > old.updated_replicas
        || counts.replicas - counts.updated < old.replicas - old.updated_replicas
        || counts.ready > old.ready_replicas
        || counts.available > old.available_replicas;
    if is_complete(deployment, counts, object) {
        let message = format!("{what} \"{name}\" has successfully progressed.");
        set(conditions, "Progressing", "True", "NewReplicaSetAvailable", &message, now);
    } else if moved {
        let message = format!("{what} \"{name}\" is progressing.");
        conditions
            .iter_mut()
            .filter(|c| c.condition.kind == "Progressing")
            .for_each(|c| c.last_update_time = Some(now));
        set(conditions, "Progressing", "True", "ReplicaSetUpdated", &message, now);
    } else if let Some(current) = conditions.iter().find(|c| c.condition.kind == "Progressing")
        && current.condition.status == "True"
        && current.last_update_time.is_some_and(|at| now.duration_since(at).as_secs() >= seconds)
    {
        let message = format!("{what} \"{name}\" has timed out progressing.");
        set(conditions, "Progressing", "False", "ProgressDeadlineExceeded", &message, now);
    }
}

/// How long until the progress deadline passes, if nothing moves.
fn deadline(
    deployment: &Deployment,
    conditions: &[Progress],
    counts: &Counts,
    object: &Object,
    now: Timestamp,
) -> Option<Duration> {
    let seconds = deployment.spec.progress_deadline_seconds.filter(|s| *s < i64::from(i32::MAX))?;
    let current = conditions.iter().find(|c| c.condition.kind == "Progressing" && c.condition.status == "True")?;
    if deployment.spec.paused
        || is_complete(deployment, counts, object)
        || current.condition.reason.as_deref() == Some("NewReplicaSetAvailable")
    {
        return None;
    }
    let passed = now.duration_since(current.last_update_time?).as_secs();
    // One second more, so that it has passed for certain.
    Some(Duration::from_secs((seconds - passed).max(0) as u64 + 1))
}

/// Upstream's rule: the transition time follows the status, the update time follows any change of status or reason.
fn set(conditions: &mut Vec<Progress>, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let found = conditions.iter().position(|c| c.condition.kind == kind);
    let since = match found {
        Some(at) => {
            let old = &conditions[at];
            let same_status = old.condition.status == status;
            if same_status
                && old.condition.reason.as_deref() == Some(reason)
                && old.condition.message.as_deref() == Some(message)
            {
                return;
            }
            if same_status { old.condition.last_transition_time } else { Some(now) }
        }
        None => Some(now),
    };
    let condition = Condition {
        kind: kind.into(),
        status: status.into(),
        last_transition_time: since,
        reason: Some(reason.into()),
        message: Some(message.into()),
    };
    let new = Progress { condition, last_update_time: Some(now) };
    match found {
        Some(at) => conditions[at] = new,
        None => conditions.push(new),
    }
}

fn render(progress: &Progress) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let c = &progress.condition;
    json!({
        "type": c.kind, "status": c.status, "reason": c.reason, "message": c.message,
        "lastUpdateTime": time(progress.last_update_time), "lastTransitionTime": time(c.last_transition_time),
    })
}
