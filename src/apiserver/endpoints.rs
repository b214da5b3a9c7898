//! Where a Service is served: the addresses of its ready endpoints, from the caches. The API server connects to endpoints
//! itself, because it may stand where no service proxy works.

use std::sync::Arc;

use api::Status;
use api::quote::quote;
use serde::Deserialize;
use watch_cache::Cache;

/// The Services and EndpointSlices of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEndpoints {
    pub(crate) services: Arc<Cache>,
    pub(crate) slices: Arc<Cache>,
}

/// A service's port, as callers name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PortRef<'a> {
    /// By its number.
    Number(u16),
    /// By its name or, in digits, its number; empty for the only one.
    Text(&'a str),
}

/// Why a service cannot be reached, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEndpoint {
    #[error("service {} not found", quote(.0))]
    NoService(String),
    #[error("no service port {port} found for service {}", quote(.service))]
    NoPort { service: String, port: String },
    /// `sliced` says whether there are EndpointSlices at all.
    #[error("no endpoints available for service {}", quote(.service))]
    NoneReady { service: String, port_name: String, sliced: bool },
    #[error("unsupported service type {}", quote(.0))]
    Unsupported(String),
    #[error("the service cannot be read")]
    Unreadable,
}

impl From<NoEndpoint> for Status {
    fn from(error: NoEndpoint) -> Self {
        match error {
            NoEndpoint::NoService(name) => Self::not_found("", "services", &name),
            NoEndpoint::NoPort { .. } | NoEndpoint::NoneReady { .. } => Self::unavailable(error.to_string()),
            NoEndpoint::Unsupported(_) | NoEndpoint::Unreadable => Self::internal(error),
        }
    }
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    ports: Vec<ServicePort>,
}

#[derive(Deserialize)]
struct ServicePort {
    #[serde(default)]
    name: String,
    port: u16,
}

#[derive(Deserialize)]
struct Slice {
    #[serde(default)]
    endpoints: Vec<SliceEndpoint>,
    #[serde(default)]
    ports: Option<Vec<SlicePort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SliceEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
    #[serde(default)]
    target_ref: Option<Target>,
}

/// What an endpoint stands for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
}

#[derive(Deserialize)]
struct PodIp {
    #[serde(default)]
    ip: String,
}

/// A ready endpoint of a service.
struct Found {
    address: String,
    port: u16,
    target: Option<Target>,
}

impl Found {
    fn authority(&self) -> String {
        authority(&self.address, self.port)
    }

    /// Whether a pod of the namespace has the address.
    fn is_pod(&self, namespace: &str, pods: &Cache) -> bool {
        let target = self.target.as_ref().filter(|target| target.namespace == namespace);
        let pod = target.and_then(|target| pods.get(namespace, &target.name)?.view::<Pod>().ok());
        pod.is_some_and(|pod| pod.status.pod_ips.iter().any(|pod| pod.ip == self.address))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct SlicePort {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

impl ServiceEndpoints {
    /// `host:port` of every ready endpoint behind a port of a service; at least one.
    pub(crate) fn addresses(&self, namespace: &str, name: &str, port: PortRef<'_>) -> Result<Vec<String>, NoEndpoint> {
        Ok(self.find(namespace, name, port)?.iter().map(Found::authority).collect())
    }

    /// Whether there is a service of the type that services have who do not say.
    pub(crate) fn is_cluster_ip(&self, namespace: &str, name: &str) -> bool {
        let service = self.services.get(namespace, name).and_then(|object| object.view::<Service>().ok());
        service.is_some_and(|service| service.spec.kind == "ClusterIP")
    }

    /// The ready endpoints behind a port of a service; at least one.
    fn find(&self, namespace: &str, name: &str, port: PortRef<'_>) -> Result<Vec<Found>, NoEndpoint> {
        let object = self.services.get(namespace, name).ok_or_else(|| NoEndpoint::NoService(name.to_owned()))?;
        let service: Service = object.view().map_err(|_| NoEndpoint::Unreadable)?;
        if service.spec.kind == "ExternalName" {
            return Err(NoEndpoint::Unsupported(service.spec.kind));
        }
        let port_name = find_port(name, &service.spec.ports, port)?;
        let (mut found, mut sliced) = (Vec::new(), false);
        for object in self.slices.list(namespace) {
            if object.meta.labels.get("kubernetes.io/service-name") != Some(name) {
                continue;
            }
            sliced = true;
            let slice: Slice = object.view().map_err(|_| NoEndpoint::Unreadable)?;
            let named = |p: &&SlicePort| p.name.as_deref().unwrap_or_default() == port_name;
            let Some(port) = slice.ports.iter().flatten().find(named).and_then(|p| p.port) else { continue };
            let ready = slice.endpoints.into_iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
            found.extend(ready.filter_map(|endpoint| {
                let address = endpoint.addresses.into_iter().next()?;
                Some(Found { address, port, target: endpoint.target_ref })
            }));
        }
        if found.is_empty() {
            let (service, port_name) = (name.to_owned(), port_name.to_owned());
            return Err(NoEndpoint::NoneReady { service, port_name, sliced });
        }
        Ok(found)
    }

    /// One of the ready endpoints, by chance.
    pub(crate) fn pick(&self, namespace: &str, name: &str, port: PortRef<'_>) -> Result<String, NoEndpoint> {
        let mut found = self.addresses(namespace, name, port)?;
        let at = rand::random_range(0..found.len());
        Ok(found.swap_remove(at))
    }

    /// One of the ready pods of the service's namespace behind the port, by chance. Endpoints that are no pods are left out: who
    /// writes them would choose where the API server connects to.
    pub(crate) fn pick_pod(
        &self,
        namespace: &str,
        name: &str,
        port: PortRef<'_>,
        pods: &Cache,
    ) -> Result<Option<String>, NoEndpoint> {
        let mut found = self.find(namespace, name, port)?;
        let first = rand::random_range(0..found.len());
        found.rotate_left(first);
        Ok(found.iter().find(|found| found.is_pod(namespace, pods)).map(Found::authority))
    }

    /// Changes whenever what [`Self::addresses`] says may have changed.
    pub(crate) fn generation(&self) -> (u64, u64) {
        (self.services.revision(), self.slices.revision())
    }
}

/// The name of a service's port.
fn find_port<'a>(service: &str, ports: &'a [ServicePort], wanted: PortRef<'a>) -> Result<&'a str, NoEndpoint> {
    let shown = match wanted {
        PortRef::Number(number) => number.to_string(),
        PortRef::Text(text) => text.to_owned(),
    };
    let found = match wanted {
        PortRef::Text("") => return Ok(if let [one] = ports { &one.name } else { "" }),
        PortRef::Text(text) => match text.parse::<i64>() {
            Ok(number) => ports.iter().find(|port| i64::from(port.port) == number),
            // Whether there is a port of that name, the endpoints say.
            Err(_) => return Ok(text),
        },
        PortRef::Number(number) => ports.iter().find(|port| port.port == number),
    };
    found.map(|port| &*port.name).ok_or_else(|| NoEndpoint::NoPort { service: service.to_owned(), port: shown })
}

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
