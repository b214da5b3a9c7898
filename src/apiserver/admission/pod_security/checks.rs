//! The Pod Security Standards: what each level refuses, in upstream's words and order.

use serde_json::Value;

use super::{Level, containers};
use crate::tree::Tree;

/// Capabilities every container has, and may name.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

const SAFE_VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"];

/// What of a pod spec the level refuses; none when it is allowed.
pub(super) fn violations(spec: &Value, level: Level) -> Vec<String> {
    if level == Level::Privileged {
        return Vec::new();
    }
    let restricted = level == Level::Restricted;
    let checks: [fn(&Value, bool) -> Option<String>; 13] = [
        privilege_escalation,
        capabilities,
        host_namespaces,
        host_paths,
        host_ports,
        privileged,
        proc_mount,
        volumes,
        non_root,
        root_user,
        selinux,
        seccomp,
        sysctls,
    ];
    checks.iter().filter_map(|check| check(spec, restricted)).collect()
}

/// `container "a"`, or `containers "a", "b"`.
fn named<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(api::quote::quote).collect();
    format!("{word}{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

/// The names of the containers of which `wrong` holds; `None` when there are none.
fn offenders(spec: &Value, wrong: impl Fn(&Value) -> bool) -> Option<Vec<&str>> {
    let names: Vec<&str> = containers(spec).filter(|c| wrong(c)).map(|c| c.text("name")).collect();
    (!names.is_empty()).then_some(names)
}

fn privilege_escalation(spec: &Value, restricted: bool) -> Option<String> {
    let wrong = |c: &Value| c.at("securityContext.allowPrivilegeEscalation") != Some(&Value::Bool(false));
    let names = offenders(spec, wrong).filter(|_| restricted)?;
    let who = named("container", names);
    Some(format!("allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"))
}

fn capabilities(spec: &Value, restricted: bool) -> Option<String> {
    let mut added: Vec<String> = Vec::new();
    let allowed: &[&str] = if restricted { &["NET_BIND_SERVICE"] } else { &DEFAULT_CAPABILITIES };
    let adds = offenders(spec, |c| {
        c.items("securityContext.capabilities.add")
            .iter()
            .filter_map(Value::as_str)
            .any(|name| !allowed.contains(&name))
    });
    for container in containers(spec) {
        for name in container.items("securityContext.capabilities.add").iter().filter_map(Value::as_str) {
            if !allowed.contains(&name) && !added.contains(&api::quote::quote(name)) {
                added.push(api::quote::quote(name));
            }
        }
    }
    added.sort();
    let adds = adds.map(|names| {
        let who = named("container", names);
        format!("{who} must not include {} in securityContext.capabilities.add", added.join(", "))
    });
    if !restricted {
        return Some(format!("non-default capabilities ({})", adds?));
    }
    let drops = offenders(spec, |c| !c.items("securityContext.capabilities.drop").iter().any(|name| name == "ALL"));
    let drops = drops
        .map(|names| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", names)));
    let all: Vec<String> = drops.into_iter().chain(adds).collect();
    (!all.is_empty()).then(|| format!("unrestricted capabilities ({})", all.join("; ")))
}

fn host_namespaces(spec: &Value, _: bool) -> Option<String> {
    let used: Vec<String> =
        ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|f| spec.truth(f)).map(|f| format!("{f}=true")).collect();
    (!used.is_empty()).then(|| format!("host namespaces ({})", used.join(", ")))
}

fn host_paths(spec: &Value, restricted: bool) -> Option<String> {
    let names: Vec<&str> =
        spec.items("volumes").iter().filter(|v| v.at("hostPath").is_some()).map(|v| v.text("name")).collect();
    // The restricted level says so of volumes in general.
    (!names.is_empty() && !restricted).then(|| format!("hostPath volumes ({})", named("volume", names)))
}

fn host_ports(spec: &Value, _: bool) -> Option<String> {
    let uses = |c: &Value| c.items("ports").iter().any(|port| port.int("hostPort").unwrap_or(0) != 0);
    let names = offenders(spec, uses)?;
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let mut ports: Vec<i64> = containers(spec)
        .flat_map(|c| c.items("ports"))
        .filter_map(|port| port.int("hostPort").filter(|port| *port != 0))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let plural = if ports.len() == 1 { "" } else { "s" };
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    Some(format!("hostPort ({} {verb} hostPort{plural} {})", named("container", names), ports.join(", ")))
}

fn privileged(spec: &Value, _: bool) -> Option<String> {
    let names = offenders(spec, |c| c.truth("securityContext.privileged"))?;
    Some(format!("privileged ({} must not set securityContext.privileged=true)", named("container", names)))
}

fn proc_mount(spec: &Value, _: bool) -> Option<String> {
    let names = offenders(spec, |c| !matches!(c.text("securityContext.procMount"), "" | "Default"))?;
    Some(format!("procMount ({} must not set securityContext.procMount to \"Unmasked\")", named("container", names)))
}

fn volumes(spec: &Value, restricted: bool) -> Option<String> {
    if !restricted {
        return None;
    }
    let (mut names, mut kinds) = (Vec::new(), Vec::new());
    for volume in spec.items("volumes") {
        let kind = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).find(|key| *key != "name");
        if let Some(kind) = kind.filter(|kind| !SAFE_VOLUMES.contains(kind)) {
            names.push(volume.text("name"));
            kinds.push(api::quote::quote(kind));
        }
    }
    kinds.sort();
    kinds.dedup();
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let plural = if kinds.len() == 1 { "" } else { "s" };
    let kinds = kinds.join(", ");
    (!names.is_empty()).then(|| {
        format!("restricted volume types ({} {verb} restricted volume type{plural} {kinds})", named("volume", names))
    })
}

fn non_root(spec: &Value, restricted: bool) -> Option<String> {
    let of = |object: &Value| object.at("securityContext.runAsNonRoot").and_then(Value::as_bool);
    if !restricted {
        return None;
    }
    let pod = of(spec);
    if let Some(names) = offenders(spec, |c| of(c) == Some(false)) {
        let who = named("container", names);
        return Some(format!("runAsNonRoot != true ({who} must not set securityContext.runAsNonRoot=false)"));
    }
    let silent = offenders(spec, |c| of(c).is_none())?;
    match pod {
        Some(true) => None,
        Some(false) => Some("runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)".into()),
        None => {
            let who = named("container", silent);
            Some(format!("runAsNonRoot != true (pod or {who} must set securityContext.runAsNonRoot=true)"))
        }
    }
}

fn root_user(spec: &Value, restricted: bool) -> Option<String> {
    let is_root = |object: &Value| object.int("securityContext.runAsUser") == Some(0);
    if !restricted {
        return None;
    }
    let mut who: Vec<String> = is_root(spec).then(|| "pod".to_owned()).into_iter().collect();
    who.extend(offenders(spec, is_root).map(|names| named("container", names)));
    (!who.is_empty()).then(|| format!("runAsUser=0 ({} must not set runAsUser=0)", who.join(" and ")))
}

fn selinux(spec: &Value, _: bool) -> Option<String> {
    let kinds = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let wrong = |object: &Value| {
        object.at("securityContext.seLinuxOptions").is_some_and(|options| {
            !kinds.contains(&options.text("type"))
                || !options.text("user").is_empty()
                || !options.text("role").is_empty()
        })
    };
    let mut who: Vec<String> = wrong(spec).then(|| "pod".to_owned()).into_iter().collect();
    who.extend(offenders(spec, wrong).map(|names| named("container", names)));
    (!who.is_empty())
        .then(|| format!("seLinuxOptions ({} set forbidden securityContext.seLinuxOptions)", who.join(" and ")))
}

fn seccomp(spec: &Value, restricted: bool) -> Option<String> {
    let of = |object: &Value| object.text("securityContext.seccompProfile.type").to_owned();
    let pod = of(spec);
    let good = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let forbidden = |kind: &str| !kind.is_empty() && !good(kind);
    let mut who: Vec<String> = forbidden(&pod).then(|| "pod".to_owned()).into_iter().collect();
    who.extend(offenders(spec, |c| forbidden(&of(c))).map(|names| named("container", names)));
    if !who.is_empty() {
        let who = who.join(" and ");
        return Some(format!(
            "seccompProfile ({who} must not set securityContext.seccompProfile.type to \"Unconfined\")"
        ));
    }
    if !restricted || good(&pod) {
        return None;
    }
    let names = offenders(spec, |c| of(c).is_empty())?;
    let who = named("container", names);
    Some(format!(
        "seccompProfile (pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    ))
}

fn sysctls(spec: &Value, _: bool) -> Option<String> {
    let names: Vec<&str> = spec
        .items("securityContext.sysctls")
        .iter()
        .map(|sysctl| sysctl.text("name"))
        .filter(|name| !SAFE_SYSCTLS.contains(name))
        .collect();
    (!names.is_empty()).then(|| format!("forbidden sysctls ({})", names.join(", ")))
}
