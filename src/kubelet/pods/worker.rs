//! One task a pod: looks, tells, plans, acts, sleeps.
//!
//! A worker takes no orders but two: the newest state of its pod, and that the pod is gone. Everything else it finds out by looking, so that
//! a lost hint costs time and never correctness.

mod act;
mod report;
pub(crate) mod resize;
mod start;
mod terminate;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Object;
use client::events::EventType::Warning;
use jiff::{SignedDuration, Timestamp};
use runtime::types::SandboxState;
use tokio::sync::{Notify, watch};
use tracing::{Instrument, info, info_span, warn};

use super::backoff::Backoffs;
use super::observed::{Observed, Observer};
use super::plan::{self, Plan};
use super::pod::Pod;
use super::status::{Verdict, Waiting};
use super::{admission, messages};
use crate::agent::Agent;
use crate::error::Error;
use crate::probes::Probes;

/// The newest that is known of a pod from its source.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// The pod: from the API, or from a manifest.
    pub(crate) object: Arc<Object>,
    /// For a static pod, its mirror in the API: where its status goes.
    pub(crate) mirror: Option<Arc<Object>>,
    /// Its source no longer has it.
    pub(crate) gone: bool,
}

impl Desired {
    fn is_ending(&self) -> bool {
        self.gone || self.object.meta.is_deleting()
    }
}

/// The state of one worker.
pub(crate) struct Worker {
    agent: Arc<Agent>,
    uid: String,
    desired: watch::Receiver<Desired>,
    bell: Arc<Notify>,
    observer: Observer,
    probes: Probes,
    backoffs: Backoffs,
    waiting: Waiting,
    messages: HashMap<String, String>,
    verdict: Option<Verdict>,
    admitted: bool,
    cleaned: bool,
    /// What the API answered to the last status: newer than what the source has told.
    told: Option<Arc<Object>>,
    /// Failed volumes are told once, not at every attempt.
    mount_failure: String,
    prepared: bool,
    /// Somebody else wrote between two of our looks: the next news counts even if our own status came after it.
    raced: bool,
    /// Limits running containers were given after they were made, by id.
    applied: HashMap<String, String>,
}

/// A hint of an end is believed for so long against a status that says otherwise.
const BEHIND: Duration = Duration::from_secs(5);
const BEHIND_RETRY: Duration = Duration::from_millis(20);

/// When to look again without being asked.
type Wake = Option<Timestamp>;

impl Worker {
    pub(crate) fn new(agent: Arc<Agent>, uid: &str, desired: watch::Receiver<Desired>) -> Self {
        let bell = agent.wakers.bell(uid);
        Self {
            observer: Observer::default(),
            probes: Probes::new(agent.clone(), bell.clone()),
            backoffs: Backoffs::new(agent.config.timing.backoff),
            waiting: Waiting::new(),
            messages: HashMap::new(),
            verdict: None,
            admitted: false,
            cleaned: false,
            told: None,
            mount_failure: String::new(),
            prepared: false,
            raced: false,
            applied: HashMap::new(),
            uid: uid.to_owned(),
            agent,
            desired,
            bell,
        }
    }

    /// Runs the pod until it is gone, from the API, too.
    pub(crate) async fn run(mut self) {
        let meta = &self.desired.borrow().object.meta.clone();
        let span = info_span!("pod", namespace = &*meta.namespace, name = &*meta.name, uid = self.uid);
        async {
            while !self.desired.borrow().is_ending() {
                let mut ending = self.desired.clone();
                let wake = tokio::select! {
                    biased;
                    _ = ending.wait_for(Desired::is_ending) => break,
                    // Boxed, so that a pod that rests costs little.
                    wake = Box::pin(self.sync()) => wake,
                };
                self.sleep(wake).await;
            }
            Box::pin(self.terminate()).await;
        }
        .instrument(span)
        .await;
        self.agent.sources.forget(&self.uid);
        self.agent.tokens.forget(&self.uid);
        self.agent.wakers.forget(&self.uid);
    }

    async fn sleep(&mut self, wake: Wake) {
        let longest = self.agent.config.timing.resync;
        let wait = wake.map_or(longest, |at| {
            Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO).min(longest)
        });
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                changed = self.desired.changed() => match changed {
                    // What this worker wrote itself is no news.
                    Ok(()) if self.is_own_echo() => {}
                    Ok(()) => return,
                    // The dispatcher is gone, and with it this task in a moment.
                    Err(_) => std::future::pending::<()>().await,
                },
                () = self.bell.notified() => return,
                () = &mut sleep => return,
            }
        }
    }

    /// Whether the newest state of the pod is what the API answered to the last status written.
    fn is_own_echo(&mut self) -> bool {
        let desired = self.desired.borrow_and_update();
        let shown = desired.mirror.as_ref().unwrap_or(&desired.object);
        let told = self.told.as_ref();
        !self.raced
            && !desired.is_ending()
            && told
                .is_some_and(|t| t.meta.uid == shown.meta.uid && t.meta.resource_version >= shown.meta.resource_version)
    }

    /// The pod as it is now known.
    fn pod(&mut self) -> Option<Pod> {
        self.raced = false;
        let desired = self.desired.borrow_and_update().clone();
        let fresh = |object: &Arc<Object>| match &self.told {
            Some(told)
                if told.meta.uid == object.meta.uid && told.meta.resource_version > object.meta.resource_version =>
            {
                told.clone()
            }
            _ => object.clone(),
        };
        let pod = match &desired.mirror {
            None => Pod::decode(&fresh(&desired.object)),
            Some(mirror) => Pod::decode(&desired.object).and_then(|mut pod| {
                pod.status = Pod::decode(&fresh(mirror))?.status;
                Ok(pod)
            }),
        };
        pod.inspect_err(|error| warn!(%error, "the pod cannot be read")).ok()
    }

    /// Looks and acts until there is nothing left to do but wait.
    async fn sync(&mut self) -> Wake {
        let retry = self.after(self.agent.config.timing.retry);
        loop {
            let pod = self.pod()?;
            let observed = match self.look(&pod).await {
                Ok(observed) => observed,
                Err(error) => {
                    warn!(%error, "the runtime does not tell about the pod, will retry");
                    return retry;
                }
            };
            if !pod.is_finished() && self.verdict.is_none() {
                self.judge(&pod, &observed);
            }
            let plan = self.plan(&pod, &observed);
            if let Err(error) = self.report(&pod, &observed, false).await {
                warn!(%error, "could not write the pod's status, will retry");
                return self.after(Duration::from_secs(1));
            }
            let over = pod.is_finished() || self.verdict.is_some() || (plan.kill_pod && !observed.is_alive());
            if over && !observed.is_alive() {
                self.clean(&pod).await;
                return None;
            }
            match self.act(&pod, &observed, &plan).await {
                act::Done::Progress => {}
                act::Done::Idle if self.resize(&pod, &observed).await => {}
                act::Done::Idle => {
                    self.collect_garbage(&pod, &observed).await;
                    return earliest([
                        plan.wake,
                        self.deadline(&pod),
                        crate::volumes::next_refresh(&self.agent, &self.uid),
                    ]);
                }
                act::Done::Retry(at) => {
                    let retry = self.after(self.agent.config.timing.retry);
                    return earliest([at.or(retry), plan.wake, self.deadline(&pod)]);
                }
            }
        }
    }

    async fn look(&mut self, pod: &Pod) -> Result<Observed, Error> {
        let observed = loop {
            let observed = self.observer.look(&*self.agent.runtime, &self.uid).await?;
            let ids = observed
                .sandboxes
                .iter()
                .map(|s| s.id.clone())
                .chain(observed.containers.iter().map(|c| c.id().to_owned()));
            self.agent.owners.lock().extend(ids.map(|id| (id, self.uid.clone())));
            if !self.is_behind(&observed) {
                break observed;
            }
            tokio::time::sleep(BEHIND_RETRY).await;
        };
        messages::read(&self.agent.config, &self.uid, &observed, &mut self.messages);
        self.probes.follow(pod, &observed);
        Ok(observed)
    }

    /// Whether the runtime has hinted at an end that its status does not show yet.
    fn is_behind(&self, observed: &Observed) -> bool {
        let mut exits = self.agent.exits.lock();
        exits.retain(|_, at| at.elapsed() < BEHIND);
        let ready = observed.sandboxes.iter().filter(|s| s.state == SandboxState::Ready).map(|s| s.id.as_str());
        let alive = observed.running().map(super::observed::Instance::id).chain(ready);
        alive.into_iter().any(|id| exits.contains_key(id))
    }

    /// Decides whether the pod may run here, and whether its time is up.
    fn judge(&mut self, pod: &Pod, observed: &Observed) {
        if !self.admitted {
            // What already runs was admitted before the agent restarted.
            let verdict = if observed.sandboxes.is_empty() { admission::admit(&self.agent, pod) } else { None };
            self.admitted = verdict.is_none();
            if let Some(verdict) = verdict {
                warn!(reason = verdict.reason, message = verdict.message, "pod rejected");
                self.agent.event(pod, None, Warning, &verdict.reason, &verdict.message);
                self.verdict = Some(Verdict { message: format!("Pod was rejected: {}", verdict.message), ..verdict });
                return;
            }
        }
        if self.deadline(pod).is_some_and(|at| Timestamp::now() >= at) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.agent.event(pod, None, Warning, "DeadlineExceeded", &message);
            self.verdict = Some(Verdict { reason: "DeadlineExceeded".into(), message });
        }
    }

    fn deadline(&self, pod: &Pod) -> Wake {
        let seconds = pod.spec.active_deadline_seconds?;
        let start = pod.status.start_time.as_ref()?.0;
        start.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn plan(&mut self, pod: &Pod, observed: &Observed) -> Plan {
        if pod.is_finished() || self.verdict.is_some() {
            return Plan { kill_pod: true, ..Plan::default() };
        }
        let inputs =
            plan::Inputs { pod, observed, backoffs: &self.backoffs, health: &self.probes, now: Timestamp::now() };
        let plan = plan::plan(&inputs);
        for (name, delay) in &plan.held {
            let message =
                format!("back-off {} restarting failed container={name} pod={}", go_duration(*delay), pod.full_name());
            let before = self.waiting.insert(name.clone(), ("CrashLoopBackOff".into(), message));
            if before.is_none_or(|(reason, _)| reason != "CrashLoopBackOff") {
                let message = format!("Back-off restarting failed container {name} in pod {}", pod.full_name());
                self.agent.event(pod, Some(name), Warning, "BackOff", message);
            }
        }
        // What runs no longer waits.
        self.waiting.retain(|name, _| !observed.latest(name).is_some_and(super::observed::Instance::is_running));
        plan
    }

    fn after(&self, wait: Duration) -> Wake {
        Timestamp::now().checked_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(10))).ok()
    }

    /// Gives back what a pod that ended for good held: volumes and cgroup. Its containers stay for their logs.
    async fn clean(&mut self, pod: &Pod) {
        if self.cleaned {
            return;
        }
        self.probes.stop();
        match crate::volumes::mounts::unmount_below(&self.agent.config.pod_dir(&self.uid)) {
            Ok(()) => {}
            Err(error) => warn!(%error, "could not unmount the volumes of a finished pod, will retry"),
        }
        if let Err(error) = self.agent.cgroups.remove_pod(&self.uid).await {
            warn!(%error, "could not remove the cgroup of a finished pod");
        }
        self.agent.sources.forget(&self.uid);
        self.agent.tokens.forget(&self.uid);
        self.cleaned = true;
        info!(phase = pod.status.phase, "pod finished");
    }
}

fn earliest<const N: usize>(all: [Wake; N]) -> Wake {
    all.into_iter().flatten().min()
}

/// Whole seconds as Go prints durations.
fn go_duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    }
}
