//! Pod sandboxes: the namespaces, cgroup and network a pod's containers share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Map, Resources, SecurityContext};

/// Who answers behind the trait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// `containerd`.
    pub runtime_name: String,
    /// Such as `1.6.20`; goes into `nodeInfo.containerRuntimeVersion`.
    pub runtime_version: String,
    /// The version of the protocol, `v1`.
    pub api_version: String,
}

/// The runtime's own readiness, as it goes into the node's Ready condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuntimeStatus {
    /// None when containers can be run, else why not.
    pub not_ready: Option<String>,
    /// None when the pod network (CNI) is configured, else why not. Pods on the host network can run all the same.
    pub network_not_ready: Option<String>,
}

/// The identity of a sandbox. The runtime refuses a second sandbox with equal metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxMetadata {
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// How many sandboxes of this pod came before.
    pub attempt: u32,
}

/// Everything a sandbox is made from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxSpec {
    /// Identity.
    pub metadata: SandboxMetadata,
    /// Host name inside the pod; empty on the host network.
    pub hostname: String,
    /// Directory on the host below which the containers' `log_path`s lie.
    pub log_directory: PathBuf,
    /// What /etc/resolv.conf holds; None copies the host's.
    pub dns: Option<DnsConfig>,
    /// Host ports, handed to the CNI plugins.
    pub port_mappings: Vec<PortMapping>,
    /// Labels that lists can select by.
    pub labels: Map,
    /// Annotations, kept as they are.
    pub annotations: Map,
    /// Name of the runtime handler (RuntimeClass); empty for the default one.
    pub runtime_handler: String,
    /// Parent cgroup of the pod's containers, in cgroupfs form: `/kubepods/burstable/pod<uid>`.
    pub cgroup_parent: String,
    /// Sysctls of the pod's namespaces.
    pub sysctls: Map,
    /// Namespaces, user and profiles of the sandbox container. `privileged` must be set if any container of the pod is privileged.
    pub security: SecurityContext,
    /// Sum of the containers' resources (runtimes in virtual machines size the machine by it).
    pub resources: Option<Resources>,
    /// The pod's overhead.
    pub overhead: Option<Resources>,
}

/// Contents of a pod's resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The `search` line.
    pub searches: Vec<String>,
    /// The `options` line.
    pub options: Vec<String>,
}

/// Layer 4 protocol of a port mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One host port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortMapping {
    /// Protocol of both ports.
    pub protocol: Protocol,
    /// Port inside the pod.
    pub container_port: u16,
    /// Port on the node; 0 maps nothing.
    pub host_port: u16,
    /// Address on the node; empty means all of them.
    pub host_ip: String,
}

/// Whether a sandbox can hold running containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxState {
    /// Namespaces and network are up.
    Ready,
    /// Stopped, or its init process died; only removal is left.
    #[default]
    NotReady,
}

/// A sandbox as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// Identity as given.
    pub metadata: SandboxMetadata,
    /// Current state.
    pub state: SandboxState,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// Labels as given.
    pub labels: Map,
    /// Annotations as given.
    pub annotations: Map,
    /// Runtime handler as given.
    pub runtime_handler: String,
}

/// A sandbox with what only a look at it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxStatus {
    /// What lists show.
    pub sandbox: Sandbox,
    /// The pod's addresses, primary first. Empty on the host network and when not ready.
    pub ips: Vec<IpAddr>,
    /// Path of the pod's network namespace; None on the host network.
    pub netns: Option<PathBuf>,
    /// Process id of the sandbox container in the host's namespace, when the runtime tells.
    pub pid: Option<u32>,
}

/// Which sandboxes a list shows: all that match every given part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxFilter {
    /// Only this one.
    pub id: Option<String>,
    /// Only in this state.
    pub state: Option<SandboxState>,
    /// Only with all these labels.
    pub labels: Map,
}
