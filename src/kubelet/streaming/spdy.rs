//! The SPDY/3.1 side of exec and attach: one stream each for stdin, stdout, stderr, error and resize.

use std::io;

use runtime::spdy::{Connection, Stream};
use runtime::{Reader, StreamOptions, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::bridge::{Client, size};
use super::{Io, ending, ending_text};

/// A message of the resize stream is one small JSON object.
const LARGEST_SIZE: usize = 1024;

/// Waits for the streams the request implies.
pub(super) async fn open(io: impl Io, protocol: &str, options: StreamOptions) -> io::Result<Client> {
    let mut connection = Connection::server(io);
    let version = match protocol {
        "v4.channel.k8s.io" => 4,
        "v3.channel.k8s.io" => 3,
        "v2.channel.k8s.io" => 2,
        _ => 1,
    };
    let wanted = [options.stdin, options.stdout, options.stderr && !options.tty, options.tty && version >= 3, true];
    let mut missing = wanted.iter().filter(|w| **w).count();
    let (mut stdin, mut stdout, mut stderr, mut resize, mut error) = (None, None, None, None, None);
    while missing > 0 {
        let Some(stream) = connection.accept_stream().await else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client closed the connection"));
        };
        let slot = match stream.headers().get("streamtype") {
            Some("stdin") => &mut stdin,
            Some("stdout") => &mut stdout,
            Some("stderr") => &mut stderr,
            Some("resize") => &mut resize,
            Some("error") => &mut error,
            other => {
                let why = format!("invalid stream type: {}", other.unwrap_or_default());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        };
        if slot.replace(stream).is_none() {
            missing -= 1;
        }
    }
    let error: Option<Stream> = error;
    let (closed, gone) = tokio::sync::oneshot::channel::<()>();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // The connection lives as long as this task: to the client's end, or ours.
    tokio::spawn(async move {
        tokio::select! {
            () = connection.closed() => {}
            _ = stopped => {}
        }
        let _ = closed.send(());
    });
    Ok(Client {
        stdin: stdin.map(|s: Stream| Box::pin(s) as Reader),
        stdout: stdout.map(|s: Stream| Box::pin(s) as Writer),
        stderr: stderr.map(|s: Stream| Box::pin(s) as Writer),
        resize: resize.map(sizes),
        finish: Box::new(move |end| {
            Box::pin(async move {
                if let Some(mut error) = error {
                    let last = if version >= 4 { ending(&end).to_string() } else { ending_text(&end) };
                    // Nobody may be listening any more.
                    let _ = error.write_all(last.as_bytes()).await;
                    let _ = error.shutdown().await;
                }
                drop(stop);
            })
        }),
        gone: Box::pin(async move {
            let _ = gone.await;
        }),
    })
}

/// Sizes are a stream of JSON objects.
fn sizes(mut stream: Stream) -> mpsc::Receiver<runtime::TerminalSize> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut pending: Vec<u8> = Vec::new();
        let mut buffer = [0; 256];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            pending.extend_from_slice(&buffer[..n]);
            while let Some(end) = pending.iter().position(|b| *b == b'}') {
                let object: Vec<u8> = pending.drain(..=end).collect();
                if let Some(size) = size(&object)
                    && sender.send(size).await.is_err()
                {
                    return;
                }
            }
            if pending.len() > LARGEST_SIZE {
                return;
            }
        }
    });
    receiver
}
