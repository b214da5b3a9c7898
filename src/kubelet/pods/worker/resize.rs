//! In-place resize: CPU and memory of running containers follow the spec.

use client::events::EventType::Normal;
use runtime::types::Resources;
use tracing::{info, warn};

use super::Worker;
use crate::pods::observed::{Observed, RESOURCES};
use crate::pods::pod::Pod;
use crate::pods::spec::container;

/// Tells versions of a container's limits apart; what cannot change while it runs does not count.
pub(crate) fn fingerprint(resources: &Resources) -> String {
    let Resources { cpu_quota, cpu_shares, memory_limit, .. } = resources;
    format!("{cpu_quota}/{cpu_shares}/{memory_limit}")
}

impl Worker {
    /// Applies changed limits; containers whose policy wants that are stopped, to start anew with them. Says whether one was.
    pub(super) async fn resize(&mut self, pod: &Pod, observed: &Observed) -> bool {
        self.applied.retain(|id, _| observed.containers.iter().any(|c| c.id() == id));
        let mut stopped = false;
        for instance in observed.running() {
            let Some((_, spec, _)) = pod.container(instance.name()) else { continue };
            let wanted = container::resources(pod, &spec, self.agent.facts.memory, self.agent.cgroups.is_v2());
            let print = fingerprint(&wanted);
            let made = instance.status.annotations.get(RESOURCES);
            let Some(present) = self.applied.get(instance.id()).or(made).filter(|p| **p != print) else { continue };
            info!(container = spec.name, from = present, to = print, "resizing");
            let restart = spec.resize_policy.iter().flatten().any(|p| p.restart_policy == "RestartContainer");
            if restart && pod.restart_policy() != "Never" {
                let message = format!("Container {} resize requires restart", spec.name);
                self.stop_container(pod, instance, pod.grace(), &message).await;
                stopped = true;
                continue;
            }
            // The pod's own cgroup first: a container may not have more than its pod.
            if let Err(error) = self.agent.cgroups.make_pod(&pod.spec, &self.uid) {
                warn!(%error, "could not resize the pod's cgroup");
            }
            match self.agent.runtime.update_resources(instance.id(), &wanted).await {
                Ok(()) => {
                    self.applied.insert(instance.id().to_owned(), print);
                    self.agent.event(
                        pod,
                        None,
                        Normal,
                        "ResizeCompleted",
                        format!("Pod resize completed: {}", spec.name),
                    );
                }
                Err(error) => warn!(container = spec.name, %error, "could not resize a container, will retry"),
            }
        }
        stopped
    }
}
