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
    /// How little may be left of the machine.
    pub limits: Limits,
    /// How often things happen without a cause.
    pub timing: Timing,
}

/// An amount that must be left: as it is, or as a share of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, or a count.
    Absolute(u64),
    /// Percent.
    Percent(u64),
}

impl Amount {
    /// The amount of a whole.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Absolute(amount) => amount,
            Self::Percent(percent) => (u128::from(whole) * u128::from(percent) / 100) as u64,
        }
    }
}

/// When the node is under pressure, when images are collected and logs rotated; the default is upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `memory.available`: with less, the node has memory pressure.
    pub memory_available: Amount,
    /// `nodefs.available`: with less, the node has disk pressure.
    pub disk_available: Amount,
    /// `nodefs.inodesFree`: with less, the node has disk pressure.
    pub inodes_free: Amount,
    /// Percent of the disk in use at which unused images go; 100 collects none.
    pub image_gc_high: u64,
    /// Percent of the disk in use at which that ends.
    pub image_gc_low: u64,
    /// Bytes of a container's log at which a new file is begun.
    pub log_size: u64,
    /// How many files of a container's log are kept, the one being written included.
    pub log_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_available: Amount::Absolute(100 << 20),
            disk_available: Amount::Percent(10),
            inodes_free: Amount::Percent(5),
            image_gc_high: 85,
            image_gc_low: 80,
            log_size: 10 << 20,
            log_files: 5,
        }
    }
}

impl Limits {
    /// Takes over thresholds in the form of upstream's `--eviction-hard`: `memory.available<100Mi,nodefs.available<10%`.
    /// The error names the part that is wrong.
    pub fn eviction_hard(mut self, text: &str) -> Result<Self, String> {
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let wrong = || format!("{part:?} is no threshold such as memory.available<100Mi or nodefs.available<10%");
            let (signal, amount) = part.trim().split_once('<').ok_or_else(wrong)?;
            let amount = match amount.strip_suffix('%') {
                Some(percent) => Amount::Percent(percent.parse().ok().filter(|n| *n <= 100).ok_or_else(wrong)?),
                None => {
                    let amount = api::quantity::Quantity::parse(amount).map_err(|_| wrong())?;
                    Amount::Absolute(u64::try_from(amount.value()).map_err(|_| wrong())?)
                }
            };
            match signal {
                "memory.available" => self.memory_available = amount,
                // One disk holds both here.
                "nodefs.available" | "imagefs.available" => self.disk_available = amount,
                "nodefs.inodesFree" | "imagefs.inodesFree" => self.inodes_free = amount,
                _ => {
                    return Err(format!(
                        "{signal:?} is no signal: memory.available, nodefs.available, nodefs.inodesFree"
                    ));
                }
            }
        }
        Ok(self)
    }
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
