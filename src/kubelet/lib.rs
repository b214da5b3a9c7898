//! The node agent: it makes the pods bound to its node real, and tells the API how they are.
//!
//! Layers: `node` registers and reports the node; `pods` gives every pod a worker; workers look (`observed`), plan (`plan`, pure), act and tell
//! (`status`, pure); `volumes`, `images`, `probes`, `cgroups` and `logs` serve them; `server` answers on port 10250. All state that matters is in
//! the API and in the runtime: stopping the agent stops no container, and starting it finds them.

mod agent;
mod cgroups;
mod config;
mod error;
mod http;
mod images;
mod logs;
mod node;
mod patch;
mod pods;
mod probes;
mod resources;
mod server;
mod sources;
mod streaming;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod volumes;

use std::sync::Arc;

use client::Client;
use runtime::Runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::info;

use agent::Agent;
pub use config::{Amount, Config, Limits, SelectedCaches, Taint, Timing};
pub use error::{Error, Result};

/// Runs the node agent until `stop`. `ready` is told the server's port once the node is registered and the server listens.
///
/// Fails only before that: when the machine lacks what containers need, or a port is taken. `client` must act as `system:node:<name>` in the
/// group `system:nodes`. Containers go on running when this returns.
pub async fn run(
    config: Config,
    client: Client,
    runtime: Arc<dyn Runtime>,
    ready: oneshot::Sender<u16>,
    stop: CancellationToken,
) -> Result<()> {
    let pods_dir = config.root_dir.join("pods");
    std::fs::create_dir_all(&pods_dir).map_err(Error::io("make directory", &pods_dir))?;
    std::fs::create_dir_all(&config.log_dir).map_err(Error::io("make directory", &config.log_dir))?;
    let cgroups = cgroups::Cgroups::find(&config.cgroup_root)?;
    cgroups.prepare()?;
    let agent = Arc::new(Agent::new(config, client, runtime, cgroups));
    server::start(agent.clone(), stop.child_token()).await?;
    let mut tasks = tokio::task::JoinSet::new();
    // Static pods run before there is an API to register with.
    tasks.spawn(pods::run(agent.clone(), stop.child_token()));
    tokio::select! {
        () = node::register(&agent) => {}
        () = stop.cancelled() => {}
    }
    tasks.spawn(node::keep(agent.clone()));
    tasks.spawn(logs::keep(agent.clone()));
    tasks.spawn(images::keep(agent.clone()));
    // Whoever started us may not care.
    let _ = ready.send(agent.port());
    stop.cancelled().await;
    info!("node agent stops, containers go on");
    tasks.shutdown().await;
    Ok(())
}
