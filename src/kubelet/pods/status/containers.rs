//! One status a container.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::types::ContainerState as State;

use super::Inputs;
use crate::pods::observed::{Instance, time};
use crate::pods::pod::{Role, role_of_init};

/// Statuses of all containers of a role: init containers (sidecars among them) in the spec's order, regular ones by name.
pub(super) fn statuses(inputs: &Inputs<'_>, role: Role) -> Vec<ContainerStatus> {
    let pod = inputs.pod;
    let (specs, old): (Vec<Container>, _) = match role {
        Role::Init | Role::Sidecar => (pod.init_containers().to_vec(), &pod.status.init_container_statuses),
        Role::Regular => (pod.spec.containers.clone(), &pod.status.container_statuses),
        Role::Ephemeral => {
            let specs = pod.ephemeral_containers().into_iter().map(|(c, _)| c).collect();
            (specs, &pod.status.ephemeral_container_statuses)
        }
    };
    let one_of = |spec: &Container| {
        let old = old.iter().flatten().find(|s| s.name == spec.name);
        one(inputs, if role == Role::Init { role_of_init(spec) } else { role }, spec, old)
    };
    let mut statuses: Vec<ContainerStatus> = specs.iter().map(one_of).collect();
    if role == Role::Regular {
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
    }
    statuses
}

fn one(inputs: &Inputs<'_>, role: Role, spec: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut instances = inputs.observed.containers.iter().filter(|i| i.name() == spec.name);
    let latest = instances.next();
    let before = instances.find(|i| i.state() == State::Exited);
    let mut status = ContainerStatus {
        name: spec.name.clone(),
        image: spec.image.clone().unwrap_or_default(),
        volume_mounts: mounts(spec),
        ..ContainerStatus::default()
    };
    if role != Role::Ephemeral {
        let resources = spec.resources.as_ref().filter(|r| r.limits.is_some() || r.requests.is_some());
        status.resources = Some(resources.cloned().unwrap_or_default());
        status.allocated_resources = resources.and_then(|r| r.requests.clone());
    }
    match latest {
        Some(instance) => of_instance(inputs, role, instance, &mut status),
        None => unseen(inputs, role, old, &mut status),
    }
    if let Some(before) = before {
        status.last_state = Some(ContainerState { terminated: Some(terminated(inputs, before)), ..Default::default() });
    }
    // An ended instance that is to run again shows why it does not yet.
    let ended = status.state.as_ref().is_none_or(|s| s.running.is_none());
    if ended && let Some((reason, message)) = inputs.waiting.get(&spec.name) {
        if let Some(previous) = status.state.take().filter(|s| s.terminated.is_some()) {
            status.last_state = Some(previous);
        }
        status.state = Some(waiting(reason, message));
    }
    status
}

fn of_instance(inputs: &Inputs<'_>, role: Role, instance: &Instance, status: &mut ContainerStatus) {
    let seen = &instance.status;
    let id = instance.id();
    status.restart_count = i32::try_from(instance.attempt()).unwrap_or(i32::MAX);
    status.image_id = seen.image_ref.clone();
    if !seen.image.is_empty() {
        status.image = seen.image.clone();
    }
    status.container_id = Some(container_id(instance));
    status.started = Some(false);
    match seen.state {
        State::Running => {
            let started = inputs.probes.started(id);
            status.started = Some(started);
            status.ready = matches!(role, Role::Regular | Role::Sidecar) && started && inputs.probes.ready(id);
            let started_at = time(seen.started_at).map(Time);
            status.state =
                Some(ContainerState { running: Some(ContainerStateRunning { started_at }), ..Default::default() });
        }
        State::Exited => {
            let end = terminated(inputs, instance);
            status.ready = role == Role::Init && end.exit_code == 0;
            status.state = Some(ContainerState { terminated: Some(end), ..Default::default() });
        }
        State::Created => {
            status.container_id = None;
            status.state = Some(not_started(inputs));
        }
        State::Unknown => {
            status.state = Some(lost("The container could not be located when the pod was terminated"));
        }
    }
    if role == Role::Ephemeral {
        status.started = None;
    }
}

/// A container the runtime does not know: not made yet, or lost.
fn unseen(inputs: &Inputs<'_>, role: Role, old: Option<&ContainerStatus>, status: &mut ContainerStatus) {
    status.started = (role != Role::Ephemeral).then_some(false);
    if let Some(old) = old.filter(|s| s.container_id.is_some()) {
        let over =
            inputs.pod.is_finished() || inputs.terminating || inputs.verdict.is_some() || role == Role::Ephemeral;
        let ended = old.state.as_ref().is_some_and(|s| s.terminated.is_some());
        if ended && (over || role == Role::Init) {
            *status = old.clone();
            return;
        }
        status.restart_count = old.restart_count;
        let end =
            lost("The container could not be located when the pod was deleted.  The container used to be Running");
        if over {
            status.image_id = old.image_id.clone();
            status.container_id = old.container_id.clone();
            status.state = Some(end);
            return;
        }
        status.last_state = Some(if ended { old.state.clone().unwrap_or_default() } else { end });
    }
    status.state = Some(not_started(inputs));
}

/// What every container waits for before its turn: in a pod with init containers they do themselves, like upstream's.
fn not_started(inputs: &Inputs<'_>) -> ContainerState {
    let creating = inputs.pod.init_containers().is_empty();
    waiting(if creating { "ContainerCreating" } else { "PodInitializing" }, "")
}

fn lost(message: &str) -> ContainerState {
    let end = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some(message.into()),
        ..Default::default()
    };
    ContainerState { terminated: Some(end), ..Default::default() }
}

fn terminated(inputs: &Inputs<'_>, instance: &Instance) -> ContainerStateTerminated {
    let seen = &instance.status;
    let message =
        inputs.messages.get(instance.id()).cloned().or_else(|| Some(seen.message.clone())).filter(|m| !m.is_empty());
    let reason = match (seen.reason.as_str(), seen.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    ContainerStateTerminated {
        container_id: Some(container_id(instance)),
        exit_code: seen.exit_code,
        reason: Some(reason.to_owned()),
        message,
        started_at: time(seen.started_at).map(Time),
        finished_at: time(seen.finished_at).map(Time),
        signal: None,
    }
}

/// The id with its runtime, as the API shows it.
fn container_id(instance: &Instance) -> String {
    format!("containerd://{}", instance.id())
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.into()), message }),
        ..Default::default()
    }
}

fn mounts(spec: &Container) -> Option<Vec<VolumeMountStatus>> {
    let status = spec.volume_mounts.as_ref()?.iter().map(|m| VolumeMountStatus {
        name: m.name.clone(),
        mount_path: m.mount_path.clone(),
        read_only: m.read_only.filter(|r| *r),
        recursive_read_only: m.read_only.filter(|r| *r).map(|_| "Disabled".into()),
    });
    Some(status.collect())
}
