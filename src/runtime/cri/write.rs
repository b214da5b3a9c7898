//! Our specs as CRI messages.

use std::path::Path;

use k8s_cri::v1 as cri;

use crate::types::*;

pub(super) fn sandbox_config(spec: &SandboxSpec) -> cri::PodSandboxConfig {
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: spec.metadata.name.clone(),
            uid: spec.metadata.uid.clone(),
            namespace: spec.metadata.namespace.clone(),
            attempt: spec.metadata.attempt,
        }),
        hostname: spec.hostname.clone(),
        log_directory: text(&spec.log_directory),
        dns_config: spec.dns.as_ref().map(|dns| cri::DnsConfig {
            servers: dns.servers.clone(),
            searches: dns.searches.clone(),
            options: dns.options.clone(),
        }),
        port_mappings: spec.port_mappings.iter().map(port_mapping).collect(),
        labels: spec.labels.clone().into_iter().collect(),
        annotations: spec.annotations.clone().into_iter().collect(),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: spec.cgroup_parent.clone(),
            security_context: Some(sandbox_security(&spec.security)),
            sysctls: spec.sysctls.clone().into_iter().collect(),
            overhead: spec.overhead.as_ref().map(resources),
            resources: spec.resources.as_ref().map(resources),
        }),
        windows: None,
    }
}

pub(super) fn container_config(spec: &ContainerSpec) -> cri::ContainerConfig {
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: spec.metadata.name.clone(), attempt: spec.metadata.attempt }),
        image: Some(cri::ImageSpec {
            user_specified_image: spec.user_specified_image.clone(),
            ..image_spec(&spec.image)
        }),
        command: spec.command.clone(),
        args: spec.args.clone(),
        working_dir: spec.working_dir.clone(),
        envs: spec.env.iter().map(|e| cri::KeyValue { key: e.name.clone(), value: e.value.clone() }).collect(),
        mounts: spec.mounts.iter().map(mount).collect(),
        devices: spec
            .devices
            .iter()
            .map(|d| cri::Device {
                container_path: text(&d.container_path),
                host_path: text(&d.host_path),
                permissions: d.permissions.clone(),
            })
            .collect(),
        labels: spec.labels.clone().into_iter().collect(),
        annotations: spec.annotations.clone().into_iter().collect(),
        log_path: text(&spec.log_path),
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        tty: spec.tty,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources(&spec.resources)),
            security_context: Some(container_security(&spec.security)),
        }),
        windows: None,
        cdi_devices: spec.cdi_devices.iter().map(|name| cri::CdiDevice { name: name.clone() }).collect(),
    }
}

pub(super) fn resources(r: &Resources) -> cri::LinuxContainerResources {
    cri::LinuxContainerResources {
        cpu_period: r.cpu_period,
        cpu_quota: r.cpu_quota,
        cpu_shares: r.cpu_shares,
        memory_limit_in_bytes: r.memory_limit,
        oom_score_adj: r.oom_score_adj,
        cpuset_cpus: r.cpuset_cpus.clone(),
        cpuset_mems: r.cpuset_mems.clone(),
        hugepage_limits: r
            .hugepage_limits
            .iter()
            .map(|h| cri::HugepageLimit { page_size: h.page_size.clone(), limit: h.limit })
            .collect(),
        unified: r.unified.clone().into_iter().collect(),
        memory_swap_limit_in_bytes: r.memory_swap_limit,
    }
}

pub(super) fn image_spec(image: &str) -> cri::ImageSpec {
    cri::ImageSpec { image: image.to_owned(), ..Default::default() }
}

pub(super) fn auth(auth: &RegistryAuth) -> cri::AuthConfig {
    cri::AuthConfig {
        username: auth.username.clone(),
        password: auth.password.clone(),
        auth: auth.auth.clone(),
        server_address: auth.server_address.clone(),
        identity_token: auth.identity_token.clone(),
        registry_token: auth.registry_token.clone(),
    }
}

pub(super) fn sandbox_filter(filter: &SandboxFilter) -> Option<cri::PodSandboxFilter> {
    (*filter != SandboxFilter::default()).then(|| cri::PodSandboxFilter {
        id: filter.id.clone().unwrap_or_default(),
        state: filter.state.map(|state| cri::PodSandboxStateValue {
            state: match state {
                SandboxState::Ready => cri::PodSandboxState::SandboxReady,
                SandboxState::NotReady => cri::PodSandboxState::SandboxNotready,
            } as i32,
        }),
        label_selector: filter.labels.clone().into_iter().collect(),
    })
}

pub(super) fn container_filter(filter: &ContainerFilter) -> Option<cri::ContainerFilter> {
    (*filter != ContainerFilter::default()).then(|| cri::ContainerFilter {
        id: filter.id.clone().unwrap_or_default(),
        state: filter.state.map(|state| cri::ContainerStateValue {
            state: match state {
                ContainerState::Created => cri::ContainerState::ContainerCreated,
                ContainerState::Running => cri::ContainerState::ContainerRunning,
                ContainerState::Exited => cri::ContainerState::ContainerExited,
                ContainerState::Unknown => cri::ContainerState::ContainerUnknown,
            } as i32,
        }),
        pod_sandbox_id: filter.sandbox_id.clone().unwrap_or_default(),
        label_selector: filter.labels.clone().into_iter().collect(),
    })
}

fn port_mapping(mapping: &PortMapping) -> cri::PortMapping {
    cri::PortMapping {
        protocol: match mapping.protocol {
            Protocol::Tcp => cri::Protocol::Tcp,
            Protocol::Udp => cri::Protocol::Udp,
            Protocol::Sctp => cri::Protocol::Sctp,
        } as i32,
        container_port: mapping.container_port.into(),
        host_port: mapping.host_port.into(),
        host_ip: mapping.host_ip.clone(),
    }
}

fn mount(mount: &Mount) -> cri::Mount {
    cri::Mount {
        container_path: text(&mount.container_path),
        host_path: text(&mount.host_path),
        readonly: mount.readonly || mount.recursive_read_only,
        selinux_relabel: mount.selinux_relabel,
        propagation: match mount.propagation {
            MountPropagation::Private => cri::MountPropagation::PropagationPrivate,
            MountPropagation::HostToContainer => cri::MountPropagation::PropagationHostToContainer,
            MountPropagation::Bidirectional => cri::MountPropagation::PropagationBidirectional,
        } as i32,
        recursive_read_only: mount.recursive_read_only,
        ..Default::default()
    }
}

fn sandbox_security(s: &SecurityContext) -> cri::LinuxSandboxSecurityContext {
    cri::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(&s.namespaces)),
        selinux_options: s.selinux.as_ref().map(selinux),
        run_as_user: s.run_as_user.map(int64),
        run_as_group: s.run_as_group.map(int64),
        readonly_rootfs: s.readonly_rootfs,
        supplemental_groups: s.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(s.supplemental_groups_policy),
        privileged: s.privileged,
        seccomp: Some(profile(&s.seccomp)),
        apparmor: s.apparmor.as_ref().map(profile),
        ..Default::default()
    }
}

fn container_security(s: &SecurityContext) -> cri::LinuxContainerSecurityContext {
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: s.add_capabilities.clone(),
            drop_capabilities: s.drop_capabilities.clone(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: s.privileged,
        namespace_options: Some(namespaces(&s.namespaces)),
        selinux_options: s.selinux.as_ref().map(selinux),
        run_as_user: s.run_as_user.map(int64),
        run_as_group: s.run_as_group.map(int64),
        run_as_username: if s.run_as_user.is_none() { s.run_as_username.clone() } else { String::new() },
        readonly_rootfs: s.readonly_rootfs,
        supplemental_groups: s.supplemental_groups.clone(),
        supplemental_groups_policy: groups_policy(s.supplemental_groups_policy),
        no_new_privs: s.no_new_privs,
        masked_paths: s.masked_paths.clone(),
        readonly_paths: s.readonly_paths.clone(),
        seccomp: Some(profile(&s.seccomp)),
        apparmor: s.apparmor.as_ref().map(profile),
        ..Default::default()
    }
}

fn namespaces(n: &Namespaces) -> cri::NamespaceOption {
    let mode = |mode| {
        (match mode {
            NamespaceMode::Pod => cri::NamespaceMode::Pod,
            NamespaceMode::Container => cri::NamespaceMode::Container,
            NamespaceMode::Node => cri::NamespaceMode::Node,
            NamespaceMode::Target => cri::NamespaceMode::Target,
        }) as i32
    };
    let ids = |mappings: &[IdMapping]| {
        mappings
            .iter()
            .map(|m| cri::IdMapping { host_id: m.host_id, container_id: m.container_id, length: m.length })
            .collect()
    };
    cri::NamespaceOption {
        network: mode(n.network),
        pid: mode(n.pid),
        ipc: mode(n.ipc),
        target_id: n.target_id.clone(),
        // Left out for the node's: containerd before 1.7 does not know the field, and the meaning is the same.
        userns_options: n.user.as_ref().map(|(uids, gids)| cri::UserNamespace {
            mode: mode(NamespaceMode::Pod),
            uids: ids(uids),
            gids: ids(gids),
        }),
    }
}

fn selinux(s: &SelinuxOptions) -> cri::SeLinuxOption {
    cri::SeLinuxOption { user: s.user.clone(), role: s.role.clone(), r#type: s.kind.clone(), level: s.level.clone() }
}

fn groups_policy(policy: SupplementalGroupsPolicy) -> i32 {
    (match policy {
        SupplementalGroupsPolicy::Merge => cri::SupplementalGroupsPolicy::Merge,
        SupplementalGroupsPolicy::Strict => cri::SupplementalGroupsPolicy::Strict,
    }) as i32
}

fn profile(profile: &SecurityProfile) -> cri::SecurityProfile {
    use cri::security_profile::ProfileType;
    let (kind, reference) = match profile {
        SecurityProfile::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        SecurityProfile::Unconfined => (ProfileType::Unconfined, String::new()),
        SecurityProfile::Localhost(reference) => (ProfileType::Localhost, reference.clone()),
    };
    cri::SecurityProfile { profile_type: kind as i32, localhost_ref: reference }
}

fn int64(value: i64) -> cri::Int64Value {
    cri::Int64Value { value }
}

/// Paths travel as text. Those the kubelet makes are text; a host path that is not cannot come out of JSON in the first place.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
