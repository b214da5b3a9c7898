//! Starting containers: image, environment, mounts, create, start, postStart.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use client::events::EventType::{Normal, Warning};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use runtime::types::{EnvVar, Image, Mount, MountPropagation, SandboxSpec};
use tracing::{info, warn};

use super::Worker;
use super::act::{Done, Volumes};
use crate::error::{Error, Result, invalid};
use crate::pods::hooks;
use crate::pods::observed::Observed;
use crate::pods::plan::{Plan, Start, backoff_key};
use crate::pods::pod::Pod;
use crate::pods::spec::env::{self, References};
use crate::pods::spec::fields::Context;
use crate::pods::spec::{container as spec, network};
use crate::sources::{config_map_data, secret_data};
use crate::{resources, volumes};

/// Why a container did not start: reason and message for its status, and when to try again.
struct Held {
    reason: &'static str,
    message: String,
    until: Option<Timestamp>,
}

impl Held {
    fn new(reason: &'static str, error: impl std::fmt::Display) -> Self {
        Self { reason, message: error.to_string(), until: None }
    }
}

impl Worker {
    pub(super) async fn start_containers(
        &mut self,
        pod: &Pod,
        observed: &Observed,
        plan: &Plan,
        ready: &Volumes,
    ) -> Done {
        let Some(sandbox) = observed.ready_sandbox() else { return Done::Progress };
        let sandbox_spec = match self.sandbox_spec(pod, sandbox.metadata.attempt).await {
            Ok(spec) => spec,
            Err(error) => {
                warn!(%error, "could not describe the pod's sandbox, will retry");
                return Done::Retry(None);
            }
        };
        let (mut progress, mut retry) = (false, None);
        let mut failed = false;
        for start in &plan.start {
            let Some((_, container, target)) = pod.container(&start.name) else { continue };
            if let Some(at) = start.failed {
                self.backoffs.next(&backoff_key(pod, &container), at, Timestamp::now());
            }
            let at = Place { sandbox: &sandbox.id, sandbox_spec: &sandbox_spec, ips: &observed.ips, observed };
            match self.start(pod, &container, target.as_deref(), start, ready, &at).await {
                Ok(()) => {
                    self.waiting.remove(&start.name);
                    progress = true;
                }
                Err(held) => {
                    failed = true;
                    retry = [retry, held.until].into_iter().flatten().min();
                    if !matches!(held.reason, "ErrImageNeverPull" | "InvalidImageName" | "PostStartHookError")
                        || held.reason == "ErrImagePull"
                    {
                        let message = match held.reason {
                            "ErrImagePull" | "ImagePullBackOff" => format!("Error: {}", held.reason),
                            _ => format!("Error: {}", held.message),
                        };
                        self.agent.event(pod, Some(&start.name), Warning, "Failed", message);
                    }
                    self.waiting.insert(start.name.clone(), (held.reason.to_owned(), held.message));
                    progress |= held.reason == "PostStartHookError";
                }
            }
        }
        if failed {
            // The reasons go into the status now, not with the next attempt.
            if let Err(error) = self.report(pod, observed, false).await {
                warn!(%error, "could not write the pod's status, will retry");
            }
        }
        if progress { Done::Progress } else { Done::Retry(retry) }
    }

    async fn start(
        &mut self,
        pod: &Pod,
        container: &Container,
        target: Option<&str>,
        start: &Start,
        ready: &Volumes,
        at: &Place<'_>,
    ) -> std::result::Result<(), Held> {
        let agent = self.agent.clone();
        let name = &container.name;
        if let Some(stale) = &start.stale {
            agent.runtime.remove_container(stale).await.map_err(|e| Held::new("CreateContainerError", e))?;
        }
        let image = agent.puller.ensure(&agent, pod, container).await;
        let image = image.map_err(|e| Held { reason: e.reason, message: e.message, until: e.until })?;
        let container_spec = self.spec(pod, container, target, start.attempt, &image, ready, at).await;
        let container_spec = container_spec.map_err(|e| Held::new("CreateContainerConfigError", e))?;
        let log_dir = at.sandbox_spec.log_directory.join(name);
        volumes::make_dir(&log_dir, 0o755).map_err(|e| Held::new("CreateContainerConfigError", e))?;
        let id = match agent.runtime.create_container(at.sandbox, &container_spec, at.sandbox_spec).await {
            Ok(id) => id,
            Err(error) => return Err(Held::new("CreateContainerError", error)),
        };
        agent.owners.lock().insert(id.clone(), self.uid.clone());
        agent.event(pod, Some(name), Normal, "Created", "Container created");
        if let Err(error) = agent.runtime.start_container(&id).await {
            return Err(Held::new("RunContainerError", error));
        }
        info!(container = name, id, attempt = start.attempt, "container started");
        agent.event(pod, Some(name), Normal, "Started", "Container started");
        self.link_log(pod, name, &id, &at.sandbox_spec.log_directory.join(&container_spec.log_path));
        if let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) {
            let ip = if pod.host_network() { agent.config.node_ips.first() } else { at.ips.first() }.copied();
            if let Err(why) = hooks::run(&agent, container, &id, ip, hook).await {
                agent.event(pod, Some(name), Warning, "FailedPostStartHook", format!("PostStartHook failed: {why}"));
                self.killing(pod, name, "FailedPostStartHook");
                let grace = u64::try_from(pod.grace()).unwrap_or(30);
                if let Err(error) = agent.runtime.stop_container(&id, std::time::Duration::from_secs(grace)).await {
                    warn!(container = name, %error, "could not stop a container whose postStart hook failed");
                }
                return Err(Held::new("PostStartHookError", why));
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different thing the spec is made from")]
    async fn spec(
        &self,
        pod: &Pod,
        container: &Container,
        target: Option<&str>,
        attempt: u32,
        image: &Image,
        ready: &Volumes,
        at: &Place<'_>,
    ) -> Result<runtime::types::ContainerSpec> {
        let env = self.environment(pod, container, at.ips).await?;
        let mounts = self.mounts(pod, container, attempt, &env, ready, at.ips)?;
        let target = target.filter(|t| !t.is_empty()).and_then(|t| at.observed.latest(t)).map(|i| i.id().to_owned());
        spec::container(spec::Inputs {
            pod,
            config: &self.agent.config,
            container,
            attempt,
            image,
            env,
            mounts,
            target,
            node_memory: self.agent.facts.memory,
            cgroup_v2: self.agent.cgroups.is_v2(),
        })
    }

    async fn environment(&self, pod: &Pod, container: &Container, ips: &[IpAddr]) -> Result<Vec<EnvVar>> {
        let (maps, secrets) = env::wanted(container);
        let mut references = References::default();
        for name in maps {
            let object = self.agent.sources.get(&pod.uid, resources::config_maps(), &pod.namespace, &name).await?;
            references.config_maps.insert(name, object.map(|o| config_map_data(&o)));
        }
        for name in secrets {
            let object = self.agent.sources.get(&pod.uid, resources::secrets(), &pod.namespace, &name).await?;
            references.secrets.insert(name, object.map(|o| secret_data(&o)));
        }
        let links = pod.spec.enable_service_links.unwrap_or(true);
        // A static pod may run before there is an API to list services.
        if !pod.is_static() {
            let synced = tokio::time::timeout(std::time::Duration::from_secs(10), self.agent.services.synced()).await;
            if synced.is_err() {
                return invalid("services have not yet been read at least once, cannot construct envvars");
            }
        }
        let services = self.agent.services.snapshot();
        let variables = env::service_variables(services.range("", None).map(|o| &**o), &pod.namespace, links);
        let context =
            Context { pod, pod_ips: ips, host_ips: &self.agent.config.node_ips, node: self.agent.node_amounts };
        env::environment(container, &references, &variables, &context)
    }

    /// Volume mounts in their order, then what this agent adds: /etc/hosts and the termination message's file.
    fn mounts(
        &self,
        pod: &Pod,
        container: &Container,
        attempt: u32,
        env: &[EnvVar],
        ready: &Volumes,
        ips: &[IpAddr],
    ) -> Result<Vec<Mount>> {
        let pod_dir = self.agent.config.pod_dir(&self.uid);
        let known: HashMap<&str, &str> = env.iter().map(|e| (e.name.as_str(), e.value.as_str())).collect();
        let mut mounts = Vec::new();
        for (index, wanted) in container.volume_mounts.iter().flatten().enumerate() {
            let Some(volume) = ready.get(&wanted.name) else {
                return invalid(format!(
                    "cannot find volume \"{}\" to mount into container \"{}\"",
                    wanted.name, container.name
                ));
            };
            let mut subpath = wanted.sub_path.clone().unwrap_or_default();
            if let Some(expression) = wanted.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
                subpath = expand_strictly(expression, &known)?;
            }
            let host_path = if subpath.is_empty() {
                volume.path.clone()
            } else {
                let target =
                    pod_dir.join("volume-subpaths").join(&wanted.name).join(&container.name).join(index.to_string());
                volumes::subpath::mount(&volume.path, &subpath, &target)?
            };
            mounts.push(Mount {
                container_path: absolute(&wanted.mount_path, container),
                host_path,
                readonly: wanted.read_only.unwrap_or(false) || volume.read_only,
                propagation: match wanted.mount_propagation.as_deref() {
                    Some("HostToContainer") => MountPropagation::HostToContainer,
                    Some("Bidirectional") => MountPropagation::Bidirectional,
                    _ => MountPropagation::Private,
                },
                ..Mount::default()
            });
        }
        let hosts = PathBuf::from("/etc/hosts");
        if !mounts.iter().any(|m| m.container_path == hosts) {
            let (hostname, domain) =
                network::hostname(pod, &self.agent.config.node_name, &self.agent.config.cluster_domain)?;
            let node_file = std::fs::read_to_string(&hosts).unwrap_or_default();
            let text = network::hosts_file(pod, ips, &hostname, &domain, &node_file);
            let path = pod_dir.join("etc-hosts");
            write_if_changed(&path, text.as_bytes(), 0o644)?;
            mounts.push(Mount { container_path: hosts, host_path: path, ..Mount::default() });
        }
        let message = crate::pods::messages::path(&self.agent.config, &self.uid, &container.name, attempt);
        if let Some(dir) = message.parent() {
            volumes::make_dir(dir, 0o750)?;
        }
        write_if_changed(&message, b"", 0o666)?;
        mounts.push(Mount {
            container_path: spec::message_path(container).into(),
            host_path: message,
            ..Mount::default()
        });
        Ok(mounts)
    }

    /// `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`, where log collectors look.
    fn link_log(&self, pod: &Pod, container: &str, id: &str, log: &std::path::Path) {
        let Some(dir) = &self.agent.config.log_links else { return };
        let link = dir.join(format!("{}_{}_{container}-{id}.log", pod.name, pod.namespace));
        let made = std::fs::create_dir_all(dir).and_then(|()| std::os::unix::fs::symlink(log, &link));
        if let Err(error) = made {
            tracing::debug!(%error, link = %link.display(), "could not link a container's log");
        }
    }
}

/// Where a container is started.
struct Place<'a> {
    sandbox: &'a str,
    sandbox_spec: &'a SandboxSpec,
    ips: &'a [IpAddr],
    observed: &'a Observed,
}

fn absolute(path: &str, container: &Container) -> PathBuf {
    if path.starts_with('/') {
        path.into()
    } else {
        PathBuf::from(container.working_dir.as_deref().unwrap_or("/")).join(path)
    }
}

/// Rewrites a file in place, so that containers that have it mounted see the change.
fn write_if_changed(path: &std::path::Path, content: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    std::fs::write(path, content).map_err(Error::io("write", path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(Error::io("set permissions of", path))
}

/// `$(VAR)` in a subPathExpr: every variable must be known.
fn expand_strictly(expression: &str, known: &HashMap<&str, &str>) -> Result<String> {
    let known = known.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let expanded = env::expand(expression, &known);
    if expanded.contains("$(") {
        return invalid(format!("missing value for \"{expression}\""));
    }
    volumes::subpath::check(&expanded)?;
    Ok(expanded)
}
