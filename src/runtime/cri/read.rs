//! CRI messages as our types.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use k8s_cri::v1 as cri;

use crate::types::*;

pub(super) fn sandbox(s: cri::PodSandbox) -> Sandbox {
    Sandbox {
        state: sandbox_state(s.state()),
        id: s.id,
        metadata: sandbox_metadata(s.metadata),
        created_at: time(s.created_at),
        labels: map(s.labels),
        annotations: map(s.annotations),
        runtime_handler: s.runtime_handler,
    }
}

/// `info` is what the verbose form of the call adds: JSON whose layout is containerd's own, so that everything taken from it is optional.
pub(super) fn sandbox_status(s: cri::PodSandboxStatus, info: &HashMap<String, String>) -> SandboxStatus {
    let info: serde_json::Value =
        info.get("info").and_then(|text| serde_json::from_str(text).ok()).unwrap_or(serde_json::Value::Null);
    let network = s.network.clone().unwrap_or_default();
    let ips = std::iter::once(network.ip)
        .chain(network.additional_ips.into_iter().map(|ip| ip.ip))
        .filter_map(|ip| ip.parse().ok())
        .collect();
    SandboxStatus {
        sandbox: Sandbox {
            state: sandbox_state(s.state()),
            id: s.id,
            metadata: sandbox_metadata(s.metadata),
            created_at: time(s.created_at),
            labels: map(s.labels),
            annotations: map(s.annotations),
            runtime_handler: s.runtime_handler,
        },
        ips,
        netns: netns(&info),
        pid: info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
    }
}

fn netns(info: &serde_json::Value) -> Option<PathBuf> {
    let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array()?;
    let network = namespaces.iter().find(|n| n["type"] == "network")?;
    network["path"].as_str().filter(|path| !path.is_empty()).map(PathBuf::from)
}

pub(super) fn container(c: cri::Container) -> Container {
    Container {
        state: container_state(c.state()),
        id: c.id,
        sandbox_id: c.pod_sandbox_id,
        metadata: container_metadata(c.metadata),
        image: c.image.map(|image| image.image).unwrap_or_default(),
        image_ref: c.image_ref,
        created_at: time(c.created_at),
        labels: map(c.labels),
        annotations: map(c.annotations),
    }
}

pub(super) fn container_status(c: cri::ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        state: container_state(c.state()),
        id: c.id,
        metadata: container_metadata(c.metadata),
        created_at: time(c.created_at),
        started_at: time(c.started_at),
        finished_at: time(c.finished_at),
        exit_code: c.exit_code,
        reason: c.reason,
        message: c.message,
        image: c.image.map(|image| image.image).unwrap_or_default(),
        image_ref: c.image_ref,
        labels: map(c.labels),
        annotations: map(c.annotations),
        log_path: c.log_path.into(),
        resources: c.resources.and_then(|r| r.linux).map(resources),
        user: c.user.and_then(|u| u.linux).map(|u| (u.uid, u.gid, u.supplemental_groups)),
    }
}

pub(super) fn image(i: cri::Image, pinned: &[String]) -> Image {
    Image {
        pinned: i.pinned || i.repo_tags.iter().any(|tag| pinned.contains(tag)),
        id: i.id,
        repo_tags: i.repo_tags,
        repo_digests: i.repo_digests,
        size: i.size,
        uid: i.uid.map(|uid| uid.value),
        username: i.username,
    }
}

pub(super) fn filesystem(f: cri::FilesystemUsage) -> FilesystemUsage {
    FilesystemUsage {
        timestamp: time(f.timestamp),
        mountpoint: f.fs_id.map(|id| id.mountpoint).unwrap_or_default().into(),
        used_bytes: value(f.used_bytes),
        inodes_used: value(f.inodes_used),
    }
}

pub(super) fn container_stats(s: cri::ContainerStats) -> ContainerStats {
    let attributes = s.attributes.unwrap_or_default();
    ContainerStats {
        id: attributes.id,
        metadata: container_metadata(attributes.metadata),
        labels: map(attributes.labels),
        cpu: s.cpu.map(cpu),
        memory: s.memory.map(memory),
        writable_layer: s.writable_layer.map(filesystem),
    }
}

pub(super) fn sandbox_stats(s: cri::PodSandboxStats) -> SandboxStats {
    let attributes = s.attributes.unwrap_or_default();
    let linux = s.linux.unwrap_or_default();
    let interfaces = linux
        .network
        .map(|network| network.default_interface.into_iter().chain(network.interfaces).map(interface).collect())
        .unwrap_or_default();
    SandboxStats {
        id: attributes.id,
        metadata: sandbox_metadata(attributes.metadata),
        labels: map(attributes.labels),
        cpu: linux.cpu.map(cpu),
        memory: linux.memory.map(memory),
        interfaces,
        process_count: linux.process.and_then(|p| value(p.process_count)),
        containers: linux.containers.into_iter().map(container_stats).collect(),
    }
}

pub(super) fn status(s: cri::RuntimeStatus) -> RuntimeStatus {
    let problem = |kind: &str| {
        let found = s.conditions.iter().find(|c| c.r#type == kind);
        match found {
            Some(condition) if condition.status => None,
            Some(condition) => Some(format!("{}: {}", condition.reason, condition.message)),
            None => Some(format!("the runtime does not report {kind}")),
        }
    };
    RuntimeStatus { not_ready: problem("RuntimeReady"), network_not_ready: problem("NetworkReady") }
}

fn resources(r: cri::LinuxContainerResources) -> Resources {
    Resources {
        cpu_period: r.cpu_period,
        cpu_quota: r.cpu_quota,
        cpu_shares: r.cpu_shares,
        memory_limit: r.memory_limit_in_bytes,
        memory_swap_limit: r.memory_swap_limit_in_bytes,
        oom_score_adj: r.oom_score_adj,
        cpuset_cpus: r.cpuset_cpus,
        cpuset_mems: r.cpuset_mems,
        hugepage_limits: r
            .hugepage_limits
            .into_iter()
            .map(|h| HugepageLimit { page_size: h.page_size, limit: h.limit })
            .collect(),
        unified: map(r.unified),
    }
}

fn cpu(c: cri::CpuUsage) -> CpuUsage {
    CpuUsage {
        timestamp: time(c.timestamp),
        usage_core_nano_seconds: value(c.usage_core_nano_seconds),
        usage_nano_cores: value(c.usage_nano_cores),
    }
}

fn memory(m: cri::MemoryUsage) -> MemoryUsage {
    MemoryUsage {
        timestamp: time(m.timestamp),
        working_set_bytes: value(m.working_set_bytes),
        available_bytes: value(m.available_bytes),
        usage_bytes: value(m.usage_bytes),
        rss_bytes: value(m.rss_bytes),
        page_faults: value(m.page_faults),
        major_page_faults: value(m.major_page_faults),
    }
}

fn interface(i: cri::NetworkInterfaceUsage) -> InterfaceUsage {
    InterfaceUsage {
        name: i.name,
        rx_bytes: value(i.rx_bytes),
        rx_errors: value(i.rx_errors),
        tx_bytes: value(i.tx_bytes),
        tx_errors: value(i.tx_errors),
    }
}

fn sandbox_metadata(m: Option<cri::PodSandboxMetadata>) -> SandboxMetadata {
    let m = m.unwrap_or_default();
    SandboxMetadata { name: m.name, uid: m.uid, namespace: m.namespace, attempt: m.attempt }
}

fn container_metadata(m: Option<cri::ContainerMetadata>) -> ContainerMetadata {
    let m = m.unwrap_or_default();
    ContainerMetadata { name: m.name, attempt: m.attempt }
}

fn sandbox_state(state: cri::PodSandboxState) -> SandboxState {
    match state {
        cri::PodSandboxState::SandboxReady => SandboxState::Ready,
        cri::PodSandboxState::SandboxNotready => SandboxState::NotReady,
    }
}

fn container_state(state: cri::ContainerState) -> ContainerState {
    match state {
        cri::ContainerState::ContainerCreated => ContainerState::Created,
        cri::ContainerState::ContainerRunning => ContainerState::Running,
        cri::ContainerState::ContainerExited => ContainerState::Exited,
        cri::ContainerState::ContainerUnknown => ContainerState::Unknown,
    }
}

/// Nanoseconds since the epoch; zero and less mean "has not happened".
fn time(nanos: i64) -> Option<SystemTime> {
    u64::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos != 0)
        .map(|nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
}

fn value(v: Option<cri::UInt64Value>) -> Option<u64> {
    v.map(|v| v.value)
}

fn map(m: HashMap<String, String>) -> Map {
    m.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_namespace_is_found_in_containerds_verbose_info() {
        let check = |info: &str, expect: Option<&str>| {
            assert_eq!(netns(&serde_json::from_str(info).unwrap()), expect.map(PathBuf::from), "{info}");
        };
        check(
            r#"{"pid":7,"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/a"}]}}}"#,
            Some("/run/netns/a"),
        );
        check(r#"{"runtimeSpec":{"linux":{"namespaces":[{"type":"network"}]}}}"#, None);
        check(r#"{"runtimeSpec":{"linux":{}}}"#, None);
        check("null", None);
    }

    #[test]
    fn times_that_have_not_come_are_none() {
        let check = |nanos, expect: Option<u64>| {
            assert_eq!(time(nanos), expect.map(|n| SystemTime::UNIX_EPOCH + Duration::from_nanos(n)), "{nanos}");
        };
        check(0, None);
        // containerd sends Go's zero time for a container that was never started.
        check(-6795364578871345152, None);
        check(1_500_000_000, Some(1_500_000_000));
    }
}
