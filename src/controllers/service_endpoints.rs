//! What the endpoints and endpointslice controllers share: which pods a service selects, and how each answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::selector::LabelSelector;
use api::{Labels, Object, ObjectError};
use client::controller::Keys;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::pods::{Condition, is_terminated};

/// Marks slices and endpoints of services without a cluster address.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The part of a service that matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceView {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpec {
    pub(crate) r#type: String,
    #[serde(rename = "clusterIP")]
    pub(crate) cluster_ip: String,
    pub(crate) selector: Option<BTreeMap<String, String>>,
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) publish_not_ready_addresses: bool,
    pub(crate) ip_families: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServicePort {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) port: i64,
    pub(crate) target_port: Option<Value>,
    pub(crate) app_protocol: Option<String>,
}

impl ServiceView {
    /// The selector, if this service's endpoints are ours to keep.
    pub(crate) fn selector(&self) -> Option<LabelSelector> {
        let selector = self.spec.selector.as_ref().filter(|s| !s.is_empty() && self.spec.r#type != "ExternalName")?;
        Some(LabelSelector::from_labels(selector.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
    }

    pub(crate) fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }

    /// The service's labels plus the mark of headless services.
    pub(crate) fn labels(&self) -> serde_json::Map<String, Value> {
        let mut labels: serde_json::Map<String, Value> =
            self.metadata.labels.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        labels.remove(HEADLESS_LABEL);
        if self.is_headless() {
            labels.insert(HEADLESS_LABEL.into(), "".into());
        }
        labels
    }
}

/// One port of an endpoint, as a pod offers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) port: i64,
    pub(crate) app_protocol: Option<String>,
}

impl Port {
    pub(crate) fn render(&self) -> Value {
        let mut port = json!({"name": self.name, "port": self.port, "protocol": self.protocol});
        if let Some(app_protocol) = &self.app_protocol {
            port["appProtocol"] = app_protocol.as_str().into();
        }
        port
    }
}

/// One pod as an endpoint of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) hostname: Option<String>,
    pub(crate) node: String,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) target: Value,
    pub(crate) ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodView {
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    hostname: String,
    subdomain: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    restart_policy: Option<String>,
    ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: i64,
    protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
    conditions: Option<Vec<Condition>>,
}

/// The endpoint that a pod is of a service; `None` while it has no address, and once it has ended.
pub(crate) fn endpoint(service: &Object, view: &ServiceView, pod: &Object) -> Result<Option<Endpoint>, ObjectError> {
    if is_terminated(pod) {
        return Ok(None);
    }
    let PodView { spec, status } = pod.view()?;
    if status.pod_ip.is_empty() {
        return Ok(None);
    }
    let named_host = !spec.hostname.is_empty() && spec.subdomain == *service.meta.name;
    Ok(Some(Endpoint {
        hostname: named_host.then(|| spec.hostname.clone()),
        serving: status.conditions.iter().flatten().any(|c| c.kind == "Ready" && c.status == "True"),
        terminating: pod.meta.is_deleting(),
        target: json!({"kind": "Pod", "namespace": pod.meta.namespace, "name": pod.meta.name, "uid": pod.meta.uid}),
        ports: view.spec.ports.iter().filter_map(|port| resolve(port, &spec)).collect(),
        address: status.pod_ip,
        node: spec.node_name,
    }))
}

/// Where a service port leads in a pod; `None` when the pod names no such port.
fn resolve(port: &ServicePort, pod: &PodSpec) -> Option<Port> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let number = match &port.target_port {
        Some(Value::String(name)) if name.parse::<i64>().is_err() => {
            let sidecars = pod.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let mut ports = pod.containers.iter().chain(sidecars).flat_map(|c| &c.ports);
            let found =
                ports.find(|p| p.name.as_deref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol);
            found?.container_port
        }
        Some(Value::String(number)) => number.parse().ok()?,
        Some(number) => number.as_i64().filter(|n| *n > 0).unwrap_or(port.port),
        None => port.port,
    };
    Some(Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol.into(),
        port: number,
        app_protocol: port.app_protocol.clone(),
    })
}

/// The selectors of all services, so that a pod's change finds its services without decoding any.
#[derive(Default)]
pub(crate) struct Selectors(Mutex<HashMap<Box<str>, AtVersion>>);

/// A service's selector as of one of its versions.
type AtVersion = (u64, Option<LabelSelector>);

impl Selectors {
    /// Adds the services that select the pod now or did before the change.
    pub(crate) fn services_of(&self, services: &Cache, change: &Change, keys: &mut Keys<'_>) {
        let pod = &change.object;
        let before = change.previous.as_ref().map(|p| &p.meta.labels).filter(|labels| **labels != pod.meta.labels);
        for service in services.list(&pod.meta.namespace) {
            if self.matches(&service, &pod.meta.labels) || before.is_some_and(|labels| self.matches(&service, labels)) {
                keys.object(&service);
            }
        }
    }

    /// Forgets a service that is gone.
    pub(crate) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }

    fn matches(&self, service: &Arc<Object>, labels: &Labels) -> bool {
        let key = service.meta.key();
        let mut all = self.0.lock();
        let known = all.get(key.as_str()).filter(|(version, _)| *version == service.meta.resource_version);
        if known.is_none() {
            let selector = service.view::<ServiceView>().ok().and_then(|view| view.selector());
            all.insert(key.clone().into(), (service.meta.resource_version, selector));
        }
        all.get(key.as_str()).and_then(|(_, selector)| selector.as_ref()).is_some_and(|s| s.matches(labels))
    }
}
