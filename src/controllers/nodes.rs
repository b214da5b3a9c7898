//! What controllers look at in nodes: conditions, taints, and who tolerates them.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of a node that controllers look at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeView {
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeSpec {
    unschedulable: bool,
    taints: Option<Vec<Taint>>,
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    conditions: Option<Vec<NodeCondition>>,
}

/// A condition of a node: like others, with a heartbeat.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeCondition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) last_heartbeat_time: Option<Timestamp>,
    pub(crate) last_transition_time: Option<Timestamp>,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// `spec.taints[]` of a node.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Taint {
    pub(crate) key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) value: String,
    pub(crate) effect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_added: Option<Timestamp>,
}

/// `spec.tolerations[]` of a pod.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: String,
    pub(crate) toleration_seconds: Option<i64>,
}

impl NodeView {
    pub(crate) fn conditions(&self) -> &[NodeCondition] {
        self.status.conditions.as_deref().unwrap_or_default()
    }

    pub(crate) fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.conditions().iter().find(|condition| condition.kind == kind)
    }

    /// The status of the Ready condition; `None` when the kubelet never posted one.
    pub(crate) fn ready(&self) -> Option<&str> {
        self.condition("Ready").map(|condition| condition.status.as_str())
    }

    pub(crate) fn taints(&self) -> &[Taint] {
        self.spec.taints.as_deref().unwrap_or_default()
    }

    pub(crate) fn unschedulable(&self) -> bool {
        self.spec.unschedulable
    }

    /// The networks of the node's pods, as the node has them.
    pub(crate) fn pod_cidrs(&self) -> Vec<&str> {
        match &self.spec.pod_cidrs {
            Some(all) if !all.is_empty() => all.iter().map(String::as_str).collect(),
            _ => [&*self.spec.pod_cidr].into_iter().filter(|cidr| !cidr.is_empty()).collect(),
        }
    }
}

impl Toleration {
    /// Whether it tolerates the taint.
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        let value = match &*self.operator {
            "Exists" => true,
            "" | "Equal" => self.value == taint.value,
            _ => false,
        };
        effect && key && value
    }
}
