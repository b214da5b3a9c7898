//! What to do next for a pod, from what it should be and what it is: pure.
//!
//! A plan is one step's worth: after it was carried out the pod is looked at again. Order and rules are upstream's: sandbox first, then init
//! containers in sequence, sidecars as they come, then the rest; what failed waits for its back-off.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use runtime::types::{ContainerState, SandboxState};

use super::backoff::Backoffs;
use super::observed::{CONTAINER_HASH, Instance, Observed};
use super::pod::{Pod, Role, hash, role_of_init};

/// What the probes say about container instances.
pub(crate) trait Health {
    /// Whether the startup probe, if any, succeeded.
    fn started(&self, id: &str) -> bool;
    /// The probe that failed for good (`liveness`, `startup`), if any.
    fn failed(&self, id: &str) -> Option<&'static str>;
}

/// Everything a plan is made from.
pub(crate) struct Inputs<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) observed: &'a Observed,
    pub(crate) backoffs: &'a Backoffs,
    pub(crate) health: &'a dyn Health,
    pub(crate) now: Timestamp,
}

/// One step.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Stop everything that runs, sandboxes included.
    pub(crate) kill_pod: bool,
    /// Make a sandbox, the so-many-th of this pod.
    pub(crate) create_sandbox: Option<u32>,
    /// Containers to stop.
    pub(crate) kill: Vec<Kill>,
    /// Containers to start in the ready sandbox.
    pub(crate) start: Vec<Start>,
    /// Containers held by their back-off: name, the delay in seconds.
    pub(crate) held: Vec<(String, u64)>,
    /// When a back-off ends.
    pub(crate) wake: Option<Timestamp>,
}

/// One container to stop.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Kill {
    pub(crate) id: String,
    pub(crate) name: String,
    /// For the event.
    pub(crate) message: String,
    /// Whether a failed probe with a grace period of its own asks for it.
    pub(crate) probe: Option<&'static str>,
}

/// One container to start.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    /// When the instance before ended; its back-off grows with this start.
    pub(crate) failed: Option<Timestamp>,
    /// An instance that was made and never ran: to be removed first.
    pub(crate) stale: Option<String>,
}

/// Makes the plan.
pub(crate) fn plan(inputs: &Inputs<'_>) -> Plan {
    let Inputs { pod, observed, .. } = inputs;
    let ready = observed.sandboxes.iter().filter(|s| s.state == SandboxState::Ready).count();
    let usable = observed.ready_sandbox().filter(|_| ready == 1 && (pod.host_network() || !observed.ips.is_empty()));
    match usable {
        None => without_sandbox(inputs),
        Some(sandbox) => {
            let mut planner = Planner { inputs, sandbox: &sandbox.id, plan: Plan::default() };
            planner.ephemeral();
            planner.init_and_regular();
            planner.plan
        }
    }
}

fn without_sandbox(inputs: &Inputs<'_>) -> Plan {
    let Inputs { pod, observed, .. } = inputs;
    let attempt = observed.sandboxes.iter().map(|s| s.metadata.attempt + 1).max().unwrap_or(0);
    let kill_pod = observed.is_alive();
    // A pod that never restarts ends with its sandbox, once anything of it has run.
    let done = pod.restart_policy() == "Never" && attempt > 0 && !observed.containers.is_empty();
    let nothing_left = !pod.spec.containers.is_empty()
        && pod.spec.containers.iter().all(|c| observed.latest(&c.name).is_some_and(|i| !restarts(pod, c, i)));
    if done || nothing_left {
        return Plan { kill_pod, ..Plan::default() };
    }
    if kill_pod {
        return Plan { kill_pod, ..Plan::default() };
    }
    Plan { create_sandbox: Some(attempt), ..Plan::default() }
}

/// Whether an ended instance of a regular container is to run again.
fn restarts(pod: &Pod, container: &Container, instance: &Instance) -> bool {
    if instance.state() != ContainerState::Exited {
        return true;
    }
    let code = instance.status.exit_code;
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|value| *value == code);
        if rule.action == "Restart" && listed == (codes.operator == "In") {
            return true;
        }
    }
    match container.restart_policy.as_deref().unwrap_or(pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

struct Planner<'a> {
    inputs: &'a Inputs<'a>,
    sandbox: &'a str,
    plan: Plan,
}

impl Planner<'_> {
    fn ephemeral(&mut self) {
        for (container, _) in self.inputs.pod.ephemeral_containers() {
            if self.inputs.observed.latest(&container.name).is_none() {
                self.plan.start.push(Start { name: container.name, attempt: 0, failed: None, stale: None });
            }
        }
    }

    fn init_and_regular(&mut self) {
        let Inputs { pod, observed, .. } = self.inputs;
        let here = |c: &Container| observed.latest_in(self.sandbox, &c.name);
        let initialized = pod.spec.containers.iter().any(|c| here(c).is_some());
        let finished = initialized
            && pod.spec.containers.iter().all(|c| here(c).is_some_and(|i| !i.is_running() && !restarts(pod, c, i)));
        if finished {
            self.plan.kill_pod = true;
            return;
        }
        if !self.init(initialized) {
            return;
        }
        for container in &pod.spec.containers {
            // A container that is done for good stays done in a new sandbox, too.
            let latest = here(container).or_else(|| {
                observed.latest(&container.name).filter(|i| !i.is_running() && !restarts(pod, container, i))
            });
            self.regular(container, latest);
        }
    }

    /// Plans init containers and sidecars; true when regular containers may run.
    fn init(&mut self, initialized: bool) -> bool {
        let Inputs { pod, observed, health, .. } = self.inputs;
        for container in pod.init_containers() {
            let latest = observed.latest_in(self.sandbox, &container.name);
            if role_of_init(container) == Role::Sidecar {
                match latest {
                    Some(i) if i.is_running() => {
                        self.check_running(container, i, true);
                        if !initialized && !health.started(i.id()) {
                            return false;
                        }
                    }
                    latest => {
                        self.start(container, latest);
                        if !initialized {
                            return false;
                        }
                    }
                }
                continue;
            }
            if initialized {
                continue;
            }
            match latest {
                Some(i) if i.is_running() => return false,
                Some(i) if i.state() == ContainerState::Exited && i.status.exit_code == 0 => {}
                Some(i) if i.state() == ContainerState::Exited && pod.restart_policy() == "Never" => {
                    self.plan.kill_pod = true;
                    return false;
                }
                latest => {
                    self.start(container, latest);
                    return false;
                }
            }
        }
        true
    }

    fn regular(&mut self, container: &Container, latest: Option<&Instance>) {
        match latest {
            None => self.start(container, None),
            Some(i) if i.is_running() => {
                let restart = self.inputs.pod.restart_policy() != "Never";
                self.check_running(container, i, restart);
            }
            Some(i) if restarts(self.inputs.pod, container, i) => self.start(container, Some(i)),
            Some(_) => {}
        }
    }

    /// A running container is stopped when its spec changed or a probe gave it up; the start follows when it has ended.
    fn check_running(&mut self, container: &Container, instance: &Instance, restart: bool) {
        let hash_now = hash(container);
        let changed = instance.status.annotations.get(CONTAINER_HASH).is_some_and(|old| *old != hash_now);
        let name = &container.name;
        let (message, probe) = if changed && restart {
            (format!("Container {name} definition changed, will be restarted"), None)
        } else if let Some(probe) = self.inputs.health.failed(instance.id()) {
            let what = if restart { ", will be restarted" } else { "" };
            (format!("Container {name} failed {probe} probe{what}"), Some(probe))
        } else {
            return;
        };
        self.plan.kill.push(Kill { id: instance.id().to_owned(), name: name.clone(), message, probe });
    }

    /// Starts a container, or holds it until its back-off ends.
    fn start(&mut self, container: &Container, latest: Option<&Instance>) {
        let Inputs { pod, observed, backoffs, now, .. } = self.inputs;
        let failed = latest.filter(|i| i.state() == ContainerState::Exited).and_then(Instance::finished);
        if let Some(failed) = failed
            && let Some((delay, until)) = backoffs.waiting(&backoff_key(pod, container), failed, *now)
        {
            self.plan.held.push((container.name.clone(), delay.as_secs()));
            self.plan.wake = Some(self.plan.wake.map_or(until, |wake| wake.min(until)));
            return;
        }
        let seen = observed.containers.iter().filter(|i| i.name() == container.name).map(|i| i.attempt() + 1).max();
        // What the API remembers counts on when the runtime lost the instances.
        let told = self.told_restarts(&container.name);
        let stale = latest.filter(|i| i.state() != ContainerState::Exited).map(|i| i.id().to_owned());
        let attempt = match (seen, told) {
            (Some(seen), told) => seen.max(told.unwrap_or(0)),
            (None, Some(told)) => told + 1,
            (None, None) => 0,
        };
        // An instance that never ran is replaced, not counted.
        let attempt = if stale.is_some() && latest.is_some_and(|i| i.state() == ContainerState::Created) {
            attempt.saturating_sub(1)
        } else {
            attempt
        };
        self.plan.start.push(Start { name: container.name.clone(), attempt, failed, stale });
    }

    fn told_restarts(&self, name: &str) -> Option<u32> {
        let status = &self.inputs.pod.status;
        let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let told = all.into_iter().find(|s| s.name == name)?;
        let ran = told.container_id.is_some() || told.restart_count > 0;
        ran.then(|| u32::try_from(told.restart_count).unwrap_or(0))
    }
}

/// The key of a container's back-off; a changed image starts anew.
pub(crate) fn backoff_key(pod: &Pod, container: &Container) -> String {
    format!("{}/{}/{}", pod.uid, container.name, hash(container))
}
