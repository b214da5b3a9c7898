//! Resource usage. A field is None where the runtime does not measure it.

use std::time::SystemTime;

use super::{ContainerMetadata, FilesystemUsage, Map, SandboxMetadata};

/// CPU time used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuUsage {
    /// When it was measured.
    pub timestamp: Option<SystemTime>,
    /// Nanoseconds over all cores since the start.
    pub usage_core_nano_seconds: Option<u64>,
    /// Rate over the runtime's last sampling window.
    pub usage_nano_cores: Option<u64>,
}

/// Memory in use, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryUsage {
    /// When it was measured.
    pub timestamp: Option<SystemTime>,
    /// What cannot be reclaimed at once; eviction and metrics-server go by it.
    pub working_set_bytes: Option<u64>,
    /// Limit less working set.
    pub available_bytes: Option<u64>,
    /// All, page cache included.
    pub usage_bytes: Option<u64>,
    /// Anonymous memory.
    pub rss_bytes: Option<u64>,
    /// Minor faults.
    pub page_faults: Option<u64>,
    /// Major faults.
    pub major_page_faults: Option<u64>,
}

/// Usage of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerStats {
    /// The runtime's id.
    pub id: String,
    /// Identity as given.
    pub metadata: ContainerMetadata,
    /// Labels as given.
    pub labels: Map,
    /// CPU; None while nothing was measured.
    pub cpu: Option<CpuUsage>,
    /// Memory; None while nothing was measured.
    pub memory: Option<MemoryUsage>,
    /// The container's writable layer.
    pub writable_layer: Option<FilesystemUsage>,
}

/// Traffic of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceUsage {
    /// Name in the pod.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: Option<u64>,
    /// Errors on receipt.
    pub rx_errors: Option<u64>,
    /// Bytes sent.
    pub tx_bytes: Option<u64>,
    /// Errors on sending.
    pub tx_errors: Option<u64>,
}

/// Usage of one pod: its cgroup's, which includes what its containers use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxStats {
    /// The sandbox's id.
    pub id: String,
    /// Identity as given.
    pub metadata: SandboxMetadata,
    /// Labels as given.
    pub labels: Map,
    /// CPU of the pod's cgroup.
    pub cpu: Option<CpuUsage>,
    /// Memory of the pod's cgroup.
    pub memory: Option<MemoryUsage>,
    /// Interfaces, the default one first.
    pub interfaces: Vec<InterfaceUsage>,
    /// Number of processes.
    pub process_count: Option<u64>,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
}
