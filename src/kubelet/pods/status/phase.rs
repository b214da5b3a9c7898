//! The phase: one word for all containers.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::pods::pod::{Pod, Role, role_of_init};

/// Upstream's rules, container by container.
pub(crate) fn phase(pod: &Pod, init: &[ContainerStatus], regular: &[ContainerStatus]) -> &'static str {
    let restart = pod.restart_policy();
    let begun = regular.iter().any(|s| s.container_id.is_some());
    let mut pending_init = false;
    let mut failed_init = false;
    for container in pod.init_containers() {
        let status = init.iter().find(|s| s.name == container.name);
        let (now, last) = states(status);
        if role_of_init(container) == Role::Sidecar {
            pending_init |= status.is_none_or(|s| s.started != Some(true));
            continue;
        }
        match exit(now).or_else(|| exit(last)) {
            Some(0) if exit(now).is_some() => {}
            Some(code) if code != 0 => failed_init = true,
            _ => pending_init = true,
        }
    }
    let (mut running, mut waiting, mut stopped, mut succeeded, mut unknown) = (0, 0, 0, 0, 0);
    for container in &pod.spec.containers {
        let (now, last) = states(regular.iter().find(|s| s.name == container.name));
        match now {
            Some(s) if s.running.is_some() => running += 1,
            Some(s) if s.terminated.is_some() => {
                stopped += 1;
                succeeded += i32::from(exit(now) == Some(0));
            }
            Some(s) if s.waiting.is_some() && exit(last).is_some() => stopped += 1,
            Some(s) if s.waiting.is_some() => waiting += 1,
            _ => unknown += 1,
        }
    }
    if failed_init && !begun && restart == "Never" {
        return "Failed";
    }
    if ((pending_init || failed_init) && !begun) || waiting > 0 {
        return "Pending";
    }
    if unknown > 0 || running + stopped == 0 {
        return "Pending";
    }
    match restart {
        _ if running > 0 => "Running",
        "Always" => "Running",
        _ if stopped == succeeded => "Succeeded",
        "Never" => "Failed",
        _ => "Running",
    }
}

fn states(status: Option<&ContainerStatus>) -> (Option<&ContainerState>, Option<&ContainerState>) {
    (status.and_then(|s| s.state.as_ref()), status.and_then(|s| s.last_state.as_ref()))
}

fn exit(state: Option<&ContainerState>) -> Option<i32> {
    Some(state?.terminated.as_ref()?.exit_code)
}
