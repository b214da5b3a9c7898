//! The Pod Security Standards: what each level refuses, in upstream's words and order.

use serde_json::Value;

use super::{Level, Standard, containers};
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

/// Kernel settings that belong to the pod alone, and since which version that is held.
const SAFE_SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

const SAFE_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const SAFE_TYPES: [(u32, &str); 5] =
    [(0, ""), (0, "container_t"), (0, "container_init_t"), (0, "container_kvm_t"), (31, "container_engine_t")];

const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A pod or a template, and by the standards of which 1.x it is judged.
struct Pod<'v> {
    object: &'v Value,
    spec: &'v Value,
    minor: u32,
    restricted: bool,
}

impl<'v> Pod<'v> {
    fn annotations(&self) -> impl Iterator<Item = (&'v str, &'v str)> + use<'v> {
        let annotations = self.object.at("metadata.annotations").and_then(Value::as_object);
        annotations.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
    }

    /// Pods for Windows cannot be asked for what Windows does not have.
    fn is_excused(&self) -> bool {
        self.minor >= 25 && self.spec.text("os.name") == "windows"
    }

    /// Root in a user namespace of its own is nobody outside.
    fn has_own_users(&self) -> bool {
        self.minor >= 35 && self.spec.at("hostUsers") == Some(&Value::Bool(false))
    }

    /// The names of the containers of which `wrong` holds; `None` when there are none.
    fn offenders(&self, wrong: impl Fn(&Value) -> bool) -> Option<Vec<&'v str>> {
        let names: Vec<&str> = containers(self.spec).filter(|c| wrong(c)).map(|c| c.text("name")).collect();
        (!names.is_empty()).then_some(names)
    }

    /// The pod and containers whose security context is wrong: `pod and container "a"`.
    fn setters(&self, wrong: impl Fn(&Value) -> bool) -> Option<String> {
        let wrong = |object: &Value| object.at("securityContext").is_some_and(&wrong);
        let mut who: Vec<String> = wrong(self.spec).then(|| "pod".to_owned()).into_iter().collect();
        who.extend(self.offenders(wrong).map(|names| named("container", &names)));
        (!who.is_empty()).then(|| who.join(" and "))
    }

    /// All security contexts.
    fn contexts(&self) -> impl Iterator<Item = &'v Value> + use<'v> {
        std::iter::once(self.spec).chain(containers(self.spec)).filter_map(|object| object.at("securityContext"))
    }
}

type Check = fn(&Pod) -> Option<String>;

const BASELINE: [Check; 12] = [
    app_armor,
    default_capabilities,
    host_namespaces,
    host_paths,
    host_ports,
    host_probes,
    privileged,
    proc_mount,
    selinux,
    default_seccomp,
    sysctls,
    host_process,
];

const RESTRICTED: [Check; 7] =
    [privilege_escalation, few_capabilities, default_proc_mount, volumes, non_root, root_user, seccomp];

/// What of a pod or template the standard refuses; none when it is allowed.
pub(super) fn violations(object: &Value, standard: &Standard) -> Vec<String> {
    let Some(spec) = object.at("spec") else { return Vec::new() };
    let pod = Pod { object, spec, minor: standard.minor(), restricted: standard.level == Level::Restricted };
    let checks: &[&[Check]] = match standard.level {
        Level::Privileged => &[],
        Level::Baseline => &[&BASELINE],
        Level::Restricted => &[&BASELINE, &RESTRICTED],
    };
    checks.iter().copied().flatten().filter_map(|check| check(&pod)).collect()
}

/// `container "a"`, or `containers "a", "b"`.
fn named(word: &str, names: &[&str]) -> String {
    format!("{} {}", plural(word, names.len()), quoted(names))
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Each once, in order.
fn set<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<&'v str> {
    values.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn app_armor(pod: &Pod) -> Option<String> {
    let bad = |context: &Value| {
        let profile = context.at("appArmorProfile");
        profile.is_some_and(|profile| !matches!(profile.text("type"), "RuntimeDefault" | "Localhost"))
    };
    let mut who: Vec<String> = pod.setters(bad).into_iter().collect();
    let kinds = pod.contexts().filter(|context| bad(context)).map(|context| context.text("appArmorProfile.type"));
    let mut values: Vec<String> = set(kinds).into_iter().map(str::to_owned).collect();
    let is_good = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut annotations: Vec<String> = pod
        .annotations()
        .filter(|(key, value)| key.starts_with(APP_ARMOR_PREFIX) && !is_good(value))
        .map(|(key, value)| format!("{key}={}", api::quote::quote(value)))
        .collect();
    if !annotations.is_empty() {
        annotations.sort();
        who.push(plural("annotation", annotations.len()));
        values.extend(annotations);
    }
    let reason = plural("forbidden AppArmor profile", values.len());
    let who = (!who.is_empty()).then(|| who.join(" and "))?;
    Some(format!("{reason} ({who} must not set AppArmor profile type to {})", quoted(&values)))
}

/// The containers that add capabilities beyond those allowed, and the words about them.
fn added(pod: &Pod, allowed: &[&str]) -> Option<String> {
    let adds = |c: &'_ Value| -> Vec<String> {
        let names = c.items("securityContext.capabilities.add").iter().filter_map(Value::as_str);
        names.filter(|name| !allowed.contains(name)).map(str::to_owned).collect()
    };
    let who = named("container", &pod.offenders(|c| !adds(c).is_empty())?);
    let names: Vec<String> = containers(pod.spec).flat_map(adds).collect();
    let names = set(names.iter().map(String::as_str));
    Some(format!("{who} must not include {} in securityContext.capabilities.add", quoted(&names)))
}

fn default_capabilities(pod: &Pod) -> Option<String> {
    if pod.restricted && pod.minor >= 22 {
        return None;
    }
    Some(format!("non-default capabilities ({})", added(pod, &DEFAULT_CAPABILITIES)?))
}

fn host_namespaces(pod: &Pod) -> Option<String> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"].into_iter();
    let used: Vec<String> = fields.filter(|field| pod.spec.truth(field)).map(|field| format!("{field}=true")).collect();
    (!used.is_empty()).then(|| format!("host namespaces ({})", used.join(", ")))
}

fn host_paths(pod: &Pod) -> Option<String> {
    let volumes = pod.spec.items("volumes").iter().filter(|volume| volume.at("hostPath").is_some());
    let names: Vec<&str> = volumes.map(|volume| volume.text("name")).collect();
    // The restricted level says so of volumes in general.
    (!names.is_empty() && !pod.restricted).then(|| format!("hostPath volumes ({})", named("volume", &names)))
}

fn host_ports(pod: &Pod) -> Option<String> {
    let ports = |c: &Value| -> Vec<i64> {
        c.items("ports").iter().filter_map(|port| port.int("hostPort")).filter(|port| *port != 0).collect()
    };
    let names = pod.offenders(|c| !ports(c).is_empty())?;
    let verb = if names.len() == 1 { "uses" } else { "use" };
    // In the order of texts.
    let ports: Vec<String> = containers(pod.spec).flat_map(ports).map(|port| port.to_string()).collect();
    let ports = set(ports.iter().map(String::as_str));
    let what = plural("hostPort", ports.len());
    Some(format!("hostPort ({} {verb} {what} {})", named("container", &names), ports.join(", ")))
}

fn host_probes(pod: &Pod) -> Option<String> {
    if pod.minor < 34 {
        return None;
    }
    let handlers = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    let hosts = |c: &'_ Value| -> Vec<String> {
        let at = |handler: &str, how: &str| c.text(&format!("{handler}.{how}.host")).to_owned();
        let all = handlers.iter().flat_map(|handler| [at(handler, "httpGet"), at(handler, "tcpSocket")]);
        all.filter(|host| !host.is_empty()).collect()
    };
    let names = set(pod.offenders(|c| !hosts(c).is_empty())?);
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let hosts: Vec<String> = containers(pod.spec).flat_map(hosts).collect();
    let hosts = set(hosts.iter().map(String::as_str));
    let what = plural("probe or lifecycle host", hosts.len());
    Some(format!("probe or lifecycle host ({} {verb} {what} {})", named("container", &names), quoted(&hosts)))
}

fn privileged(pod: &Pod) -> Option<String> {
    let names = pod.offenders(|c| c.truth("securityContext.privileged"))?;
    Some(format!("privileged ({} must not set securityContext.privileged=true)", named("container", &names)))
}

fn proc_mount(pod: &Pod) -> Option<String> {
    if pod.has_own_users() || pod.restricted && pod.minor >= 35 {
        return None;
    }
    unmasked(pod)
}

fn default_proc_mount(pod: &Pod) -> Option<String> {
    unmasked(pod).filter(|_| pod.minor >= 35)
}

fn unmasked(pod: &Pod) -> Option<String> {
    let mount = |c: &Value| c.text("securityContext.procMount").to_owned();
    let wrong = |c: &Value| !matches!(&*mount(c), "" | "Default");
    let names = named("container", &pod.offenders(wrong)?);
    let kinds: Vec<String> = containers(pod.spec).filter(|c| wrong(c)).map(mount).collect();
    let kinds = set(kinds.iter().map(String::as_str));
    Some(format!("procMount ({names} must not set securityContext.procMount to {})", quoted(&kinds)))
}

fn selinux(pod: &Pod) -> Option<String> {
    let kinds: Vec<&str> = SAFE_TYPES.iter().filter(|(since, _)| *since <= pod.minor).map(|(_, kind)| *kind).collect();
    let (user, role) = ("seLinuxOptions.user", "seLinuxOptions.role");
    let is_bad_type = |context: &Value| !kinds.contains(&context.text("seLinuxOptions.type"));
    let sets = |context: &Value, field: &str| !context.text(field).is_empty();
    let who = pod.setters(|context| is_bad_type(context) || sets(context, user) || sets(context, role))?;
    let bad = set(pod.contexts().filter(|c| is_bad_type(c)).map(|context| context.text("seLinuxOptions.type")));
    let mut what = Vec::new();
    if !bad.is_empty() {
        what.push(named("type", &bad));
    }
    for (field, words) in [(user, "user may not be set"), (role, "role may not be set")] {
        if pod.contexts().any(|context| sets(context, field)) {
            what.push(words.to_owned());
        }
    }
    Some(format!("seLinuxOptions ({who} set forbidden securityContext.seLinuxOptions: {})", what.join("; ")))
}

fn default_seccomp(pod: &Pod) -> Option<String> {
    match pod.minor {
        19.. if pod.restricted => None,
        19.. => bad_seccomp(pod),
        _ => seccomp_annotations(pod),
    }
}

fn seccomp_annotations(pod: &Pod) -> Option<String> {
    let is_good =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let is_ours = |key: &str| {
        let container = key.strip_prefix(SECCOMP_PREFIX);
        key == SECCOMP || container.is_some_and(|name| containers(pod.spec).any(|c| c.text("name") == name))
    };
    let bad = pod.annotations().filter(|(key, value)| is_ours(key) && !is_good(value));
    let mut bad: Vec<String> = bad.map(|(key, value)| format!("{key}={}", api::quote::quote(value))).collect();
    bad.sort();
    let what = plural("annotation", bad.len());
    (!bad.is_empty()).then(|| format!("seccompProfile (forbidden {what} {})", bad.join(", ")))
}

fn bad_seccomp(pod: &Pod) -> Option<String> {
    let bad = |context: &Value| {
        let profile = context.at("seccompProfile");
        profile.is_some_and(|profile| !matches!(profile.text("type"), "RuntimeDefault" | "Localhost"))
    };
    let who = pod.setters(bad)?;
    let kinds = set(pod.contexts().filter(|context| bad(context)).map(|context| context.text("seccompProfile.type")));
    Some(format!("seccompProfile ({who} must not set securityContext.seccompProfile.type to {})", quoted(&kinds)))
}

fn seccomp(pod: &Pod) -> Option<String> {
    if pod.minor < 19 || pod.is_excused() {
        return None;
    }
    let silent = |object: &Value| object.at("securityContext.seccompProfile").is_none();
    bad_seccomp(pod).or_else(|| {
        let names = pod.offenders(silent).filter(|_| silent(pod.spec))?;
        let who = named("container", &names);
        let kinds = "\"RuntimeDefault\" or \"Localhost\"";
        Some(format!("seccompProfile (pod or {who} must set securityContext.seccompProfile.type to {kinds})"))
    })
}

fn sysctls(pod: &Pod) -> Option<String> {
    let is_safe = |name: &str| SAFE_SYSCTLS.iter().any(|(since, safe)| *since <= pod.minor && *safe == name);
    let names = pod.spec.items("securityContext.sysctls").iter().map(|sysctl| sysctl.text("name"));
    let names: Vec<&str> = names.filter(|name| !is_safe(name)).collect();
    (!names.is_empty()).then(|| format!("forbidden sysctls ({})", names.join(", ")))
}

fn host_process(pod: &Pod) -> Option<String> {
    let who = pod.setters(|context| context.truth("windowsOptions.hostProcess"))?;
    Some(format!("hostProcess ({who} must not set securityContext.windowsOptions.hostProcess=true)"))
}

fn privilege_escalation(pod: &Pod) -> Option<String> {
    if pod.minor < 8 || pod.is_excused() {
        return None;
    }
    let wrong = |c: &Value| c.at("securityContext.allowPrivilegeEscalation") != Some(&Value::Bool(false));
    let who = named("container", &pod.offenders(wrong)?);
    Some(format!("allowPrivilegeEscalation != false ({who} must set securityContext.allowPrivilegeEscalation=false)"))
}

fn few_capabilities(pod: &Pod) -> Option<String> {
    if pod.minor < 22 || pod.is_excused() {
        return None;
    }
    let keeps = |c: &Value| !c.items("securityContext.capabilities.drop").iter().any(|name| name == "ALL");
    let drops = pod
        .offenders(keeps)
        .map(|names| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &names)));
    let all: Vec<String> = drops.into_iter().chain(added(pod, &["NET_BIND_SERVICE"])).collect();
    (!all.is_empty()).then(|| format!("unrestricted capabilities ({})", all.join("; ")))
}

fn volumes(pod: &Pod) -> Option<String> {
    let kind = |volume: &'_ Value| -> String {
        let fields = volume.as_object().into_iter().flatten().map(|(key, _)| key.clone());
        fields.filter(|key| key != "name").min().unwrap_or_else(|| "unknown".to_owned())
    };
    let bad = pod.spec.items("volumes").iter().map(|volume| (volume.text("name"), kind(volume)));
    let bad: Vec<(&str, String)> = bad.filter(|(_, kind)| !SAFE_VOLUMES.contains(&kind.as_str())).collect();
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    let kinds = set(bad.iter().map(|(_, kind)| kind.as_str()));
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let what = plural("restricted volume type", kinds.len());
    let who = (!names.is_empty()).then(|| named("volume", &names))?;
    Some(format!("restricted volume types ({who} {verb} {what} {})", quoted(&kinds)))
}

fn non_root(pod: &Pod) -> Option<String> {
    if pod.has_own_users() {
        return None;
    }
    let said = |object: &Value| object.at("securityContext.runAsNonRoot").and_then(Value::as_bool);
    let reason = "runAsNonRoot != true";
    if let Some(who) = pod.setters(|context| context.at("runAsNonRoot") == Some(&Value::Bool(false))) {
        return Some(format!("{reason} ({who} must not set securityContext.runAsNonRoot=false)"));
    }
    let silent = pod.offenders(|c| said(c).is_none()).filter(|_| said(pod.spec) != Some(true))?;
    let who = named("container", &silent);
    Some(format!("{reason} (pod or {who} must set securityContext.runAsNonRoot=true)"))
}

fn root_user(pod: &Pod) -> Option<String> {
    if pod.minor < 23 || pod.has_own_users() {
        return None;
    }
    let who = pod.setters(|context| context.int("runAsUser") == Some(0))?;
    Some(format!("runAsUser=0 ({who} must not set runAsUser=0)"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_upstream_says() {
        let pod = |field: &str, value: Value| {
            let good = json!({
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
                "seccompProfile": {"type": "RuntimeDefault"},
            });
            let mut spec = json!({"containers": [{"name": "a", "securityContext": good}]});
            let mut place = &mut spec;
            for step in field.split('.') {
                place = match step.parse::<usize>() {
                    Ok(index) => &mut place[index],
                    Err(_) => &mut place[step],
                };
            }
            *place = value;
            json!({"spec": spec})
        };
        let context = |field: &str| format!("containers.0.securityContext.{field}");
        let check = |level: &str, field: &str, value: Value, expect: &str| {
            let (level, version) = level.split_once(':').unwrap();
            let standard = Standard { level: Level::parse(level).unwrap(), version: version.into() };
            let got = violations(&pod(field, value.clone()), &standard).join(", ");
            assert_eq!(got, expect, "{standard} {field} {value}");
        };
        let never = "allowPrivilegeEscalation != false (container \"a\" must set \
                     securityContext.allowPrivilegeEscalation=false)";
        check("restricted:latest", "volumes", json!([{"name": "v", "secret": {"secretName": "s"}}]), "");
        check("restricted:latest", &context("allowPrivilegeEscalation"), json!(true), never);
        check("restricted:v1.7", &context("allowPrivilegeEscalation"), json!(true), "");
        check("baseline:latest", &context("allowPrivilegeEscalation"), json!(true), "");
        check("baseline:latest", "securityContext.sysctls", json!([{"name": "net.ipv4.tcp_rmem"}]), "");
        let forbidden = "forbidden sysctls (net.ipv4.tcp_rmem)";
        check("baseline:v1.31", "securityContext.sysctls", json!([{"name": "net.ipv4.tcp_rmem"}]), forbidden);
        check(
            "restricted:latest",
            &context("runAsUser"),
            json!(0),
            "runAsUser=0 (container \"a\" must not set runAsUser=0)",
        );
        check("restricted:v1.22", &context("runAsUser"), json!(0), "");
        let types =
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"t\"; user may not be set)";
        check("baseline:latest", "securityContext.seLinuxOptions", json!({"type": "t", "user": "u"}), types);
        let host = "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"1.2.3.4\")";
        check("baseline:latest", "containers.0.livenessProbe.httpGet.host", json!("1.2.3.4"), host);
        check("baseline:v1.33", "containers.0.livenessProbe.httpGet.host", json!("1.2.3.4"), "");
        let armor = "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")";
        check("baseline:latest", &context("appArmorProfile"), json!({"type": "Unconfined"}), armor);
        let process = "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)";
        check("baseline:latest", "securityContext.windowsOptions.hostProcess", json!(true), process);
        let unmasked = "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")";
        check("restricted:latest", &context("procMount"), json!("Unmasked"), unmasked);
        let profile =
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")";
        check("restricted:latest", &context("seccompProfile.type"), json!("Unconfined"), profile);
        check("baseline:latest", &context("seccompProfile.type"), json!("Unconfined"), profile);
        check("baseline:v1.18", &context("seccompProfile.type"), json!("Unconfined"), "");
        let added = "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\", \"SYS_TIME\" in \
                     securityContext.capabilities.add)";
        check("baseline:latest", &context("capabilities.add"), json!(["SYS_TIME", "KILL", "SYS_ADMIN"]), added);
        let ports = "hostPort (container \"a\" uses hostPorts 443, 80)";
        check("baseline:latest", "containers.0.ports", json!([{"hostPort": 80}, {"hostPort": 443}]), ports);
        let volume = "restricted volume types (volume \"v\" uses restricted volume type \"nfs\")";
        check("restricted:latest", "volumes", json!([{"name": "v", "nfs": {}}]), volume);
    }
}
