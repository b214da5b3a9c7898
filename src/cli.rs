//! The command line: what can be said, in the words of k3s and kubeadm.
//!
//! Every flag of `server` and `agent` can also stand in a configuration file and in the environment; the command line wins
//! over the environment, and that over the files.

pub(crate) mod config_file;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A whole Kubernetes cluster in one binary.
#[derive(Parser, Debug)]
#[command(name = "isopod", version = crate::version::LONG, about, long_about = None, args_override_self = true)]
#[command(after_help = "First steps:
  isopod server                                          a cluster of one, in the foreground
  kubectl --kubeconfig /etc/isopod/isopod.yaml get nodes
  cat /var/lib/isopod/server/token                       what a worker needs to join
  isopod agent --server https://SERVER:6443 --token ...  a worker, on another machine")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a server: API server, scheduler, controllers, store, and this machine as a node
    Server(Box<ServerArgs>),
    /// Run a worker: join this machine to a server's cluster
    Agent(Box<AgentArgs>),
    /// Look at and bring in container images on this node
    Images(ImagesArgs),
    /// Make, list and remove the tokens that workers join with
    Token(TokenArgs),
    /// Stop what an isopod left on this machine and take it apart: containers, mounts, network, data
    Reset(ResetArgs),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What servers and workers have in common.
#[derive(Args, Debug, Clone)]
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
}

impl NodeArgs {
    /// The flags of a node of which only the data directory matters.
    pub(crate) fn for_teardown(data_dir: &std::path::Path) -> Self {
        Self {
            config: config_file::DEFAULT.into(),
            data_dir: data_dir.into(),
            verbose: 0,
            node_name: None,
            with_node_id: false,
            node_ip: None,
            node_external_ip: None,
            node_label: Vec::new(),
            node_taint: Vec::new(),
            container_runtime_endpoint: None,
            snapshotter: None,
            resolv_conf: None,
            pod_manifest_path: None,
            max_pods: 0,
            eviction_hard: None,
            image_gc_high_threshold: 85,
            flannel_iface: None,
        }
    }
}

/// `isopod server`.
#[derive(Args, Debug, Clone)]
pub(crate) struct ServerArgs {
    /// The node this server is, too.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Address to listen on
    #[arg(long, env = "ISOPOD_BIND_ADDRESS", default_value = "0.0.0.0", value_name = "IP", help_heading = "Listener")]
    pub(crate) bind_address: IpAddr,
    /// Port of the API
    #[arg(
        long,
        env = "ISOPOD_HTTPS_LISTEN_PORT",
        default_value_t = 6443,
        value_name = "PORT",
        help_heading = "Listener"
    )]
    pub(crate) https_listen_port: u16,
    /// Address that nodes and pods reach the API at [default: the node's address]
    #[arg(long, env = "ISOPOD_ADVERTISE_ADDRESS", value_name = "IP", help_heading = "Listener")]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Further name or address for the API's certificate
    #[arg(long, env = "ISOPOD_TLS_SAN", value_name = "NAME", value_delimiter = ',', help_heading = "Listener")]
    pub(crate) tls_san: Vec<String>,
    /// Addresses of pods
    #[arg(
        long,
        env = "ISOPOD_CLUSTER_CIDR",
        default_value = "10.42.0.0/16",
        value_name = "CIDR",
        help_heading = "Networking"
    )]
    pub(crate) cluster_cidr: String,
    /// Addresses of services
    #[arg(
        long,
        env = "ISOPOD_SERVICE_CIDR",
        default_value = "10.43.0.0/16",
        value_name = "CIDR",
        help_heading = "Networking"
    )]
    pub(crate) service_cidr: String,
    /// Ports for NodePort services
    #[arg(
        long,
        env = "ISOPOD_SERVICE_NODE_PORT_RANGE",
        default_value = "30000-32767",
        value_name = "FROM-TO",
        help_heading = "Networking"
    )]
    pub(crate) service_node_port_range: String,
    /// Address of cluster DNS [default: the tenth address of the service CIDR]
    #[arg(long, env = "ISOPOD_CLUSTER_DNS", value_name = "IP", help_heading = "Networking")]
    pub(crate) cluster_dns: Option<IpAddr>,
    /// Domain of the cluster
    #[arg(
        long,
        env = "ISOPOD_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "NAME",
        help_heading = "Networking"
    )]
    pub(crate) cluster_domain: String,
    /// How pods of different nodes reach each other
    #[arg(
        long,
        env = "ISOPOD_FLANNEL_BACKEND",
        default_value = "vxlan",
        value_name = "BACKEND",
        help_heading = "Networking"
    )]
    pub(crate) flannel_backend: FlannelBackend,
    /// Secret that workers join with [default: a random one, kept in <data-dir>/server/token]
    #[arg(
        long,
        short = 't',
        env = "ISOPOD_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Cluster"
    )]
    pub(crate) token: Option<String>,
    /// File that holds the token
    #[arg(long, env = "ISOPOD_TOKEN_FILE", value_name = "FILE", conflicts_with = "token", help_heading = "Cluster")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where to write the administrator's kubeconfig [default: /etc/isopod/isopod.yaml, or below a --data-dir of your own]
    #[arg(long, short = 'o', env = "ISOPOD_WRITE_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// Mode of the kubeconfig, in octal
    #[arg(long, env = "ISOPOD_WRITE_KUBECONFIG_MODE", default_value = "600", value_name = "MODE", value_parser = parse_mode, help_heading = "Cluster")]
    pub(crate) write_kubeconfig_mode: u32,
    /// Keep all of the cluster's state in memory: for tests and CI
    #[arg(long, env = "ISOPOD_EPHEMERAL", help_heading = "Cluster")]
    pub(crate) ephemeral: bool,
    /// Packaged components to leave out: coredns (cluster DNS)
    #[arg(long, env = "ISOPOD_DISABLE", value_name = "NAME", value_delimiter = ',', help_heading = "Components")]
    pub(crate) disable: Vec<String>,
    /// Do not run the scheduler
    #[arg(long, env = "ISOPOD_DISABLE_SCHEDULER", help_heading = "Components")]
    pub(crate) disable_scheduler: bool,
    /// Do not run the controllers
    #[arg(long, env = "ISOPOD_DISABLE_CONTROLLER_MANAGER", help_heading = "Components")]
    pub(crate) disable_controller_manager: bool,
    /// Do not run the service proxy on any node
    #[arg(long, env = "ISOPOD_DISABLE_KUBE_PROXY", help_heading = "Components")]
    pub(crate) disable_kube_proxy: bool,
    /// Do not make this machine a node
    #[arg(long, env = "ISOPOD_DISABLE_AGENT", help_heading = "Components")]
    pub(crate) disable_agent: bool,
}

/// `isopod agent`.
#[derive(Args, Debug, Clone)]
pub(crate) struct AgentArgs {
    /// The node.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// URL of the server to join, https://HOST:6443
    #[arg(long, short = 's', env = "ISOPOD_URL", value_name = "URL", help_heading = "Cluster")]
    pub(crate) server: Option<String>,
    /// Token to join with: the content of the server's <data-dir>/server/token
    #[arg(
        long,
        short = 't',
        env = "ISOPOD_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Cluster"
    )]
    pub(crate) token: Option<String>,
    /// File that holds the token
    #[arg(long, env = "ISOPOD_TOKEN_FILE", value_name = "FILE", conflicts_with = "token", help_heading = "Cluster")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The flannel backends.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlannelBackend {
    /// An overlay: works wherever nodes reach each other by UDP.
    Vxlan,
    /// Plain routes: for nodes on one layer-2 segment.
    HostGw,
    /// Nothing: another CNI plugin does it.
    None,
}

/// `isopod images`.
#[derive(Args, Debug)]
pub(crate) struct ImagesArgs {
    /// Where the node's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Socket of the container runtime [default: that of the node's own containerd]
    #[arg(long, env = "ISOPOD_CONTAINER_RUNTIME_ENDPOINT", value_name = "SOCKET", global = true)]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ImagesCommand,
}

/// `isopod images …`.
#[derive(Subcommand, Debug)]
pub(crate) enum ImagesCommand {
    /// Import OCI or docker archives (tar, tar.gz, tar.zst)
    Import {
        /// The archives
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the images on this node
    #[command(visible_alias = "ls")]
    List,
    /// Remove images
    Rm {
        /// Their names
        #[arg(required = true)]
        images: Vec<String>,
    },
}

/// `isopod token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// Where the server's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Kubeconfig to use [default: the one the server wrote]
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// `isopod token …`.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token that expires
    Create {
        /// How long it is good for: 30m, 24h, 7d; 0 for ever
        #[arg(long, default_value = "24h")]
        ttl: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Print the whole command a worker joins with
        #[arg(long)]
        print_join_command: bool,
    },
    /// Remove tokens, by id or whole
    Delete {
        /// The tokens
        #[arg(required = true)]
        tokens: Vec<String>,
    },
    /// Print a random token without making it valid
    Generate,
    /// List the tokens
    List,
}

/// `isopod reset`.
#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// Where the node's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Stop and unmount everything, but keep the data directory
    #[arg(long)]
    pub(crate) keep_data: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no file mode in octal"))
}
