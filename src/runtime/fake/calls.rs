//! The trait's calls on the fake.

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::error::RecvError;

use super::state::{State, missing};
use super::{FakeRuntime, sessions};
use crate::contract::Call;
use crate::types::*;
use crate::{Error, Result, Runtime, Session, StreamOptions};

impl FakeRuntime {
    /// One call: recorded, failed or delayed as told, then carried out on the state in one step.
    fn call<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        argument: &'a str,
        step: impl FnOnce(&mut State) -> Result<T> + Send + 'a,
    ) -> Call<'a, T> {
        async move {
            let delay = self.state.lock().enter(name, argument)?;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            step(&mut self.state.lock())
        }
        .boxed()
    }

    /// Ends a running container after its grace period and waits until it has ended.
    async fn end(&self, id: &str, grace: Duration) {
        let (mut ended, ignores_term) = {
            let state = self.state.lock();
            let Ok(container) = state.running(id) else { return };
            (container.ended.subscribe(), state.program_of(id).ignores_term)
        };
        let code = if grace.is_zero() || ignores_term { 137 } else { 143 };
        if ignores_term && !grace.is_zero() {
            let _ = tokio::time::timeout(grace, ended.wait_for(|ended| *ended)).await;
        }
        self.finish(id, code);
    }

    fn finish(&self, id: &str, code: i32) {
        if self.state.lock().exit(id, code, "") {
            self.tell(EventKind::Exited(code), id);
        }
    }
}

impl Runtime for FakeRuntime {
    fn version(&self) -> Call<'_, Version> {
        self.call("version", "", |_| {
            Ok(Version { runtime_name: "fake".into(), runtime_version: "0.0.0".into(), api_version: "v1".into() })
        })
    }

    fn status(&self) -> Call<'_, RuntimeStatus> {
        self.call("status", "", |state| Ok(state.status.clone()))
    }

    fn run_sandbox<'a>(&'a self, spec: &'a SandboxSpec) -> Call<'a, String> {
        let run = self.call("run_sandbox", &spec.metadata.name, |state| state.run_sandbox(spec));
        async move {
            let id = run.await?;
            self.tell(EventKind::Created, &id);
            self.tell(EventKind::Started, &id);
            Ok(id)
        }
        .boxed()
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let stop = self.call("stop_sandbox", id, |state| Ok(state.containers_of(id)));
        async move {
            for container in stop.await? {
                self.end(&container, Duration::ZERO).await;
            }
            self.lose_sandbox(id);
            Ok(())
        }
        .boxed()
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let remove = self.call("remove_sandbox", id, |state| Ok(state.containers_of(id)));
        async move {
            for container in remove.await? {
                self.end(&container, Duration::ZERO).await;
                self.state.lock().containers.remove(&container);
                self.tell(EventKind::Removed, &container);
            }
            if self.state.lock().sandboxes.remove(id).is_some() {
                self.tell(EventKind::Removed, id);
            }
            Ok(())
        }
        .boxed()
    }

    fn sandbox_status<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStatus> {
        self.call("sandbox_status", id, move |state| {
            let sandbox = state.sandbox(id).ok_or_else(|| missing("sandbox", id))?;
            let ip = state.sandboxes[id].ip.filter(|_| sandbox.state == SandboxState::Ready);
            let netns = state.sandboxes[id].ip.map(|_| format!("/run/netns/fake-{id}").into());
            Ok(SandboxStatus { sandbox, ips: ip.into_iter().collect(), netns, pid: None })
        })
    }

    fn list_sandboxes<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<Sandbox>> {
        self.call("list_sandboxes", "", |state| {
            let all = state.sandboxes.keys().filter_map(|id| state.sandbox(id));
            Ok(all.filter(|sandbox| sandbox_matches(filter, sandbox)).collect())
        })
    }

    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        spec: &'a ContainerSpec,
        _: &'a SandboxSpec,
    ) -> Call<'a, String> {
        let create =
            self.call("create_container", &spec.metadata.name, |state| state.create_container(sandbox_id, spec));
        async move {
            let id = create.await?;
            self.tell(EventKind::Created, &id);
            Ok(id)
        }
        .boxed()
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let start = self.call("start_container", id, |state| state.start_container(id));
        async move {
            let program = start.await?;
            self.tell(EventKind::Started, id);
            if let Some((after, code)) = program.exits {
                let (fake, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    fake.finish(&id, code);
                });
            }
            Ok(())
        }
        .boxed()
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()> {
        let stop = self.call("stop_container", id, |_| Ok(()));
        async move {
            stop.await?;
            self.end(id, grace).await;
            Ok(())
        }
        .boxed()
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let remove = self.call("remove_container", id, |_| Ok(()));
        async move {
            remove.await?;
            self.end(id, Duration::ZERO).await;
            if self.state.lock().containers.remove(id).is_some() {
                self.tell(EventKind::Removed, id);
            }
            Ok(())
        }
        .boxed()
    }

    fn list_containers<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<Container>> {
        self.call("list_containers", "", |state| {
            let all = state.containers.keys().filter_map(|id| state.container(id));
            Ok(all.filter(|container| container_matches(filter, container)).collect())
        })
    }

    fn container_status<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus> {
        self.call("container_status", id, |state| state.container_status(id).ok_or_else(|| missing("container", id)))
    }

    fn update_resources<'a>(&'a self, id: &'a str, resources: &'a Resources) -> Call<'a, ()> {
        self.call("update_resources", id, move |state| {
            let container = state.containers.get_mut(id).ok_or_else(|| missing("container", id))?;
            if container.state > ContainerState::Running {
                return Err(Error::InvalidState(format!("container {id} has ended")));
            }
            merge(&mut container.spec.resources, resources);
            Ok(())
        })
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        self.call("reopen_log", id, |state| state.running(id).map(drop))
    }

    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], timeout: Option<Duration>) -> Call<'a, ExecOutput> {
        let run = self.call("exec_sync", id, |state| {
            state.running(id)?;
            Ok(state.exec.clone())
        });
        async move {
            let limited = async { Ok(run.await?.map(|handler| handler(id, command)).unwrap_or_default()) };
            match timeout {
                None => limited.await,
                Some(after) => tokio::time::timeout(after, limited)
                    .await
                    .unwrap_or(Err(Error::DeadlineExceeded { what: "exec_sync", after })),
            }
        }
        .boxed()
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], streams: StreamOptions) -> Call<'a, Session> {
        let shared = self.state.clone();
        self.call("exec", id, move |state| {
            state.running(id)?;
            Ok(sessions::exec(shared, state.exec.clone(), id.to_owned(), command.to_vec(), streams))
        })
    }

    fn attach<'a>(&'a self, id: &'a str, streams: StreamOptions) -> Call<'a, Session> {
        let shared = self.state.clone();
        self.call("attach", id, move |state| {
            let ended = state.running(id)?.ended.subscribe();
            Ok(sessions::attach(shared, id.to_owned(), ended, streams))
        })
    }

    fn port_forward<'a>(&'a self, sandbox_id: &'a str, port: u16) -> Call<'a, Session> {
        let shared = self.state.clone();
        self.call("port_forward", sandbox_id, move |state| {
            let sandbox = state.sandboxes.get(sandbox_id).ok_or_else(|| missing("sandbox", sandbox_id))?;
            if sandbox.state != SandboxState::Ready {
                return Err(Error::InvalidState(format!("sandbox {sandbox_id} is not ready")));
            }
            let streams = StreamOptions { stdin: true, stdout: true, ..StreamOptions::default() };
            Ok(sessions::exec(shared, None, String::new(), vec![format!("connect {port}")], streams))
        })
    }

    fn container_stats<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStats> {
        self.call("container_stats", id, |state| stats(state, id).ok_or_else(|| missing("container", id)))
    }

    fn list_container_stats<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<ContainerStats>> {
        self.call("list_container_stats", "", |state| {
            let wanted = state.containers.keys().filter(|id| {
                state.container(id).is_some_and(|c| c.state == ContainerState::Running && container_matches(filter, &c))
            });
            Ok(wanted.filter_map(|id| stats(state, id)).collect())
        })
    }

    fn sandbox_stats<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStats> {
        self.call("sandbox_stats", id, |state| sandbox_stats(state, id).ok_or_else(|| missing("sandbox", id)))
    }

    fn list_sandbox_stats<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<SandboxStats>> {
        self.call("list_sandbox_stats", "", |state| {
            let wanted = state.sandboxes.keys().filter(|id| {
                state.sandbox(id).is_some_and(|s| s.state == SandboxState::Ready && sandbox_matches(filter, &s))
            });
            Ok(wanted.filter_map(|id| sandbox_stats(state, id)).collect())
        })
    }

    fn image_status<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>> {
        self.call("image_status", image, |state| {
            Ok(state.image_id(image).and_then(|id| state.images.get(&id).cloned()))
        })
    }

    fn list_images(&self) -> Call<'_, Vec<Image>> {
        self.call("list_images", "", |state| Ok(state.images.values().cloned().collect()))
    }

    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        _: Option<&'a RegistryAuth>,
        _: Option<&'a SandboxSpec>,
    ) -> Call<'a, String> {
        let pull = self.call("pull_image", image, |state| {
            if !state.registry.contains(image) {
                return Err(missing("image", image));
            }
            Ok(state.add_image(image).id)
        });
        async move {
            let id = pull.await?;
            self.tell(EventKind::Image, image);
            Ok(id)
        }
        .boxed()
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        let remove = self.call("remove_image", image, |state| {
            Ok(state.image_id(image).and_then(|id| state.images.remove(&id)).is_some())
        });
        async move {
            if remove.await? {
                self.tell(EventKind::Image, image);
            }
            Ok(())
        }
        .boxed()
    }

    fn image_fs_info(&self) -> Call<'_, Vec<FilesystemUsage>> {
        self.call("image_fs_info", "", |state| {
            Ok(vec![FilesystemUsage {
                timestamp: Some(SystemTime::now()),
                mountpoint: "/".into(),
                used_bytes: Some(state.images.values().map(|image| image.size).sum()),
                inodes_used: Some(state.images.len() as u64),
            }])
        })
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let resync = || Event { kind: EventKind::Resync, id: String::new() };
        let following = stream::unfold(self.events.subscribe(), move |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((event, receiver)),
                Err(RecvError::Lagged(_)) => Some((resync(), receiver)),
                Err(RecvError::Closed) => None,
            }
        });
        stream::once(async move { resync() }).chain(following).boxed()
    }
}

fn sandbox_matches(filter: &SandboxFilter, sandbox: &Sandbox) -> bool {
    filter.id.as_ref().is_none_or(|id| *id == sandbox.id)
        && filter.state.is_none_or(|state| state == sandbox.state)
        && selects(&filter.labels, &sandbox.labels)
}

fn container_matches(filter: &ContainerFilter, container: &Container) -> bool {
    filter.id.as_ref().is_none_or(|id| *id == container.id)
        && filter.state.is_none_or(|state| state == container.state)
        && filter.sandbox_id.as_ref().is_none_or(|id| *id == container.sandbox_id)
        && selects(&filter.labels, &container.labels)
}

fn selects(selector: &Map, labels: &Map) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn stats(state: &State, id: &str) -> Option<ContainerStats> {
    let container = state.containers.get(id)?;
    Some(ContainerStats {
        id: id.to_owned(),
        metadata: container.spec.metadata.clone(),
        labels: container.spec.labels.clone(),
        ..state.stats.get(id).cloned().unwrap_or_default()
    })
}

fn sandbox_stats(state: &State, id: &str) -> Option<SandboxStats> {
    let sandbox = state.sandboxes.get(id)?;
    Some(SandboxStats {
        id: id.to_owned(),
        metadata: sandbox.spec.metadata.clone(),
        labels: sandbox.spec.labels.clone(),
        containers: state.containers_of(id).iter().filter_map(|container| stats(state, container)).collect(),
        ..SandboxStats::default()
    })
}

/// Unset values of an update leave the old ones.
fn merge(old: &mut Resources, new: &Resources) {
    fn set<T: PartialEq + Default + Clone>(old: &mut T, new: &T) {
        if *new != T::default() {
            *old = new.clone();
        }
    }
    set(&mut old.cpu_period, &new.cpu_period);
    set(&mut old.cpu_quota, &new.cpu_quota);
    set(&mut old.cpu_shares, &new.cpu_shares);
    set(&mut old.memory_limit, &new.memory_limit);
    set(&mut old.memory_swap_limit, &new.memory_swap_limit);
    set(&mut old.oom_score_adj, &new.oom_score_adj);
    set(&mut old.cpuset_cpus, &new.cpuset_cpus);
    set(&mut old.cpuset_mems, &new.cpuset_mems);
    set(&mut old.hugepage_limits, &new.hugepage_limits);
    set(&mut old.unified, &new.unified);
}
