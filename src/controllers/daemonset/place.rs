//! Which nodes should run a daemon set's pod, and what binds a pod to its node.

use api::node_selector::NodeSelector;
use api::{Labels, Object, ObjectError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::nodes::{NodeView, Taint, Toleration};
use crate::revisions::HASH_LABEL;

/// What daemon sets ask of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) taints: Vec<Taint>,
}

impl Node {
    pub(super) fn of(node: &Object) -> Result<Self, ObjectError> {
        let taints = node.view::<NodeView>()?.taints().to_vec();
        Ok(Self { name: node.meta.name.to_string(), labels: node.meta.labels.clone(), taints })
    }
}

/// What a set wants of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// A pod runs there.
    Run,
    /// A pod that is there may stay, but none is started: a taint `NoSchedule` came after it.
    Keep,
    /// No pod.
    Never,
}

/// The part of the template that decides.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    node_name: String,
    node_selector: std::collections::BTreeMap<String, String>,
    affinity: Option<Affinity>,
    tolerations: Vec<Toleration>,
    host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

impl PodSpec {
    pub(super) fn placement(&self, node: &Node) -> Placement {
        let required = self.affinity.iter().flat_map(|affinity| &affinity.node_affinity);
        let mut required = required.flat_map(|affinity| &affinity.required_during_scheduling_ignored_during_execution);
        let fits = (self.node_name.is_empty() || self.node_name == node.name)
            && self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && required.all(|selector| selector.matches(&node.name, &node.labels));
        if !fits {
            return Placement::Never;
        }
        let built_in: Vec<Toleration> =
            tolerations(self.host_network).filter_map(|toleration| serde_json::from_value(toleration).ok()).collect();
        let all = || self.tolerations.iter().chain(&built_in);
        let hinders =
            |taint: &&Taint| taint.effect != "PreferNoSchedule" && !all().any(|toleration| toleration.tolerates(taint));
        let hindering: Vec<&Taint> = node.taints.iter().filter(hinders).collect();
        match hindering[..] {
            [] => Placement::Run,
            _ if hindering.iter().any(|taint| taint.effect == "NoExecute") => Placement::Never,
            _ => Placement::Keep,
        }
    }
}

/// What every daemon pod tolerates: it belongs to its node through the node's bad times.
fn tolerations(host_network: bool) -> impl Iterator<Item = Value> {
    let all = [
        ("node.kubernetes.io/not-ready", "NoExecute", true),
        ("node.kubernetes.io/unreachable", "NoExecute", true),
        ("node.kubernetes.io/disk-pressure", "NoSchedule", true),
        ("node.kubernetes.io/memory-pressure", "NoSchedule", true),
        ("node.kubernetes.io/pid-pressure", "NoSchedule", true),
        ("node.kubernetes.io/unschedulable", "NoSchedule", true),
        ("node.kubernetes.io/network-unavailable", "NoSchedule", host_network),
    ];
    let wanted = all.into_iter().filter(|(_, _, wanted)| *wanted);
    wanted.map(|(key, effect, _)| json!({ "key": key, "operator": "Exists", "effect": effect }))
}

/// Makes a pod of the template one for this node and this revision.
pub(super) fn pod_for(mut pod: Value, node: &str, hash: &str) -> Value {
    pod["metadata"]["labels"][HASH_LABEL] = hash.into();
    let spec = &mut pod["spec"];
    let by_name = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }]);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    // The node has met the template's own terms already.
    spec["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"] = by_name;
    let host_network = spec["hostNetwork"].as_bool().unwrap_or_default();
    let mut list = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for toleration in tolerations(host_network) {
        let same = |other: &Value| {
            let field = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
            ["key", "operator", "effect", "value"].iter().all(|name| field(other, name) == field(&toleration, name))
        };
        match list.iter_mut().find(|other| same(other)) {
            Some(there) => *there = toleration,
            None => list.push(toleration),
        }
    }
    spec["tolerations"] = list.into();
    pod
}

/// The node a daemon pod is for: where it is bound, or where its affinity wants it.
pub(super) fn target(pod: &Object) -> Result<Option<String>, ObjectError> {
    let bound = crate::pods::node_name(pod);
    if !bound.is_empty() {
        return Ok(Some(bound.to_owned()));
    }
    let value = pod.to_value()?;
    let terms =
        value.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms");
    let fields = terms.and_then(Value::as_array).into_iter().flatten();
    let mut fields = fields.flat_map(|term| term["matchFields"].as_array().into_iter().flatten());
    let named = fields.find(|field| field["key"] == "metadata.name" && field["operator"] == "In");
    let name = named.and_then(|field| field["values"].as_array()).filter(|values| values.len() == 1);
    Ok(name.and_then(|values| values[0].as_str()).map(str::to_owned))
}
