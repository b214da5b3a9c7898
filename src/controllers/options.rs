//! What the controllers are told about the cluster.

use std::sync::Arc;
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
    /// How many addresses of a subset of endpoints are mirrored to slices.
    pub mirroring_max_endpoints_per_subset: usize,
    /// The certificates pods trust the API server by, PEM: content of every `kube-root-ca.crt`. Empty: nothing is published.
    pub root_ca_pem: String,
    /// Signs approved certificate requests; without it nobody does.
    pub signer: Option<Signer>,
    /// The longest life of a certificate that is signed.
    pub signing_duration: Duration,
    /// Signs the tokens kept in Secrets; without it they stay empty.
    pub secret_tokens: Option<SecretTokens>,
}

/// Signs a certificate request (PEM), for these usages and this long; the certificate, PEM.
#[derive(Clone)]
pub struct Signer(pub Arc<SignRequest>);

/// What a [`Signer`] does. Errors are for people.
pub type SignRequest = dyn Fn(&str, &[String], Duration) -> Result<String, String> + Send + Sync;

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Makes a token that never expires for a service account: namespace, name, uid, and the Secret that is to hold it.
#[derive(Clone)]
pub struct SecretTokens(pub Arc<MakeToken>);

/// What [`SecretTokens`] do. Errors are for people.
pub type MakeToken = dyn Fn(&str, &str, &str, &str) -> Result<String, String> + Send + Sync;

impl std::fmt::Debug for SecretTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretTokens")
    }
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
            mirroring_max_endpoints_per_subset: 1000,
            root_ca_pem: String::new(),
            signer: None,
            signing_duration: Duration::from_secs(365 * 86_400),
            secret_tokens: None,
        }
    }
}
