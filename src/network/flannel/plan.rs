//! Nodes in, kernel state out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde_json::json;

use super::node::{BACKEND_DATA, BACKEND_TYPE, NodeView, PUBLIC_IP, SUBNET_MANAGER};
use super::underlay::Underlay;
use crate::cidr::Ipv4Cidr;
use crate::cni::{hashed_mac, mac_text};
use crate::config::{Backend, Config};
use crate::netlink::route::{Entry, Mac, Vxlan};

/// The tunnel's device.
pub(crate) const DEVICE: &str = "flannel.1";
const VNI: u32 = 1;
const PORT: u16 = 8472;
/// Outer Ethernet, IPv4, UDP and VXLAN headers.
const VXLAN_OVERHEAD: u32 = 50;

/// The tunnel's device as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) mac: Mac,
    pub(super) mtu: u32,
    pub(super) address: Ipv4Addr,
    pub(super) vxlan: Vxlan,
}

/// A route to another node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerRoute {
    pub(super) subnet: Ipv4Cidr,
    pub(super) gateway: Ipv4Addr,
}

/// All kernel state of the pod network, and the word about it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Through this, if there is one; else through `device`.
    pub(super) tunnel: Option<Tunnel>,
    pub(super) device: u32,
    pub(super) routes: BTreeSet<PeerRoute>,
    pub(super) neighbours: BTreeSet<Entry>,
    pub(super) forwarding: BTreeSet<Entry>,
    pub(super) pod_mtu: u32,
    pub(super) annotations: BTreeMap<&'static str, String>,
}

impl Plan {
    /// Nothing is there.
    pub(super) fn none() -> Self {
        Self {
            tunnel: None,
            device: 0,
            routes: BTreeSet::new(),
            neighbours: BTreeSet::new(),
            forwarding: BTreeSet::new(),
            pod_mtu: 0,
            annotations: BTreeMap::new(),
        }
    }
}

/// See the module's text. `subnet` is this node's pod CIDR. Peers are the nodes that speak our backend and have said
/// what we need to know; the others come with a later event.
pub(super) fn plan(config: &Config, underlay: &Underlay, subnet: Ipv4Cidr, nodes: &[NodeView]) -> Plan {
    let mut plan = Plan { device: underlay.index, pod_mtu: underlay.mtu, ..Plan::none() };
    let mut data = "null".to_owned();
    if config.backend == Backend::Vxlan {
        // Always the same for this node, so that peers' entries stay right over a reboot.
        let mac = hashed_mac(&format!("{}/{}", config.node_name, underlay.address.address));
        let mtu = underlay.mtu.saturating_sub(VXLAN_OVERHEAD).max(68);
        let vxlan =
            Vxlan { vni: VNI, device: underlay.index, local: underlay.address.address, port: PORT, learning: false };
        plan.tunnel = Some(Tunnel { mac, mtu, address: subnet.nth(0), vxlan });
        plan.pod_mtu = mtu;
        data = json!({ "VNI": VNI, "VtepMAC": mac_text(mac) }).to_string();
    }
    for node in nodes.iter().filter(|node| node.metadata.name != config.node_name) {
        plan.add_peer(config, underlay, subnet, node);
    }
    plan.annotations = BTreeMap::from([
        (BACKEND_TYPE, config.backend.as_str().to_owned()),
        (BACKEND_DATA, data),
        (PUBLIC_IP, underlay.address.address.to_string()),
        (SUBNET_MANAGER, "true".to_owned()),
    ]);
    plan
}

impl Plan {
    fn add_peer(&mut self, config: &Config, underlay: &Underlay, own: Ipv4Cidr, node: &NodeView) {
        let name = &node.metadata.name;
        if node.backend() != Some(config.backend.as_str()) {
            return;
        }
        let (Some(subnet), Some(public)) = (node.pod_cidr(), node.public_ip()) else { return };
        if !config.cluster_cidr.covers(&subnet) || subnet.covers(&own) {
            tracing::warn!(node = name, %subnet, "pod CIDR outside the cluster CIDR or our own: no route to that node's pods");
            return;
        }
        if self.tunnel.is_some() {
            let Some(mac) = node.vtep_mac() else { return };
            let gateway = subnet.nth(0);
            self.routes.insert(PeerRoute { subnet, gateway });
            self.neighbours.insert(Entry { address: gateway, mac });
            self.forwarding.insert(Entry { address: public, mac });
        } else if underlay.address.contains(public) {
            self.routes.insert(PeerRoute { subnet, gateway: public });
        } else {
            tracing::warn!(node = name, address = %public, "not on our segment: host-gw cannot reach that node's pods");
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tunnel) = &self.tunnel {
            let Vxlan { vni, device, local, port, .. } = tunnel.vxlan;
            let mac = mac_text(tunnel.mac);
            writeln!(f, "{DEVICE} id {vni} local {local} dev {device} dstport {port} mtu {} {mac}", tunnel.mtu)?;
            writeln!(f, "address {}/32", tunnel.address)?;
        }
        for route in &self.routes {
            writeln!(f, "route {} via {}", route.subnet, route.gateway)?;
        }
        for entry in &self.neighbours {
            writeln!(f, "neigh {} lladdr {}", entry.address, mac_text(entry.mac))?;
        }
        for entry in &self.forwarding {
            writeln!(f, "fdb {} dst {}", mac_text(entry.mac), entry.address)?;
        }
        writeln!(f, "pod mtu {}", self.pod_mtu)
    }
}
