//! What the controllers are told about the cluster.

use std::time::Duration;

/// Settings of the control loops; the defaults are upstream's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Controllers not to run, by name.
    pub disabled: Vec<String>,
    /// The networks pods get addresses from (one of each family at most), in CIDR form. None: nodes get no pod network.
    pub cluster_cidrs: Vec<String>,
    /// The prefix length of a node's share of the IPv4 network.
    pub node_cidr_mask_v4: u8,
    /// The prefix length of a node's share of the IPv6 network.
    pub node_cidr_mask_v6: u8,
    /// How long a node may be silent before it counts as unknown.
    pub node_monitor_grace: Duration,
    /// How many terminated pods are kept before the oldest are deleted; 0 keeps all.
    pub terminated_pod_threshold: usize,
    /// The certificates pods trust the API server by, PEM: content of every `kube-root-ca.crt`. Empty: nothing is published.
    pub root_ca_pem: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disabled: Vec::new(),
            cluster_cidrs: Vec::new(),
            node_cidr_mask_v4: 24,
            node_cidr_mask_v6: 64,
            node_monitor_grace: Duration::from_secs(40),
            terminated_pod_threshold: 12_500,
            root_ca_pem: String::new(),
        }
    }
}
