//! Between a client's streams and a session of the runtime.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use runtime::{Error, Reader, Runtime, Session, SessionEnd, StreamOptions, TerminalSize, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{IDLE, Target};

/// The client's side, whatever its protocol.
pub(super) struct Client {
    /// What the client types; ends when it half-closes.
    pub(super) stdin: Option<Reader>,
    pub(super) stdout: Option<Writer>,
    pub(super) stderr: Option<Writer>,
    pub(super) resize: Option<mpsc::Receiver<TerminalSize>>,
    /// Writes the last word and closes.
    pub(super) finish: Box<dyn FnOnce(Result<SessionEnd, Error>) -> BoxFuture<'static, ()> + Send>,
    /// Resolves when the client is gone.
    pub(super) gone: BoxFuture<'static, ()>,
}

const COPY: usize = 32 << 10;
/// How long output may still come after the process has ended: a child of it may hold the streams open.
const DRAIN: Duration = Duration::from_secs(2);

/// Connects both sides until the session ends or the client is gone.
pub(super) async fn run(client: Client, runtime: Arc<dyn Runtime>, target: Target, options: StreamOptions) {
    let session = match &target {
        Target::Exec { container, command } => runtime.exec(container, command, options).await,
        Target::Attach { container } => runtime.attach(container, options).await,
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => return (client.finish)(Err(error)).await,
    };
    let Session { stdin, stdout, stderr, resize, status } = session;
    let input = async {
        if let (Some(from), Some(to)) = (client.stdin, stdin) {
            copy(from, to).await;
        }
    };
    let sizes = async {
        if let (Some(mut from), Some(to)) = (client.resize, resize) {
            while let Some(size) = from.recv().await {
                if to.send(size).await.is_err() {
                    break;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let output = async {
        tokio::join!(maybe_copy(stdout, client.stdout), maybe_copy(stderr, client.stderr));
    };
    let ended = async {
        tokio::pin!(output);
        let mut drained = false;
        tokio::pin!(status);
        loop {
            tokio::select! {
                () = &mut output, if !drained => drained = true,
                end = &mut status => {
                    if !drained {
                        let _ = tokio::time::timeout(DRAIN, &mut output).await;
                    }
                    return end;
                }
            }
        }
    };
    let idle_input = async {
        input.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = ended => (client.finish)(end).await,
        () = client.gone => {}
        () = idle_input => {}
        () = sizes => {}
        () = tokio::time::sleep(IDLE) => {}
    }
}

async fn maybe_copy(from: Option<Reader>, to: Option<Writer>) {
    if let (Some(from), Some(to)) = (from, to) {
        copy(from, to).await;
    }
}

/// Copies to the end of `from` and half-closes `to`.
pub(super) async fn copy(mut from: Reader, mut to: Writer) {
    let mut buffer = vec![0; COPY];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// A size as clients send it.
pub(super) fn size(bytes: &[u8]) -> Option<TerminalSize> {
    serde_json::from_slice(bytes).ok()
}
