//! A real control plane on loopback, over the memory store and without a node: for tests of what joins it.

use std::path::Path;
use std::time::SystemTime;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use super::{ControlPlane, Server};
use crate::cli::{Cli, Command};
use crate::renewal::ServerLeaves;

/// The secret of its token.
pub(crate) const SECRET: &str = "right";

/// It answers until it is dropped.
pub(crate) struct Running {
    /// `https://127.0.0.1:<port>`.
    pub(crate) url: http::Uri,
    /// Its certificates.
    pub(crate) leaves: ServerLeaves,
    /// Signs nodes' certificates.
    pub(crate) plane: ControlPlane,
    shutdown: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts it, with leaves made at `born` if there are none in `dir`.
pub(crate) async fn start(port: u16, dir: &Path, born: SystemTime) -> Running {
    let (port, data) = (port.to_string(), dir.display().to_string());
    let args = [
        ["isopod", "server", "--disable-agent", "--ephemeral", "--node-name", "s1"].as_slice(),
        &["--node-ip", "127.0.0.1", "--bind-address", "127.0.0.1", "--https-listen-port", &port, "--data-dir", &data],
    ];
    let Command::Server(args) = Cli::parse_from(args.concat()).command else { unreachable!("it says server") };
    let server = Server::check(*args).unwrap();
    let leaves = server.leaves(born).unwrap();
    let token = server.tokens(&[Some(SECRET.to_owned()), None], leaves.certificates.ca.cert()).unwrap();
    let shutdown = CancellationToken::new();
    let plane = server.control_plane(embedded_store::memory(), &leaves, token, &shutdown).await.unwrap();
    Running { url: server.local_url().parse().unwrap(), leaves, plane, shutdown }
}
