//! The Node object's labels and status, from the facts: pure.

use jiff::Timestamp;
use runtime::types::{Image, RuntimeStatus, Version};
use serde_json::{Map, Value, json};

use super::facts::{Facts, Pressure};
use crate::Config;

/// The images list is bounded, so that a node with many images stays a small object.
const MAX_IMAGES: usize = 50;
/// Hard eviction keeps this much memory free; it is no pod's to allocate.
const MEMORY_RESERVE: u64 = 100 << 20;

/// The architecture in Go's words.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Labels every node has.
pub(crate) fn labels(config: &Config) -> Map<String, Value> {
    let mut labels = Map::new();
    for (key, value) in [
        ("beta.kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("kubernetes.io/hostname", &config.node_name.to_lowercase()),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.insert(key.into(), value.into());
    }
    labels.extend(config.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    labels
}

/// The object to register.
pub(crate) fn node(config: &Config) -> Value {
    let taints: Vec<Value> = config
        .taints
        .iter()
        .map(|t| {
            let mut taint = json!({"key": t.key, "effect": t.effect});
            if !t.value.is_empty() {
                taint["value"] = t.value.as_str().into();
            }
            taint
        })
        .collect();
    let mut spec = json!({});
    if !taints.is_empty() {
        spec["taints"] = taints.into();
    }
    if !config.provider_id.is_empty() {
        spec["providerID"] = config.provider_id.as_str().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": labels(config),
            "annotations": annotations(config),
        },
        "spec": spec,
    })
}

pub(crate) fn annotations(config: &Config) -> Value {
    let ips: Vec<String> = config.node_ips.iter().map(ToString::to_string).collect();
    json!({
        "alpha.kubernetes.io/provided-node-ip": ips.join(","),
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    })
}

/// Everything the status is computed from.
pub(crate) struct Inputs<'a> {
    pub(crate) config: &'a Config,
    pub(crate) facts: &'a Facts,
    pub(crate) pressure: &'a Pressure,
    pub(crate) port: u16,
    pub(crate) version: &'a Version,
    pub(crate) runtime: &'a RuntimeStatus,
    pub(crate) images: &'a [Image],
    pub(crate) now: Timestamp,
}

/// Capacity and allocatable.
pub(crate) fn resources(config: &Config, facts: &Facts) -> (Value, Value) {
    let mut capacity = json!({
        "cpu": facts.cpus.to_string(),
        "memory": format!("{}Ki", facts.memory >> 10),
        "ephemeral-storage": format!("{}Ki", facts.disk >> 10),
        "pods": config.max_pods.to_string(),
    });
    let hugepages: u64 = facts.hugepages.values().sum();
    let mut allocatable = json!({
        "cpu": facts.cpus.to_string(),
        "memory": format!("{}Ki", facts.memory.saturating_sub(MEMORY_RESERVE + hugepages) >> 10),
        "ephemeral-storage": (facts.disk / 10 * 9).to_string(),
        "pods": config.max_pods.to_string(),
    });
    for (size, bytes) in &facts.hugepages {
        let bytes = if *bytes == 0 { "0".to_owned() } else { format!("{}Mi", bytes >> 20) };
        capacity[format!("hugepages-{size}")] = bytes.as_str().into();
        allocatable[format!("hugepages-{size}")] = bytes.into();
    }
    (capacity, allocatable)
}

/// The status that is this agent's to tell, given the present one (for transition times and other writers' conditions).
pub(crate) fn status(inputs: &Inputs<'_>, present: &Value) -> Value {
    let Inputs { config, facts, now, .. } = inputs;
    let (capacity, allocatable) = resources(config, facts);
    let mut addresses: Vec<Value> =
        config.node_ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip.to_string()})).collect();
    addresses.extend(config.external_ips.iter().map(|ip| json!({"type": "ExternalIP", "address": ip.to_string()})));
    addresses.push(json!({"type": "Hostname", "address": config.node_name}));
    let mut status = present.as_object().cloned().unwrap_or_default();
    for (key, value) in [
        ("addresses", addresses.into()),
        ("capacity", capacity),
        ("allocatable", allocatable),
        ("conditions", conditions(inputs, &present["conditions"], *now)),
        ("daemonEndpoints", json!({"kubeletEndpoint": {"Port": inputs.port}})),
        ("nodeInfo", node_info(inputs)),
        ("images", images(inputs.images)),
        (
            "runtimeHandlers",
            json!([{"name": "", "features": {"recursiveReadOnlyMounts": false, "userNamespaces": false}}]),
        ),
    ] {
        status.insert(key.into(), value);
    }
    Value::Object(status)
}

fn node_info(inputs: &Inputs<'_>) -> Value {
    let Inputs { config, facts, version, .. } = inputs;
    json!({
        "architecture": architecture(),
        "bootID": facts.boot_id,
        "containerRuntimeVersion": format!("{}://{}", version.runtime_name, version.runtime_version),
        "kernelVersion": facts.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": config.version,
        "machineID": facts.machine_id,
        "operatingSystem": "linux",
        "osImage": facts.os_image,
        "swap": {"capacity": facts.swap},
        "systemUUID": facts.system_uuid,
    })
}

fn images(images: &[Image]) -> Value {
    let mut images: Vec<&Image> = images.iter().collect();
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    let entry = |image: &&Image| {
        let names: Vec<&String> = image.repo_digests.iter().chain(&image.repo_tags).take(5).collect();
        json!({"names": names, "sizeBytes": image.size})
    };
    images.iter().take(MAX_IMAGES).map(entry).collect()
}

fn conditions(inputs: &Inputs<'_>, present: &Value, now: Timestamp) -> Value {
    let p = inputs.pressure;
    let limits = &inputs.config.limits;
    let memory = p.memory_available < limits.memory_available.of(inputs.facts.memory);
    let disk = p.disk_available < limits.disk_available.of(p.disk_size)
        || (p.inodes > 0 && p.inodes_free < limits.inodes_free.of(p.inodes));
    let pids = p.pids_max > 0 && p.pids_available < 1000.min(p.pids_max / 10);
    let ready = readiness(inputs.runtime);
    let pressure = |is: bool, yes: (&'static str, &'static str), no: (&'static str, &'static str)| {
        if is { ("True", yes.0.to_owned(), yes.1.to_owned()) } else { ("False", no.0.to_owned(), no.1.to_owned()) }
    };
    let ours = [
        (
            "MemoryPressure",
            pressure(
                memory,
                ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
                ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ),
        ),
        (
            "DiskPressure",
            pressure(
                disk,
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
        ),
        (
            "PIDPressure",
            pressure(
                pids,
                ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
                ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ),
        ),
        ("Ready", ready),
    ];
    let old: &[Value] = present.as_array().map_or(&[], Vec::as_slice);
    let mut all: Vec<Value> =
        old.iter().filter(|c| !ours.iter().any(|(kind, _)| c["type"] == *kind)).cloned().collect();
    let time = api::time::format(now);
    for (kind, (status, reason, message)) in ours {
        let before = old.iter().find(|c| c["type"] == kind && c["status"] == status);
        let since = before.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(&time);
        all.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": time, "lastTransitionTime": since,
        }));
    }
    all.into()
}

fn readiness(runtime: &RuntimeStatus) -> (&'static str, String, String) {
    let mut problems = Vec::new();
    if let Some(why) = &runtime.not_ready {
        problems.push(format!("container runtime is down: {why}"));
    }
    if let Some(why) = &runtime.network_not_ready {
        problems.push(format!(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: {why}"
        ));
    }
    if problems.is_empty() {
        ("True", "KubeletReady".into(), "kubelet is posting ready status".into())
    } else {
        (
            "False",
            "KubeletNotReady".into(),
            format!("[{}]", problems.join(", ")).replace("[container", "container").trim_end_matches(']').to_owned(),
        )
    }
}

/// Whether two statuses differ in more than heartbeats.
pub(crate) fn differs(a: &Value, b: &Value) -> bool {
    let without = |status: &Value| {
        let mut status = status.clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if let Some(condition) = condition.as_object_mut() {
                condition.remove("lastHeartbeatTime");
            }
        }
        status
    };
    !crate::patch::same(&without(a), &without(b))
}
