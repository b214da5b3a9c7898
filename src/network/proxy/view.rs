//! What the proxy reads of Services and EndpointSlices.

use std::net::Ipv4Addr;

use serde::Deserialize;

/// Services with this label are served by somebody else; cluster DNS is one.
pub(super) const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Services with this label have no virtual address whatever their clusterIP says.
pub(super) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// On an EndpointSlice: the service it belongs to.
pub(super) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// `sessionAffinityConfig.clientIP.timeoutSeconds` where it is not given.
const AFFINITY_SECONDS: u32 = 10_800;

/// A Service.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ServiceView {
    #[serde(default)]
    pub(super) spec: ServiceSpec,
    #[serde(default)]
    status: ServiceStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    pub(super) ports: Vec<ServicePort>,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    session_affinity: String,
    session_affinity_config: Option<AffinityConfig>,
    external_traffic_policy: String,
    internal_traffic_policy: String,
    pub(super) load_balancer_source_ranges: Vec<String>,
    pub(super) health_check_node_port: u16,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    pub(super) name: String,
    protocol: String,
    pub(super) port: u16,
    pub(super) node_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AffinityConfig {
    #[serde(default, rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientIp {
    timeout_seconds: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ingress {
    ip: String,
    ip_mode: Option<String>,
}

impl ServiceView {
    /// The virtual address, if this is a service that has an IPv4 one.
    pub(super) fn cluster_ip(&self) -> Option<Ipv4Addr> {
        if self.spec.kind == "ExternalName" {
            return None;
        }
        let all = self.spec.cluster_ips.iter().chain([&self.spec.cluster_ip]);
        all.filter_map(|text| text.parse().ok()).next()
    }

    /// `externalIPs`.
    pub(super) fn external_ips(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.spec.external_ips.iter().filter_map(|text| text.parse().ok())
    }

    /// The load balancer's addresses whose packets arrive with that address as their destination.
    pub(super) fn load_balancer_ips(&self) -> impl Iterator<Item = Ipv4Addr> {
        let balanced = self.spec.kind == "LoadBalancer";
        let ingress = self.status.load_balancer.ingress.iter().filter(move |_| balanced);
        ingress.filter(|entry| entry.ip_mode.as_deref() != Some("Proxy")).filter_map(|entry| entry.ip.parse().ok())
    }

    /// How long a client stays with its endpoint, if it does.
    pub(super) fn affinity_seconds(&self) -> Option<u32> {
        if self.spec.session_affinity != "ClientIP" {
            return None;
        }
        let config = self.spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        Some(config.and_then(|client| client.timeout_seconds).unwrap_or(AFFINITY_SECONDS).max(1))
    }

    /// `externalTrafficPolicy: Local`.
    pub(super) fn external_local(&self) -> bool {
        self.spec.external_traffic_policy == "Local"
    }

    /// `internalTrafficPolicy: Local`.
    pub(super) fn internal_local(&self) -> bool {
        self.spec.internal_traffic_policy == "Local"
    }
}

impl ServicePort {
    /// The protocol's number; `None` for one that cannot be proxied.
    pub(super) fn protocol(&self) -> Option<u8> {
        protocol_number(&self.protocol)
    }
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SliceView {
    #[serde(default)]
    pub(super) address_type: String,
    #[serde(default)]
    pub(super) ports: Option<Vec<SlicePort>>,
    #[serde(default)]
    pub(super) endpoints: Option<Vec<SliceEndpoint>>,
}

/// One port of an EndpointSlice.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SlicePort {
    pub(super) name: Option<String>,
    protocol: Option<String>,
    pub(super) port: Option<u16>,
}

impl SlicePort {
    /// The protocol's number.
    pub(super) fn protocol(&self) -> Option<u8> {
        protocol_number(self.protocol.as_deref().unwrap_or_default())
    }
}

/// One endpoint of an EndpointSlice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SliceEndpoint {
    pub(super) addresses: Vec<String>,
    pub(super) conditions: Conditions,
    pub(super) node_name: Option<String>,
    pub(super) hints: Option<Hints>,
}

/// Absent conditions mean the best: ready, serving, not terminating.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

/// Where an endpoint should be used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hints {
    pub(super) for_zones: Vec<HintName>,
    pub(super) for_nodes: Vec<HintName>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct HintName {
    pub(super) name: String,
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "" | "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}
