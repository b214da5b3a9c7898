//! What the node's network needs to know.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cidr::Ipv4Cidr;
use crate::error::Error;

/// How pods reach pods on other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Through a tunnel, over any network: `flannel.1`.
    #[default]
    Vxlan,
    /// Through routes via the nodes' own addresses: all nodes on one layer-2 segment.
    HostGw,
    /// Not at all: another network plugin does it.
    None,
}

impl Backend {
    /// The name users and annotations have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::HostGw => "host-gw",
            Self::None => "none",
        }
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let all = [Self::Vxlan, Self::HostGw, Self::None];
        let found = all.into_iter().find(|backend| backend.as_str() == text);
        found.ok_or_else(|| Error::Invalid(format!("{text:?} is not a flannel backend: vxlan, host-gw or none")))
    }
}

/// The node's network configuration. IPv4 only for now.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node's Node object.
    pub node_name: String,
    /// The node's address, if the user chose one.
    pub node_ip: Option<Ipv4Addr>,
    /// The interface pod traffic leaves through, if the user chose one (`--flannel-iface`).
    pub interface: Option<String>,
    /// All pods' addresses.
    pub cluster_cidr: Ipv4Cidr,
    /// All services' addresses.
    pub service_cidr: Ipv4Cidr,
    /// How pods reach pods on other nodes.
    pub backend: Backend,
    /// Whether pod traffic that leaves the cluster CIDR takes on the node's address.
    pub masquerade: bool,
    /// Where the plugin finds its subnet: see [`Config::new`].
    pub subnet_env: PathBuf,
    /// The bridge the node's pods are ports of.
    pub bridge: String,
    /// The CNI network's name.
    pub cni_network: String,
    /// Where the container runtime looks for network configurations.
    pub cni_conf_dir: PathBuf,
    /// Where the container runtime looks for plugins.
    pub cni_bin_dir: PathBuf,
    /// Where the addresses of this node's pods are recorded.
    pub cni_state_dir: PathBuf,
    /// The address cluster DNS answers on, served by the node itself.
    pub cluster_dns: Option<Ipv4Addr>,
}

/// Flannel's own place, which users look at.
const SUBNET_ENV: &str = "/run/flannel/subnet.env";

impl Config {
    /// The defaults for a node. With `data_dir`, everything lies below it: several clusters on one machine live in
    /// different network namespaces but share `/run`. Without, everything is where flannel and containerd have it.
    pub fn new(node_name: &str, data_dir: Option<&Path>) -> Self {
        let at = |below: &str, otherwise: &str| data_dir.map_or_else(|| otherwise.into(), |dir| dir.join(below));
        Self {
            node_name: node_name.into(),
            node_ip: None,
            interface: None,
            cluster_cidr: Ipv4Cidr::new(Ipv4Addr::new(10, 42, 0, 0), 16),
            service_cidr: Ipv4Cidr::new(Ipv4Addr::new(10, 43, 0, 0), 16),
            backend: Backend::default(),
            masquerade: true,
            subnet_env: at("flannel/subnet.env", SUBNET_ENV),
            bridge: "cni0".into(),
            cni_network: "cbr0".into(),
            cni_conf_dir: at("cni/net.d", "/etc/cni/net.d"),
            cni_bin_dir: at("cni/bin", "/opt/cni/bin"),
            cni_state_dir: at("cni/networks", "/var/lib/cni/networks"),
            cluster_dns: None,
        }
    }
}
