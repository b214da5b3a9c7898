//! The task behind a connection: one loop that reads frames, one that writes them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::frame::{self, Control, Head};
use super::headers::{Deflater, Headers, Inflater};
use super::stream::{End, Shared, Stream};
use super::{Core, Handle, Role};

/// Answers a peer may have waiting before it is cut off.
pub(super) const CONTROL_BACKLOG: usize = 1024;
/// The largest piece of a data frame kept in one buffer.
const PIECE: usize = 16 << 10;
/// Frames written at once.
const BATCH: usize = 64 << 10;
/// How long the peer's last bytes are awaited after ours are sent or refused, so that closing with unread input does not
/// destroy them.
const LINGER: Duration = Duration::from_secs(2);

/// What the writer sends.
pub(super) enum Out {
    SynStream { id: u32, headers: Headers },
    SynReply { id: u32 },
    Data { stream: Arc<Shared>, data: Bytes, fin: bool },
    Rst { id: u32, status: u32 },
    WindowUpdate { id: u32, delta: u32 },
    Ping(u32),
    Pong(u32),
    GoAway { last: u32 },
}

pub(super) async fn run(
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    core: Arc<Core>,
    out: mpsc::WeakUnboundedSender<Out>,
    queue: mpsc::UnboundedReceiver<Out>,
    accept: mpsc::Sender<Stream>,
) {
    let (read, write) = tokio::io::split(io);
    let mut reader =
        FrameReader { io: read, core: core.clone(), out, accept, inflater: Inflater::new(core.limits.header_block) };
    {
        let reading = reader.run();
        let writing = write_frames(write, &core, queue);
        tokio::pin!(reading, writing);
        let (which, result) = tokio::select! {
            result = &mut reading => ("read", result),
            result = &mut writing => ("write", result),
        };
        if let Err(error) = &result {
            tracing::debug!(%error, direction = which, "an SPDY connection ended");
        }
        // Either nobody holds this end any more and all is sent, or the peer has closed while something was on its way to it:
        // then its last words are still to be read.
        if which == "write" {
            let _ = tokio::time::timeout(LINGER, reading).await;
        }
    }
    let (streams, goodbye) = {
        let mut table = core.table.lock();
        table.closing = true;
        table.pings.clear();
        (std::mem::take(&mut table.streams), table.said_goodbye)
    };
    for stream in streams.into_values() {
        stream.end(if goodbye { End::Eof } else { End::Lost });
    }
    core.closed.send_replace(true);
}

struct FrameReader<T> {
    io: ReadHalf<T>,
    core: Arc<Core>,
    out: mpsc::WeakUnboundedSender<Out>,
    accept: mpsc::Sender<Stream>,
    inflater: Inflater,
}

impl<T: AsyncRead + AsyncWrite> FrameReader<T> {
    /// Reads until the peer closes (Ok) or breaks the protocol.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; frame::HEAD_LEN];
            if self.io.read(&mut head[..1]).await? == 0 {
                return Ok(());
            }
            self.io.read_exact(&mut head[1..]).await?;
            match frame::head(head)? {
                Head::Data { id, fin, len } => self.data(id, fin, len).await?,
                Head::Control { kind, flags, len } => {
                    if len > self.core.limits.header_block {
                        return Err(malformed("a control frame is too large"));
                    }
                    let mut payload = BytesMut::zeroed(len);
                    self.io.read_exact(&mut payload).await?;
                    self.control(frame::control(kind, flags, payload.freeze())?)?;
                }
            }
        }
    }

    /// Takes a data frame in pieces, each when its stream has room.
    async fn data(&mut self, id: u32, fin: bool, len: usize) -> io::Result<()> {
        let stream = self.core.table.lock().streams.get(&id).cloned();
        let mut left = len;
        while left > 0 {
            let mut piece = BytesMut::zeroed(left.min(PIECE));
            self.io.read_exact(&mut piece).await?;
            left -= piece.len();
            if let Some(stream) = &stream {
                self.deliver(stream, piece.freeze()).await;
            }
        }
        if fin && let Some(stream) = &stream {
            self.remote_finished(stream);
        }
        Ok(())
    }

    async fn deliver(&mut self, stream: &Arc<Shared>, piece: Bytes) {
        loop {
            {
                let mut state = stream.state.lock();
                if state.abandoned {
                    drop(state);
                    // Once: from then on the stream is unknown.
                    if self.core.table.lock().streams.remove(&stream.id).is_some() {
                        self.send(Out::Rst { id: stream.id, status: frame::CANCEL });
                    }
                    return;
                }
                if state.remote_end.is_some() {
                    return;
                }
                if state.buffered < self.core.limits.stream_buffer {
                    state.buffered += piece.len();
                    state.incoming.push_back(piece);
                    if let Some(waker) = state.reader.take() {
                        waker.wake();
                    }
                    return;
                }
            }
            stream.room.notified().await;
        }
    }

    fn remote_finished(&self, stream: &Shared) {
        let mut state = stream.state.lock();
        state.remote_end.get_or_insert(End::Eof);
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
        if state.finished() {
            drop(state);
            self.core.table.lock().streams.remove(&stream.id);
        }
    }

    fn control(&mut self, control: Control) -> io::Result<()> {
        match control {
            Control::SynStream { id, fin, unidirectional, block } => {
                let headers = self.inflater.headers(&block)?;
                self.incoming(id, fin, unidirectional, headers)?;
            }
            Control::SynReply { id, fin, block } => {
                self.inflater.headers(&block)?;
                if let Some(stream) = self.stream(id) {
                    if let Some(reply) = stream.state.lock().reply.take() {
                        // Whoever opened it may have given up.
                        let _ = reply.send(());
                    }
                    if fin {
                        self.remote_finished(&stream);
                    }
                }
            }
            Control::Headers { id, fin, block } => {
                self.inflater.headers(&block)?;
                if fin && let Some(stream) = self.stream(id) {
                    self.remote_finished(&stream);
                }
            }
            Control::RstStream { id, status } => {
                let stream = self.core.table.lock().streams.remove(&id);
                if let Some(stream) = stream {
                    stream.end(if status == frame::CANCEL { End::Eof } else { End::Reset(status) });
                }
            }
            Control::Ping(id) if (id % 2 == 1) == (self.core.role == Role::Client) => {
                if let Some(waiting) = self.core.table.lock().pings.remove(&id) {
                    let _ = waiting.send(());
                }
            }
            Control::Ping(id) => self.answer(Out::Pong(id))?,
            Control::GoAway => {
                let mut table = self.core.table.lock();
                table.closing = true;
                table.said_goodbye = true;
            }
            Control::InitialWindow(window) => {
                self.core.windows_count.store(true, Ordering::Relaxed);
                let old = self.core.initial_window.swap(window.into(), Ordering::Relaxed);
                for stream in self.core.table.lock().streams.values() {
                    let mut state = stream.state.lock();
                    state.window += i64::from(window) - old;
                    state.wake();
                }
            }
            Control::WindowUpdate { id, delta } => {
                self.core.windows_count.store(true, Ordering::Relaxed);
                if let Some(stream) = self.stream(id) {
                    let mut state = stream.state.lock();
                    state.window = (state.window + i64::from(delta)).min(frame::MAX_ID.into());
                    if let Some(waker) = state.writer.take() {
                        waker.wake();
                    }
                }
            }
            Control::Other => {}
        }
        Ok(())
    }

    fn incoming(&self, id: u32, fin: bool, unidirectional: bool, headers: Headers) -> io::Result<()> {
        let Some(out) = self.out.upgrade() else { return Ok(()) };
        let mut table = self.core.table.lock();
        let from_client = id % 2 == 1;
        if from_client == (self.core.role == Role::Client) || id <= table.last_peer_id {
            return Err(malformed("a stream number is out of order"));
        }
        table.last_peer_id = id;
        if table.streams.len() >= self.core.limits.max_streams {
            drop(table);
            return self.answer(Out::Rst { id, status: frame::REFUSED_STREAM });
        }
        let shared = Arc::new(Shared::new(id, &self.core, None));
        {
            let mut state = shared.state.lock();
            state.remote_end = fin.then_some(End::Eof);
            state.local_end = unidirectional;
        }
        table.streams.insert(id, shared.clone());
        drop(table);
        let stream = Stream::new(shared, Handle { core: self.core.clone(), out }, headers);
        // Without room or receiver it is dropped here, which closes it.
        if let Err(refused) = self.accept.try_send(stream) {
            refused.into_inner().reset();
        }
        Ok(())
    }

    fn stream(&self, id: u32) -> Option<Arc<Shared>> {
        self.core.table.lock().streams.get(&id).cloned()
    }

    /// Queues an answer to something the peer sent, if it reads its answers.
    fn answer(&self, out: Out) -> io::Result<()> {
        if self.core.control_backlog.fetch_add(1, Ordering::Relaxed) >= CONTROL_BACKLOG {
            return Err(malformed("the peer does not read its answers"));
        }
        self.send(out);
        Ok(())
    }

    fn send(&self, out: Out) {
        if let Some(sender) = self.out.upgrade() {
            let _ = sender.send(out);
        }
    }
}

/// Writes until all handles are gone and all is sent.
async fn write_frames<T: AsyncRead + AsyncWrite>(
    mut io: WriteHalf<T>,
    core: &Core,
    mut queue: mpsc::UnboundedReceiver<Out>,
) -> io::Result<()> {
    let mut deflater = Deflater::new();
    let mut buffer = BytesMut::new();
    let mut sent: Vec<(Arc<Shared>, usize)> = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(out) = next {
            match out {
                Out::SynStream { id, headers } => frame::put_syn_stream(&mut buffer, id, &deflater.block(&headers)?),
                Out::SynReply { id } => frame::put_syn_reply(&mut buffer, id, &deflater.block(&Headers::new())?),
                Out::Data { stream, data, fin } => {
                    frame::put_data(&mut buffer, stream.id, fin, &data);
                    if !data.is_empty() {
                        sent.push((stream, data.len()));
                    }
                }
                Out::Rst { id, status } => frame::put_rst_stream(&mut buffer, id, status),
                Out::WindowUpdate { id, delta } => {
                    core.control_backlog.fetch_sub(1, Ordering::Relaxed);
                    frame::put_window_update(&mut buffer, id, delta);
                }
                Out::Ping(id) => frame::put_ping(&mut buffer, id),
                Out::Pong(id) => {
                    core.control_backlog.fetch_sub(1, Ordering::Relaxed);
                    frame::put_ping(&mut buffer, id);
                }
                Out::GoAway { last } => frame::put_goaway(&mut buffer, last),
            }
            next = if buffer.len() < BATCH { queue.try_recv().ok() } else { None };
        }
        io.write_all(&buffer).await?;
        io.flush().await?;
        buffer.clear();
        for (stream, len) in sent.drain(..) {
            let mut state = stream.state.lock();
            state.queued -= len;
            if let Some(waker) = state.writer.take() {
                waker.wake();
            }
        }
    }
    io.shutdown().await
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
