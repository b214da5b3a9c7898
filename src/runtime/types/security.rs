//! Security settings, shared by sandboxes and containers.

/// Paths of /proc and /sys that unprivileged containers cannot see: what `procMount: Default` means upstream.
pub const DEFAULT_MASKED_PATHS: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths of /proc that unprivileged containers cannot write: what `procMount: Default` means upstream.
pub const DEFAULT_READONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Whose namespace a container lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamespaceMode {
    /// The pod's: shared by its containers.
    #[default]
    Pod,
    /// One of its own.
    Container,
    /// The node's.
    Node,
    /// That of the container named in [`Namespaces::target_id`] (ephemeral containers).
    Target,
}

/// The namespaces of a sandbox or container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// `Pod` or `Node` (hostNetwork).
    pub network: NamespaceMode,
    /// `Container` is Kubernetes' default; `Pod` is shareProcessNamespace.
    pub pid: NamespaceMode,
    /// `Pod` or `Node` (hostIPC).
    pub ipc: NamespaceMode,
    /// Container id for [`NamespaceMode::Target`].
    pub target_id: String,
    /// Mappings of a user namespace (`hostUsers: false`) as uids, gids; None is the node's user namespace.
    pub user: Option<(Vec<IdMapping>, Vec<IdMapping>)>,
}

/// One range of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IdMapping {
    /// First id on the node.
    pub host_id: u32,
    /// First id in the container.
    pub container_id: u32,
    /// How many.
    pub length: u32,
}

/// A seccomp or AppArmor profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecurityProfile {
    /// The runtime's own.
    RuntimeDefault,
    /// None: Kubernetes' default for seccomp.
    #[default]
    Unconfined,
    /// seccomp: absolute path of the profile; AppArmor: name of the loaded profile.
    Localhost(String),
}

/// An SELinux label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelinuxOptions {
    /// user
    pub user: String,
    /// role
    pub role: String,
    /// type
    pub kind: String,
    /// level
    pub level: String,
}

/// How the image's own groups combine with `supplemental_groups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SupplementalGroupsPolicy {
    /// Groups of the user in the image's /etc/group count too.
    #[default]
    Merge,
    /// Only those of the spec (containerd 2.0 and later).
    Strict,
}

/// As whom, and with which rights, the process runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityContext {
    /// Namespaces.
    pub namespaces: Namespaces,
    /// All devices and capabilities, no masks.
    pub privileged: bool,
    /// Numeric user; None is the image's.
    pub run_as_user: Option<i64>,
    /// Named user, used only when `run_as_user` is None; empty is the image's.
    pub run_as_username: String,
    /// Numeric group; needs one of the users set.
    pub run_as_group: Option<i64>,
    /// Further groups (fsGroup among them).
    pub supplemental_groups: Vec<i64>,
    /// How the image's groups count.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// Root filesystem mounted read-only.
    pub readonly_rootfs: bool,
    /// `allowPrivilegeEscalation: false`. Containers only.
    pub no_new_privs: bool,
    /// Without the `CAP_` prefix, or `ALL`. Containers only.
    pub add_capabilities: Vec<String>,
    /// Without the `CAP_` prefix, or `ALL`. Containers only.
    pub drop_capabilities: Vec<String>,
    /// seccomp.
    pub seccomp: SecurityProfile,
    /// AppArmor; None leaves the choice to the runtime. Ignored where the kernel has no AppArmor.
    pub apparmor: Option<SecurityProfile>,
    /// SELinux label; None leaves the choice to the runtime.
    pub selinux: Option<SelinuxOptions>,
    /// Masked paths: [`DEFAULT_MASKED_PATHS`], or none for `procMount: Unmasked` and privileged. Containers only.
    pub masked_paths: Vec<String>,
    /// Read-only paths: [`DEFAULT_READONLY_PATHS`], or none for `procMount: Unmasked` and privileged. Containers only.
    pub readonly_paths: Vec<String>,
}

impl SecurityContext {
    /// Sets the paths `procMount: Default` hides and protects.
    pub fn with_default_proc_mount(mut self) -> Self {
        self.masked_paths = DEFAULT_MASKED_PATHS.iter().map(|path| (*path).to_owned()).collect();
        self.readonly_paths = DEFAULT_READONLY_PATHS.iter().map(|path| (*path).to_owned()).collect();
        self
    }
}
