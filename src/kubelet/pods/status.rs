//! A pod's status, from its spec, what runs and what the probes say: pure.

mod containers;
mod phase;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observed::Observed;
use super::plan::Health;
use super::pod::{Pod, Role};
use super::qos;

/// Why a container waits: reason and message.
pub(crate) type Waiting = HashMap<String, (String, String)>;

/// What the readiness probes say, beside the others.
pub(crate) trait Readiness: Health {
    /// Whether the readiness probe, if any, succeeded last.
    fn ready(&self, id: &str) -> bool;
}

/// A pod's end by the agent's own decision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// `DeadlineExceeded`, `OutOfcpu`, `Evicted` …
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

/// Everything a status is made from.
pub(crate) struct Inputs<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) observed: &'a Observed,
    pub(crate) waiting: &'a Waiting,
    pub(crate) probes: &'a dyn Readiness,
    pub(crate) messages: &'a HashMap<String, String>,
    pub(crate) verdict: Option<&'a Verdict>,
    pub(crate) host_ips: &'a [IpAddr],
    pub(crate) terminating: bool,
    pub(crate) now: Timestamp,
}

/// The status; conditions of other writers are kept.
pub(crate) fn status(inputs: &Inputs<'_>) -> PodStatus {
    let Inputs { pod, observed, now, .. } = inputs;
    let old = &pod.status;
    let regular = containers::statuses(inputs, Role::Regular);
    let init = containers::statuses(inputs, Role::Init);
    let ephemeral = containers::statuses(inputs, Role::Ephemeral);
    let mut phase = match inputs.verdict {
        Some(_) => "Failed",
        None => phase::phase(pod, &init, &regular),
    };
    // A phase never moves backwards from its end; and a pod that is told to go ends in one.
    if pod.is_finished() {
        phase = old.phase.as_deref().map_or(phase, |p| if p == "Succeeded" { "Succeeded" } else { "Failed" });
    } else if inputs.terminating && !observed.is_alive() && inputs.verdict.is_none() && phase != "Succeeded" {
        phase =
            if regular.iter().all(|s| terminated(s).is_some_and(|code| code == 0)) { "Succeeded" } else { "Failed" };
    }
    let start_time = old.start_time.clone().or(Some(Time(*now)));
    let ips: Vec<String> = if pod.host_network() {
        inputs.host_ips.iter().map(ToString::to_string).collect()
    } else if observed.ips.is_empty() {
        // The last address stays on show while a pod that had one ends.
        old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).filter(|_| phase != "Pending").collect()
    } else {
        observed.ips.iter().map(ToString::to_string).collect()
    };
    let conditions = conditions(inputs, phase, &init, &regular);
    PodStatus {
        conditions: Some(conditions),
        container_statuses: some(regular),
        ephemeral_container_statuses: some(ephemeral),
        init_container_statuses: some(init),
        host_ip: inputs.host_ips.first().map(ToString::to_string),
        host_ips: some(inputs.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        message: inputs.verdict.map(|v| v.message.clone()).or_else(|| old.message.clone()),
        reason: inputs.verdict.map(|v| v.reason.clone()).or_else(|| old.reason.clone()),
        observed_generation: (pod.generation > 0).then_some(pod.generation),
        phase: Some(phase.to_owned()),
        pod_ip: ips.first().cloned(),
        pod_ips: some(ips.into_iter().map(|ip| PodIP { ip }).collect()),
        qos_class: Some(old.qos_class.clone().unwrap_or_else(|| qos::class(&pod.spec).to_string())),
        start_time,
        ..old.clone()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn terminated(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref()?.terminated.as_ref().map(|t| t.exit_code)
}

type Verdicts = (&'static str, bool, &'static str, String);

fn conditions(
    inputs: &Inputs<'_>,
    phase: &str,
    init: &[ContainerStatus],
    regular: &[ContainerStatus],
) -> Vec<PodCondition> {
    let Inputs { pod, observed, now, .. } = inputs;
    let sandbox_ready = observed.ready_sandbox().is_some() && (pod.host_network() || !observed.ips.is_empty());
    let initialized = initialized(pod, phase, init, regular);
    let containers_ready = containers_ready(phase, pod, init, regular);
    let ready = gates(pod, containers_ready.clone());
    let ours: [Verdicts; 5] = [
        ("PodReadyToStartContainers", sandbox_ready, "", String::new()),
        initialized,
        ready,
        containers_ready,
        ("PodScheduled", true, "", String::new()),
    ];
    let old = pod.status.conditions.as_deref().unwrap_or_default();
    let mut all: Vec<PodCondition> = Vec::with_capacity(old.len().max(5));
    for (kind, is, reason, message) in ours {
        let status = if is { "True" } else { "False" };
        let before = old.iter().find(|c| c.type_ == kind);
        if let Some(before) = before.filter(|_| kind == "PodScheduled") {
            all.push(before.clone());
            continue;
        }
        let since = before.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
        all.push(PodCondition {
            type_: kind.into(),
            status: status.into(),
            reason: (!reason.is_empty()).then(|| reason.into()),
            message: (!message.is_empty()).then_some(message),
            last_transition_time: since.or(Some(Time(*now))),
            last_probe_time: None,
            observed_generation: (pod.generation > 0).then_some(pod.generation),
        });
    }
    let foreign = old.iter().filter(|c| !all.iter().any(|a| a.type_ == c.type_)).cloned().collect::<Vec<_>>();
    all.extend(foreign);
    all
}

fn initialized(pod: &Pod, phase: &str, init: &[ContainerStatus], regular: &[ContainerStatus]) -> Verdicts {
    const KIND: &str = "Initialized";
    if init.is_empty() && pod.init_containers().is_empty() {
        return (KIND, true, "", String::new());
    }
    if phase == "Succeeded" {
        return (KIND, true, "PodCompleted", String::new());
    }
    let begun = regular.iter().any(|s| s.container_id.is_some());
    let incomplete: Vec<&str> = init
        .iter()
        .filter(|s| {
            let sidecar =
                pod.init_containers().iter().any(|c| c.name == s.name && c.restart_policy.as_deref() == Some("Always"));
            if sidecar { !begun && s.started != Some(true) } else { terminated(s) != Some(0) }
        })
        .map(|s| s.name.as_str())
        .collect();
    if incomplete.is_empty() || begun {
        return (KIND, true, "", String::new());
    }
    (KIND, false, "ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" ")))
}

fn containers_ready(phase: &str, pod: &Pod, init: &[ContainerStatus], regular: &[ContainerStatus]) -> Verdicts {
    const KIND: &str = "ContainersReady";
    match phase {
        "Succeeded" => return (KIND, false, "PodCompleted", String::new()),
        "Failed" => return (KIND, false, "PodFailed", String::new()),
        _ => {}
    }
    let sidecars =
        pod.init_containers().iter().filter(|c| c.restart_policy.as_deref() == Some("Always")).map(|c| &c.name);
    let names = sidecars.chain(pod.spec.containers.iter().map(|c| &c.name));
    let unready: Vec<&str> = names
        .filter(|name| !init.iter().chain(regular).any(|s| s.name == **name && s.ready))
        .map(String::as_str)
        .collect();
    if unready.is_empty() {
        return (KIND, true, "", String::new());
    }
    (KIND, false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
}

fn gates(pod: &Pod, containers_ready: Verdicts) -> Verdicts {
    let (_, is, reason, message) = containers_ready;
    if !is {
        return ("Ready", false, reason, message);
    }
    let conditions = pod.status.conditions.as_deref().unwrap_or_default();
    let mut open = Vec::new();
    for gate in pod.spec.readiness_gates.iter().flatten() {
        match conditions.iter().find(|c| c.type_ == gate.condition_type) {
            None => open.push(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
            Some(c) if c.status != "True" => {
                open.push(format!(
                    "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                    gate.condition_type, c.status
                ));
            }
            Some(_) => {}
        }
    }
    if open.is_empty() {
        ("Ready", true, "", String::new())
    } else {
        ("Ready", false, "ReadinessGatesNotReady", open.join(", "))
    }
}
