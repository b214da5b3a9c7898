//! Live streams of exec, attach, run and port-forward, as kubectl of any age speaks them: WebSocket and SPDY/3.1.
//!
//! Both sides end here: the client's protocol on one side, the runtime's session on the other.

mod bridge;
mod port_forward;
mod spdy;
#[cfg(test)]
mod tests;
pub(crate) mod upgrade;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use runtime::{Runtime, SessionEnd, StreamOptions};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use upgrade::Protocol;

/// A client must open its streams by then.
const SETUP: Duration = Duration::from_secs(30);
/// A session on which nothing moves ends by then, as upstream's streamingConnectionIdleTimeout has it.
pub(crate) const IDLE: Duration = Duration::from_secs(4 * 3600);

/// The connection after the upgrade.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// What to run, or to join.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A command in a container.
    Exec { container: String, command: Vec<String> },
    /// A container's own process.
    Attach { container: String },
}

/// Serves exec and attach on an upgraded connection, to its end.
pub(crate) async fn serve(
    io: impl Io,
    protocol: &Protocol,
    runtime: Arc<dyn Runtime>,
    target: Target,
    options: StreamOptions,
) {
    let client = async {
        match protocol {
            Protocol::WebSocket { name } => websocket::open(io, name, options).await,
            Protocol::Spdy { name } => spdy::open(io, name, options).await,
        }
    };
    match tokio::time::timeout(SETUP, client).await {
        Ok(Ok(client)) => bridge::run(client, runtime, target, options).await,
        Ok(Err(error)) => tracing::debug!(%error, "the client did not open its streams"),
        Err(_) => tracing::debug!("the client did not open its streams in time"),
    }
}

/// Serves port-forward on an upgraded connection, to its end. `ports` are those a WebSocket client named in its query.
pub(crate) async fn forward(
    io: impl Io,
    protocol: &Protocol,
    runtime: Arc<dyn Runtime>,
    sandbox: String,
    ports: Vec<u16>,
) {
    match protocol {
        Protocol::WebSocket { name } if name == upgrade::TUNNEL => {
            let tunnel = websocket::tunnel(io);
            port_forward::spdy(tunnel, runtime, sandbox).await;
        }
        Protocol::WebSocket { name } => port_forward::websocket(io, name, runtime, sandbox, ports).await,
        Protocol::Spdy { .. } => port_forward::spdy(io, runtime, sandbox).await,
    }
}

/// The last word on the error stream, from v4 on: a `Status`, with the exit code as a cause.
pub(crate) fn ending(end: &Result<SessionEnd, runtime::Error>) -> serde_json::Value {
    let failed = |why: String| serde_json::to_value(Status::internal(why)).unwrap_or_default();
    match end {
        Ok(SessionEnd::Exited(0)) => json!({"metadata": {}, "status": "Success"}),
        Ok(SessionEnd::Exited(code)) => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Ok(SessionEnd::Failed(why)) => failed(why.clone()),
        Err(error) => failed(error.to_string()),
    }
}

/// The last word before v4: text, and nothing when all went well.
pub(crate) fn ending_text(end: &Result<SessionEnd, runtime::Error>) -> String {
    match end {
        Ok(SessionEnd::Exited(0)) => String::new(),
        Ok(SessionEnd::Exited(code)) => {
            format!("command terminated with non-zero exit code: command terminated with exit code {code}")
        }
        Ok(SessionEnd::Failed(why)) => why.clone(),
        Err(error) => error.to_string(),
    }
}
