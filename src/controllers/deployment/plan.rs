//! How many replicas each replica set should have, as pure functions of what there is.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Object, ObjectError};
use serde::Deserialize;
use serde_json::Value;

use super::{DESIRED, MAX, REVISION};
use crate::pods::Condition;

/// The part of a deployment that its controller looks at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: DeploymentStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) annotations: HashMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    replicas: Option<i64>,
    pub(super) min_ready_seconds: i64,
    pub(super) paused: bool,
    revision_history_limit: Option<i64>,
    pub(super) progress_deadline_seconds: Option<i64>,
    strategy: StrategyView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StrategyView {
    r#type: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Option<Value>,
    max_unavailable: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeploymentStatus {
    pub(super) observed_generation: i64,
    pub(super) replicas: i64,
    pub(super) updated_replicas: i64,
    pub(super) ready_replicas: i64,
    pub(super) available_replicas: i64,
    pub(super) unavailable_replicas: i64,
    pub(super) terminating_replicas: Option<i64>,
    pub(super) collision_count: Option<i64>,
    pub(super) conditions: Vec<Progress>,
}

/// A condition of a deployment: as any other, with the time of its last update.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Progress {
    #[serde(flatten)]
    pub(super) condition: Condition,
    pub(super) last_update_time: Option<jiff::Timestamp>,
}

/// How pods are replaced, in numbers of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Recreate,
    RollingUpdate { surge: i64, unavailable: i64 },
}

impl Deployment {
    pub(super) fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(1)
    }

    pub(super) fn strategy(&self) -> Strategy {
        if self.spec.strategy.r#type == "Recreate" {
            return Strategy::Recreate;
        }
        let rolling = self.spec.strategy.rolling_update.clone().unwrap_or_default();
        let of = |value: Option<Value>, up| share(&value.unwrap_or_else(|| "25%".into()), self.replicas(), up);
        let (surge, mut unavailable) = (of(rolling.max_surge, true), of(rolling.max_unavailable, false));
        if surge == 0 && unavailable == 0 {
            // Rounding must not bring the rollout to a halt.
            unavailable = 1;
        }
        Strategy::RollingUpdate { surge, unavailable: unavailable.min(self.replicas()) }
    }

    /// The most pods there may be at once.
    pub(super) fn most(&self) -> i64 {
        match self.strategy() {
            Strategy::RollingUpdate { surge, .. } => self.replicas() + surge,
            Strategy::Recreate => self.replicas(),
        }
    }

    /// The fewest pods that must be available.
    pub(super) fn fewest(&self) -> i64 {
        match self.strategy() {
            Strategy::RollingUpdate { unavailable, .. } => self.replicas() - unavailable,
            Strategy::Recreate => self.replicas(),
        }
    }
}

/// A number, or a percentage of `total`.
pub(crate) fn share(value: &Value, total: i64, up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).unwrap_or(0);
            let exact = percent * total;
            if up { (exact + 99) / 100 } else { exact / 100 }
        }
        other => other.as_i64().unwrap_or(0),
    }
}

/// A replica set, in the numbers that matter here.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) object: Arc<Object>,
    pub(super) template: Value,
    pub(super) annotations: HashMap<String, String>,
    pub(super) revision: i64,
    pub(super) replicas: i64,
    pub(super) min_ready_seconds: i64,
    pub(super) status: SetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SetStatus {
    pub(super) replicas: i64,
    pub(super) ready_replicas: i64,
    pub(super) available_replicas: i64,
    pub(super) terminating_replicas: Option<i64>,
    pub(super) observed_generation: i64,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SetView {
    metadata: Metadata,
    spec: SetSpec,
    status: SetStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SetSpec {
    replicas: Option<i64>,
    min_ready_seconds: i64,
    template: Value,
}

impl Set {
    pub(super) fn read(object: &Arc<Object>) -> Result<Self, ObjectError> {
        let view: SetView = object.view()?;
        let annotations = view.metadata.annotations;
        Ok(Self {
            object: object.clone(),
            template: view.spec.template,
            revision: annotations.get(REVISION).and_then(|n| n.parse().ok()).unwrap_or(0),
            annotations,
            replicas: view.spec.replicas.unwrap_or(1),
            min_ready_seconds: view.spec.min_ready_seconds,
            status: view.status,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.object.meta.name
    }

    fn noted(&self, key: &str) -> Option<i64> {
        self.annotations.get(key).and_then(|n| n.parse().ok())
    }
}

/// One set's new size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scaling {
    pub(super) set: usize,
    pub(super) to: i64,
}

fn total(sets: &[Set]) -> i64 {
    sets.iter().map(|set| set.replicas).sum()
}

/// The sets other than the new one, oldest first.
fn old(sets: &[Set], new: Option<usize>) -> Vec<usize> {
    let mut old: Vec<usize> = (0..sets.len()).filter(|at| Some(*at) != new).collect();
    old.sort_by_key(|at| (sets[*at].object.meta.creation_timestamp, sets[*at].object.meta.name.clone()));
    old
}

/// Whether `spec.replicas` changed since the sets were last scaled: then sizes change and the rollout stands still.
pub(super) fn is_scaling(deployment: &Deployment, sets: &[Set]) -> bool {
    let active = sets.iter().filter(|set| set.replicas > 0);
    active.filter_map(|set| set.noted(DESIRED)).any(|desired| desired != deployment.replicas())
}

/// How many replicas the new set may have now. `new` is its present size; `None` before it exists.
pub(super) fn replicas_of_new(deployment: &Deployment, sets: &[Set], new: Option<i64>) -> i64 {
    let present = new.unwrap_or(0);
    if deployment.strategy() == Strategy::Recreate {
        return deployment.replicas();
    }
    let room = deployment.most() - total(sets);
    if room <= 0 {
        return present;
    }
    present + room.min(deployment.replicas() - present).max(0)
}

/// Rolling update, first half: the new set grows as far as surge allows, or shrinks to what is wanted.
pub(super) fn roll_up(deployment: &Deployment, sets: &[Set], new: usize) -> Vec<Scaling> {
    let present = sets[new].replicas;
    let to = match present.cmp(&deployment.replicas()) {
        std::cmp::Ordering::Equal => present,
        std::cmp::Ordering::Greater => deployment.replicas(),
        std::cmp::Ordering::Less => replicas_of_new(deployment, sets, Some(present)),
    };
    if to == present { Vec::new() } else { vec![Scaling { set: new, to }] }
}

/// Rolling update, second half: old sets shrink as far as availability allows, those with unhealthy pods first.
pub(super) fn roll_down(deployment: &Deployment, sets: &[Set], new: usize) -> Vec<Scaling> {
    let old = old(sets, Some(new));
    if old.iter().all(|at| sets[*at].replicas == 0) {
        return Vec::new();
    }
    let fewest = deployment.fewest();
    let new_unavailable = sets[new].replicas - sets[new].status.available_replicas;
    let mut may_go = total(sets) - fewest - new_unavailable;
    if may_go <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i64> = sets.iter().map(|set| set.replicas).collect();
    for &at in &old {
        let unhealthy = (sets[at].replicas - sets[at].status.available_replicas).clamp(0, may_go);
        sizes[at] -= unhealthy;
        may_go -= unhealthy;
    }
    let available: i64 = sets.iter().map(|set| set.status.available_replicas).sum();
    let mut healthy = available - fewest;
    for &at in &old {
        let down = sizes[at].min(healthy).max(0);
        sizes[at] -= down;
        healthy -= down;
    }
    let changed = old.into_iter().filter(|at| sizes[*at] != sets[*at].replicas);
    changed.map(|at| Scaling { set: at, to: sizes[at] }).collect()
}

/// Recreate: all old sets go to zero.
pub(super) fn all_down(sets: &[Set], new: Option<usize>) -> Vec<Scaling> {
    old(sets, new).into_iter().filter(|at| sets[*at].replicas > 0).map(|set| Scaling { set, to: 0 }).collect()
}

/// Sizes after a change of `spec.replicas`: one active set takes it all; several share it in proportion.
pub(super) fn scale(deployment: &Deployment, sets: &[Set], new: Option<usize>) -> Vec<Scaling> {
    let wanted = deployment.replicas();
    let active: Vec<usize> = (0..sets.len()).filter(|at| sets[*at].replicas > 0).collect();
    let only = match active.as_slice() {
        [] => new.or_else(|| old(sets, None).pop()),
        [only] => Some(*only),
        _ => None,
    };
    if let Some(only) = only {
        return vec![Scaling { set: only, to: wanted }];
    }
    if let Some(new) = new
        && sets[new].replicas == wanted
        && sets[new].noted(DESIRED) == Some(wanted)
        && sets[new].status.available_replicas == wanted
    {
        return all_down(sets, Some(new));
    }
    match deployment.strategy() {
        Strategy::RollingUpdate { .. } => in_proportion(deployment, sets, active),
        Strategy::Recreate => Vec::new(),
    }
}

fn in_proportion(deployment: &Deployment, sets: &[Set], mut active: Vec<usize>) -> Vec<Scaling> {
    let allowed = if deployment.replicas() > 0 { deployment.most() } else { 0 };
    let to_add = allowed - total(sets);
    // The largest first; among equals the newest when growing, the oldest when shrinking.
    active.sort_by(|a, b| {
        let (a, b) = (&sets[*a], &sets[*b]);
        let age = a.object.meta.creation_timestamp.cmp(&b.object.meta.creation_timestamp);
        b.replicas.cmp(&a.replicas).then(if to_add > 0 { age.reverse() } else { age })
    });
    let mut sizes = Vec::with_capacity(active.len());
    let mut added = 0;
    for &at in &active {
        let part = if to_add == 0 { 0 } else { part(deployment, &sets[at], to_add - added) };
        sizes.push(sets[at].replicas + part);
        added += part;
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    active.into_iter().zip(sizes).map(|(set, to)| Scaling { set, to }).collect()
}

/// One set's share of what is to be added (or, negative, taken away).
fn part(deployment: &Deployment, set: &Set, left: i64) -> i64 {
    let fraction = if deployment.replicas() == 0 {
        -set.replicas
    } else {
        let before = set.noted(MAX).filter(|n| *n > 0).unwrap_or(deployment.status.replicas).max(1);
        let size = set.replicas as f64 * deployment.most() as f64 / before as f64;
        size.round() as i64 - set.replicas
    };
    if left > 0 { fraction.min(left) } else { fraction.max(left) }
}

/// Old sets that are empty and beyond the history limit, oldest revision first.
pub(super) fn surplus_history(deployment: &Deployment, sets: &[Set], new: Option<usize>) -> Vec<usize> {
    let limit = deployment.spec.revision_history_limit.unwrap_or(10).max(0) as usize;
    let mut old: Vec<usize> = old(sets, new).into_iter().filter(|at| !sets[*at].object.meta.is_deleting()).collect();
    old.sort_by_key(|at| sets[*at].revision);
    let surplus = old.len().saturating_sub(limit);
    let idle = |at: &usize| {
        let set = &sets[*at];
        set.replicas == 0 && set.status.replicas == 0 && set.object.meta.generation <= set.status.observed_generation
    };
    old.into_iter().take(surplus).filter(idle).collect()
}
