//! Containers: what they are made from and how they are doing.

use std::path::PathBuf;
use std::time::SystemTime;

use super::{Map, SecurityContext};

/// The identity of a container within its sandbox. The runtime refuses a second container with equal metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerMetadata {
    /// Name in the pod's spec.
    pub name: String,
    /// How many instances came before: the restart count.
    pub attempt: u32,
}

/// Everything a container is made from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerSpec {
    /// Identity.
    pub metadata: ContainerMetadata,
    /// Image to run: the reference [`pull_image`](crate::Runtime::pull_image) or [`image_status`](crate::Runtime::image_status) answered.
    pub image: String,
    /// Image as the pod's spec names it.
    pub user_specified_image: String,
    /// Replaces the image's entrypoint when not empty.
    pub command: Vec<String>,
    /// Replaces the image's cmd when not empty, or when `command` is set.
    pub args: Vec<String>,
    /// Replaces the image's working directory when not empty.
    pub working_dir: String,
    /// Environment, already expanded. Order is kept.
    pub env: Vec<EnvVar>,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Names of CDI devices (containerd 1.7 and later).
    pub cdi_devices: Vec<String>,
    /// Labels that lists can select by.
    pub labels: Map,
    /// Annotations, kept as they are.
    pub annotations: Map,
    /// Log file below the sandbox's `log_directory`, such as `web/0.log`; its folder must exist. Empty: no log.
    pub log_path: PathBuf,
    /// Keeps stdin open for attach.
    pub stdin: bool,
    /// Closes stdin when the first attached client goes.
    pub stdin_once: bool,
    /// Gives the process a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: Resources,
    /// User, rights, namespaces.
    pub security: SecurityContext,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl EnvVar {
    /// A variable of this name and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        EnvVar { name: name.into(), value: value.into() }
    }
}

/// How mounts made on one side of a mount point show on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountPropagation {
    /// Not at all (`None`).
    #[default]
    Private,
    /// The host's show in the container.
    HostToContainer,
    /// In both directions.
    Bidirectional,
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// Where in the container.
    pub container_path: PathBuf,
    /// What of the host. Must exist, except for directories, which containerd creates.
    pub host_path: PathBuf,
    /// Not writable.
    pub readonly: bool,
    /// Not writable, submounts included (containerd 2.0 and later).
    pub recursive_read_only: bool,
    /// Relabel for SELinux.
    pub selinux_relabel: bool,
    /// Propagation.
    pub propagation: MountPropagation,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Path in the container.
    pub container_path: PathBuf,
    /// Path on the host.
    pub host_path: PathBuf,
    /// Some of `r`, `w`, `m`.
    pub permissions: String,
}

/// Cgroup limits. Zero and empty mean "not set" throughout, as in the CRI.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Length of a CFS period in microseconds.
    pub cpu_period: i64,
    /// CPU time in a period in microseconds.
    pub cpu_quota: i64,
    /// Relative weight in cgroup v1 units (1024 for one CPU); the runtime converts for v2.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory_limit: i64,
    /// Bytes of memory and swap together.
    pub memory_swap_limit: i64,
    /// −1000 to 1000.
    pub oom_score_adj: i64,
    /// CPUs, such as `0-3,7`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Huge pages, by page size.
    pub hugepage_limits: Vec<HugepageLimit>,
    /// cgroup v2 files and what to write into them.
    pub unified: Map,
}

/// A limit on huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HugepageLimit {
    /// Such as `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Where a container is in its life. It only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Running.
    Running,
    /// Its process has ended.
    Exited,
    /// The runtime lost track of it; it can only be removed.
    #[default]
    Unknown,
}

/// A container as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// The sandbox it belongs to.
    pub sandbox_id: String,
    /// Identity as given.
    pub metadata: ContainerMetadata,
    /// Image as given in the spec.
    pub image: String,
    /// The image's id or digest reference.
    pub image_ref: String,
    /// Current state.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// Labels as given.
    pub labels: Map,
    /// Annotations as given.
    pub annotations: Map,
}

/// A container with what only a look at it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The runtime's id.
    pub id: String,
    /// Identity as given.
    pub metadata: ContainerMetadata,
    /// Current state.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// When its process was started.
    pub started_at: Option<SystemTime>,
    /// When its process ended.
    pub finished_at: Option<SystemTime>,
    /// Exit code, 128 + signal for a killed process; meaningful once exited.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun` …; may be empty.
    pub reason: String,
    /// More about `reason`.
    pub message: String,
    /// Image as a name, where the runtime knows one.
    pub image: String,
    /// What `status.containerStatuses[].imageID` shows: `repo@sha256:…`, or the image's id when it has no repository digest.
    pub image_ref: String,
    /// Labels as given.
    pub labels: Map,
    /// Annotations as given.
    pub annotations: Map,
    /// Absolute path of the log on the host.
    pub log_path: PathBuf,
    /// Limits in force, where the runtime tells (containerd 1.7 and later).
    pub resources: Option<Resources>,
    /// uid, gid and groups of the process, where the runtime tells (containerd 2.0 and later).
    pub user: Option<(i64, i64, Vec<i64>)>,
}

/// Which containers a list shows: all that match every given part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerFilter {
    /// Only this one.
    pub id: Option<String>,
    /// Only in this state.
    pub state: Option<ContainerState>,
    /// Only of this sandbox.
    pub sandbox_id: Option<String>,
    /// Only with all these labels.
    pub labels: Map,
}

/// What a command run by `exec_sync` left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOutput {
    /// At most [`crate::EXEC_OUTPUT_LIMIT`] bytes.
    pub stdout: Vec<u8>,
    /// At most [`crate::EXEC_OUTPUT_LIMIT`] bytes.
    pub stderr: Vec<u8>,
    /// Exit code of the command.
    pub exit_code: i32,
}
