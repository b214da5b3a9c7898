//! Security contexts of pod and container, merged into what the runtime takes.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext as Own,
};
use runtime::types::{
    Image, NamespaceMode, Namespaces, SecurityContext, SecurityProfile, SelinuxOptions, SupplementalGroupsPolicy,
};

use crate::error::{Result, invalid};
use crate::pods::pod::Pod;

/// Namespaces by the pod's wishes.
pub(crate) fn namespaces(pod: &Pod) -> Namespaces {
    let spec = &pod.spec;
    let node_or = |host: Option<bool>, otherwise| if host.unwrap_or(false) { NamespaceMode::Node } else { otherwise };
    let pid = if spec.share_process_namespace.unwrap_or(false) { NamespaceMode::Pod } else { NamespaceMode::Container };
    Namespaces {
        network: node_or(spec.host_network, NamespaceMode::Pod),
        pid: node_or(spec.host_pid, pid),
        ipc: node_or(spec.host_ipc, NamespaceMode::Pod),
        ..Namespaces::default()
    }
}

/// Whether any container of the pod is privileged; its sandbox then is, too.
pub(crate) fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|s| s.privileged).unwrap_or(false)
}

/// The sandbox's own process.
pub(crate) fn of_sandbox(pod: &Pod, seccomp_root: &std::path::Path) -> SecurityContext {
    let own = pod.spec.security_context.clone().unwrap_or_default();
    let all = pod.init_containers().iter().chain(&pod.spec.containers);
    SecurityContext {
        namespaces: namespaces(pod),
        privileged: all.into_iter().any(is_privileged),
        run_as_user: own.run_as_user,
        run_as_group: own.run_as_user.and(own.run_as_group),
        supplemental_groups: groups(&own),
        seccomp: seccomp(own.seccomp_profile.as_ref(), seccomp_root).unwrap_or(SecurityProfile::RuntimeDefault),
        selinux: own.se_linux_options.as_ref().map(selinux),
        ..SecurityContext::default()
    }
}

fn groups(pod: &PodSecurityContext) -> Vec<i64> {
    pod.supplemental_groups.iter().flatten().copied().chain(pod.fs_group).collect()
}

/// One container's process. `target` is the container an ephemeral one looks into.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    image: &Image,
    target: Option<&str>,
    seccomp_root: &std::path::Path,
) -> Result<SecurityContext> {
    let shared = pod.spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    let run_as_user = own.run_as_user.or(shared.run_as_user);
    check_non_root(pod, container, &own, &shared, run_as_user, image)?;
    let (user, username) = match run_as_user {
        Some(user) => (Some(user), String::new()),
        None => (image.uid, if image.uid.is_none() { image.username.clone() } else { String::new() }),
    };
    let mut namespaces = namespaces(pod);
    if let Some(target) = target {
        namespaces.pid = NamespaceMode::Target;
        namespaces.target_id = target.to_owned();
    }
    let (add, drop) = own
        .capabilities
        .as_ref()
        .map_or((vec![], vec![]), |c| (c.add.clone().unwrap_or_default(), c.drop.clone().unwrap_or_default()));
    let bare = |list: Vec<String>| list.into_iter().map(|c| c.trim_start_matches("CAP_").to_owned()).collect();
    let security = SecurityContext {
        namespaces,
        privileged,
        run_as_user: user,
        run_as_username: username,
        run_as_group: own.run_as_group.or(shared.run_as_group),
        supplemental_groups: groups(&shared),
        supplemental_groups_policy: match shared.supplemental_groups_policy.as_deref() {
            Some("Strict") => SupplementalGroupsPolicy::Strict,
            _ => SupplementalGroupsPolicy::Merge,
        },
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        add_capabilities: bare(add),
        drop_capabilities: bare(drop),
        seccomp: if privileged {
            SecurityProfile::Unconfined
        } else {
            seccomp(own.seccomp_profile.as_ref().or(shared.seccomp_profile.as_ref()), seccomp_root)?
        },
        apparmor: own.app_armor_profile.as_ref().or(shared.app_armor_profile.as_ref()).map(apparmor),
        selinux: own.se_linux_options.as_ref().or(shared.se_linux_options.as_ref()).map(selinux),
        ..SecurityContext::default()
    };
    let unmasked = privileged || own.proc_mount.as_deref() == Some("Unmasked");
    Ok(if unmasked { security } else { security.with_default_proc_mount() })
}

fn check_non_root(
    pod: &Pod,
    container: &Container,
    own: &Own,
    shared: &PodSecurityContext,
    user: Option<i64>,
    image: &Image,
) -> Result<()> {
    if !own.run_as_non_root.or(shared.run_as_non_root).unwrap_or(false) {
        return Ok(());
    }
    let whose = format!("(pod: \"{}\", container: {})", pod.full_name(), container.name);
    match (user, image.uid) {
        (Some(0), _) => invalid(format!("container's runAsUser breaks non-root policy {whose}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => invalid(format!("container has runAsNonRoot and image will run as root {whose}")),
        (None, None) if !image.username.is_empty() => invalid(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {whose}",
            image.username
        )),
        (None, None) => invalid(format!("container has runAsNonRoot and image will run as root {whose}")),
        (None, Some(_)) => Ok(()),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, root: &std::path::Path) -> Result<SecurityProfile> {
    Ok(match profile.map(|p| (p.type_.as_str(), p.localhost_profile.as_deref())) {
        None | Some(("Unconfined", _)) => SecurityProfile::Unconfined,
        Some(("RuntimeDefault", _)) => SecurityProfile::RuntimeDefault,
        Some(("Localhost", Some(path))) if !path.starts_with('/') && !path.split('/').any(|part| part == "..") => {
            SecurityProfile::Localhost(root.join(path).to_string_lossy().into_owned())
        }
        Some((kind, path)) => return invalid(format!("unknown seccomp profile: {kind} {}", path.unwrap_or_default())),
    })
}

fn apparmor(profile: &AppArmorProfile) -> SecurityProfile {
    match profile.type_.as_str() {
        "Unconfined" => SecurityProfile::Unconfined,
        "Localhost" => SecurityProfile::Localhost(profile.localhost_profile.clone().unwrap_or_default()),
        _ => SecurityProfile::RuntimeDefault,
    }
}

fn selinux(options: &SELinuxOptions) -> SelinuxOptions {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    SelinuxOptions {
        user: text(&options.user),
        role: text(&options.role),
        kind: text(&options.type_),
        level: text(&options.level),
    }
}
