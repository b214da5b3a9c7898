//! What flannel reads of a Node.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::cidr::Ipv4Cidr;
use crate::netlink::route::Mac;

/// Prefix of flannel's annotations.
pub(super) const BACKEND_TYPE: &str = "flannel.alpha.coreos.com/backend-type";
pub(super) const BACKEND_DATA: &str = "flannel.alpha.coreos.com/backend-data";
pub(super) const PUBLIC_IP: &str = "flannel.alpha.coreos.com/public-ip";
pub(super) const SUBNET_MANAGER: &str = "flannel.alpha.coreos.com/kube-subnet-manager";

/// Now, as conditions have it.
pub(super) fn now() -> String {
    api::time::format(jiff::Timestamp::now())
}

/// A Node, as far as flannel is concerned.
#[derive(Debug, Deserialize)]
pub(super) struct NodeView {
    pub(super) metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: NodeStatus,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "podCIDR")]
    pod_cidr: String,
    #[serde(default, rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct NodeStatus {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Deserialize)]
struct BackendData {
    #[serde(rename = "VtepMAC")]
    vtep_mac: String,
}

impl NodeView {
    /// The node's IPv4 pod CIDR.
    pub(super) fn pod_cidr(&self) -> Option<Ipv4Cidr> {
        let all = self.spec.pod_cidrs.iter().chain([&self.spec.pod_cidr]);
        all.filter_map(|text| text.parse::<Ipv4Cidr>().ok()).next().map(|cidr| cidr.network())
    }

    /// Whether somebody has said that the node's network is there.
    pub(super) fn network_available(&self) -> bool {
        self.status.conditions.iter().any(|c| c.kind == "NetworkUnavailable" && c.status == "False")
    }

    /// The backend the node speaks.
    pub(super) fn backend(&self) -> Option<&str> {
        self.metadata.annotations.get(BACKEND_TYPE).map(String::as_str)
    }

    /// The address other nodes reach it at.
    pub(super) fn public_ip(&self) -> Option<Ipv4Addr> {
        self.metadata.annotations.get(PUBLIC_IP)?.parse().ok()
    }

    /// The hardware address of its end of the tunnel.
    pub(super) fn vtep_mac(&self) -> Option<Mac> {
        let data: BackendData = serde_json::from_str(self.metadata.annotations.get(BACKEND_DATA)?).ok()?;
        let mut mac = [0; 6];
        let mut parts = data.vtep_mac.split(':');
        for byte in &mut mac {
            *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(mac)
    }
}
