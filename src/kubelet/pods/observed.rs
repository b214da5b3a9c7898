//! A pod as the runtime has it: rebuilt from labels at every look, so that a restart of the agent loses nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::SystemTime;

use jiff::Timestamp;
use runtime::types::{ContainerFilter, ContainerState, ContainerStatus, Map, Sandbox, SandboxFilter, SandboxState};
use runtime::{Error, Runtime};

/// Labels and annotations on sandboxes and containers: upstream's, so that tools that read them work.
pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub(crate) const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub(crate) const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub(crate) const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
pub(crate) const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// The limits a container was made with; ours alone.
pub(crate) const RESOURCES: &str = "isopod.io/container.resources";
pub(crate) const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";

/// Sandboxes and containers of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// Newest first.
    pub(crate) sandboxes: Vec<Sandbox>,
    /// The newest sandbox's addresses.
    pub(crate) ips: Vec<IpAddr>,
    /// Newest first.
    pub(crate) containers: Vec<Instance>,
}

/// One instance of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) sandbox_id: String,
    pub(crate) status: ContainerStatus,
}

impl Instance {
    pub(crate) fn name(&self) -> &str {
        self.status.labels.get(CONTAINER_NAME).unwrap_or(&self.status.metadata.name)
    }

    pub(crate) fn id(&self) -> &str {
        &self.status.id
    }

    pub(crate) fn state(&self) -> ContainerState {
        self.status.state
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status.state == ContainerState::Running
    }

    /// The restart count; the annotation is there even where attempts start anew.
    pub(crate) fn attempt(&self) -> u32 {
        self.status.annotations.get(RESTART_COUNT).and_then(|n| n.parse().ok()).unwrap_or(self.status.metadata.attempt)
    }

    pub(crate) fn finished(&self) -> Option<Timestamp> {
        time(self.status.finished_at)
    }
}

impl Observed {
    /// The newest instance of a container.
    pub(crate) fn latest(&self, name: &str) -> Option<&Instance> {
        self.containers.iter().find(|c| c.name() == name)
    }

    /// The newest instance of a container within one sandbox.
    pub(crate) fn latest_in(&self, sandbox: &str, name: &str) -> Option<&Instance> {
        self.containers.iter().find(|c| c.sandbox_id == sandbox && c.name() == name)
    }

    /// The newest sandbox, if it can hold running containers.
    pub(crate) fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first().filter(|s| s.state == SandboxState::Ready)
    }

    /// Whether anything of the pod still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.containers.iter().any(Instance::is_running)
            || self.sandboxes.iter().any(|s| s.state == SandboxState::Ready)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Instance> {
        self.containers.iter().filter(|c| c.is_running())
    }
}

/// Remembers what cannot change any more, so that a look costs two lists and the live containers.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    exited: HashMap<String, ContainerStatus>,
    addresses: Option<(String, Vec<IpAddr>)>,
}

impl Observer {
    /// Looks at one pod.
    pub(crate) async fn look(&mut self, runtime: &dyn Runtime, uid: &str) -> Result<Observed, Error> {
        let labels = Map::from([(POD_UID.to_owned(), uid.to_owned())]);
        let mut sandboxes =
            runtime.list_sandboxes(&SandboxFilter { labels: labels.clone(), ..Default::default() }).await?;
        let listed = runtime.list_containers(&ContainerFilter { labels, ..Default::default() }).await?;
        sandboxes.sort_by_key(|s| std::cmp::Reverse((s.created_at, s.metadata.attempt)));
        let mut containers = Vec::with_capacity(listed.len());
        for container in listed {
            let known = self.exited.get(&container.id).filter(|_| container.state == ContainerState::Exited);
            let status = match known {
                Some(status) => status.clone(),
                None => match runtime.container_status(&container.id).await {
                    Ok(mut status) => {
                        // Lists show labels on every version of the runtime, statuses on most.
                        if status.labels.is_empty() {
                            (status.labels, status.annotations) = (container.labels, container.annotations);
                        }
                        status
                    }
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => return Err(error),
                },
            };
            containers.push(Instance { sandbox_id: container.sandbox_id, status });
        }
        containers.sort_by_key(|c| std::cmp::Reverse((c.status.created_at, c.attempt())));
        self.exited = containers
            .iter()
            .filter(|c| c.state() == ContainerState::Exited)
            .map(|c| (c.id().to_owned(), c.status.clone()))
            .collect();
        let ips = match sandboxes.first().filter(|s| s.state == SandboxState::Ready) {
            None => Vec::new(),
            Some(sandbox) => match &self.addresses {
                Some((id, ips)) if *id == sandbox.id => ips.clone(),
                _ => {
                    let ips = match runtime.sandbox_status(&sandbox.id).await {
                        Ok(status) => status.ips,
                        Err(error) if error.is_not_found() => Vec::new(),
                        Err(error) => return Err(error),
                    };
                    self.addresses = Some((sandbox.id.clone(), ips.clone()));
                    ips
                }
            },
        };
        Ok(Observed { sandboxes, ips, containers })
    }
}

/// The runtime's time in the API's form; the epoch counts as unset.
pub(crate) fn time(time: Option<SystemTime>) -> Option<Timestamp> {
    time.filter(|t| *t != SystemTime::UNIX_EPOCH).and_then(|t| Timestamp::try_from(t).ok())
}
