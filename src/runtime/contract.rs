//! What a kubelet needs of a container runtime.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::types::*;
use crate::{Result, Session, StreamOptions};

/// The most stdout, and the most stderr, an `exec_sync` returns; the rest is cut off. Upstream's limit is the same.
pub const EXEC_OUTPUT_LIMIT: usize = 16 << 20;

/// A call under way.
pub type Call<'a, T> = BoxFuture<'a, Result<T>>;

/// A container runtime, in the shape of Kubernetes' Container Runtime Interface.
///
/// Two implementations: [`Cri`](crate::Cri) talks to containerd, [`FakeRuntime`](crate::FakeRuntime) keeps everything in memory with the same
/// rules. Stopping and removing are idempotent: what is gone already counts as done. Every call ends within a
/// time the implementation bounds.
pub trait Runtime: Send + Sync + 'static {
    /// Who answers.
    fn version(&self) -> Call<'_, Version>;
    /// Whether it can run pods.
    fn status(&self) -> Call<'_, RuntimeStatus>;

    /// Makes and starts a sandbox, network included, and returns its id. On failure nothing is left behind but, at times, a sandbox that is not
    /// ready, which lists show.
    fn run_sandbox<'a>(&'a self, spec: &'a SandboxSpec) -> Call<'a, String>;
    /// Kills the sandbox's containers, takes down its network. Idempotent.
    fn stop_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    /// Removes a sandbox and its containers. Idempotent.
    fn remove_sandbox<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    /// A close look at one sandbox.
    fn sandbox_status<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStatus>;
    /// Sandboxes, in no order.
    fn list_sandboxes<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<Sandbox>>;

    /// Makes a container in a ready sandbox and returns its id. `sandbox` must be the spec the sandbox was made from. In a sandbox that is not ready
    /// this fails, or (containerd 2) starting the container does.
    fn create_container<'a>(
        &'a self,
        sandbox_id: &'a str,
        spec: &'a ContainerSpec,
        sandbox: &'a SandboxSpec,
    ) -> Call<'a, String>;
    /// Starts a container that is in state Created. If its process cannot be started the container becomes Exited.
    fn start_container<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    /// TERM (or the image's stop signal), then KILL after `grace`; returns when it has ended. Idempotent. A zero grace kills at once.
    fn stop_container<'a>(&'a self, id: &'a str, grace: Duration) -> Call<'a, ()>;
    /// Removes a container, killing it first if it runs. Idempotent. Its log file stays.
    fn remove_container<'a>(&'a self, id: &'a str) -> Call<'a, ()>;
    /// Containers, in no order.
    fn list_containers<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<Container>>;
    /// A close look at one container.
    fn container_status<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStatus>;
    /// Changes the limits of a created or running container; unset values stay as they are.
    fn update_resources<'a>(&'a self, id: &'a str, resources: &'a Resources) -> Call<'a, ()>;
    /// Opens the log file anew after it was renamed for rotation. The container must be running.
    fn reopen_log<'a>(&'a self, id: &'a str) -> Call<'a, ()>;

    /// Runs a command in a running container. When `timeout` passes the command is killed and the answer is
    /// [`DeadlineExceeded`](crate::Error::DeadlineExceeded). None waits as long as other calls may.
    fn exec_sync<'a>(&'a self, id: &'a str, command: &'a [String], timeout: Option<Duration>) -> Call<'a, ExecOutput>;
    /// Starts a command in a running container with live streams.
    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], streams: StreamOptions) -> Call<'a, Session>;
    /// Joins the streams of a running container's own process; `tty` must be the container's.
    fn attach<'a>(&'a self, id: &'a str, streams: StreamOptions) -> Call<'a, Session>;
    /// One TCP connection to `port` on the sandbox's loopback, as a session of stdin and stdout; `shutdown` of stdin half-closes it. A refused
    /// connection is an error here; the session's status says nothing.
    fn port_forward<'a>(&'a self, sandbox_id: &'a str, port: u16) -> Call<'a, Session>;

    /// Usage of one container.
    fn container_stats<'a>(&'a self, id: &'a str) -> Call<'a, ContainerStats>;
    /// Usage of running containers.
    fn list_container_stats<'a>(&'a self, filter: &'a ContainerFilter) -> Call<'a, Vec<ContainerStats>>;
    /// Usage of one pod.
    fn sandbox_stats<'a>(&'a self, id: &'a str) -> Call<'a, SandboxStats>;
    /// Usage of ready pods.
    fn list_sandbox_stats<'a>(&'a self, filter: &'a SandboxFilter) -> Call<'a, Vec<SandboxStats>>;

    /// The image of this name or id, or None if it is not here.
    fn image_status<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>>;
    /// All images.
    fn list_images(&self) -> Call<'_, Vec<Image>>;
    /// Pulls an image and returns the reference to run it by.
    fn pull_image<'a>(
        &'a self,
        image: &'a str,
        auth: Option<&'a RegistryAuth>,
        sandbox: Option<&'a SandboxSpec>,
    ) -> Call<'a, String>;
    /// Removes an image with all its names. Idempotent.
    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()>;
    /// The filesystems images are kept on.
    fn image_fs_info(&self) -> Call<'_, Vec<FilesystemUsage>>;

    /// Hints of what happens from now on, without end: it reconnects by itself, and says [`EventKind::Resync`] each time it did, the first time
    /// included. Hints that are not taken are dropped and answered with a `Resync` later; nothing blocks on a slow reader.
    fn events(&self) -> BoxStream<'static, Event>;
}
