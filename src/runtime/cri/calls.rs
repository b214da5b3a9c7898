//! Each call of the trait as one gRPC request, bounded in time.

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use k8s_cri::v1 as cri;

use super::{Cri, read, write};
use crate::contract::{Call, EXEC_OUTPUT_LIMIT};
use crate::types::*;
use crate::{Error, Result, Runtime, Session, SessionEnd, StreamOptions, netns, streaming};

/// Makes one request: `rpc!(self, client.method(Request { … }), name, limit)`.
macro_rules! rpc {
    ($self:ident . $client:ident . $method:ident, $request:expr, $limit:expr) => {{
        let mut client = $self.$client.clone();
        let limit: Duration = $limit;
        // Boxed here: the generated futures are large, and each is part of another one.
        Box::pin(async move { bounded(stringify!($method), limit, client.$method($request)).await })
    }};
}

impl Runtime for Cri {
    fn version(&self) -> Call<'_, Version> {
        let call = rpc!(self.runtime.version, cri::VersionRequest { version: "v1".into() }, self.timeouts.request);
        async move {
            let v = call.await?;
            Ok(Version {
                runtime_name: v.runtime_name,
                runtime_version: v.runtime_version.trim_start_matches('v').to_owned(),
                api_version: v.runtime_api_version,
            })
        }
        .boxed()
    }

    fn status(&self) -> Call<'_, RuntimeStatus> {
        let call = rpc!(self.runtime.status, cri::StatusRequest { verbose: false }, self.timeouts.request);
        async move { Ok(read::status(call.await?.status.unwrap_or_default())) }.boxed()
    }

    fn run_sandbox<'a>(&'a self, spec: &'a SandboxSpec) -> Call<'a, String> {
        let request = cri::RunPodSandboxRequest {
            config: Some(write::sandbox_config(spec)),
            runtime_handler: spec.runtime_handler.clone(),
        };
        let call = rpc!(self.runtime.run_pod_sandbox, request, self.timeouts.sandbox);
        async move { Ok(call.await?.pod_sandbox_id) }.boxed()
    }

    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let call = rpc!(self.runtime.stop_pod_sandbox, request, self.timeouts.request);
        async move { gone_is_done(call.await.map(drop)) }.boxed()
    }

    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let call = rpc!(self.runtime.remove_pod_sandbox, request, self.timeouts.request);
        async move { gone_is_done(call.await.map(drop)) }.boxed()
    }

    fn sandbox_status<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStatus> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let call = rpc!(self.runtime.pod_sandbox_status, request, self.timeouts.request);
        async move {
            let answer = call.await?;
            Ok(read::sandbox_status(answer.status.unwrap_or_default(), &answer.info))
        }
        .boxed()
    }

    fn list_sandboxes<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<Sandbox>> {
        let request = cri::ListPodSandboxRequest { filter: write::sandbox_filter(filter) };
        let call = rpc!(self.runtime.list_pod_sandbox, request, self.timeouts.request);
        async move { Ok(call.await?.items.into_iter().map(read::sandbox).collect()) }.boxed()
    }

    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        spec: &'a ContainerSpec,
        sandbox: &'a SandboxSpec,
    ) -> Call<'a, String> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(write::container_config(spec)),
            sandbox_config: Some(write::sandbox_config(sandbox)),
        };
        let call = rpc!(self.runtime.create_container, request, self.timeouts.request);
        async move { Ok(call.await?.container_id) }.boxed()
    }

    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let request = cri::StartContainerRequest { container_id: id.to_owned() };
        let call = rpc!(self.runtime.start_container, request, self.timeouts.request);
        async move { call.await.map(drop) }.boxed()
    }

    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()> {
        // The CRI counts whole seconds; rounding up never takes time away from the process.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let request = cri::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
        };
        let call = rpc!(self.runtime.stop_container, request, self.timeouts.request.saturating_add(grace));
        async move { gone_is_done(call.await.map(drop)) }.boxed()
    }

    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let request = cri::RemoveContainerRequest { container_id: id.to_owned() };
        let call = rpc!(self.runtime.remove_container, request, self.timeouts.request);
        async move { gone_is_done(call.await.map(drop)) }.boxed()
    }

    fn list_containers<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<Container>> {
        let request = cri::ListContainersRequest { filter: write::container_filter(filter) };
        let call = rpc!(self.runtime.list_containers, request, self.timeouts.request);
        async move { Ok(call.await?.containers.into_iter().map(read::container).collect()) }.boxed()
    }

    fn container_status<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus> {
        let request = cri::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let call = rpc!(self.runtime.container_status, request, self.timeouts.request);
        async move { Ok(read::container_status(call.await?.status.unwrap_or_default())) }.boxed()
    }

    fn update_resources<'a>(&'a self, id: &'a str, resources: &'a Resources) -> Call<'a, ()> {
        let request = cri::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(write::resources(resources)),
            ..Default::default()
        };
        let call = rpc!(self.runtime.update_container_resources, request, self.timeouts.request);
        async move { call.await.map(drop) }.boxed()
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        let request = cri::ReopenContainerLogRequest { container_id: id.to_owned() };
        let call = rpc!(self.runtime.reopen_container_log, request, self.timeouts.request);
        async move { call.await.map(drop) }.boxed()
    }

    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], timeout: Option<Duration>) -> Call<'a, ExecOutput> {
        let seconds = timeout.map_or(0, |t| t.as_secs() + u64::from(t.subsec_nanos() > 0));
        let request = cri::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command.to_vec(),
            timeout: i64::try_from(seconds).unwrap_or(i64::MAX),
        };
        // containerd itself ends the command at its timeout; ours on top covers a containerd that hangs.
        let limit = timeout.map_or(self.timeouts.request, |t| t.saturating_add(self.timeouts.request));
        let call = rpc!(self.runtime.exec_sync, request, limit);
        async move {
            let mut answer = call.await.map_err(|error| match error {
                Error::DeadlineExceeded { what, after } => {
                    Error::DeadlineExceeded { what, after: timeout.unwrap_or(after) }
                }
                other => other,
            })?;
            answer.stdout.truncate(EXEC_OUTPUT_LIMIT);
            answer.stderr.truncate(EXEC_OUTPUT_LIMIT);
            Ok(ExecOutput { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
        }
        .boxed()
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], streams: StreamOptions) -> Call<'a, Session> {
        let request = cri::ExecRequest {
            container_id: id.to_owned(),
            cmd: command.to_vec(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr && !streams.tty,
        };
        let call = rpc!(self.runtime.exec, request, self.timeouts.request);
        let limit = self.timeouts.request;
        async move {
            let url = call.await?.url;
            within("exec", limit, streaming::remote_command(&url, streams)).await
        }
        .boxed()
    }

    fn attach<'a>(&'a self, id: &'a str, streams: StreamOptions) -> Call<'a, Session> {
        let request = cri::AttachRequest {
            container_id: id.to_owned(),
            stdin: streams.stdin,
            tty: streams.tty,
            stdout: streams.stdout,
            stderr: streams.stderr && !streams.tty,
        };
        let call = rpc!(self.runtime.attach, request, self.timeouts.request);
        let limit = self.timeouts.request;
        async move {
            let url = call.await?.url;
            within("attach", limit, streaming::remote_command(&url, streams)).await
        }
        .boxed()
    }

    fn port_forward<'a>(&'a self, sandbox_id: &'a str, port: u16) -> Call<'a, Session> {
        async move {
            let sandbox = self.sandbox_status(sandbox_id).await?;
            if sandbox.sandbox.state != SandboxState::Ready {
                return Err(Error::InvalidState(format!("sandbox {sandbox_id} is not running")));
            }
            let (reader, writer) = netns::connect(sandbox.netns, port).await?.into_split();
            Ok(Session {
                stdin: Some(Box::pin(writer)),
                stdout: Some(Box::pin(reader)),
                stderr: None,
                resize: None,
                status: async { Ok(SessionEnd::Exited(0)) }.boxed(),
            })
        }
        .boxed()
    }

    fn container_stats<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStats> {
        let request = cri::ContainerStatsRequest { container_id: id.to_owned() };
        let call = rpc!(self.runtime.container_stats, request, self.timeouts.request);
        async move { Ok(read::container_stats(call.await?.stats.unwrap_or_default())) }.boxed()
    }

    fn list_container_stats<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<ContainerStats>> {
        let filter = write::container_filter(filter).map(|f| cri::ContainerStatsFilter {
            id: f.id,
            pod_sandbox_id: f.pod_sandbox_id,
            label_selector: f.label_selector,
        });
        let call =
            rpc!(self.runtime.list_container_stats, cri::ListContainerStatsRequest { filter }, self.timeouts.request);
        async move { Ok(call.await?.stats.into_iter().map(read::container_stats).collect()) }.boxed()
    }

    fn sandbox_stats<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStats> {
        let request = cri::PodSandboxStatsRequest { pod_sandbox_id: id.to_owned() };
        let call = rpc!(self.runtime.pod_sandbox_stats, request, self.timeouts.request);
        async move { Ok(read::sandbox_stats(call.await?.stats.unwrap_or_default())) }.boxed()
    }

    fn list_sandbox_stats<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<SandboxStats>> {
        let filter = write::sandbox_filter(filter)
            .map(|f| cri::PodSandboxStatsFilter { id: f.id, label_selector: f.label_selector });
        let call = rpc!(
            self.runtime.list_pod_sandbox_stats,
            cri::ListPodSandboxStatsRequest { filter },
            self.timeouts.request
        );
        async move { Ok(call.await?.stats.into_iter().map(read::sandbox_stats).collect()) }.boxed()
    }

    fn image_status<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>> {
        let request = cri::ImageStatusRequest { image: Some(write::image_spec(image)), verbose: false };
        let call = rpc!(self.images.image_status, request, self.timeouts.request);
        async move { Ok(call.await?.image.map(|image| read::image(image, &self.pinned))) }.boxed()
    }

    fn list_images(&self) -> Call<'_, Vec<Image>> {
        let call = rpc!(self.images.list_images, cri::ListImagesRequest { filter: None }, self.timeouts.request);
        async move { Ok(call.await?.images.into_iter().map(|image| read::image(image, &self.pinned)).collect()) }
            .boxed()
    }

    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        auth: Option<&'a RegistryAuth>,
        sandbox: Option<&'a SandboxSpec>,
    ) -> Call<'a, String> {
        let request = cri::PullImageRequest {
            image: Some(write::image_spec(image)),
            auth: auth.map(write::auth),
            sandbox_config: sandbox.map(write::sandbox_config),
        };
        let call = rpc!(self.images.pull_image, request, self.timeouts.pull);
        async move { Ok(call.await?.image_ref) }.boxed()
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        let request = cri::RemoveImageRequest { image: Some(write::image_spec(image)) };
        let call = rpc!(self.images.remove_image, request, self.timeouts.request);
        async move { gone_is_done(call.await.map(drop)) }.boxed()
    }

    fn image_fs_info(&self) -> Call<'_, Vec<FilesystemUsage>> {
        let call = rpc!(self.images.image_fs_info, cri::ImageFsInfoRequest {}, self.timeouts.request);
        async move { Ok(call.await?.image_filesystems.into_iter().map(read::filesystem).collect()) }.boxed()
    }

    fn events(&self) -> BoxStream<'static, Event> {
        super::events::subscribe(self.channel.clone()).boxed()
    }
}

async fn bounded<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner).map_err(|status| Error::from_status(what, limit, status)),
        Err(_) => Err(Error::DeadlineExceeded { what, after: limit }),
    }
}

async fn within<T>(what: &'static str, limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(Error::DeadlineExceeded { what, after: limit }))
}

fn gone_is_done(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound(_)) => Ok(()),
        other => other,
    }
}
