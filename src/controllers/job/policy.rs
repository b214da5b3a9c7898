//! What a job's policies say of failed pods, and of success before all indexes are done.

use serde::Deserialize;

use super::indexes::Indexes;
use super::pod::{ContainerStatus, JobPod};

/// `spec.podFailurePolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FailurePolicy {
    rules: Vec<FailureRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FailureRule {
    action: String,
    on_exit_codes: Option<ExitCodes>,
    on_pod_conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExitCodes {
    container_name: Option<String>,
    operator: String,
    values: Vec<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    r#type: String,
    status: Option<String>,
}

/// What becomes of a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    /// It counts towards the backoff limit.
    Count,
    /// It does not count.
    Ignore,
    /// Its index has failed for good.
    FailIndex,
    /// The job has failed; why, in words.
    FailJob(String),
}

impl FailurePolicy {
    /// The first rule that matches decides; a pod that none matches counts.
    pub(super) fn handle(&self, pod: &JobPod) -> Handling {
        let key = pod.object.meta.key();
        for (index, rule) in self.rules.iter().enumerate() {
            let why = match &rule.on_exit_codes {
                Some(codes) => codes.find(pod).map(|(container, code)| {
                    format!("Container {container} for pod {key} failed with exit code {code}")
                }),
                None => {
                    let asked = |condition: &crate::pods::Condition| {
                        rule.on_pod_conditions.iter().any(|pattern| {
                            pattern.r#type == condition.kind
                                && pattern.status.as_deref().unwrap_or("True") == condition.status
                        })
                    };
                    let found = pod.status.conditions.iter().find(|condition| asked(condition));
                    found.map(|condition| format!("Pod {key} has condition {}", condition.kind))
                }
            };
            let Some(why) = why else { continue };
            match &*rule.action {
                "Ignore" => return Handling::Ignore,
                "Count" => return Handling::Count,
                "FailIndex" => return Handling::FailIndex,
                "FailJob" => return Handling::FailJob(format!("{why} matching FailJob rule at index {index}")),
                // An action of a later release: as if the rule were not there.
                _ => {}
            }
        }
        Handling::Count
    }
}

impl ExitCodes {
    /// The container that ended with a code the rule is about, and the code. Code 0 is never a failure.
    fn find<'a>(&self, pod: &'a JobPod) -> Option<(&'a str, i64)> {
        let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
        let mut matching = all.filter_map(|container: &ContainerStatus| {
            let code = container.state.terminated.as_ref()?.exit_code;
            let named = self.container_name.as_ref().is_none_or(|name| *name == container.name);
            let listed = self.values.contains(&code);
            let meant = match &*self.operator {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            };
            (named && code != 0 && meant).then_some((&*container.name, code))
        });
        matching.next()
    }
}

/// `spec.successPolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SuccessPolicy {
    rules: Vec<SuccessRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SuccessRule {
    succeeded_indexes: Option<String>,
    succeeded_count: Option<i64>,
}

impl SuccessPolicy {
    /// Says which rule is met, if any is.
    pub(super) fn met(&self, completions: i64, succeeded: &Indexes) -> Option<String> {
        if succeeded.is_empty() {
            return None;
        }
        let meets = |rule: &SuccessRule| match (&rule.succeeded_indexes, rule.succeeded_count) {
            (Some(text), count) => {
                let asked = Indexes::parse(text, completions);
                !asked.is_empty() && asked.shared_with(succeeded) >= count.unwrap_or_else(|| asked.len())
            }
            (None, Some(count)) => succeeded.len() >= count,
            (None, None) => false,
        };
        let index = self.rules.iter().position(meets)?;
        Some(format!("Matched rules at index {index}"))
    }
}
