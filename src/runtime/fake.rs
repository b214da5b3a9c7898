//! A container runtime in memory: the second implementation of [`Runtime`], for tests of what is built on it.
//!
//! It keeps the rules the real one keeps (a removed container cannot be started, a name cannot be used twice, nothing runs in a sandbox that
//! is not ready) and adds levers: programs that exit, calls that fail or hang, images that can be pulled. Time is tokio's, so that tests with a
//! paused clock do not wait.

mod calls;
mod sessions;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast;

pub use state::Program;
use state::State;

use crate::types::{ContainerStats, Event, EventKind, ExecOutput, Image};
use crate::{Error, TerminalSize};

/// Hints a reader may be behind by, as with the real one.
const BACKLOG: usize = 1024;

/// A runtime in memory. Clones share its state.
#[derive(Clone)]
pub struct FakeRuntime {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Event>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        FakeRuntime::new()
    }
}

impl FakeRuntime {
    /// An empty runtime: no images, ready.
    pub fn new() -> FakeRuntime {
        FakeRuntime { state: Arc::default(), events: broadcast::channel(BACKLOG).0 }
    }

    /// Puts an image on the node and returns it.
    pub fn add_image(&self, name: &str) -> Image {
        let image = self.state.lock().add_image(name);
        self.tell(EventKind::Image, name);
        image
    }

    /// Changes what is told about an image that is on the node: its user, its size, whether it is pinned.
    pub fn change_image(&self, name: &str, change: impl FnOnce(&mut Image)) {
        let mut state = self.state.lock();
        let id = state.image_id(name).unwrap_or_else(|| panic!("no image {name} to change"));
        change(state.images.get_mut(&id).expect("the id was just looked up"));
    }

    /// Makes an image one that can be pulled. Pulls of all others answer not found.
    pub fn add_to_registry(&self, name: &str) {
        self.state.lock().registry.insert(name.to_owned());
    }

    /// How containers of this image (as their spec names it) behave from now on. Without it they run until they are stopped.
    pub fn set_program(&self, image: &str, program: Program) {
        self.state.lock().programs.insert(image.to_owned(), program);
    }

    /// Ends a running container's process with this code, as if by itself. 137 with `oom` for the kernel's out-of-memory kill.
    pub fn exit(&self, container_id: &str, code: i32, oom: bool) {
        if self.state.lock().exit(container_id, code, if oom { "OOMKilled" } else { "" }) {
            if oom {
                self.tell(EventKind::OutOfMemory, container_id);
            }
            self.tell(EventKind::Exited(code), container_id);
        }
    }

    /// Kills a sandbox's own process: the sandbox is not ready any more, its containers run on.
    pub fn lose_sandbox(&self, sandbox_id: &str) {
        if self.state.lock().lose_sandbox(sandbox_id) {
            self.tell(EventKind::Exited(137), sandbox_id);
        }
    }

    /// Lets the next `times` calls of this name (`"create_container"`) fail.
    pub fn fail(&self, call: &'static str, times: usize, error: impl Fn() -> Error + Send + 'static) {
        self.state.lock().failures.insert(call, (times, Box::new(error)));
    }

    /// Lets every call of this name take this long; zero ends it.
    pub fn delay(&self, call: &'static str, by: Duration) {
        self.state.lock().delays.insert(call, by);
    }

    /// What commands run in containers do: given container id and command line. Without it commands succeed silently, and those with live
    /// streams answer what they are sent.
    pub fn on_exec(&self, handler: impl Fn(&str, &[String]) -> ExecOutput + Send + Sync + 'static) {
        self.state.lock().exec = Some(Arc::new(handler));
    }

    /// What `container_stats` tells about a container (all fields but the identity).
    pub fn set_stats(&self, container_id: &str, stats: ContainerStats) {
        self.state.lock().stats.insert(container_id.to_owned(), stats);
    }

    /// What `status` tells: None is ready.
    pub fn set_ready(&self, not_ready: Option<&str>, network_not_ready: Option<&str>) {
        let mut state = self.state.lock();
        state.status.not_ready = not_ready.map(str::to_owned);
        state.status.network_not_ready = network_not_ready.map(str::to_owned);
    }

    /// All calls so far, as `name argument`, in order.
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// The terminal sizes sessions were given, in order.
    pub fn resizes(&self) -> Vec<TerminalSize> {
        self.state.lock().resizes.clone()
    }

    /// The spec a container was made from.
    pub fn container_spec(&self, container_id: &str) -> Option<crate::types::ContainerSpec> {
        self.state.lock().containers.get(container_id).map(|container| container.spec.clone())
    }

    /// The spec a sandbox was made from.
    pub fn sandbox_spec(&self, sandbox_id: &str) -> Option<crate::types::SandboxSpec> {
        self.state.lock().sandboxes.get(sandbox_id).map(|sandbox| sandbox.spec.clone())
    }

    /// Events nobody listens to are lost, as hints may be.
    fn tell(&self, kind: EventKind, id: &str) {
        let _ = self.events.send(Event { kind, id: id.to_owned() });
    }
}

impl std::fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        f.debug_struct("FakeRuntime")
            .field("sandboxes", &state.sandboxes.len())
            .field("containers", &state.containers.len())
            .finish_non_exhaustive()
    }
}
