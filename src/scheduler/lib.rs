//! The scheduler: finds a node for every pod that has none.
//!
//! One loop owns all state: it takes over what changed in the caches, schedules what is ready, and hands bindings to tasks
//! of their own. A chosen pod counts as placed at once, so the loop never waits for the API server.
//!
//! Invariants: a pod is decoded once per version of its spec, never per node; filtering and scoring are pure functions of
//! a pod and a node; nothing happens while nothing changes.

mod algorithm;
mod cluster;
mod driver;
mod explain;
mod filters;
mod node;
mod pod;
mod queue;
mod resources;
mod scores;
#[cfg(test)]
mod tests;

use client::Client;
use tokio_util::sync::CancellationToken;

/// The name pods ask for in `spec.schedulerName` unless they ask for another.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// Schedules until shutdown. `client` must act as `system:kube-scheduler`.
pub async fn run(client: Client, shutdown: CancellationToken) {
    driver::Driver::new(client).run(shutdown).await;
}
