//! The part of a job that its controller looks at, and the status it writes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::indexes::Indexes;
use super::pod::JobPod;
use super::policy::{FailurePolicy, Handling, SuccessPolicy};

/// A job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) spec: Spec,
    pub(super) status: JobStatus,
}

/// `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    parallelism: Option<i64>,
    pub(super) completions: Option<i64>,
    completion_mode: Option<String>,
    pub(super) active_deadline_seconds: Option<i64>,
    backoff_limit: Option<i64>,
    pub(super) backoff_limit_per_index: Option<i64>,
    pub(super) max_failed_indexes: Option<i64>,
    pub(super) suspend: bool,
    pub(super) pod_failure_policy: Option<FailurePolicy>,
    pub(super) success_policy: Option<SuccessPolicy>,
    pod_replacement_policy: Option<String>,
    managed_by: Option<String>,
    template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    restart_policy: String,
}

/// `status`, whole: what is `None` is absent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct JobStatus {
    pub(super) conditions: Vec<JobCondition>,
    pub(super) start_time: Option<Timestamp>,
    pub(super) completion_time: Option<Timestamp>,
    #[serde(serialize_with = "absent_zero")]
    pub(super) active: i64,
    #[serde(serialize_with = "absent_zero")]
    pub(super) succeeded: i64,
    #[serde(serialize_with = "absent_zero")]
    pub(super) failed: i64,
    pub(super) terminating: Option<i64>,
    pub(super) ready: Option<i64>,
    pub(super) completed_indexes: Option<String>,
    pub(super) failed_indexes: Option<String>,
    pub(super) uncounted_terminated_pods: Option<Uncounted>,
}

/// Pods that have ended and are about to lose their finalizer: in the status before, in the counters after.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default)]
pub(super) struct Uncounted {
    #[serde(serialize_with = "absent_empty")]
    pub(super) succeeded: Vec<String>,
    #[serde(serialize_with = "absent_empty")]
    pub(super) failed: Vec<String>,
}

/// A condition of a job.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct JobCondition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) last_probe_time: Option<Timestamp>,
    pub(super) last_transition_time: Option<Timestamp>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

fn absent_zero<S: serde::Serializer>(number: &i64, to: S) -> Result<S::Ok, S::Error> {
    if *number == 0 { to.serialize_none() } else { to.serialize_i64(*number) }
}

fn absent_empty<S: serde::Serializer>(list: &[String], to: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { to.serialize_none() } else { list.serialize(to) }
}

impl Job {
    pub(super) fn parallelism(&self) -> i64 {
        self.spec.parallelism.unwrap_or(1)
    }

    pub(super) fn backoff_limit(&self) -> i64 {
        self.spec.backoff_limit.unwrap_or(6)
    }

    /// The completions of an indexed job; `None` for others.
    pub(super) fn indexed(&self) -> Option<i64> {
        (self.spec.completion_mode.as_deref() == Some("Indexed")).then(|| self.spec.completions.unwrap_or(0))
    }

    /// Whether another controller has been asked to run it.
    pub(super) fn is_managed_elsewhere(&self) -> bool {
        self.spec.managed_by.as_deref().is_some_and(|name| name != "kubernetes.io/job-controller")
    }

    /// Whether a pod is replaced only when it has really ended.
    pub(super) fn replaces_only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed") || self.spec.pod_failure_policy.is_some()
    }

    pub(super) fn restarts_in_place(&self) -> bool {
        self.spec.template.spec.restart_policy == "OnFailure"
    }

    pub(super) fn is_finished(&self) -> bool {
        self.status.has("Complete").or_else(|| self.status.has("Failed")).is_some()
    }

    /// What the failure policy says of a pod that failed.
    pub(super) fn handling(&self, pod: &JobPod) -> Handling {
        self.spec.pod_failure_policy.as_ref().map_or(Handling::Count, |policy| policy.handle(pod))
    }

    /// The indexes the status has as done.
    pub(super) fn completed_before(&self, completions: i64) -> Indexes {
        Indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default(), completions)
    }

    /// The indexes the status has as failed.
    pub(super) fn failed_before(&self, completions: i64) -> Indexes {
        Indexes::parse(self.status.failed_indexes.as_deref().unwrap_or_default(), completions)
    }

    /// Whether it is done, given how many pods succeeded and are active: as many successes as asked for or, where no
    /// number is asked for, one. Then the pods that still run may end.
    pub(super) fn is_complete(&self, succeeded: i64, active: i64) -> bool {
        active == 0 && self.spec.completions.map_or(succeeded > 0, |completions| succeeded >= completions)
    }
}

impl JobStatus {
    /// The condition of this type, if it is true.
    pub(super) fn has(&self, kind: &str) -> Option<&JobCondition> {
        self.conditions.iter().find(|condition| condition.kind == kind && condition.status == "True")
    }

    /// Sets a condition, and says whether that changed anything. One that is not there is not made only to be false.
    pub(super) fn set(&mut self, kind: &str, is: bool, reason: &str, message: &str, now: Timestamp) -> bool {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let new = JobCondition {
            kind: kind.to_owned(),
            status: if is { "True" } else { "False" }.to_owned(),
            last_probe_time: Some(now),
            last_transition_time: Some(now),
            reason: text(reason),
            message: text(message),
        };
        match self.conditions.iter_mut().find(|condition| condition.kind == kind) {
            Some(old) if old.status == new.status && old.reason == new.reason && old.message == new.message => false,
            Some(old) => {
                *old = new;
                true
            }
            None if is => {
                self.conditions.push(new);
                true
            }
            None => false,
        }
    }

    /// The pods not counted yet.
    pub(super) fn uncounted(&mut self) -> &mut Uncounted {
        self.uncounted_terminated_pods.get_or_insert_default()
    }
}
