//! The sandbox of a pod.

use runtime::types::{DnsConfig, Map, PortMapping, Protocol, Resources, SandboxMetadata, SandboxSpec};

use super::{network, security};
use crate::Config;
use crate::error::{Result, invalid};
use crate::pods::observed::{POD_NAME, POD_NAMESPACE, POD_UID};
use crate::pods::pod::Pod;
use crate::pods::qos;

/// Sysctls that affect only the pod they are set in.
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// The first sysctl of the pod that this node does not allow.
pub(crate) fn forbidden_sysctl(pod: &Pod) -> Option<String> {
    let sysctls = pod.spec.security_context.as_ref()?.sysctls.as_ref()?;
    let normal = |name: &str| name.replace('/', ".");
    let bad = sysctls.iter().find(|s| {
        let name = normal(&s.name);
        !SAFE_SYSCTLS.contains(&name.as_str()) || (pod.host_network() && name.starts_with("net."))
    });
    bad.map(|s| s.name.clone())
}

/// What the sandbox is made from.
pub(crate) fn sandbox(
    pod: &Pod,
    config: &Config,
    attempt: u32,
    host_dns: DnsConfig,
    cgroup_parent: &str,
    handler: &str,
) -> Result<SandboxSpec> {
    let (hostname, _) = network::hostname(pod, &config.node_name, &config.cluster_domain)?;
    if pod.spec.host_users == Some(false) {
        return invalid("user namespaces (hostUsers: false) are not supported by this node");
    }
    let (dns, _) = network::dns(pod, &config.cluster_dns, &config.cluster_domain, host_dns);
    let mut labels: Map = pod.labels.clone();
    labels.extend(labels_of(pod));
    let sysctls = pod.spec.security_context.iter().filter_map(|s| s.sysctls.as_ref()).flatten();
    let (asked, limit) = qos::pod_amounts(&pod.spec);
    let port_mappings = pod
        .init_containers()
        .iter()
        .chain(&pod.spec.containers)
        .flat_map(|c| c.ports.iter().flatten())
        .filter(|port| port.host_port.unwrap_or(0) > 0 && !pod.host_network())
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
            container_port: u16::try_from(port.container_port).unwrap_or(0),
            host_port: port.host_port.and_then(|p| u16::try_from(p).ok()).unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        });
    Ok(SandboxSpec {
        metadata: SandboxMetadata {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            attempt,
        },
        hostname: if pod.host_network() { String::new() } else { hostname },
        log_directory: config.pod_log_dir(&pod.namespace, &pod.name, &pod.uid),
        dns: Some(dns),
        port_mappings: port_mappings.collect(),
        labels,
        annotations: pod.annotations.clone(),
        runtime_handler: handler.to_owned(),
        cgroup_parent: cgroup_parent.to_owned(),
        sysctls: sysctls.map(|s| (s.name.replace('/', "."), s.value.clone())).collect(),
        security: security::of_sandbox(pod, &config.root_dir.join("seccomp")),
        resources: Some(Resources {
            cpu_period: qos::CPU_PERIOD,
            cpu_quota: qos::cpu_quota(limit.cpu.unwrap_or(0)),
            cpu_shares: qos::cpu_shares(asked.cpu.unwrap_or(0)),
            memory_limit: limit.memory.unwrap_or(0),
            ..Resources::default()
        }),
        overhead: None,
    })
}

/// The labels by which a pod's sandboxes and containers are found again.
pub(crate) fn labels_of(pod: &Pod) -> Map {
    [(POD_NAME, &pod.name), (POD_NAMESPACE, &pod.namespace), (POD_UID, &pod.uid)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}
