//! `isopod server`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NodeArgs;
use super::familiar::FamiliarArgs;

/// The flags of a server.
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
    /// Secret that workers alone join with, in place of the token
    #[arg(long, env = "ISOPOD_AGENT_TOKEN", value_name = "TOKEN", hide_env_values = true, help_heading = "Cluster")]
    pub(crate) agent_token: Option<String>,
    /// File that holds the workers' token
    #[arg(
        long,
        env = "ISOPOD_AGENT_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "agent_token",
        help_heading = "Cluster"
    )]
    pub(crate) agent_token_file: Option<PathBuf>,
    /// Where to write the administrator's kubeconfig [default: /etc/isopod/isopod.yaml, or below a --data-dir of your own]
    #[arg(long, short = 'o', env = "ISOPOD_WRITE_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// Mode of the kubeconfig, in octal
    #[arg(long, env = "ISOPOD_WRITE_KUBECONFIG_MODE", default_value = "600", value_name = "MODE", value_parser = parse_mode, help_heading = "Cluster")]
    pub(crate) write_kubeconfig_mode: u32,
    /// Group that the kubeconfig belongs to, with a mode such as 640
    #[arg(long, env = "ISOPOD_WRITE_KUBECONFIG_GROUP", value_name = "GROUP", help_heading = "Cluster")]
    pub(crate) write_kubeconfig_group: Option<String>,
    /// Keep all of the cluster's state in memory: for tests and CI
    #[arg(long, env = "ISOPOD_EPHEMERAL", help_heading = "Cluster")]
    pub(crate) ephemeral: bool,
    /// Encrypt Secrets at rest, with a key kept in <data-dir>/server/cred
    #[arg(long, env = "ISOPOD_SECRETS_ENCRYPTION", help_heading = "Cluster")]
    pub(crate) secrets_encryption: bool,
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
    /// Arguments for single components.
    #[command(flatten)]
    pub(crate) components: ComponentArgs,
    /// What scripts for k3s say.
    #[command(flatten)]
    pub(crate) familiar: FamiliarArgs,
}

/// Arguments passed on to the parts of the control plane.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct ComponentArgs {
    /// Argument for the API server, key=value; an unknown one is refused with those there are
    #[arg(
        long,
        env = "ISOPOD_KUBE_APISERVER_ARG",
        value_name = "ARG",
        value_delimiter = ';',
        help_heading = "Components"
    )]
    pub(crate) kube_apiserver_arg: Vec<String>,
    /// Argument for the controllers, key=value
    #[arg(
        long,
        env = "ISOPOD_KUBE_CONTROLLER_MANAGER_ARG",
        value_name = "ARG",
        value_delimiter = ';',
        help_heading = "Components"
    )]
    pub(crate) kube_controller_manager_arg: Vec<String>,
    /// Argument for the scheduler, key=value
    #[arg(
        long,
        env = "ISOPOD_KUBE_SCHEDULER_ARG",
        value_name = "ARG",
        value_delimiter = ';',
        help_heading = "Components"
    )]
    pub(crate) kube_scheduler_arg: Vec<String>,
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

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no file mode in octal"))
}
