//! Conditions of silent nodes, taints out of conditions, and how fast nodes may be emptied.

use std::time::Duration;

use jiff::Timestamp;

use crate::nodes::{NodeCondition, NodeView, Taint};

/// Conditions the kubelet posts. NetworkUnavailable is posted by others, and stays.
const POSTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Which taint a condition of which status stands for.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The conditions to write for a node that is silent; `None` when they all are Unknown already.
pub(super) fn unknown(view: &NodeView, created: Option<Timestamp>, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut changed = Vec::new();
    for kind in POSTED {
        match view.condition(kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => changed.push(NodeCondition {
                status: "Unknown".into(),
                reason: "NodeStatusUnknown".into(),
                message: "Kubelet stopped posting node status.".into(),
                last_transition_time: Some(now),
                ..condition.clone()
            }),
            None => changed.push(NodeCondition {
                kind: kind.into(),
                status: "Unknown".into(),
                reason: "NodeStatusNeverUpdated".into(),
                message: "Kubelet never posted node status.".into(),
                last_heartbeat_time: created,
                last_transition_time: Some(now),
            }),
        }
    }
    (!changed.is_empty()).then_some(changed)
}

/// Whether a node may get a NoExecute taint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evict {
    /// Yes.
    Now,
    /// Not yet; one that it has stays.
    Later,
    /// No, and one that it has goes.
    Never,
}

/// The taints to write, all of them, `None` when they stand already; and whether pods will be evicted by them that were
/// not before.
pub(super) fn taints(view: &NodeView, evict: Evict, now: Timestamp) -> (Option<Vec<Taint>>, bool) {
    let mut wanted: Vec<(&str, &str)> = TAINTS
        .iter()
        .filter(|(kind, status, _)| view.condition(kind).is_some_and(|condition| condition.status == *status))
        .map(|(_, _, key)| (*key, "NoSchedule"))
        .collect();
    if view.unschedulable() {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let tainted = |key: &str| view.taints().iter().any(|taint| taint.key == key && taint.effect == "NoExecute");
    let was_evicting = tainted(NOT_READY) || tainted(UNREACHABLE);
    let evicting = match view.ready() {
        Some("False") => Some(NOT_READY),
        Some("Unknown") => Some(UNREACHABLE),
        _ => None,
    };
    // One taint may take the other's place at any time: the node is being emptied either way.
    let evicting = evicting.filter(|_| evict == Evict::Now || evict == Evict::Later && was_evicting);
    wanted.extend(evicting.map(|key| (key, "NoExecute")));

    let ours = |taint: &Taint| match &*taint.effect {
        "NoSchedule" => taint.key == UNSCHEDULABLE || TAINTS.iter().any(|(_, _, key)| taint.key == *key),
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let keep = |taint: &&Taint| !ours(taint) || wanted.contains(&(&*taint.key, &*taint.effect));
    let mut taints: Vec<Taint> = view.taints().iter().filter(keep).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint { key: key.into(), effect: effect.into(), time_added: Some(now), value: String::new() });
        }
    }
    let changed = taints != view.taints();
    (changed.then_some(taints), evicting.is_some() && !was_evicting)
}

/// How many nodes a zone has, and how many are ready.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ZoneHealth {
    ready: usize,
    unready: usize,
}

impl ZoneHealth {
    pub(super) fn with(self, ready: bool) -> Self {
        Self { ready: self.ready + usize::from(ready), unready: self.unready + usize::from(!ready) }
    }

    #[cfg(test)]
    pub(super) fn of(ready: usize, unready: usize) -> Self {
        Self { ready, unready }
    }
}

/// How fast nodes of a zone may be given NoExecute taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One in each period.
    Every(Duration),
    /// None.
    Stop,
}

/// Upstream's rates: a node each ten seconds; where more than half of a zone is down, a node each hundred seconds in large
/// zones and none in small ones; none while the whole cluster is down.
pub(super) fn pace(zone: ZoneHealth, cluster: ZoneHealth) -> Pace {
    let size = zone.ready + zone.unready;
    // 55 %, and never for one or two nodes.
    let partly = zone.unready > 2 && zone.unready * 100 >= size * 55;
    match () {
        () if cluster.ready == 0 => Pace::Stop,
        // A zone all of whose nodes are down, while others live, is emptied at the usual rate.
        () if zone.ready == 0 || !partly => Pace::Every(Duration::from_secs(10)),
        () if size > 50 => Pace::Every(Duration::from_secs(100)),
        () => Pace::Stop,
    }
}
