//! Carrying out a plan.

use client::events::EventType::{Normal, Warning};
use jiff::Timestamp;
use tracing::{info, warn};

use super::Worker;
use crate::pods::observed::Observed;
use crate::pods::plan::Plan;
use crate::pods::pod::Pod;
use crate::pods::qos;
use crate::pods::spec::{network, sandbox};
use crate::{resources, volumes};

/// What came of it.
pub(super) enum Done {
    /// Something changed: look again.
    Progress,
    /// Nothing to do.
    Idle,
    /// Something failed: look again then, or after the usual wait.
    Retry(Option<Timestamp>),
}

impl Worker {
    pub(super) async fn act(&mut self, pod: &Pod, observed: &Observed, plan: &Plan) -> Done {
        if plan.kill_pod {
            if !observed.is_alive() {
                return Done::Idle;
            }
            self.stop_containers(pod, observed, pod.grace(), "Stopping container").await;
            return match self.stop_sandboxes(observed).await {
                Ok(()) => Done::Progress,
                Err(error) => {
                    warn!(%error, "could not stop the pod's sandbox, will retry");
                    Done::Retry(None)
                }
            };
        }
        for kill in &plan.kill {
            let Some(instance) = observed.containers.iter().find(|i| i.id() == kill.id) else { continue };
            let grace = self.probe_grace(pod, &kill.name, kill.probe).unwrap_or_else(|| pod.grace());
            self.stop_container(pod, instance, grace, &kill.message).await;
        }
        if !plan.kill.is_empty() {
            return Done::Progress;
        }
        if let Some(attempt) = plan.create_sandbox {
            if let Err(done) = self.prepare(pod).await {
                return done;
            }
            return self.create_sandbox(pod, attempt).await;
        }
        if plan.start.is_empty() {
            return self.refresh(pod).await;
        }
        let ready = match self.prepare(pod).await {
            Ok(ready) => ready,
            Err(done) => return done,
        };
        self.start_containers(pod, observed, plan, &ready).await
    }

    fn probe_grace(&self, pod: &Pod, name: &str, probe: Option<&'static str>) -> Option<i64> {
        let (_, container, _) = pod.container(name)?;
        let probe = match probe? {
            "startup" => container.startup_probe,
            _ => container.liveness_probe,
        };
        probe?.termination_grace_period_seconds
    }

    /// Makes everything a pod needs before its sandbox: directories, cgroup, volumes.
    pub(super) async fn prepare(&mut self, pod: &Pod) -> Result<Volumes, Done> {
        let config = &self.agent.config;
        if !self.prepared {
            let dirs = [config.pod_dir(&self.uid), config.pod_log_dir(&pod.namespace, &pod.name, &self.uid)];
            for dir in dirs {
                if let Err(error) = volumes::make_dir(&dir, 0o750) {
                    warn!(%error, "could not make a directory of the pod, will retry");
                    return Err(Done::Retry(None));
                }
            }
            if let Err(error) = self.agent.cgroups.make_pod(&pod.spec, &self.uid) {
                self.agent.event(
                    pod,
                    None,
                    Warning,
                    "FailedCreatePodContainer",
                    format!("unable to ensure pod container exists: {error}"),
                );
                warn!(%error, "could not make the pod's cgroup, will retry");
                return Err(Done::Retry(None));
            }
            self.prepared = true;
        }
        self.volumes(pod).await
    }

    /// Volumes of a running pod follow their sources.
    async fn refresh(&mut self, pod: &Pod) -> Done {
        if pod.spec.volumes.as_ref().is_none_or(Vec::is_empty) {
            return Done::Idle;
        }
        match volumes::refresh(&self.agent, pod).await {
            Ok(()) => Done::Idle,
            Err(failed) => self.mount_failed(pod, &failed),
        }
    }

    async fn volumes(&mut self, pod: &Pod) -> Result<Volumes, Done> {
        match volumes::set_up(&self.agent, pod).await {
            Ok(ready) => {
                self.mount_failure.clear();
                Ok(ready)
            }
            Err(failed) => Err(self.mount_failed(pod, &failed)),
        }
    }

    fn mount_failed(&mut self, pod: &Pod, failed: &volumes::Failed) -> Done {
        let message = format!("MountVolume.SetUp failed for volume \"{}\" : {}", failed.volume, failed.error);
        if self.mount_failure != message {
            self.agent.event(pod, None, Warning, "FailedMount", &message);
            warn!(volume = failed.volume, error = %failed.error, "could not set up a volume, will retry");
            self.mount_failure = message;
        }
        Done::Retry(None)
    }

    async fn create_sandbox(&mut self, pod: &Pod, attempt: u32) -> Done {
        let agent = self.agent.clone();
        let fail = |message: String| {
            agent.event(pod, None, Warning, "FailedCreatePodSandBox", &message);
            warn!(error = message, "could not make the pod's sandbox, will retry");
            Done::Retry(None)
        };
        if attempt > 0 {
            self.agent.event(
                pod,
                None,
                Normal,
                "SandboxChanged",
                "Pod sandbox changed, it will be killed and re-created.",
            );
        }
        let spec = match self.sandbox_spec(pod, attempt).await {
            Ok(spec) => spec,
            Err(error) => return fail(format!("Failed to create pod sandbox: {error}")),
        };
        match self.agent.runtime.run_sandbox(&spec).await {
            Ok(id) => {
                info!(sandbox = id, attempt, "sandbox created");
                self.agent.owners.lock().insert(id, self.uid.clone());
                Done::Progress
            }
            Err(error) => fail(format!("Failed to create pod sandbox: rpc error: code = Unknown desc = {error}")),
        }
    }

    /// The sandbox's spec; also needed, unchanged, for every container in it.
    pub(super) async fn sandbox_spec(
        &self,
        pod: &Pod,
        attempt: u32,
    ) -> crate::error::Result<runtime::types::SandboxSpec> {
        let config = &self.agent.config;
        let host_dns = std::fs::read_to_string(&config.resolv_conf).unwrap_or_default();
        let host_dns = network::parse_resolv_conf(&host_dns);
        let (_, no_dns) = network::dns(pod, &config.cluster_dns, &config.cluster_domain, host_dns.clone());
        if no_dns && attempt == 0 {
            let message = format!(
                "pod: \"{}\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                pod.full_name()
            );
            self.agent.event(pod, None, Warning, "MissingClusterDNS", message);
        }
        let handler = match pod.spec.runtime_class_name.as_deref().filter(|n| !n.is_empty()) {
            None => String::new(),
            Some(name) => {
                let class = self.agent.client.get(resources::runtime_classes(), "", name).await?;
                let class: k8s_openapi::api::node::v1::RuntimeClass =
                    class.view().map_err(|e| crate::Error::Invalid(e.to_string()))?;
                class.handler
            }
        };
        let cgroup = self.agent.cgroups.pod_path(qos::class(&pod.spec), &self.uid);
        sandbox::sandbox(pod, config, attempt, host_dns, &cgroup, &handler)
    }

    pub(super) async fn stop_sandboxes(&self, observed: &Observed) -> Result<(), runtime::Error> {
        for sandbox in &observed.sandboxes {
            self.agent.runtime.stop_sandbox(&sandbox.id).await?;
        }
        Ok(())
    }

    pub(super) fn killing(&self, pod: &Pod, name: &str, message: &str) {
        self.agent.event(pod, Some(name), Normal, "Killing", message);
    }
}

pub(super) type Volumes = std::collections::BTreeMap<String, volumes::Ready>;
