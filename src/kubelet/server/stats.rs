//! Usage of node, pods and containers, and `/stats/summary`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use runtime::types::{ContainerFilter, ContainerStats, SandboxFilter, SandboxState};
use serde_json::{Value, json};

use super::{Answer, json as json_answer};
use crate::agent::Agent;
use crate::node::facts::meminfo_bytes;
use crate::pods::observed::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID, time};
use crate::pods::pod::Pod;
use crate::pods::qos;

/// One pod's usage.
#[derive(Default)]
pub(super) struct PodUsage {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) started: Option<SystemTime>,
    /// Nanoseconds.
    pub(super) cpu: Option<u64>,
    /// Usage and working set in bytes.
    pub(super) memory: Option<(u64, u64)>,
    pub(super) containers: Vec<(String, ContainerStats)>,
}

/// The node's usage.
pub(super) struct NodeUsage {
    pub(super) cpu: u64,
    pub(super) working_set: u64,
    pub(super) usage: u64,
    pub(super) available: u64,
}

/// CPU and memory of the whole machine.
pub(super) fn node() -> NodeUsage {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    // user nice system idle iowait irq softirq steal, in hundredths of a second; guests are in user already.
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| meminfo_bytes(&meminfo, key);
    let (total, free, available) = (bytes("MemTotal"), bytes("MemFree"), bytes("MemAvailable"));
    NodeUsage {
        cpu: busy * 10_000_000,
        usage: total.saturating_sub(free),
        working_set: total.saturating_sub(free).saturating_sub(bytes("Inactive(file)")),
        available,
    }
}

/// Usage of every ready pod, by namespace and name.
pub(super) async fn pods(agent: &Arc<Agent>) -> Result<Vec<PodUsage>, runtime::Error> {
    let filter = SandboxFilter { state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let sandboxes = agent.runtime.list_sandboxes(&filter).await?;
    let stats = agent.runtime.list_container_stats(&ContainerFilter::default()).await?;
    let mut all = BTreeMap::<String, PodUsage>::new();
    let objects = agent.pods.lock().clone();
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(POD_UID) else { continue };
        let class =
            objects.get(uid).and_then(|o| Pod::decode(o).ok()).map_or(qos::Class::BestEffort, |p| qos::class(&p.spec));
        let (cpu, memory) = agent.cgroups.usage(&agent.cgroups.pod_path(class, uid));
        let label = |key: &str| sandbox.labels.get(key).cloned().unwrap_or_default();
        let usage = PodUsage {
            namespace: label(POD_NAMESPACE),
            name: label(POD_NAME),
            uid: uid.clone(),
            started: sandbox.created_at,
            cpu,
            memory,
            containers: vec![],
        };
        all.insert(uid.clone(), usage);
    }
    for one in stats {
        let Some(pod) = one.labels.get(POD_UID).and_then(|uid| all.get_mut(uid)) else { continue };
        let name = one.labels.get(CONTAINER_NAME).unwrap_or(&one.metadata.name).clone();
        pod.containers.push((name, one));
    }
    for pod in all.values_mut() {
        pod.containers.sort_by(|a, b| a.0.cmp(&b.0));
        // Where the pod's cgroup cannot be read the containers' sum comes close.
        if pod.cpu.is_none() {
            pod.cpu =
                pod.containers.iter().filter_map(|(_, s)| s.cpu.as_ref()?.usage_core_nano_seconds).reduce(|a, b| a + b);
        }
        if pod.memory.is_none() {
            let each = pod.containers.iter().filter_map(|(_, s)| s.memory.as_ref());
            let sums =
                each.fold((0, 0), |(u, w), m| (u + m.usage_bytes.unwrap_or(0), w + m.working_set_bytes.unwrap_or(0)));
            pod.memory = (!pod.containers.is_empty()).then_some(sums);
        }
    }
    let mut pods: Vec<PodUsage> = all.into_values().collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(pods)
}

/// `/stats/summary`.
pub(super) async fn summary(agent: &Arc<Agent>) -> Answer {
    let pods = match pods(agent).await {
        Ok(pods) => pods,
        Err(error) => return super::text(http::StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let now = api::time::format(Timestamp::now());
    let node = node();
    let fs = |path: &std::path::Path| {
        nix::sys::statvfs::statvfs(path).ok().map(|s| {
            let (size, free) = (s.blocks() * s.fragment_size(), s.blocks_available() * s.fragment_size());
            json!({
                "time": now, "capacityBytes": size, "availableBytes": free, "usedBytes": (s.blocks() - s.blocks_free()) * s.fragment_size(),
                "inodes": s.files(), "inodesFree": s.files_free(), "inodesUsed": s.files() - s.files_free(),
            })
        })
    };
    let started = |at: Option<SystemTime>| time(at).map(api::time::format);
    let cpu = |nanos: Option<u64>, rate: Option<u64>| json!({"time": now, "usageCoreNanoSeconds": nanos, "usageNanoCores": rate});
    let container = |(name, stats): &(String, ContainerStats)| {
        let memory = stats.memory.clone().unwrap_or_default();
        json!({
            "name": name,
            "cpu": cpu(stats.cpu.as_ref().and_then(|c| c.usage_core_nano_seconds), stats.cpu.as_ref().and_then(|c| c.usage_nano_cores)),
            "memory": {"time": now, "usageBytes": memory.usage_bytes, "workingSetBytes": memory.working_set_bytes, "rssBytes": memory.rss_bytes},
            "rootfs": stats.writable_layer.as_ref().map(|l| json!({"time": now, "usedBytes": l.used_bytes, "inodesUsed": l.inodes_used})),
        })
    };
    let pods: Vec<Value> = pods
        .iter()
        .map(|pod| {
            let rate: Option<u64> = pod.containers.iter().filter_map(|(_, s)| s.cpu.as_ref()?.usage_nano_cores).reduce(|a, b| a + b);
            json!({
                "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                "startTime": started(pod.started),
                "containers": pod.containers.iter().map(container).collect::<Vec<_>>(),
                "cpu": cpu(pod.cpu, rate),
                "memory": pod.memory.map(|(usage, working)| json!({"time": now, "usageBytes": usage, "workingSetBytes": working})),
            })
        })
        .collect();
    json_answer(&json!({
        "node": {
            "nodeName": agent.config.node_name,
            "cpu": cpu(Some(node.cpu), None),
            "memory": {"time": now, "availableBytes": node.available, "usageBytes": node.usage, "workingSetBytes": node.working_set},
            "fs": fs(&agent.config.root_dir), "runtime": {"imageFs": fs(&agent.config.root_dir)},
        },
        "pods": pods,
    }))
}
