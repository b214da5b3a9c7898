//! Under whose name, and with which powers, containers run.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_subdomain, in_range};

use super::each_container;
use crate::strategy::at::At;

/// The longest name of a sysctl.
const SYSCTL_MAX: usize = 253;
const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Fields of the pod's security context that mean nothing on Windows, in upstream's order; those that start with a dot stand
/// beside it.
const NOT_ON_WINDOWS: [&str; 15] = [
    "appArmorProfile",
    "seLinuxOptions",
    ".hostUsers",
    ".hostPID",
    ".hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    ".shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];

const NOT_IN_WINDOWS_CONTAINERS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn id(number: i64) -> Vec<String> {
    in_range(number, 0, i64::from(i32::MAX))
}

fn ids(context: &At, fields: &[&str], errors: &mut ErrorList) {
    for field in fields {
        let at = context.get(field);
        if at.is_set() {
            at.number(id, errors);
        }
    }
}

/// Complaints about a pod's security context.
pub(super) fn of_pod(spec: &At, errors: &mut ErrorList) {
    let context = spec.get("securityContext");
    ids(&context, &["fsGroup", "runAsUser", "runAsGroup"], errors);
    context.each("supplementalGroups").for_each(|group| group.number(id, errors));
    if spec.truth("shareProcessNamespace") && spec.truth("hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        context.get("shareProcessNamespace").wrong(errors, true, why);
    }
    sysctls(spec, &context, errors);
    one_of(&context.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], errors);
    seccomp(&context.get("seccompProfile"), errors);
    windows_options(&context.get("windowsOptions"), errors);
    app_armor(&context.get("appArmorProfile"), errors);
    one_of(&context.get("supplementalGroupsPolicy"), &["Merge", "Strict"], errors);
    // The other one belongs to a feature that 1.35 has off by default.
    one_of(&context.get("seLinuxChangePolicy"), &["Recursive"], errors);
}

fn one_of(at: &At, values: &[&str], errors: &mut ErrorList) {
    if at.is_set() && !values.contains(&at.str()) {
        at.unsupported(errors, values);
    }
}

fn sysctls(spec: &At, context: &At, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for sysctl in context.each("sysctls") {
        let name = sysctl.get("name");
        let text = name.str();
        if text.is_empty() {
            name.required(errors, "");
        } else if !is_sysctl(text) {
            let why = format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL}");
            name.invalid(errors, why);
        } else if names.contains(&text) {
            name.duplicate(errors);
        }
        names.insert(text);
        let dotted = text.replace('/', ".");
        if spec.truth("hostNetwork") && dotted.starts_with("net.") {
            name.invalid(errors, "may not be specified when 'hostNetwork' is true");
        }
        if spec.truth("hostIPC") && (is_ipc(&dotted) || dotted.starts_with("fs.mqueue.")) {
            name.invalid(errors, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// The settings that each IPC namespace has of its own.
fn is_ipc(name: &str) -> bool {
    name == "kernel.sem" || name.starts_with("kernel.shm") || name.starts_with("kernel.msg")
}

fn is_sysctl(name: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        let inner = bytes.iter().all(|b| edge(b) || matches!(b, b'-' | b'_'));
        inner && bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge)
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}

/// Complaints about a container's security context.
pub(super) fn of_container(context: &At, host_users: bool, errors: &mut ErrorList) {
    if !context.is_set() {
        return;
    }
    ids(context, &["runAsUser", "runAsGroup"], errors);
    let proc_mount = context.get("procMount");
    if proc_mount.is_set() {
        one_of(&proc_mount, &["Default", "Unmasked"], errors);
        if host_users && proc_mount.str() == "Unmasked" {
            proc_mount.invalid(errors, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(&context.get("seccompProfile"), errors);
    if context.has("allowPrivilegeEscalation") && !context.truth("allowPrivilegeEscalation") {
        if context.truth("privileged") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            context.wrong(errors, context.as_upstream("SecurityContext"), why);
        }
        if context.items("capabilities.add").iter().any(|capability| capability == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            context.wrong(errors, context.as_upstream("SecurityContext"), why);
        }
    }
    windows_options(&context.get("windowsOptions"), errors);
    app_armor(&context.get("appArmorProfile"), errors);
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(profile: &At, errors: &mut ErrorList) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.get("type"), profile.get("localhostProfile"));
    match kind.str() {
        "" => kind.required(errors, "type is required when seccompProfile is set"),
        other if !PROFILES.contains(&other) => kind.unsupported(errors, &PROFILES),
        _ => {}
    }
    if kind.str() == "Localhost" {
        match local.is_set() {
            false => local.required(errors, "must be set when seccomp type is Localhost"),
            true => local.descending(errors),
        }
    } else if local.is_set() {
        local.wrong(errors, profile.as_upstream("SeccompProfile"), "can only be set when seccomp type is Localhost");
    }
}

fn app_armor(profile: &At, errors: &mut ErrorList) {
    if !profile.is_set() {
        return;
    }
    let (kind, local) = (profile.get("type"), profile.get("localhostProfile"));
    match kind.str() {
        "Localhost" => {
            let text = local.str();
            if text.trim() != text {
                local.invalid(errors, "must not be padded with whitespace");
            } else if text.is_empty() {
                local.required(errors, "must be set when AppArmor type is Localhost");
            }
            if text.len() > 4095 {
                local.too_long(errors, 4095);
            }
        }
        "RuntimeDefault" | "Unconfined" if local.is_set() => {
            local.invalid(errors, "can only be set when AppArmor type is Localhost");
        }
        "RuntimeDefault" | "Unconfined" => {}
        "" => kind.required(errors, "type is required when appArmorProfile is set"),
        _ => kind.unsupported(errors, &PROFILES),
    }
}

fn windows_options(options: &At, errors: &mut ErrorList) {
    let name = options.get("gmsaCredentialSpecName");
    if name.is_set() {
        name.complain(errors, dns1123_subdomain(name.str()));
    }
    let credentials = options.get("gmsaCredentialSpec");
    if credentials.is_set() && credentials.is_empty() {
        credentials.invalid(errors, "gmsaCredentialSpec cannot be an empty string");
    } else if credentials.str().len() > 64 << 10 {
        credentials.invalid(errors, "gmsaCredentialSpec size must be under 64 KiB");
    }
    let user = options.get("runAsUserName");
    if !user.is_set() {
        return;
    }
    let text = user.str();
    let parts: Vec<&str> = text.split('\\').collect();
    if text.is_empty() {
        user.invalid(errors, "runAsUserName cannot be an empty string");
    } else if text.chars().any(char::is_control) {
        user.invalid(errors, "runAsUserName cannot contain control characters");
    } else if parts.len() > 2 {
        user.invalid(errors, "runAsUserName cannot contain more than one backslash");
    } else {
        windows_user(&user, &parts, errors);
    }
}

fn windows_user(at: &At, parts: &[&str], errors: &mut ErrorList) {
    let (domain, user) = match parts {
        [domain, user] => (Some(*domain), *user),
        [user] => (None, *user),
        _ => return,
    };
    if let Some(domain) = domain {
        if domain.len() >= 256 {
            at.invalid(errors, "runAsUserName's Domain length must be under 256 characters");
        }
        let reserved = |c: char| r#"\/:*?"<>|"#.contains(c);
        let net_bios =
            (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(reserved);
        if !net_bios && !dns1123_subdomain(&domain.to_lowercase()).is_empty() {
            at.invalid(errors, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        at.invalid(errors, "runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        at.invalid(errors, "runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        at.invalid(errors, "runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(|c: char| r#""/\:;|=,+*?<>@[]"#.contains(c)) {
        let why = r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        at.invalid(errors, why);
    }
}

/// Containers that run as processes of a Windows host do so all together.
pub(super) fn host_process(spec: &At, errors: &mut ErrorList) {
    let field = "securityContext.windowsOptions.hostProcess";
    let of_pod = spec.get(field).value().as_bool();
    let (mut all, mut host) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = container.get(field);
        let value = own.value().as_bool();
        if let (Some(pod), Some(own_value)) = (of_pod, value)
            && pod != own_value
        {
            own.invalid(errors, format!("pod hostProcess value must be identical if both are specified, was {pod}"));
        }
        if value.or(of_pod) == Some(true) {
            host += 1;
        }
    });
    if host == 0 {
        return;
    }
    if host != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        spec.wrong(errors, "", why);
    }
    if !spec.truth("hostNetwork") {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        spec.get("hostNetwork").wrong(errors, false, why);
    }
}

/// A pod with users of its own shares nothing with the host that knows users.
pub(super) fn host_users(spec: &At, errors: &mut ErrorList) {
    if spec.get("hostUsers").value().as_bool() != Some(false) {
        return;
    }
    for (field, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.truth(field) {
            spec.get(name).forbidden(errors, "when `hostUsers` is false");
        }
    }
    each_container(spec, |container| {
        let devices = container.get("volumeDevices");
        if !devices.is_empty() {
            devices.forbidden(errors, "when `hostUsers` is false");
        }
    });
}

/// What a pod may not say, given the system it says it is for.
pub(super) fn of_system(spec: &At, errors: &mut ErrorList) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    match spec.text("os.name") {
        "" => spec.get("os.name").required(errors, ""),
        "linux" => {
            let why = "windows options cannot be set for a linux pod";
            let forbid = |at: &At, errors: &mut ErrorList| {
                if at.is_set() {
                    at.forbidden(errors, why);
                }
            };
            forbid(&spec.get("securityContext.windowsOptions"), errors);
            each_container(spec, |container| forbid(&container.get("securityContext.windowsOptions"), errors));
        }
        "windows" => windows(spec, errors),
        other => errors.push(Error::not_supported(&os.path(), other, &["linux", "windows"])),
    }
}

fn windows(spec: &At, errors: &mut ErrorList) {
    let why = "cannot be set for a windows pod";
    let context = spec.get("securityContext");
    for field in NOT_ON_WINDOWS {
        let at = match field.strip_prefix('.') {
            Some(beside) => spec.get(beside),
            None => context.get(field),
        };
        // A text that is empty is one that was given.
        let unset =
            at.is_empty() && !at.value().is_string() || matches!(field, ".hostPID" | ".hostIPC") && at.value() == false;
        if !unset {
            at.forbidden(errors, why);
        }
    }
    each_container(spec, |container| {
        let context = container.get("securityContext");
        for field in NOT_IN_WINDOWS_CONTAINERS {
            let at = context.get(field);
            if at.is_set() {
                at.forbidden(errors, why);
            }
        }
    });
}
