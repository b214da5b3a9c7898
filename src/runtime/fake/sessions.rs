//! Live streams of the fake: a command's prepared output, or an echo.

use std::sync::Arc;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::state::{ExecHandler, State};
use crate::{Error, Session, SessionEnd, StreamOptions, TerminalSize};

/// What fits into a stream before its writer waits.
const PIPE: usize = 64 << 10;

/// The far ends of a session's streams.
struct Far {
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    status: oneshot::Sender<SessionEnd>,
}

/// A command: its prepared output and exit code, or, without a handler, an echo of stdin that ends with it.
pub(super) fn exec(
    state: Arc<Mutex<State>>,
    handler: Option<ExecHandler>,
    id: String,
    command: Vec<String>,
    streams: StreamOptions,
) -> Session {
    let (session, far) = pipes(state, streams);
    tokio::spawn(async move {
        let Far { stdin, mut stdout, mut stderr, status } = far;
        let code = match handler {
            None => {
                echo(stdin, &mut stdout).await;
                0
            }
            Some(handler) => {
                let output = handler(&id, &command);
                for (stream, bytes) in [(&mut stdout, output.stdout), (&mut stderr, output.stderr)] {
                    if let Some(stream) = stream {
                        let _ = stream.write_all(&bytes).await;
                    }
                }
                output.exit_code
            }
        };
        // Nobody may be waiting for the status any more.
        let _ = status.send(SessionEnd::Exited(code));
    });
    session
}

/// The container's own streams: an echo that ends with the container.
pub(super) fn attach(
    state: Arc<Mutex<State>>,
    id: String,
    mut ended: watch::Receiver<bool>,
    streams: StreamOptions,
) -> Session {
    let (session, far) = pipes(state.clone(), streams);
    tokio::spawn(async move {
        let Far { stdin, mut stdout, status, .. } = far;
        tokio::select! {
            _ = ended.wait_for(|ended| *ended) => {}
            () = echo(stdin, &mut stdout) => {}
        }
        let code = state.lock().containers.get(&id).map_or(0, |container| container.exit_code);
        let _ = status.send(SessionEnd::Exited(code));
    });
    session
}

async fn echo(stdin: Option<DuplexStream>, stdout: &mut Option<DuplexStream>) {
    let Some(mut stdin) = stdin else { return };
    let mut buffer = vec![0; 4096];
    while let Ok(n @ 1..) = stdin.read(&mut buffer).await {
        if let Some(stdout) = stdout
            && stdout.write_all(&buffer[..n]).await.is_err()
        {
            return;
        }
    }
}

fn pipes(state: Arc<Mutex<State>>, streams: StreamOptions) -> (Session, Far) {
    let pipe = |wanted: bool| wanted.then(|| tokio::io::duplex(PIPE)).unzip();
    let (stdin, far_stdin) = pipe(streams.stdin);
    let (stdout, far_stdout) = pipe(streams.stdout);
    let (stderr, far_stderr) = pipe(streams.stderr && !streams.tty);
    let (sender, receiver) = oneshot::channel();
    let status = async move { receiver.await.map_err(|_| Error::Unavailable("the session was cut off".into())) };
    let session = Session {
        stdin: stdin.map(|stream: DuplexStream| Box::pin(stream) as crate::Writer),
        stdout: stdout.map(|stream: DuplexStream| Box::pin(stream) as crate::Reader),
        stderr: stderr.map(|stream: DuplexStream| Box::pin(stream) as crate::Reader),
        resize: streams.tty.then(|| recorder(state)),
        status: status.boxed(),
    };
    (session, Far { stdin: far_stdin, stdout: far_stdout, stderr: far_stderr, status: sender })
}

fn recorder(state: Arc<Mutex<State>>) -> mpsc::Sender<TerminalSize> {
    let (sender, mut receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(size) = receiver.recv().await {
            state.lock().resizes.push(size);
        }
    });
    sender
}
