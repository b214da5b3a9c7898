//! One container of a pod.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Container;
use runtime::types::{ContainerMetadata, ContainerSpec, EnvVar, HugepageLimit, Image, Mount, Resources};

use super::{env, sandbox, security};
use crate::Config;
use crate::error::Result;
use crate::pods::observed::{
    CONTAINER_HASH, CONTAINER_NAME, GRACE, MESSAGE_PATH, MESSAGE_POLICY, PRE_STOP, RESOURCES, RESTART_COUNT,
};
use crate::pods::pod::{Pod, hash};
use crate::pods::qos;
use crate::pods::worker::resize::fingerprint;

/// Where a container's last words go, inside it.
pub(crate) const TERMINATION_LOG: &str = "/dev/termination-log";

/// Everything the spec of one instance is made from, beside the pod.
pub(crate) struct Inputs<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) config: &'a Config,
    pub(crate) container: &'a Container,
    pub(crate) attempt: u32,
    pub(crate) image: &'a Image,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) mounts: Vec<Mount>,
    /// Id of the container an ephemeral one looks into.
    pub(crate) target: Option<String>,
    pub(crate) node_memory: u64,
    pub(crate) cgroup_v2: bool,
}

/// What the instance is made from.
pub(crate) fn container(inputs: Inputs<'_>) -> Result<ContainerSpec> {
    let Inputs { pod, config, container, attempt, image, .. } = inputs;
    let known: BTreeMap<String, String> = inputs.env.iter().map(|e| (e.name.clone(), e.value.clone())).collect();
    let expand = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| env::expand(word, &known)).collect();
    let mut labels = sandbox::labels_of(pod);
    labels.insert(CONTAINER_NAME.into(), container.name.clone());
    let mut annotations = BTreeMap::from([
        (CONTAINER_HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), attempt.to_string()),
        (MESSAGE_PATH.to_owned(), message_path(container).to_owned()),
        (MESSAGE_POLICY.to_owned(), container.termination_message_policy.clone().unwrap_or_else(|| "File".into())),
        (GRACE.to_owned(), pod.grace().to_string()),
    ]);
    if let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) {
        annotations.insert(PRE_STOP.into(), serde_json::to_string(hook).unwrap_or_default());
    }
    let resources = resources(pod, container, inputs.node_memory, inputs.cgroup_v2);
    annotations.insert(RESOURCES.to_owned(), fingerprint(&resources));
    Ok(ContainerSpec {
        metadata: ContainerMetadata { name: container.name.clone(), attempt },
        image: image.id.clone(),
        user_specified_image: container.image.clone().unwrap_or_default(),
        command: expand(&container.command),
        args: expand(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        security: security::of_container(
            pod,
            container,
            image,
            inputs.target.as_deref(),
            &config.root_dir.join("seccomp"),
        )?,
        resources,
        env: inputs.env,
        mounts: inputs.mounts,
        labels,
        annotations,
        log_path: PathBuf::from(&container.name).join(format!("{attempt}.log")),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        ..ContainerSpec::default()
    })
}

/// The path inside the container where it may leave a message.
pub(crate) fn message_path(container: &Container) -> &str {
    container.termination_message_path.as_deref().filter(|p| !p.is_empty()).unwrap_or(TERMINATION_LOG)
}

/// Limits by requests, limits and class.
pub(crate) fn resources(pod: &Pod, container: &Container, node_memory: u64, cgroup_v2: bool) -> Resources {
    let (asked, limit) = (qos::requests(container), qos::limits(container));
    let critical = pod.spec.priority.is_some_and(|p| p >= 2_000_000_000);
    let memory_limit = limit.memory.unwrap_or(0);
    let list = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    let hugepages = list.into_iter().flatten().filter_map(|(name, _)| {
        let size = name.strip_prefix("hugepages-")?;
        let limit = u64::try_from(qos::quantity(list, name)?.value()).ok()?;
        Some(HugepageLimit { page_size: size.replace("Mi", "MB").replace("Gi", "GB").replace("Ki", "KB"), limit })
    });
    let mut unified = BTreeMap::new();
    if cgroup_v2 {
        // One process too many for the memory ends the container as a whole, not half of it.
        unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    Resources {
        cpu_period: qos::CPU_PERIOD,
        cpu_quota: qos::cpu_quota(limit.cpu.unwrap_or(0)),
        cpu_shares: qos::cpu_shares(asked.cpu.unwrap_or(0)),
        memory_limit,
        // Without swap accounting (common on v1) the kernel has no such limit to set.
        memory_swap_limit: if cgroup_v2 { memory_limit } else { 0 },
        oom_score_adj: qos::oom_score_adj(qos::class(&pod.spec), critical, container, node_memory),
        hugepage_limits: hugepages.collect(),
        unified,
        ..Resources::default()
    }
}
