//! Whether a pod that was bound here may run here: the scheduler's view may be old, and a binding may come from anybody.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

use super::pod::Pod;
use super::qos;
use super::spec::sandbox;
use super::status::Verdict;
use crate::agent::Agent;

/// What is in use and what there is: CPU in thousandths, memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    pub(crate) pods: usize,
    pub(crate) max_pods: usize,
    pub(crate) cpu: (i64, i64),
    pub(crate) memory: (i64, i64),
}

/// None when the pod may run.
pub(crate) fn admit(agent: &Agent, pod: &Pod) -> Option<Verdict> {
    let mut room = Room {
        max_pods: agent.config.max_pods as usize,
        cpu: (0, agent.node_amounts.cpu_milli),
        memory: (0, agent.node_amounts.memory),
        ..Room::default()
    };
    let wanted = ports(pod);
    let mut taken = Vec::new();
    let others: Vec<_> = agent.pods.lock().values().cloned().collect();
    for other in others {
        // Those that ended hold nothing, and those that came later have to wait for this one.
        let Ok(other) = Pod::decode(&other) else { continue };
        let later = (other.created, &other.uid) > (pod.created, &pod.uid);
        if other.uid == pod.uid || other.is_finished() || (later && other.status.start_time.is_none()) {
            continue;
        }
        let (asked, _) = qos::pod_amounts(&other.spec);
        room.pods += 1;
        room.cpu.0 += asked.cpu.unwrap_or(0);
        room.memory.0 += asked.memory.unwrap_or(0);
        if !wanted.is_empty() {
            taken.extend(ports(&other));
        }
    }
    if let Some(name) = sandbox::forbidden_sysctl(pod) {
        return verdict("SysctlForbidden", format!("forbidden sysctl: \"{name}\" not allowlisted"));
    }
    let labels = agent
        .node
        .get("", &agent.config.node_name)
        .map(|node| node.meta.labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>());
    // A static pod was put on this very node by hand.
    if let Some(labels) = labels.filter(|_| !pod.is_static())
        && !selected(pod, &labels, &agent.config.node_name)
    {
        return verdict(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into(),
        );
    }
    if pod.is_static() {
        return None;
    }
    if wanted.iter().any(|wanted| taken.iter().any(|taken| wanted.conflicts(taken))) {
        let why = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return verdict("NodePorts", why.into());
    }
    fits(pod, &room)
}

/// A port of the node that a container holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    number: i32,
    protocol: String,
    /// Empty for every address.
    ip: String,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let overlap = self.ip == other.ip || self.ip.is_empty() || other.ip.is_empty();
        overlap && self.number == other.number && self.protocol == other.protocol
    }
}

/// The ports of the node that a pod's containers hold as long as it runs.
pub(crate) fn ports(pod: &Pod) -> Vec<HostPort> {
    let sidecars = pod.spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let containers = pod.spec.containers.iter().chain(sidecars);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let held = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let ip = port.host_ip.as_deref().filter(|ip| *ip != "0.0.0.0").unwrap_or_default();
        Some(HostPort { number, protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()), ip: ip.into() })
    });
    held.collect()
}

/// Whether the pod's requests fit into what is left.
pub(crate) fn fits(pod: &Pod, room: &Room) -> Option<Verdict> {
    if room.pods + 1 > room.max_pods {
        return verdict(
            "OutOfpods",
            format!(
                "Node didn't have enough resource: pods, requested: 1, used: {}, capacity: {}",
                room.pods, room.max_pods
            ),
        );
    }
    let (asked, _) = qos::pod_amounts(&pod.spec);
    for (name, asked, (used, capacity)) in [("cpu", asked.cpu, room.cpu), ("memory", asked.memory, room.memory)] {
        let asked = asked.unwrap_or(0);
        if asked > 0 && used.saturating_add(asked) > capacity {
            return verdict(
                &format!("OutOf{name}"),
                format!(
                    "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
                ),
            );
        }
    }
    None
}

fn verdict(reason: &str, message: String) -> Option<Verdict> {
    Some(Verdict { reason: reason.to_owned(), message })
}

/// nodeSelector and required node affinity.
pub(crate) fn selected(pod: &Pod, labels: &BTreeMap<String, String>, node_name: &str) -> bool {
    let by_selector = pod.spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let required = pod
        .spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    by_selector
        && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| term_matches(term, labels, node_name)))
}

fn term_matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, node_name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|r| requirement(r, labels.get(&r.key).map(String::as_str)))
        && fields.iter().all(|r| requirement(r, (r.key == "metadata.name").then_some(node_name)))
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|v| values.iter().any(|x| x == v));
    let compare = |wanted: std::cmp::Ordering| {
        let number = |text: &str| Quantity::parse(text).ok().map(|q| q.value());
        let (Some(own), Some(bound)) = (value.and_then(number), values.first().and_then(|v| number(v))) else {
            return false;
        };
        own.cmp(&bound) == wanted
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(std::cmp::Ordering::Greater),
        "Lt" => compare(std::cmp::Ordering::Less),
        _ => false,
    }
}
