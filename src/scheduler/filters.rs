//! Whether a pod may run on a node. Each filter answers with upstream's words when it may not.

use crate::node::Node;
use crate::pod::{Pod, Taint};

/// Why a node was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) text: String,
    /// Whether other pods leaving the node could change it.
    pub(crate) resolvable: bool,
}

impl Reason {
    fn lasting(text: impl Into<String>) -> Self {
        Self { text: text.into(), resolvable: false }
    }

    fn resolvable(text: impl Into<String>) -> Self {
        Self { text: text.into(), resolvable: true }
    }
}

type Filter = fn(&Pod, &Node) -> Vec<Reason>;

/// In upstream's order: the first that objects decides, with all its reasons.
const FILTERS: [Filter; 5] = [unschedulable, taints, affinity, ports, resources];

/// Why the pod may not run on the node; empty when it may.
pub(crate) fn reasons(pod: &Pod, node: &Node) -> Vec<Reason> {
    FILTERS.iter().map(|filter| filter(pod, node)).find(|reasons| !reasons.is_empty()).unwrap_or_default()
}

/// Whether a placed pod would still be let in: the kubelet asks the same before it runs a pod.
pub(crate) fn fits(pod: &Pod, node: &Node) -> bool {
    FILTERS.iter().all(|filter| filter(pod, node).is_empty())
}

fn unschedulable(pod: &Pod, node: &Node) -> Vec<Reason> {
    let taint =
        Taint { key: "node.kubernetes.io/unschedulable".into(), value: String::new(), effect: "NoSchedule".into() };
    if node.spec.unschedulable && !pod.tolerations.iter().any(|t| t.tolerates(&taint)) {
        return vec![Reason::lasting("node(s) were unschedulable")];
    }
    Vec::new()
}

fn taints(pod: &Pod, node: &Node) -> Vec<Reason> {
    let repels = |taint: &&Taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !pod.tolerations.iter().any(|t| t.tolerates(taint))
    };
    // Which one is not said since 1.35: nodes with different taints count together.
    if node.spec.taints.iter().any(|taint| repels(&taint)) {
        return vec![Reason::lasting("node(s) had untolerated taint(s)")];
    }
    Vec::new()
}

fn affinity(pod: &Pod, node: &Node) -> Vec<Reason> {
    let selected = pod.node_selector.iter().all(|(key, value)| node.spec.labels.get(key) == Some(value));
    let required = pod.required.as_ref().is_none_or(|selector| selector.matches(&node.spec.name, &node.spec.labels));
    if selected && required {
        return Vec::new();
    }
    vec![Reason::lasting("node(s) didn't match Pod's node affinity/selector")]
}

fn ports(pod: &Pod, node: &Node) -> Vec<Reason> {
    if pod.host_ports.is_empty() {
        return Vec::new();
    }
    let taken = |wanted: &crate::pod::HostPort| {
        node.pods.values().any(|p| p.host_ports.iter().any(|used| used.conflicts(wanted)))
    };
    if pod.host_ports.iter().any(taken) {
        return vec![Reason::resolvable("node(s) didn't have free ports for the requested pod ports")];
    }
    Vec::new()
}

fn resources(pod: &Pod, node: &Node) -> Vec<Reason> {
    let (wanted, have, used) = (&pod.requests, &node.spec.allocatable, &node.requested);
    let mut reasons = Vec::new();
    if node.pods.len() as i64 + 1 > node.spec.allocatable_pods {
        reasons.push(Reason::resolvable("Too many pods"));
    }
    let mut check = |name: &str, wanted: i64, have: i64, used: i64| {
        if wanted > 0 && wanted > have - used {
            // No pod leaving helps where the whole node is too small.
            reasons.push(Reason { text: format!("Insufficient {name}"), resolvable: wanted <= have });
        }
    };
    check("cpu", wanted.milli_cpu, have.milli_cpu, used.milli_cpu);
    check("memory", wanted.memory, have.memory, used.memory);
    check("ephemeral-storage", wanted.ephemeral_storage, have.ephemeral_storage, used.ephemeral_storage);
    for (name, amount) in &wanted.others {
        let of = |from: &crate::resources::Resources| from.others.get(name).copied().unwrap_or(0);
        check(name, *amount, of(have), of(used));
    }
    reasons
}
