//! The end of a pod: hooks, TERM, KILL, volumes, and at last the API object.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Desired, Worker};
use crate::pods::hooks;
use crate::pods::observed::{Instance, Observed};
use crate::pods::pod::{Pod, Role};
use crate::{resources, volumes};

impl Worker {
    /// Ends the pod, whatever it takes; returns when nothing of it is left, in the API neither.
    pub(super) async fn terminate(&mut self) {
        let Some(pod) = self.pod() else { return };
        info!(grace = pod.grace(), "terminating");
        self.probes.stop();
        self.stop_all(pod).await;
        let Some(pod) = self.pod() else { return };
        loop {
            match self.finish(&pod).await {
                Ok(()) => break,
                Err(error) => {
                    warn!(%error, "could not clean up after the pod, will retry");
                    tokio::time::sleep(self.agent.config.timing.retry.min(Duration::from_secs(2))).await;
                }
            }
        }
        info!("pod is gone");
    }

    /// Stops all containers. A shorter grace period that comes while this is under way counts at once.
    async fn stop_all(&mut self, mut pod: Pod) {
        let started = Instant::now();
        loop {
            let gone = self.desired.borrow().gone;
            // A pod whose object is gone was deleted by force, unless its manifest went: nobody waits for its grace.
            let grace =
                if gone && !pod.is_static() { pod.deletion_grace.unwrap_or(1).clamp(0, 1) } else { pod.grace() };
            let observed = match self.observer.look(&*self.agent.runtime, &self.uid).await {
                Ok(observed) => observed,
                Err(error) => {
                    warn!(%error, "the runtime does not tell about the pod, will retry");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            if observed.running().next().is_none() {
                return;
            }
            let left = grace.saturating_sub(i64::try_from(started.elapsed().as_secs()).unwrap_or(0)).max(0);
            let mut shorter = self.desired.clone();
            let is_shorter = |d: &Desired| {
                (d.gone && !gone) || d.object.meta.deletion_grace_period_seconds.is_some_and(|g| g < grace)
            };
            tokio::select! {
                () = self.stop_containers(&pod, &observed, left, "Stopping container") => {}
                Ok(_) = shorter.wait_for(is_shorter) => {
                    debug!("a shorter grace period");
                    if let Some(newer) = self.pod() {
                        pod = newer;
                    }
                }
            }
        }
    }

    /// Stops every running container: the regular ones together, then sidecars, the last started first.
    pub(super) async fn stop_containers(&self, pod: &Pod, observed: &Observed, grace: i64, message: &str) {
        let started = Instant::now();
        let role = |i: &Instance| pod.container(i.name()).map(|(role, ..)| role);
        let (sidecars, others): (Vec<_>, Vec<_>) = observed.running().partition(|i| role(i) == Some(Role::Sidecar));
        join_all(others.iter().map(|i| async move {
            self.stop_container(pod, i, grace, &format!("{message} {}", i.name())).await;
        }))
        .await;
        for container in pod.init_containers().iter().rev() {
            for sidecar in sidecars.iter().filter(|i| i.name() == container.name) {
                let left = grace - i64::try_from(started.elapsed().as_secs()).unwrap_or(0);
                // Even with the time used up by others a sidecar gets a moment to leave.
                self.stop_container(pod, sidecar, left.max(grace.min(2)), &format!("{message} {}", sidecar.name()))
                    .await;
            }
        }
    }

    /// Runs the preStop hook and stops one container, both within the grace period.
    pub(super) async fn stop_container(&self, pod: &Pod, instance: &Instance, grace: i64, message: &str) {
        let name = instance.name();
        let started = Instant::now();
        let total = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        self.killing(pod, name, message);
        if let Some((_, container, _)) = pod.container(name)
            && let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref())
            && grace > 0
        {
            let ip = match self.agent.runtime.sandbox_status(&instance.sandbox_id).await {
                _ if pod.host_network() => self.agent.config.node_ips.first().copied(),
                Ok(status) => status.ips.first().copied(),
                Err(_) => None,
            };
            let run = hooks::run(&self.agent, &container, instance.id(), ip, hook);
            match tokio::time::timeout(total, run).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    self.agent.event(
                        pod,
                        Some(name),
                        client::events::EventType::Warning,
                        "FailedPreStopHook",
                        format!("PreStopHook failed: {why}"),
                    );
                }
                Err(_) => debug!(container = name, "the preStop hook did not end within the grace period"),
            }
        }
        // Upstream leaves two seconds even after a hook that took all the time.
        let left = total.saturating_sub(started.elapsed());
        let left = if grace == 0 { Duration::ZERO } else { left.max(Duration::from_secs(2).min(total)) };
        if let Err(error) = self.agent.runtime.stop_container(instance.id(), left).await
            && !error.is_not_found()
        {
            warn!(container = name, %error, "could not stop a container, will retry");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Everything after the containers have ended. Safe to repeat.
    async fn finish(&mut self, pod: &Pod) -> crate::Result<()> {
        let observed = self.observer.look(&*self.agent.runtime, &self.uid).await?;
        crate::pods::messages::read(&self.agent.config, &self.uid, &observed, &mut self.messages);
        let gone = self.desired.borrow().gone;
        self.stop_sandboxes(&observed).await?;
        if !gone {
            let observed = self.observer.look(&*self.agent.runtime, &self.uid).await?;
            self.report(pod, &observed, true).await?;
        }
        volumes::clean_up(&self.agent.config.pod_dir(&self.uid))?;
        for sandbox in &observed.sandboxes {
            self.agent.runtime.remove_sandbox(&sandbox.id).await?;
        }
        for container in &observed.containers {
            self.agent.runtime.remove_container(container.id()).await?;
        }
        self.agent.cgroups.remove_pod(&self.uid).await?;
        let logs = self.agent.config.pod_log_dir(&pod.namespace, &pod.name, &self.uid);
        if !gone && !pod.is_static() {
            let options =
                api::DeleteOptions { grace_period_seconds: Some(0), uid: Some(pod.uid.clone()), ..Default::default() };
            match self.agent.client.delete(resources::pods(), &pod.namespace, &pod.name, options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error.into()),
                _ => {}
            }
        }
        if let Err(error) = std::fs::remove_dir_all(&logs)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(%error, "could not remove the pod's logs");
        }
        self.agent.owners.lock().retain(|_, uid| *uid != self.uid);
        Ok(())
    }

    /// Keeps the newest instance of every container and the one before it, for `logs --previous`.
    pub(super) async fn collect_garbage(&self, pod: &Pod, observed: &Observed) {
        let mut seen = std::collections::HashMap::<&str, usize>::new();
        for instance in &observed.containers {
            let count = seen.entry(instance.name()).or_default();
            *count += 1;
            if *count <= 2 || instance.is_running() {
                continue;
            }
            if let Err(error) = self.agent.runtime.remove_container(instance.id()).await {
                warn!(%error, "could not remove a dead container");
                continue;
            }
            let log = self.agent.config.pod_log_dir(&pod.namespace, &pod.name, &self.uid).join(instance.name());
            crate::logs::remove(&log, instance.attempt());
            let message =
                crate::pods::messages::path(&self.agent.config, &self.uid, instance.name(), instance.attempt());
            let _ = std::fs::remove_file(message);
            self.agent.owners.lock().remove(instance.id());
        }
        for sandbox in observed.sandboxes.iter().skip(1) {
            let is_empty = !observed.containers.iter().any(|c| c.sandbox_id == sandbox.id);
            if is_empty && sandbox.state == runtime::types::SandboxState::NotReady {
                if let Err(error) = self.agent.runtime.remove_sandbox(&sandbox.id).await {
                    warn!(%error, "could not remove a dead sandbox");
                }
                self.agent.owners.lock().remove(&sandbox.id);
            }
        }
    }
}
