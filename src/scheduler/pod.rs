//! What scheduling needs to know of a pod, read from its bytes once.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::node_selector::{NodeSelector, Term};
use api::{Object, ObjectError};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::resources::Resources;

/// A pod that is placed or wants to be.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) object: Arc<Object>,
    pub(crate) key: Box<str>,
    /// What it asks for.
    pub(crate) requests: Resources,
    /// What it is taken to use when nodes are scored: pods that ask for nothing still use something.
    pub(crate) weight: (i64, i64),
    pub(crate) host_ports: Vec<HostPort>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) required: Option<NodeSelector>,
    pub(crate) preferred: Vec<(i64, Term)>,
    pub(crate) images: Vec<Box<str>>,
    pub(crate) priority: i32,
    pub(crate) gated: bool,
    /// What made it: its siblings are kept apart. Empty for a pod on its own.
    pub(crate) owner: Box<str>,
}

/// A port of the node that a container takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostPort {
    pub(crate) address: Box<str>,
    pub(crate) protocol: Box<str>,
    pub(crate) port: u16,
}

impl HostPort {
    /// Whether both cannot be on one node: the same port and protocol, on the same address or on any.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let any = |address: &str| address.is_empty() || address == "0.0.0.0" || address == "::";
        self.port == other.port
            && self.protocol == other.protocol
            && (any(&self.address) || any(&other.address) || self.address == other.address)
    }
}

/// `spec.tolerations`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Toleration {
    #[serde(default)]
    key: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    effect: String,
}

/// `spec.taints` of a node.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Taint {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) effect: String,
}

impl Toleration {
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator.as_str() {
                "Exists" => true,
                "" | "Equal" => self.value == taint.value && !self.key.is_empty(),
                "Gt" => compare(&taint.value, &self.value).is_some_and(std::cmp::Ordering::is_gt),
                "Lt" => compare(&taint.value, &self.value).is_some_and(std::cmp::Ordering::is_lt),
                _ => false,
            }
    }
}

fn compare(a: &str, b: &str) -> Option<std::cmp::Ordering> {
    Some(a.parse::<i64>().ok()?.cmp(&b.parse::<i64>().ok()?))
}

impl Pod {
    /// Reads a pod.
    pub(crate) fn read(object: &Arc<Object>) -> Result<Self, ObjectError> {
        let view: PodView = object.view()?;
        let mut spec = view.spec;
        let mut requests = spec.requests();
        if let Some(overhead) = &spec.overhead {
            requests.add(&Resources::parse(overhead));
        }
        let node_affinity = spec.affinity.take().and_then(|a| a.node_affinity).unwrap_or_default();
        let host_network = spec.host_network;
        let host_ports =
            spec.containers.iter().chain(&spec.init_containers).flat_map(|c| &c.ports).filter_map(|port| {
                let number = port.host_port.or(port.container_port.filter(|_| host_network))?;
                Some(HostPort {
                    address: port.host_ip.clone().unwrap_or_default().into(),
                    protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()).into(),
                    port: u16::try_from(number).ok().filter(|n| *n > 0)?,
                })
            });
        let preferred = node_affinity.preferred.into_iter().map(|p| (p.weight, p.preference));
        Ok(Self {
            key: object.meta.key().into(),
            weight: spec.weight(&requests),
            requests,
            host_ports: host_ports.collect(),
            tolerations: spec.tolerations,
            node_selector: spec.node_selector,
            required: node_affinity.required,
            preferred: preferred.collect(),
            images: spec.containers.iter().map(|c| c.image.as_str().into()).collect(),
            priority: spec.priority.unwrap_or(0),
            gated: !spec.scheduling_gates.is_empty(),
            owner: object.meta.controller().map(|owner| owner.uid.clone()).unwrap_or_default(),
            object: object.clone(),
        })
    }
}

/// What a container without requests is taken to use, in thousandths of a core and bytes: upstream's figures.
const DEFAULT_WEIGHT: (i64, i64) = (100, 200 << 20);

impl SpecView {
    /// All containers run together, init containers one after the other; sidecars stay from their start on.
    fn requests(&self) -> Resources {
        if let Some(pod_level) = self.resources.as_ref().and_then(|r| r.requests.as_ref()) {
            return Resources::parse(pod_level);
        }
        let of = |c: &ContainerView| c.resources.requests.as_ref().map(Resources::parse).unwrap_or_default();
        let mut running = Resources::default();
        let mut peak = Resources::default();
        for container in &self.init_containers {
            let mut now = of(container);
            if container.restart_policy.as_deref() == Some("Always") {
                running.add(&now);
                peak.raise_to(&running);
            } else {
                now.add(&running);
                peak.raise_to(&now);
            }
        }
        for container in &self.containers {
            running.add(&of(container));
        }
        running.raise_to(&peak);
        running
    }

    fn weight(&self, requests: &Resources) -> (i64, i64) {
        let without = |name: &str| {
            let has = |c: &&ContainerView| c.resources.requests.as_ref().is_some_and(|r| r.contains_key(name));
            self.containers.iter().filter(|c| !has(c)).count() as i64
        };
        let (cpu, memory) = DEFAULT_WEIGHT;
        (requests.milli_cpu + cpu * without("cpu"), requests.memory + memory * without("memory"))
    }
}

#[derive(Deserialize)]
struct PodView {
    spec: SpecView,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecView {
    #[serde(default)]
    containers: Vec<ContainerView>,
    #[serde(default)]
    init_containers: Vec<ContainerView>,
    resources: Option<ResourcesView>,
    overhead: Option<Map<String, Value>>,
    #[serde(default)]
    tolerations: Vec<Toleration>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    affinity: Option<AffinityView>,
    priority: Option<i32>,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    scheduling_gates: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerView {
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: ResourcesView,
    restart_policy: Option<String>,
    #[serde(default)]
    ports: Vec<PortView>,
}

#[derive(Deserialize, Default)]
struct ResourcesView {
    requests: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PortView {
    host_port: Option<i64>,
    container_port: Option<i64>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AffinityView {
    node_affinity: Option<NodeAffinityView>,
}

#[derive(Deserialize, Default)]
struct NodeAffinityView {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", default)]
    preferred: Vec<PreferredView>,
}

#[derive(Deserialize)]
struct PreferredView {
    weight: i64,
    preference: Term,
}
