//! How many pods a budget lets go now: numbers from numbers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deployment::share;

/// How long an evicted pod is taken for gone though it still shows.
pub(super) const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(2 * 60);

/// The part of a budget that its controller looks at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Budget {
    pub(super) spec: Spec,
    pub(super) status: BudgetStatus,
}

/// `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    min_available: Option<Value>,
    max_unavailable: Option<Value>,
}

/// `status`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BudgetStatus {
    pub(super) observed_generation: i64,
    pub(super) disruptions_allowed: i64,
    pub(super) current_healthy: i64,
    pub(super) desired_healthy: i64,
    pub(super) expected_pods: i64,
    /// When pods were evicted that still show.
    pub(super) disrupted_pods: Option<BTreeMap<String, Timestamp>>,
    pub(super) conditions: Vec<BudgetCondition>,
}

/// A condition as the newer kinds have it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BudgetCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    observed_generation: i64,
    last_transition_time: Option<Timestamp>,
    reason: String,
    message: String,
}

/// How many pods there should be, and how many of them healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) expected: i64,
    pub(super) healthy: i64,
}

impl Budget {
    /// Whether the budget is about what owners want, not only about the pods there are.
    pub(super) fn needs_scale(&self) -> bool {
        self.spec.max_unavailable.is_some() || matches!(self.spec.min_available, Some(Value::String(_)))
    }

    /// What the budget asks for. `pods` there are; their owners want `scale`, if that was asked.
    pub(super) fn wanted(&self, pods: i64, scale: i64) -> Wanted {
        match (&self.spec.max_unavailable, &self.spec.min_available) {
            (Some(most), _) => Wanted { expected: scale, healthy: (scale - share(most, scale, true)).max(0) },
            (None, Some(least @ Value::String(_))) => Wanted { expected: scale, healthy: share(least, scale, true) },
            (None, Some(least)) => Wanted { expected: pods, healthy: least.as_i64().unwrap_or(0) },
            (None, None) => Wanted { expected: pods, healthy: 0 },
        }
    }
}

/// The status that follows from the numbers.
pub(super) fn status(
    old: &BudgetStatus,
    wanted: Wanted,
    healthy: i64,
    disrupted: BTreeMap<String, Timestamp>,
    generation: i64,
    now: Timestamp,
) -> BudgetStatus {
    let allowed = if wanted.expected <= 0 { 0 } else { (healthy - wanted.healthy).max(0) };
    let mut status = BudgetStatus {
        observed_generation: generation,
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: wanted.healthy,
        expected_pods: wanted.expected,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        conditions: old.conditions.clone(),
    };
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    set_condition(&mut status.conditions, allowed > 0, reason, "", generation, now);
    status
}

/// The status when the numbers cannot be had: nothing may go.
pub(super) fn failed(old: &BudgetStatus, why: &str, generation: i64, now: Timestamp) -> BudgetStatus {
    let mut status = BudgetStatus { disruptions_allowed: 0, ..old.clone() };
    set_condition(&mut status.conditions, false, "SyncFailed", why, generation, now);
    status
}

fn set_condition(
    conditions: &mut Vec<BudgetCondition>,
    is: bool,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let mut new = BudgetCondition {
        kind: "DisruptionAllowed".to_owned(),
        status: if is { "True" } else { "False" }.to_owned(),
        observed_generation: generation,
        last_transition_time: Some(now),
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    match conditions.iter_mut().find(|condition| condition.kind == new.kind) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

/// The evicted pods that still count as gone: those that show and are not yet on their way out, for two minutes. `pods`
/// says of each name whether it is on its way out.
pub(super) fn still_disrupted(
    old: &BudgetStatus,
    pods: &BTreeMap<&str, bool>,
    now: Timestamp,
) -> BTreeMap<String, Timestamp> {
    let all = old.disrupted_pods.iter().flatten();
    let kept =
        all.filter(|(name, at)| pods.get(name.as_str()) == Some(&false) && now.duration_since(**at) < DELETION_TIMEOUT);
    kept.map(|(name, at)| (name.clone(), *at)).collect()
}
