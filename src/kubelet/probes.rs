//! Probes: one task a probe of a running container; what they say goes into readiness and restarts.
//!
//! Results are kept by container id, so that a new instance starts with a clean slate.

mod check;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use client::events::EventType::Warning;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Probe};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::agent::Agent;
use crate::pods::observed::Observed;
use crate::pods::plan::Health;
use crate::pods::pod::{Pod, Role};
use crate::pods::status::Readiness;
use check::Outcome;
pub(crate) use check::http_get;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Startup => "startup",
            Kind::Liveness => "liveness",
            Kind::Readiness => "readiness",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    startup: Option<bool>,
    readiness: Option<bool>,
    failed: Option<&'static str>,
}

type Results = Arc<Mutex<HashMap<String, State>>>;

/// The probes of one pod.
pub(crate) struct Probes {
    agent: Arc<Agent>,
    bell: Arc<Notify>,
    results: Results,
    tasks: HashMap<(String, Kind), AbortHandle>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl Health for Probes {
    fn started(&self, id: &str) -> bool {
        self.results.lock().get(id).is_none_or(|s| s.startup.unwrap_or(true))
    }

    fn failed(&self, id: &str) -> Option<&'static str> {
        self.results.lock().get(id)?.failed
    }
}

impl Readiness for Probes {
    fn ready(&self, id: &str) -> bool {
        self.results.lock().get(id).is_none_or(|s| s.readiness.unwrap_or(true))
    }
}

impl Probes {
    pub(crate) fn new(agent: Arc<Agent>, bell: Arc<Notify>) -> Self {
        Self { agent, bell, results: Results::default(), tasks: HashMap::new() }
    }

    /// Starts the probes of instances that run and stops those of instances that do not.
    pub(crate) fn follow(&mut self, pod: &Pod, observed: &Observed) {
        let mut live = Vec::new();
        for instance in observed.running() {
            let Some((role, container, _)) = pod.container(instance.name()) else { continue };
            if matches!(role, Role::Init | Role::Ephemeral) {
                continue;
            }
            let id = instance.id().to_owned();
            live.push(id.clone());
            let kinds = [
                (Kind::Startup, &container.startup_probe),
                (Kind::Liveness, &container.liveness_probe),
                (Kind::Readiness, &container.readiness_probe),
            ];
            self.remember(pod, &container, &id);
            for (kind, probe) in kinds {
                let Some(probe) = probe else { continue };
                let key = (id.clone(), kind);
                if self.tasks.contains_key(&key) {
                    continue;
                }
                let task = Task {
                    agent: self.agent.clone(),
                    bell: self.bell.clone(),
                    results: self.results.clone(),
                    pod: pod.clone(),
                    container: container.clone(),
                    id: id.clone(),
                    kind,
                    probe: probe.clone(),
                    ip: if pod.host_network() { self.agent.config.node_ips.first() } else { observed.ips.first() }
                        .copied(),
                    started_at: instance.status.started_at,
                };
                self.tasks.insert(key, tokio::spawn(task.run()).abort_handle());
            }
        }
        self.tasks.retain(|(id, _), task| {
            let keep = live.contains(id);
            if !keep {
                task.abort();
            }
            keep
        });
        self.results.lock().retain(|id, _| live.contains(id));
    }

    /// Stops all: they would fight the end of the pod.
    pub(crate) fn stop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
        self.tasks.clear();
    }

    /// The state a new instance starts with. What the API already shows of this very instance survives a restart of the agent.
    fn remember(&self, pod: &Pod, container: &Container, id: &str) {
        let mut results = self.results.lock();
        if results.contains_key(id) {
            return;
        }
        let statuses = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses).flatten();
        let same = |s: &&ContainerStatus| s.container_id.as_deref().is_some_and(|told| told.ends_with(id));
        let told = statuses.into_iter().find(same);
        let state = State {
            startup: container.startup_probe.as_ref().map(|_| told.is_some_and(|s| s.started == Some(true))),
            readiness: container.readiness_probe.as_ref().map(|_| told.is_some_and(|s| s.ready)),
            failed: None,
        };
        results.insert(id.to_owned(), state);
    }
}

struct Task {
    agent: Arc<Agent>,
    bell: Arc<Notify>,
    results: Results,
    pod: Pod,
    container: Container,
    id: String,
    kind: Kind,
    probe: Probe,
    ip: Option<IpAddr>,
    started_at: Option<SystemTime>,
}

impl Task {
    async fn run(self) {
        let seconds = |n: Option<i32>, default: u64| {
            Duration::from_secs(n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default))
        };
        let period = seconds(self.probe.period_seconds, 10);
        let timeout = seconds(self.probe.timeout_seconds, 1);
        let threshold = |n: Option<i32>| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let success = threshold(self.probe.success_threshold).unwrap_or(1);
        let failure = threshold(self.probe.failure_threshold).unwrap_or(3);
        let age = self.started_at.and_then(|at| at.elapsed().ok()).unwrap_or_default();
        let delay =
            Duration::from_secs(self.probe.initial_delay_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        tokio::time::sleep(delay.saturating_sub(age)).await;
        let (mut last, mut run) = (None, 0u32);
        loop {
            let started = self.results.lock().get(&self.id).is_none_or(|s| s.startup.unwrap_or(true));
            match self.kind {
                // Its work is done once it succeeded.
                Kind::Startup if started => return,
                Kind::Liveness | Kind::Readiness if !started => {
                    tokio::time::sleep(period.min(Duration::from_secs(1))).await;
                    continue;
                }
                _ => {}
            }
            let outcome = check::check(&self.agent, &self.container, &self.id, &self.probe, self.ip, timeout).await;
            let passed = match &outcome {
                Outcome::Success => Some(true),
                Outcome::Failure(why) => {
                    self.tell(format!("{} probe failed: {why}", self.kind.title()));
                    Some(false)
                }
                Outcome::Unknown(why) => {
                    self.tell(format!("{} probe errored and resulted in unknown state: {why}", self.kind.title()));
                    None
                }
            };
            if let Some(passed) = passed {
                run = if last == Some(passed) { run.saturating_add(1) } else { 1 };
                last = Some(passed);
                if run >= if passed { success } else { failure } && self.settle(passed) {
                    return;
                }
            }
            tokio::time::sleep(period).await;
        }
    }

    /// Notes a result that has reached its threshold; true when the probe has nothing left to say.
    fn settle(&self, passed: bool) -> bool {
        let mut results = self.results.lock();
        let Some(state) = results.get_mut(&self.id) else { return true };
        let (changed, over) = match (self.kind, passed) {
            (Kind::Readiness, _) => (state.readiness.replace(passed) != Some(passed), false),
            (Kind::Startup, true) => (state.startup.replace(true) != Some(true), true),
            (Kind::Liveness, true) => (false, false),
            (_, false) => (state.failed.replace(self.kind.word()).is_none(), true),
        };
        drop(results);
        if changed {
            tracing::debug!(
                pod = self.pod.name,
                namespace = self.pod.namespace,
                container = self.container.name,
                probe = self.kind.word(),
                passed,
                "probe result"
            );
            self.bell.notify_one();
        }
        over
    }

    fn tell(&self, message: String) {
        self.agent.event(&self.pod, Some(&self.container.name), Warning, "Unhealthy", message);
    }
}
