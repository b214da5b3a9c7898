//! What servers and workers have in common: the flags of a node.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::config_file;

/// What servers and workers have in common.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct NodeArgs {
    /// Configuration file; files in the directory of its name plus ".d" are read after it
    #[arg(long, short = 'c', env = "ISOPOD_CONFIG_FILE", default_value = config_file::DEFAULT, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Where all state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// More log lines: -v for decisions, -vv for everything (RUST_LOG overrides)
    #[arg(long, short = 'v', action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Name of this node [default: the host name]
    #[arg(long, env = "ISOPOD_NODE_NAME", value_name = "NAME", help_heading = "Node")]
    pub(crate) node_name: Option<String>,
    /// Append a random id, kept in the data directory, to the node's name
    #[arg(long, env = "ISOPOD_WITH_NODE_ID", help_heading = "Node")]
    pub(crate) with_node_id: bool,
    /// Address of this node [default: that of the default route's interface]
    #[arg(long, short = 'i', env = "ISOPOD_NODE_IP", value_name = "IP", help_heading = "Node")]
    pub(crate) node_ip: Option<IpAddr>,
    /// External address to show for this node
    #[arg(long, env = "ISOPOD_NODE_EXTERNAL_IP", value_name = "IP", help_heading = "Node")]
    pub(crate) node_external_ip: Option<IpAddr>,
    /// Label to register the node with, key=value
    #[arg(long, env = "ISOPOD_NODE_LABEL", value_name = "LABEL", value_delimiter = ',', help_heading = "Node")]
    pub(crate) node_label: Vec<String>,
    /// Taint to register the node with, key=value:effect
    #[arg(long, env = "ISOPOD_NODE_TAINT", value_name = "TAINT", value_delimiter = ',', help_heading = "Node")]
    pub(crate) node_taint: Vec<String>,
    /// Socket of a container runtime to use instead of a containerd of our own
    #[arg(long, env = "ISOPOD_CONTAINER_RUNTIME_ENDPOINT", value_name = "SOCKET", help_heading = "Node")]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// containerd snapshotter: overlayfs or native [default: overlayfs where the file system can, else native]
    #[arg(long, env = "ISOPOD_SNAPSHOTTER", value_name = "NAME", help_heading = "Node")]
    pub(crate) snapshotter: Option<String>,
    /// Image that holds a pod's namespaces together [default: one inside this program, which is never pulled]
    #[arg(long, env = "ISOPOD_PAUSE_IMAGE", value_name = "IMAGE", help_heading = "Node")]
    pub(crate) pause_image: Option<String>,
    /// Which registries images are pulled from: mirrors, credentials and certificates, in the form of k3s' registries.yaml
    #[arg(long, env = "ISOPOD_PRIVATE_REGISTRY", default_value = crate::registries::DEFAULT, value_name = "FILE", help_heading = "Node")]
    pub(crate) private_registry: PathBuf,
    /// resolv.conf that pods and cluster DNS forward to
    #[arg(long, env = "ISOPOD_RESOLV_CONF", value_name = "FILE", help_heading = "Node")]
    pub(crate) resolv_conf: Option<PathBuf>,
    /// Folder of static pod manifests [default: <data-dir>/agent/pod-manifests]
    #[arg(long, env = "ISOPOD_POD_MANIFEST_PATH", value_name = "DIR", help_heading = "Node")]
    pub(crate) pod_manifest_path: Option<PathBuf>,
    /// Most pods on this node
    #[arg(long, env = "ISOPOD_MAX_PODS", default_value_t = 110, value_name = "N", help_heading = "Node")]
    pub(crate) max_pods: u32,
    /// When the node is under pressure [default: memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%]
    #[arg(long, env = "ISOPOD_EVICTION_HARD", value_name = "THRESHOLDS", help_heading = "Node")]
    pub(crate) eviction_hard: Option<String>,
    /// Percent of the disk in use at which images without containers are removed; 100 keeps them
    #[arg(
        long,
        env = "ISOPOD_IMAGE_GC_HIGH_THRESHOLD",
        default_value_t = 85,
        value_name = "PERCENT",
        help_heading = "Node"
    )]
    pub(crate) image_gc_high_threshold: u64,
    /// Interface for traffic between pods of different nodes [default: the one with the node's address]
    #[arg(long, env = "ISOPOD_FLANNEL_IFACE", value_name = "NAME", help_heading = "Node")]
    pub(crate) flannel_iface: Option<String>,
    /// Argument for the kubelet, key=value; an unknown one is refused with those there are
    #[arg(long, env = "ISOPOD_KUBELET_ARG", value_name = "ARG", value_delimiter = ';', help_heading = "Node")]
    pub(crate) kubelet_arg: Vec<String>,
    /// Argument for the service proxy, key=value
    #[arg(long, env = "ISOPOD_KUBE_PROXY_ARG", value_name = "ARG", value_delimiter = ';', help_heading = "Node")]
    pub(crate) kube_proxy_arg: Vec<String>,
}

impl NodeArgs {
    /// The flags of a node of which only the data directory matters.
    pub(crate) fn for_teardown(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.into(), ..Self::default() }
    }
}
