//! What the kubelet and a runtime tell each other, as plain structs: specs going in, statuses and statistics coming out.

mod container;
mod event;
mod image;
mod sandbox;
mod security;
mod stats;

pub use container::{
    Container, ContainerFilter, ContainerMetadata, ContainerSpec, ContainerState, ContainerStatus, Device, EnvVar,
    ExecOutput, HugepageLimit, Mount, MountPropagation, Resources,
};
pub use event::{Event, EventKind};
pub use image::{FilesystemUsage, Image, RegistryAuth};
pub use sandbox::{
    DnsConfig, PortMapping, Protocol, RuntimeStatus, Sandbox, SandboxFilter, SandboxMetadata, SandboxSpec,
    SandboxState, SandboxStatus, Version,
};
pub use security::{
    DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS, IdMapping, NamespaceMode, Namespaces, SecurityContext,
    SecurityProfile, SelinuxOptions, SupplementalGroupsPolicy,
};
pub use stats::{ContainerStats, CpuUsage, InterfaceUsage, MemoryUsage, SandboxStats};

/// String pairs: labels and annotations.
pub type Map = std::collections::BTreeMap<String, String>;
