//! SPDY/3.1 over any byte stream: what kubectl up to 1.29 speaks for exec, attach and port-forward, and what containerd's streaming server expects.
//!
//! Both ends are here: the client talks to containerd, the server answers kubectl. Only what that world uses is implemented: streams with
//! headers, half close, reset, ping, goaway.
//!
//! **Flow control.** The other implementation, Go's spdystream, neither sends nor honours WINDOW_UPDATE. So windows count here, and are
//! updated, only once the peer has sent such a frame or a window in SETTINGS. Without them a receiver bounds its memory itself: when a stream's buffer is full, reading from the
//! connection pauses until somebody reads that stream. Streams of one connection must therefore be read independently of each other.

mod driver;
mod frame;
mod headers;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

pub use headers::Headers;
pub use stream::Stream;

use driver::Out;
use stream::Shared;

/// What one connection may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Streams open at the same time; more are refused.
    pub max_streams: usize,
    /// Bytes received on a stream and not read yet.
    pub stream_buffer: usize,
    /// Bytes of one header block, before and after decompression.
    pub header_block: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_streams: 256, stream_buffer: 256 << 10, header_block: 64 << 10 }
    }
}

/// One end of an SPDY/3.1 connection, driven by a task of its own.
///
/// It lives until the last of this handle and its streams is dropped; what was written by then is still sent.
pub struct Connection {
    handle: Handle,
    incoming: mpsc::Receiver<Stream>,
}

/// Which end of the connection this is: clients number streams and pings odd, servers even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What keeps a connection alive: the way to the writer, and the state both share.
#[derive(Clone)]
struct Handle {
    core: Arc<Core>,
    out: mpsc::UnboundedSender<Out>,
}

/// State of the connection. It holds no sender, so that the writer sees the end when all handles are gone.
struct Core {
    role: Role,
    limits: Limits,
    table: Mutex<Table>,
    /// Control frames queued and not yet written: a peer that asks for answers but does not read them is cut off.
    control_backlog: AtomicUsize,
    /// The peer speaks flow control.
    windows_count: AtomicBool,
    initial_window: AtomicI64,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Table {
    streams: HashMap<u32, Arc<Shared>>,
    pings: HashMap<u32, oneshot::Sender<()>>,
    last_id: u32,
    last_peer_id: u32,
    last_ping: u32,
    /// The peer said goaway, or the connection is lost: no new streams.
    closing: bool,
    /// The peer said goaway, so that the end of the connection is no surprise.
    said_goodbye: bool,
}

impl Connection {
    /// The client's end, with default limits. Needs a tokio runtime, as do the other constructors.
    pub fn client(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Connection {
        Connection::new(io, Role::Client, Limits::default())
    }

    /// The server's end, with default limits.
    pub fn server(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Connection {
        Connection::new(io, Role::Server, Limits::default())
    }

    /// The server's end with limits of its own.
    pub fn server_with(io: impl AsyncRead + AsyncWrite + Send + 'static, limits: Limits) -> Connection {
        Connection::new(io, Role::Server, limits)
    }

    fn new(io: impl AsyncRead + AsyncWrite + Send + 'static, role: Role, limits: Limits) -> Connection {
        let (out, queue) = mpsc::unbounded_channel();
        let (accept, incoming) = mpsc::channel(limits.max_streams.max(1));
        let core = Arc::new(Core {
            role,
            limits,
            table: Mutex::default(),
            control_backlog: AtomicUsize::new(0),
            windows_count: AtomicBool::new(false),
            initial_window: AtomicI64::new(frame::INITIAL_WINDOW),
            closed: watch::Sender::new(false),
        });
        tokio::spawn(driver::run(io, core.clone(), out.downgrade(), queue, accept));
        Connection { handle: Handle { core, out }, incoming }
    }

    /// Opens a stream and waits until the peer has accepted it.
    pub async fn open_stream(&self, headers: Headers) -> io::Result<Stream> {
        let (stream, replied) = self.handle.open(headers)?;
        match replied.await {
            Ok(()) => Ok(stream),
            Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the peer refused the stream or went away")),
        }
    }

    /// The next stream the peer opens, already accepted; None once the connection is closed.
    pub async fn accept_stream(&mut self) -> Option<Stream> {
        let stream = self.incoming.recv().await?;
        stream.accept();
        Some(stream)
    }

    /// Sends a ping and waits for its answer.
    pub async fn ping(&self) -> io::Result<()> {
        let answered = self.handle.ping()?;
        answered.await.map_err(|_| lost())
    }

    /// Tells the peer that it shall open no further streams.
    pub fn go_away(&self) {
        let last = self.handle.core.table.lock().last_peer_id;
        self.handle.send(Out::GoAway { last });
    }

    /// Resolves when the connection is closed, by whichever end.
    pub async fn closed(&self) {
        // The sender lives in `core`, which this handle keeps.
        let _ = self.handle.core.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.handle.core.table.lock();
        f.debug_struct("Connection")
            .field("role", &self.handle.core.role)
            .field("streams", &table.streams.len())
            .finish()
    }
}

impl Handle {
    /// The writer may be gone already; then there is nobody to tell.
    fn send(&self, out: Out) {
        let _ = self.out.send(out);
    }

    fn open(&self, headers: Headers) -> io::Result<(Stream, oneshot::Receiver<()>)> {
        let mut table = self.core.table.lock();
        if table.closing {
            return Err(lost());
        }
        if table.streams.len() >= self.core.limits.max_streams {
            return Err(io::Error::other("too many streams on this connection"));
        }
        let id = match (table.last_id, self.core.role) {
            (0, Role::Client) => 1,
            (0, Role::Server) => 2,
            (last, _) => last + 2,
        };
        if id > frame::MAX_ID {
            return Err(io::Error::other("the connection has used up its stream numbers"));
        }
        table.last_id = id;
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::new(Shared::new(id, &self.core, Some(sender)));
        table.streams.insert(id, shared.clone());
        // Queued under the lock: stream numbers must rise on the wire.
        self.send(Out::SynStream { id, headers: headers.clone() });
        drop(table);
        Ok((Stream::new(shared, self.clone(), headers), receiver))
    }

    fn ping(&self) -> io::Result<oneshot::Receiver<()>> {
        let mut table = self.core.table.lock();
        if table.closing {
            return Err(lost());
        }
        let id = match (table.last_ping, self.core.role) {
            (0, Role::Client) => 1,
            (0, Role::Server) => 2,
            (last, _) => last.wrapping_add(2),
        };
        table.last_ping = id;
        let (sender, receiver) = oneshot::channel();
        table.pings.insert(id, sender);
        self.send(Out::Ping(id));
        Ok(receiver)
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is closed")
}
