//! Cluster DNS, answered by the binary itself on every node, at the cluster DNS address.
//!
//! Answers come straight from the node's caches of Services, EndpointSlices and Pods: before each answer the index takes over
//! whatever the caches have learned meanwhile, so no answer is older than the watch, and an idle server does nothing.

mod forward;
mod index;
mod publish;
mod records;
mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;

use client::Client;
pub use publish::publish;
use tokio_util::sync::CancellationToken;

/// What cluster DNS must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, on port 53: the cluster DNS address, which the node holds.
    pub address: IpAddr,
    /// The cluster's domain, without a trailing dot.
    pub domain: String,
    /// The resolv.conf whose name servers answer for everything else.
    pub resolv_conf: PathBuf,
}

/// Why cluster DNS does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cluster DNS cannot listen on {address}:53")]
    Listen {
        /// The address.
        address: IpAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster's domain is no domain.
    #[error("{0:?} is no domain name")]
    Domain(String),
}

/// Serves until shutdown. The address must be on an interface of this machine.
pub async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    server::run(config, client, shutdown).await
}
