//! What a node agent is told before it starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Resource;
use rustls::server::ResolvesServerCert;
use rustls_pki_types::CertificateDer;
use watch_cache::Cache;

/// Gives the cache of the objects of a kind in a namespace (empty: all) that match a field selector (empty: all). The agent holds what it
/// needs and drops it when the last pod that needs it is gone; a dropped cache should stop being filled.
pub type SelectedCaches = Arc<dyn Fn(&Arc<Resource>, &str, &str) -> Arc<Cache> + Send + Sync>;

/// A taint the node registers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Everything that differs from one node agent to the next.
#[derive(Clone)]
pub struct Config {
    /// Name of the Node object.
    pub node_name: String,
    /// Addresses pods and peers reach this node by, primary first. At least one.
    pub node_ips: Vec<IpAddr>,
    /// Addresses from outside the cluster's network.
    pub external_ips: Vec<IpAddr>,
    /// Labels the node registers with, beside hostname, os and arch.
    pub labels: BTreeMap<String, String>,
    /// Taints the node registers with; later changes through the API stay.
    pub taints: Vec<Taint>,
    /// Whether to create the Node object, or to wait for somebody else to.
    pub register: bool,
    /// State below here: `pods/<uid>/…` in upstream's layout.
    pub root_dir: PathBuf,
    /// Container logs: `<namespace>_<name>_<uid>/<container>/<n>.log`.
    pub log_dir: PathBuf,
    /// Where the flat links to container logs go (`/var/log/containers`); None makes none.
    pub log_links: Option<PathBuf>,
    /// Folder of static pod manifests; None reads none.
    pub manifest_dir: Option<PathBuf>,
    /// Addresses of the cluster DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster, such as `cluster.local`.
    pub cluster_domain: String,
    /// The node's resolver configuration that pods inherit.
    pub resolv_conf: PathBuf,
    /// Where the HTTPS server listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where plain `/healthz` listens; None: nowhere.
    pub healthz: Option<SocketAddr>,
    /// The serving certificate; asked for on every connection, so a renewed one needs no restart.
    pub serving: Arc<dyn ResolvesServerCert>,
    /// Certificate authorities of client certificates.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Cgroup below which `kubepods` is made: `/` or `/name`.
    pub cgroup_root: String,
    /// At most so many pods.
    pub max_pods: u32,
    /// `spec.providerID`; empty for none.
    pub provider_id: String,
    /// `nodeInfo.kubeletVersion`, such as `v1.35.0`.
    pub version: String,
    /// Secrets, ConfigMaps and the like, each by name, as a node may watch them.
    pub caches: SelectedCaches,
    /// How many image pulls may run at once.
    pub max_parallel_pulls: usize,
    /// How often things happen without a cause.
    pub timing: Timing,
}

/// Periods; the default is upstream's.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often the node's status is computed.
    pub node_status: Duration,
    /// How often the node's status is written when nothing changed.
    pub node_report: Duration,
    /// How often the lease is renewed.
    pub lease: Duration,
    /// How often everything in the runtime is listed, whatever the hints said.
    pub relist: Duration,
    /// How often pods are looked at without a cause.
    pub resync: Duration,
    /// How long to wait after a failed attempt.
    pub retry: Duration,
    /// How often logs are looked at for rotation, and dead containers for removal.
    pub housekeeping: Duration,
    /// First and longest back-off of crashing containers and failing image pulls.
    pub backoff: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            node_status: seconds(10),
            node_report: seconds(300),
            lease: seconds(10),
            relist: seconds(60),
            resync: seconds(300),
            retry: seconds(10),
            housekeeping: seconds(30),
            backoff: (seconds(10), seconds(300)),
        }
    }
}

impl Config {
    /// `<root>/pods/<uid>`.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root_dir.join("pods").join(uid)
    }

    /// `<logs>/<namespace>_<name>_<uid>`.
    pub(crate) fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.log_dir.join(format!("{namespace}_{name}_{uid}"))
    }
}
