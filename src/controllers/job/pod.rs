//! A job's pod, in what the job asks of it: its index, its past failures, how and when it ended.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Object, ObjectError};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::view::Job;
use super::{FAILURE_COUNT, IGNORED_COUNT, INDEX, TRACKING};
use crate::pods::Condition;

/// One pod of a job.
#[derive(Clone, Debug)]
pub(super) struct JobPod {
    pub(super) object: Arc<Object>,
    /// Its completion index, if it has a valid one.
    pub(super) index: Option<i64>,
    /// How many pods of its index failed before it; and how many more the failure policy ignored.
    pub(super) failures: i64,
    pub(super) ignored: i64,
    pub(super) status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) phase: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) container_statuses: Vec<ContainerStatus>,
    pub(super) init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    pub(super) restart_count: i64,
    pub(super) state: State,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Terminated {
    pub(super) exit_code: i64,
    pub(super) finished_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct View {
    metadata: Annotated,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotated {
    annotations: HashMap<String, String>,
}

impl JobPod {
    pub(super) fn read(pod: &Arc<Object>) -> Result<Self, ObjectError> {
        let View { metadata: Annotated { annotations }, status } = pod.view()?;
        let number = |key| annotations.get(key).and_then(|text| text.parse().ok()).filter(|n: &i64| *n >= 0);
        let count = |key| number(key).filter(|n| *n <= i64::from(i32::MAX)).unwrap_or(0);
        let (index, failures, ignored) = (number(INDEX), count(FAILURE_COUNT), count(IGNORED_COUNT));
        Ok(Self { object: pod.clone(), index, failures, ignored, status })
    }

    pub(super) fn uid(&self) -> &str {
        &self.object.meta.uid
    }

    /// Whether it has not been counted yet.
    pub(super) fn is_tracked(&self) -> bool {
        self.object.meta.finalizers.iter().any(|finalizer| **finalizer == *TRACKING)
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.status.phase == "Succeeded"
    }

    fn has_ended(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    pub(super) fn is_active(&self) -> bool {
        !self.has_ended() && !self.object.meta.is_deleting()
    }

    /// On its way out while its containers may still run.
    pub(super) fn is_terminating(&self) -> bool {
        !self.has_ended() && self.object.meta.is_deleting()
    }

    /// Whether it failed. Pods on their way out count, unless the job waits until they have really ended: they may have no
    /// node left to say so.
    pub(super) fn has_failed(&self, job: &Job) -> bool {
        let gone = self.object.meta.is_deleting() && !self.has_succeeded();
        self.status.phase == "Failed" || gone && !job.replaces_only_failed()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// How often its containers were restarted in place.
    pub(super) fn restarts(&self) -> i64 {
        let all = self.status.init_container_statuses.iter().chain(&self.status.container_statuses);
        all.map(|container| container.restart_count).sum()
    }

    /// When it ended, by the best that is known.
    pub(super) fn finished_at(&self) -> Timestamp {
        let mut latest = None;
        for container in &self.status.container_statuses {
            match container.state.terminated.as_ref().and_then(|ended| ended.finished_at) {
                Some(at) => latest = latest.max(Some(at)),
                None => {
                    latest = None;
                    break;
                }
            }
        }
        let unready = self.status.conditions.iter().find(|c| c.kind == "Ready" && c.status == "False");
        let meta = &self.object.meta;
        let asked = || {
            let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or(0));
            meta.deletion_timestamp.and_then(|at| at.checked_sub(grace).ok())
        };
        let known = latest.or_else(|| unready.and_then(|condition| condition.last_transition_time)).or_else(asked);
        known.or(meta.creation_timestamp).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
