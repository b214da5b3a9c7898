//! A pod as its worker sees it: decoded for the length of one sync, wherever it came from.

use std::collections::BTreeMap;

use api::{Object, ObjectError};
use fnv1a::fnv;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod as ApiPod, PodSpec, PodStatus};

/// Annotations of static pods and their mirrors.
pub(crate) const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
pub(crate) const CONFIG_HASH: &str = "kubernetes.io/config.hash";
pub(crate) const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
pub(crate) const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

/// A decoded pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) deleted: bool,
    pub(crate) deletion_grace: Option<i64>,
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

/// What part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before what follows.
    Init,
    /// An init container with restartPolicy Always.
    Sidecar,
    /// One of `spec.containers`.
    Regular,
    /// One of `spec.ephemeralContainers`.
    Ephemeral,
}

impl Pod {
    pub(crate) fn decode(object: &Object) -> Result<Self, ObjectError> {
        let pod: ApiPod = object.view()?;
        Ok(Self::from_api(pod))
    }

    pub(crate) fn from_api(pod: ApiPod) -> Self {
        let meta = pod.metadata;
        Self {
            namespace: meta.namespace.unwrap_or_default(),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.map(|t| t.0),
            labels: meta.labels.unwrap_or_default(),
            annotations: meta.annotations.unwrap_or_default(),
            deleted: meta.deletion_timestamp.is_some(),
            deletion_grace: meta.deletion_grace_period_seconds,
            spec: pod.spec.unwrap_or_default(),
            status: pod.status.unwrap_or_default(),
        }
    }

    /// `name_namespace(uid)`, as upstream names pods in messages.
    pub(crate) fn full_name(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }

    /// Whether the pod came from a manifest on this node.
    pub(crate) fn is_static(&self) -> bool {
        self.annotations.get(CONFIG_SOURCE).is_some_and(|source| source != "api")
    }

    /// `Always`, `OnFailure` or `Never`.
    pub(crate) fn restart_policy(&self) -> &str {
        self.spec.restart_policy.as_deref().unwrap_or("Always")
    }

    /// Whether the pod uses the node's network.
    pub(crate) fn host_network(&self) -> bool {
        self.spec.host_network.unwrap_or(false)
    }

    /// Whether the API already shows the pod at its end.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    pub(crate) fn init_containers(&self) -> &[Container] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// Ephemeral containers as plain ones, with the name of the container each targets.
    pub(crate) fn ephemeral_containers(&self) -> Vec<(Container, Option<String>)> {
        let all = self.spec.ephemeral_containers.iter().flatten().cloned();
        all.map(|e| {
            let container = Container {
                args: e.args,
                command: e.command,
                env: e.env,
                env_from: e.env_from,
                image: e.image,
                image_pull_policy: e.image_pull_policy,
                name: e.name,
                security_context: e.security_context,
                stdin: e.stdin,
                stdin_once: e.stdin_once,
                termination_message_path: e.termination_message_path,
                termination_message_policy: e.termination_message_policy,
                tty: e.tty,
                volume_mounts: e.volume_mounts,
                working_dir: e.working_dir,
                ..Container::default()
            };
            (container, e.target_container_name)
        })
        .collect()
    }

    /// The container of that name, its role, and what an ephemeral one targets.
    pub(crate) fn container(&self, name: &str) -> Option<(Role, Container, Option<String>)> {
        if let Some(c) = self.spec.containers.iter().find(|c| c.name == name) {
            return Some((Role::Regular, c.clone(), None));
        }
        if let Some(c) = self.init_containers().iter().find(|c| c.name == name) {
            return Some((role_of_init(c), c.clone(), None));
        }
        let (c, target) = self.ephemeral_containers().into_iter().find(|(c, _)| c.name == name)?;
        Some((Role::Ephemeral, c, target))
    }

    /// The field of the spec a container stands in, as events name it.
    pub(crate) fn field_path(&self, name: &str) -> String {
        let list = match self.container(name) {
            Some((Role::Init | Role::Sidecar, ..)) => "initContainers",
            Some((Role::Ephemeral, ..)) => "ephemeralContainers",
            _ => "containers",
        };
        format!("spec.{list}{{{name}}}")
    }

    /// The grace period this pod is to end with, in seconds.
    pub(crate) fn grace(&self) -> i64 {
        let own = self.spec.termination_grace_period_seconds.unwrap_or(30);
        if self.deleted { self.deletion_grace.unwrap_or(own) } else { own }
    }
}

/// Sidecar or plain init container.
pub(crate) fn role_of_init(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// What of a container's spec needs a new instance when it changes.
pub(crate) fn hash(container: &Container) -> String {
    format!("{:x}", fnv(&[container.name.as_bytes(), container.image.as_deref().unwrap_or_default().as_bytes()]))
}

mod fnv1a {
    /// FNV-1a over the parts, each closed by a byte that no name holds. Not for secrets: it only tells versions apart.
    pub(crate) fn fnv(parts: &[&[u8]]) -> u64 {
        let bytes = parts.iter().flat_map(|part| part.iter().copied().chain([0xff]));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}
pub(crate) use fnv1a::fnv as fingerprint;
