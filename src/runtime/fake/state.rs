//! The state machine of the fake: what exists, and which steps are allowed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::types::*;
use crate::{Error, Result, TerminalSize};

/// How containers of an image behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Program {
    /// Ends by itself after this long with this code; None runs until stopped.
    pub exits: Option<(Duration, i32)>,
    /// Does nothing on TERM, so that stopping takes the whole grace period and ends in 137; otherwise it ends at once with 143.
    pub ignores_term: bool,
}

pub(super) type ExecHandler = Arc<dyn Fn(&str, &[String]) -> ExecOutput + Send + Sync>;
type Failure = (usize, Box<dyn Fn() -> Error + Send>);

#[derive(Default)]
pub(super) struct State {
    pub(super) status: RuntimeStatus,
    pub(super) sandboxes: BTreeMap<String, FakeSandbox>,
    pub(super) containers: BTreeMap<String, FakeContainer>,
    /// By id.
    pub(super) images: BTreeMap<String, Image>,
    pub(super) registry: BTreeSet<String>,
    pub(super) programs: HashMap<String, Program>,
    pub(super) failures: HashMap<&'static str, Failure>,
    pub(super) delays: HashMap<&'static str, Duration>,
    pub(super) exec: Option<ExecHandler>,
    pub(super) stats: HashMap<String, ContainerStats>,
    pub(super) calls: Vec<String>,
    pub(super) resizes: Vec<TerminalSize>,
    made: u64,
}

pub(super) struct FakeSandbox {
    pub(super) spec: SandboxSpec,
    pub(super) state: SandboxState,
    pub(super) created_at: SystemTime,
    pub(super) ip: Option<IpAddr>,
}

pub(super) struct FakeContainer {
    pub(super) sandbox_id: String,
    pub(super) spec: ContainerSpec,
    pub(super) log_path: std::path::PathBuf,
    pub(super) image_ref: String,
    pub(super) state: ContainerState,
    pub(super) created_at: SystemTime,
    pub(super) started_at: Option<SystemTime>,
    pub(super) finished_at: Option<SystemTime>,
    pub(super) exit_code: i32,
    pub(super) reason: String,
    /// Told when the process ends, for those who wait.
    pub(super) ended: tokio::sync::watch::Sender<bool>,
}

impl State {
    /// Records a call and gives the failure it was told to have.
    pub(super) fn enter(&mut self, call: &'static str, argument: &str) -> Result<Duration> {
        self.calls.push(format!("{call} {argument}").trim_end().to_owned());
        if let Some((times, error)) = self.failures.get_mut(call)
            && *times > 0
        {
            *times -= 1;
            return Err(error());
        }
        Ok(self.delays.get(call).copied().unwrap_or_default())
    }

    pub(super) fn add_image(&mut self, name: &str) -> Image {
        if let Some(image) = self.image_id(name).and_then(|id| self.images.get(&id)) {
            return image.clone();
        }
        self.made += 1;
        let id = format!("sha256:{:064x}", self.made);
        let repository =
            name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(repository, _)| repository);
        let image = Image {
            id: id.clone(),
            repo_tags: vec![name.to_owned()],
            repo_digests: vec![format!("{repository}@{id}")],
            size: 1 << 20,
            uid: Some(0),
            ..Image::default()
        };
        self.images.insert(id, image.clone());
        image
    }

    /// By id, tag or digest reference.
    pub(super) fn image_id(&self, name: &str) -> Option<String> {
        let matches = |image: &&Image| {
            image.id == name
                || image.repo_tags.iter().any(|t| t == name)
                || image.repo_digests.iter().any(|d| d == name)
        };
        self.images.values().find(matches).map(|image| image.id.clone())
    }

    pub(super) fn run_sandbox(&mut self, spec: &SandboxSpec) -> Result<String> {
        if let Some(reason) = &self.status.not_ready {
            return Err(Error::Other(reason.clone()));
        }
        if self.sandboxes.values().any(|sandbox| sandbox.spec.metadata == spec.metadata) {
            let m = &spec.metadata;
            return Err(Error::AlreadyExists(format!(
                "sandbox {}_{}_{}_{} exists",
                m.name, m.namespace, m.uid, m.attempt
            )));
        }
        let host_network = spec.security.namespaces.network == NamespaceMode::Node;
        if !host_network && let Some(reason) = &self.status.network_not_ready {
            return Err(Error::Other(format!("failed to set up the network of the sandbox: {reason}")));
        }
        let id = self.new_id();
        let [.., high, low] = self.made.to_be_bytes();
        let ip = (!host_network).then(|| IpAddr::from([10, 88, high, low]));
        let sandbox = FakeSandbox { spec: spec.clone(), state: SandboxState::Ready, created_at: now(), ip };
        self.sandboxes.insert(id.clone(), sandbox);
        Ok(id)
    }

    pub(super) fn lose_sandbox(&mut self, id: &str) -> bool {
        self.sandboxes
            .get_mut(id)
            .is_some_and(|s| std::mem::replace(&mut s.state, SandboxState::NotReady) == SandboxState::Ready)
    }

    pub(super) fn containers_of(&self, sandbox_id: &str) -> Vec<String> {
        self.containers.iter().filter(|(_, c)| c.sandbox_id == sandbox_id).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn create_container(&mut self, sandbox_id: &str, spec: &ContainerSpec) -> Result<String> {
        let sandbox = self.sandboxes.get(sandbox_id).ok_or_else(|| missing("sandbox", sandbox_id))?;
        if sandbox.state != SandboxState::Ready {
            return Err(Error::InvalidState(format!("sandbox {sandbox_id} is not ready")));
        }
        let image_ref = self.image_id(&spec.image).ok_or_else(|| missing("image", &spec.image))?;
        if self.containers.values().any(|c| c.sandbox_id == sandbox_id && c.spec.metadata == spec.metadata) {
            let m = &spec.metadata;
            return Err(Error::AlreadyExists(format!(
                "container {}_{} exists in sandbox {sandbox_id}",
                m.name, m.attempt
            )));
        }
        let log_path = sandbox.spec.log_directory.join(&spec.log_path);
        let id = self.new_id();
        let container = FakeContainer {
            sandbox_id: sandbox_id.to_owned(),
            spec: spec.clone(),
            log_path,
            image_ref,
            state: ContainerState::Created,
            created_at: now(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            ended: tokio::sync::watch::Sender::new(false),
        };
        self.containers.insert(id.clone(), container);
        Ok(id)
    }

    /// Starts a container and tells how it will behave.
    pub(super) fn start_container(&mut self, id: &str) -> Result<Program> {
        let programs = &self.programs;
        let container = self.containers.get_mut(id).ok_or_else(|| missing("container", id))?;
        if container.state != ContainerState::Created {
            return Err(Error::InvalidState(format!("container {id} is in state {:?}, not Created", container.state)));
        }
        if self.sandboxes.get(&container.sandbox_id).is_none_or(|sandbox| sandbox.state != SandboxState::Ready) {
            return Err(Error::InvalidState(format!("sandbox {} is not ready", container.sandbox_id)));
        }
        container.state = ContainerState::Running;
        container.started_at = Some(now());
        Ok(program(programs, &container.spec))
    }

    pub(super) fn program_of(&self, id: &str) -> Program {
        self.containers.get(id).map(|container| program(&self.programs, &container.spec)).unwrap_or_default()
    }

    /// Ends a running container; false if it was not running.
    pub(super) fn exit(&mut self, id: &str, code: i32, reason: &str) -> bool {
        let Some(container) = self.containers.get_mut(id).filter(|c| c.state == ContainerState::Running) else {
            return false;
        };
        container.state = ContainerState::Exited;
        container.finished_at = Some(now());
        container.exit_code = code;
        container.reason = match (reason, code) {
            ("", 0) => "Completed".to_owned(),
            ("", _) => "Error".to_owned(),
            (reason, _) => reason.to_owned(),
        };
        container.ended.send_replace(true);
        true
    }

    pub(super) fn running(&self, id: &str) -> Result<&FakeContainer> {
        let container = self.containers.get(id).ok_or_else(|| missing("container", id))?;
        match container.state {
            ContainerState::Running => Ok(container),
            state => Err(Error::InvalidState(format!("container {id} is in state {state:?}, not Running"))),
        }
    }

    pub(super) fn sandbox(&self, id: &str) -> Option<Sandbox> {
        self.sandboxes.get(id).map(|sandbox| Sandbox {
            id: id.to_owned(),
            metadata: sandbox.spec.metadata.clone(),
            state: sandbox.state,
            created_at: Some(sandbox.created_at),
            labels: sandbox.spec.labels.clone(),
            annotations: sandbox.spec.annotations.clone(),
            runtime_handler: sandbox.spec.runtime_handler.clone(),
        })
    }

    pub(super) fn container(&self, id: &str) -> Option<Container> {
        self.containers.get(id).map(|container| Container {
            id: id.to_owned(),
            sandbox_id: container.sandbox_id.clone(),
            metadata: container.spec.metadata.clone(),
            image: container.spec.image.clone(),
            image_ref: container.image_ref.clone(),
            state: container.state,
            created_at: Some(container.created_at),
            labels: container.spec.labels.clone(),
            annotations: container.spec.annotations.clone(),
        })
    }

    pub(super) fn container_status(&self, id: &str) -> Option<ContainerStatus> {
        self.containers.get(id).map(|container| {
            let image = self.images.get(&container.image_ref);
            ContainerStatus {
                id: id.to_owned(),
                metadata: container.spec.metadata.clone(),
                state: container.state,
                created_at: Some(container.created_at),
                started_at: container.started_at,
                finished_at: container.finished_at,
                exit_code: container.exit_code,
                reason: container.reason.clone(),
                message: String::new(),
                image: image.and_then(|i| i.repo_tags.first()).unwrap_or(&container.spec.image).clone(),
                image_ref: image.and_then(|i| i.repo_digests.first()).unwrap_or(&container.image_ref).clone(),
                labels: container.spec.labels.clone(),
                annotations: container.spec.annotations.clone(),
                log_path: container.log_path.clone(),
                resources: Some(container.spec.resources.clone()),
                user: None,
            }
        })
    }

    fn new_id(&mut self) -> String {
        self.made += 1;
        format!("{:064x}", self.made)
    }
}

fn program(programs: &HashMap<String, Program>, spec: &ContainerSpec) -> Program {
    [&spec.user_specified_image, &spec.image]
        .into_iter()
        .find_map(|name| programs.get(name))
        .copied()
        .unwrap_or_default()
}

pub(super) fn missing(what: &str, id: &str) -> Error {
    Error::NotFound(format!("no {what} {id}"))
}

fn now() -> SystemTime {
    SystemTime::now()
}
