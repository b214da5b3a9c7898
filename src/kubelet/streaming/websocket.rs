//! The WebSocket side: the first byte of a message is its channel. 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; from v5 on 255 closes the
//! channel named by the next byte.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use runtime::{Reader, StreamOptions, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::bridge::{Client, size};
use super::{Io, ending, ending_text, upgrade};

/// No client sends larger messages; kubectl's are 32 KiB.
const LARGEST: usize = 4 << 20;
const PIPE: usize = 64 << 10;
const CHUNK: usize = 32 << 10;
/// Keeps proxies between us and the client from cutting an idle session.
const PING: Duration = Duration::from_secs(25);

pub(super) type Sink<S> = SplitSink<WebSocketStream<S>, Message>;
pub(super) type Source<S> = SplitStream<WebSocketStream<S>>;

/// The server's end of a WebSocket whose handshake is done.
pub(super) async fn accept<S: Io>(io: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

/// How messages are written in a subprotocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) base64: bool,
    version: u8,
}

impl Form {
    pub(super) fn of(protocol: &str) -> Self {
        let version = match protocol {
            p if p.starts_with("v5.") => 5,
            p if p.starts_with("v4.") => 4,
            _ => 1,
        };
        Self { base64: protocol.contains("base64"), version }
    }

    pub(super) fn message(self, channel: u8, bytes: &[u8]) -> Message {
        if self.base64 {
            return Message::text(format!("{channel}{}", upgrade::encode(bytes)));
        }
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::binary(message)
    }

    /// Channel and content of a message; None if it is malformed.
    pub(super) fn parse(self, message: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (channel, rest) = message.split_first()?;
        if self.base64 {
            Some((channel.checked_sub(b'0')?, upgrade::decode(rest)?))
        } else {
            Some((*channel, rest.to_vec()))
        }
    }
}

enum Out {
    Data(u8, Vec<u8>),
    /// The last message on the error channel, then the close.
    End(Option<Vec<u8>>),
}

/// Makes streams of the channels the request asks for.
pub(super) async fn open(io: impl Io, protocol: &str, options: StreamOptions) -> io::Result<Client> {
    let form = Form::of(protocol);
    let (sink, source) = accept(io).await.split();
    let (out, queue) = mpsc::channel::<Out>(16);
    let (gone, is_gone) = oneshot::channel();
    let (stdin_far, stdin) = if options.stdin {
        let (far, near) = tokio::io::duplex(PIPE);
        (Some(far), Some(Box::pin(near) as Reader))
    } else {
        (None, None)
    };
    let (sizes, resize) = mpsc::channel(4);
    let lowest = [(options.stdout, 1), (options.stderr && !options.tty, 2)]
        .iter()
        .find(|(wanted, _)| *wanted)
        .map_or(3, |(_, c)| *c);
    let done = tokio::spawn(write(sink, queue, form, lowest));
    tokio::spawn(async move {
        read(source, form, stdin_far, sizes).await;
        let _ = gone.send(());
    });
    let output = |channel: u8, wanted: bool| wanted.then(|| pump(channel, out.clone()));
    let (stdout, stderr) = (output(1, options.stdout).unzip(), output(2, options.stderr && !options.tty).unzip());
    let last = out.clone();
    Ok(Client {
        stdin,
        stdout: stdout.0,
        stderr: stderr.0,
        resize: options.tty.then_some(resize),
        finish: Box::new(move |end| {
            Box::pin(async move {
                // What the process wrote goes out before the last word.
                for pump in [stdout.1, stderr.1].into_iter().flatten() {
                    let _ = tokio::time::timeout(Duration::from_secs(5), pump).await;
                }
                let text = if form.version >= 4 { ending(&end).to_string() } else { ending_text(&end) };
                let _ = last.send(Out::End((!text.is_empty()).then(|| text.into_bytes()))).await;
                drop(last);
                let _ = tokio::time::timeout(Duration::from_secs(5), done).await;
            })
        }),
        gone: Box::pin(async move {
            let _ = is_gone.await;
        }),
    })
}

/// A writer whose bytes become messages of a channel, and the task that makes them.
fn pump(channel: u8, out: mpsc::Sender<Out>) -> (Writer, tokio::task::JoinHandle<()>) {
    let (near, mut far) = tokio::io::duplex(PIPE);
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(n @ 1..) = far.read(&mut buffer).await {
            if out.send(Out::Data(channel, buffer[..n].to_vec())).await.is_err() {
                return;
            }
        }
    });
    (Box::pin(near) as Writer, task)
}

/// Ends the connection as clients expect a good end: with code 1000. A close without a code is an error to client-go.
pub(super) async fn close<S: futures::Sink<Message> + Unpin>(sink: &mut S) {
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = sink.send(Message::Close(Some(normal))).await;
    let _ = sink.close().await;
}

async fn write<S: Io>(mut sink: Sink<S>, mut queue: mpsc::Receiver<Out>, form: Form, lowest: u8) {
    // An empty message on the first output channel tells the client that the connection stands, as upstream's does.
    if sink.send(form.message(lowest, b"")).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            out = queue.recv() => match out {
                Some(Out::Data(channel, bytes)) => form.message(channel, &bytes),
                Some(Out::End(last)) => {
                    if let Some(bytes) = last {
                        let _ = sink.send(form.message(3, &bytes)).await;
                    }
                    close(&mut sink).await;
                    return;
                }
                None => {
                    close(&mut sink).await;
                    return;
                }
            },
            () = tokio::time::sleep(PING) => Message::Ping(Bytes::new()),
        };
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

async fn read<S: Io>(
    mut source: Source<S>,
    form: Form,
    mut stdin: Option<DuplexStream>,
    sizes: mpsc::Sender<runtime::TerminalSize>,
) {
    while let Some(Ok(message)) = source.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        match form.parse(&bytes) {
            Some((0, data)) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            Some((4, data)) => {
                if let Some(size) = size(&data) {
                    let _ = sizes.send(size).await;
                }
            }
            Some((255, data)) if form.version >= 5 && data.first() == Some(&0) => {
                if let Some(mut pipe) = stdin.take() {
                    let _ = pipe.shutdown().await;
                }
            }
            _ => {}
        }
    }
}

/// A byte stream through WebSocket messages, channels aside: the tunnel of port-forward.
pub(super) fn tunnel(io: impl Io) -> DuplexStream {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::spawn(async move {
        let (mut sink, mut source) = accept(io).await.split();
        let (mut from, mut to) = tokio::io::split(far);
        let out = async {
            let mut buffer = vec![0; CHUNK];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                if sink.send(Message::binary(buffer[..n].to_vec())).await.is_err() {
                    return;
                }
            }
            close(&mut sink).await;
        };
        let inward = async {
            while let Some(Ok(message)) = source.next().await {
                let sent = match message {
                    Message::Binary(bytes) => to.write_all(&bytes).await,
                    Message::Close(_) => break,
                    _ => Ok(()),
                };
                if sent.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
        };
        // The connection is over with either direction: SPDY has its own half-closes inside.
        tokio::select! {
            () = out => {}
            () = inward => {}
        }
    });
    near
}
