//! Which pods to create and delete, and what to say in the status: pure functions of nodes and pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, ObjectError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::place::{Node, Placement, PodSpec, target};
use crate::deployment::share;
use crate::pods::{self, PodView};
use crate::revisions::HASH_LABEL;

/// The part of a daemon set that its controller looks at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Daemon {
    spec: Spec,
    pub(super) status: DaemonStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
    template: Template,
    update_strategy: UpdateStrategy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
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
pub(super) struct DaemonStatus {
    #[serde(flatten)]
    counts: Counts,
    observed_generation: i64,
    pub(super) collision_count: Option<i64>,
}

/// What was counted among nodes and pods.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Counts {
    #[serde(rename = "desiredNumberScheduled")]
    pub(super) desired: i64,
    #[serde(rename = "currentNumberScheduled")]
    pub(super) current: i64,
    #[serde(rename = "numberMisscheduled")]
    pub(super) misscheduled: i64,
    #[serde(rename = "numberReady")]
    pub(super) ready: i64,
    #[serde(rename = "updatedNumberScheduled")]
    pub(super) updated: i64,
    #[serde(rename = "numberAvailable")]
    pub(super) available: i64,
    #[serde(rename = "numberUnavailable")]
    pub(super) unavailable: i64,
}

impl Daemon {
    pub(super) fn placement(&self, node: &Node) -> Placement {
        self.spec.template.spec.placement(node)
    }

    pub(super) fn min_ready_seconds(&self) -> i64 {
        self.spec.min_ready_seconds
    }

    pub(super) fn history_limit(&self) -> usize {
        self.spec.revision_history_limit.unwrap_or(10)
    }

    /// Whether pods of an old template are replaced by us, not by whoever deletes them.
    pub(super) fn rolls(&self) -> bool {
        self.spec.update_strategy.r#type != "OnDelete"
    }

    /// Whether a node may have an old and a new pod for a while.
    pub(super) fn surges(&self) -> bool {
        self.rolls() && self.numbers(100).0 > 0
    }

    /// How many nodes may have two pods, and how many none that is available.
    fn numbers(&self, desired: i64) -> (i64, i64) {
        let rolling = self.spec.update_strategy.rolling_update.clone().unwrap_or_default();
        let surge = rolling.max_surge.map_or(0, |value| share(&value, desired, true));
        let unavailable = share(&rolling.max_unavailable.unwrap_or_else(|| 1.into()), desired, true);
        (surge, if surge == 0 { unavailable.max(1) } else { unavailable })
    }
}

/// One pod of the set.
#[derive(Clone, Debug)]
pub(super) struct DaemonPod {
    pub(super) object: Arc<Object>,
    pub(super) node: String,
    /// How long until it is available: zero when it is, `None` when it is not ready.
    pub(super) available_in: Option<Duration>,
}

impl DaemonPod {
    /// `None` for a pod that is for no node in particular: not one of ours in any useful sense.
    pub(super) fn read(pod: &Arc<Object>, min_ready_seconds: i64, now: Timestamp) -> Result<Option<Self>, ObjectError> {
        let available_in = PodView::of(pod)?.available_in(min_ready_seconds, now);
        Ok(target(pod)?.map(|node| Self { object: pod.clone(), node, available_in }))
    }

    fn is_available(&self) -> bool {
        self.available_in == Some(Duration::ZERO)
    }

    fn is_of(&self, hash: &str) -> bool {
        self.object.meta.labels.get(HASH_LABEL) == Some(hash)
    }

    fn is_deleting(&self) -> bool {
        self.object.meta.is_deleting()
    }

    /// Which of several pods of a node counts: bound ones first, then the oldest.
    fn seniority(&self) -> (bool, Option<Timestamp>, &str) {
        (pods::node_name(&self.object).is_empty(), self.object.meta.creation_timestamp, &self.object.meta.name)
    }
}

/// What to do: nodes to create a pod for, pods (by index) to delete, and those of them that have ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<usize>,
    pub(super) ended: Vec<(usize, Ended)>,
}

/// How a pod that should run for ever came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Failed,
    Succeeded,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

type ByNode<'a> = BTreeMap<&'a str, Vec<usize>>;

fn by_node(pods: &[DaemonPod]) -> ByNode<'_> {
    let mut nodes = ByNode::new();
    for (at, pod) in pods.iter().enumerate() {
        nodes.entry(&pod.node).or_default().push(at);
    }
    for group in nodes.values_mut() {
        group.sort_by_key(|at| pods[*at].seniority());
    }
    nodes
}

/// One pod for every node that should run one, none elsewhere. `may_go` says whether a node's failed pod may be deleted
/// already.
pub(super) fn manage(
    nodes: &[(Node, Placement)],
    pods: &[DaemonPod],
    hash: &str,
    surges: bool,
    mut may_go: impl FnMut(&str) -> bool,
) -> Changes {
    let there = by_node(pods);
    let mut changes = Changes::default();
    for (node, placement) in nodes {
        let Some(group) = there.get(&*node.name) else {
            if *placement == Placement::Run {
                changes.create.push(node.name.clone());
            }
            continue;
        };
        let present: Vec<usize> = group.iter().copied().filter(|at| !pods[*at].is_deleting()).collect();
        if *placement == Placement::Never {
            changes.delete.extend(present);
            continue;
        }
        let mut running = Vec::new();
        for at in present {
            let ended = match pods::phase(&pods[at].object) {
                "Failed" if !may_go(&node.name) => continue,
                "Failed" => Ended::Failed,
                "Succeeded" => Ended::Succeeded,
                _ => {
                    running.push(at);
                    continue;
                }
            };
            changes.delete.push(at);
            changes.ended.push((at, ended));
        }
        match running.len() {
            0 if surges && *placement == Placement::Run => changes.create.push(node.name.clone()),
            0 | 1 => {}
            _ if surges => changes.delete.extend(surplus_of_surge(pods, &running, hash)),
            _ => changes.delete.extend(&running[1..]),
        }
    }
    // The scheduler never binds to a node that is gone, and nobody else removes such a pod.
    let known = |name: &str| nodes.iter().any(|(node, _)| node.name == name);
    for (at, pod) in pods.iter().enumerate() {
        if !known(&pod.node) && pods::node_name(&pod.object).is_empty() && !pod.is_deleting() {
            changes.delete.push(at);
        }
    }
    changes
}

/// Of several pods of a node, oldest first, all but the oldest of the new and the oldest of the old template; and the old
/// one too as soon as the new one can take its place.
fn surplus_of_surge(pods: &[DaemonPod], running: &[usize], hash: &str) -> Vec<usize> {
    let (new, old): (Vec<usize>, Vec<usize>) = running.iter().partition(|at| pods[**at].is_of(hash));
    let mut surplus: Vec<usize> = new.iter().skip(1).chain(old.iter().skip(1)).copied().collect();
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (pods[*old].available_in.is_none() || pods[*new].is_available())
    {
        surplus.push(*old);
    }
    surplus
}

/// The new and the old pod of a node; `None` when there are several of a kind, which [`manage`] clears away first.
fn new_and_old(pods: &[DaemonPod], group: &[usize], hash: &str) -> Option<(Option<usize>, Option<usize>)> {
    let (mut new, mut old) = (None, None);
    for at in group.iter().copied().filter(|at| !pods[*at].is_deleting()) {
        let place = if pods[at].is_of(hash) { &mut new } else { &mut old };
        if place.replace(at).is_some() {
            return None;
        }
    }
    Some((new, old))
}

/// The next step of a rolling update.
pub(super) fn roll(daemon: &Daemon, nodes: &[(Node, Placement)], pods: &[DaemonPod], hash: &str) -> Changes {
    let mut there = by_node(pods);
    let wanted = nodes.iter().filter(|(_, placement)| *placement == Placement::Run);
    let mut desired = 0;
    for (node, _) in wanted {
        desired += 1;
        there.entry(&node.name).or_default();
    }
    match daemon.numbers(desired) {
        (0, unavailable) => replace(pods, &there, hash, unavailable),
        (surge, _) => surge_onto(nodes, pods, &there, hash, surge, desired),
    }
}

/// Deletes old pods while no more than `limit` nodes lack an available one; [`manage`] then creates the new ones.
fn replace(pods: &[DaemonPod], there: &ByNode<'_>, hash: &str, limit: i64) -> Changes {
    let (mut unavailable, mut broken, mut candidates) = (0, Vec::new(), Vec::new());
    for group in there.values() {
        match new_and_old(pods, group, hash) {
            Some((Some(new), None)) => unavailable += i64::from(!pods[new].is_available()),
            Some((None, Some(old))) if pods[old].is_available() => candidates.push(old),
            Some((None, Some(old))) => {
                broken.push(old);
                unavailable += 1;
            }
            // Nothing there yet, or something to be cleared away.
            _ => unavailable += 1,
        }
    }
    let room = usize::try_from(limit - unavailable).unwrap_or(0);
    let delete = broken.into_iter().chain(candidates.into_iter().take(room)).collect();
    Changes { delete, ..Changes::default() }
}

/// Creates new pods beside old ones, on no more than `limit` nodes at once, and deletes the old ones when the new ones are
/// available.
fn surge_onto(
    nodes: &[(Node, Placement)],
    pods: &[DaemonPod],
    there: &ByNode<'_>,
    hash: &str,
    limit: i64,
    desired: i64,
) -> Changes {
    let should_run =
        |name: &str| nodes.iter().any(|(node, placement)| node.name == name && *placement == Placement::Run);
    let (mut delete, mut sunset, mut urgent, mut candidates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut surging, mut available) = (0, 0);
    for (node, group) in there {
        let Some((new, old)) = new_and_old(pods, group, hash) else {
            surging += 1;
            continue;
        };
        available += i64::from(old.or(new).is_some_and(|at| pods[at].is_available()));
        match (new, old) {
            (_, None) => {}
            (None, Some(old)) => match (pods[old].is_available(), should_run(node)) {
                (false, false) => delete.push(old),
                (false, true) => urgent.push((*node).to_owned()),
                (true, false) => sunset.push(old),
                (true, true) => candidates.push((*node).to_owned()),
            },
            (Some(new), Some(old)) if pods[new].is_available() => delete.push(old),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    // Who surges expects full availability: pods leave a node for others only when those others are available.
    let spare = usize::try_from(available - desired).unwrap_or(0);
    delete.extend(sunset.into_iter().take(spare));
    let room = usize::try_from(limit - surging).unwrap_or(0);
    let create = urgent.into_iter().chain(candidates.into_iter().take(room)).collect();
    Changes { create, delete, ended: Vec::new() }
}

/// The numbers of the status.
pub(super) fn count(nodes: &[(Node, Placement)], pods: &[DaemonPod], hash: &str) -> Counts {
    let there = by_node(pods);
    let mut counts = Counts::default();
    for (node, placement) in nodes {
        let first = there.get(&*node.name).and_then(|group| group.first()).map(|at| &pods[*at]);
        match (placement, first) {
            (Placement::Run, first) => {
                counts.desired += 1;
                let Some(pod) = first else { continue };
                counts.current += 1;
                counts.ready += i64::from(pod.available_in.is_some());
                counts.available += i64::from(pod.is_available());
                counts.updated += i64::from(pod.is_of(hash));
            }
            (_, Some(_)) => counts.misscheduled += 1,
            (_, None) => {}
        }
    }
    counts.unavailable = counts.desired - counts.available;
    counts
}

/// The status to write as a merge patch; `None` when it stands already. `observed` is the generation acted upon, zero when
/// that failed.
pub(super) fn status(old: &DaemonStatus, counts: Counts, observed: i64) -> Option<Value> {
    let observed = observed.max(old.observed_generation);
    if old.counts == counts && old.observed_generation == observed {
        return None;
    }
    // Four counts are always there; zeros of the others are absent, as Go writes them.
    let count = |n: i64| if n == 0 { Value::Null } else { n.into() };
    Some(json!({
        "desiredNumberScheduled": counts.desired,
        "currentNumberScheduled": counts.current,
        "numberMisscheduled": counts.misscheduled,
        "numberReady": counts.ready,
        "updatedNumberScheduled": count(counts.updated),
        "numberAvailable": count(counts.available),
        "numberUnavailable": count(counts.unavailable),
        "observedGeneration": count(observed),
    }))
}
