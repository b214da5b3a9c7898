//! One stream: a pair of byte pipes with headers.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};

use super::driver::{CONTROL_BACKLOG, Out};
use super::{Core, Handle, Headers, frame};

/// Bytes one stream may have waiting for the writer.
const SEND_BUFFER: usize = 64 << 10;
/// Bytes of one data frame.
const CHUNK: usize = 16 << 10;

/// A stream of a [`Connection`](super::Connection).
///
/// `shutdown` half-closes it. Dropping it sends what was written, half-closes, and answers further data with a reset.
pub struct Stream {
    shared: Arc<Shared>,
    handle: Handle,
    headers: Headers,
}

/// What the stream and the connection's task both see.
pub(super) struct Shared {
    pub(super) id: u32,
    pub(super) state: Mutex<State>,
    /// There is room in `incoming` again, or nobody will ever read it.
    pub(super) room: Notify,
}

pub(super) struct State {
    pub(super) incoming: VecDeque<Bytes>,
    pub(super) buffered: usize,
    /// Nothing further will come in, and why.
    pub(super) remote_end: Option<End>,
    /// Nothing further may go out.
    pub(super) local_end: bool,
    pub(super) abandoned: bool,
    /// Bytes given to the writer and not yet on the wire.
    pub(super) queued: usize,
    pub(super) window: i64,
    /// Bytes read since the last WINDOW_UPDATE.
    consumed: u32,
    pub(super) reply: Option<oneshot::Sender<()>>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// Why nothing further comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The peer half-closed it, or cancelled it, which is how Go's implementation closes.
    Eof,
    /// The peer reset it with this status.
    Reset(u32),
    /// The connection broke without a goodbye.
    Lost,
}

impl Shared {
    pub(super) fn new(id: u32, core: &Core, reply: Option<oneshot::Sender<()>>) -> Shared {
        let state = State {
            incoming: VecDeque::new(),
            buffered: 0,
            remote_end: None,
            local_end: false,
            abandoned: false,
            queued: 0,
            window: core.initial_window.load(Ordering::Relaxed),
            consumed: 0,
            reply,
            reader: None,
            writer: None,
        };
        Shared { id, state: Mutex::new(state), room: Notify::new() }
    }

    /// Ends both directions.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        state.remote_end.get_or_insert(end);
        state.local_end = true;
        state.reply = None;
        state.wake();
        drop(state);
        self.room.notify_one();
    }
}

impl State {
    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    pub(super) fn finished(&self) -> bool {
        self.local_end && self.remote_end.is_some()
    }
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, handle: Handle, headers: Headers) -> Stream {
        Stream { shared, handle, headers }
    }

    /// The headers it was opened with.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Its number on the connection.
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// Ends both directions at once; what is still queued may be lost.
    pub fn reset(&self) {
        self.shared.end(End::Reset(frame::CANCEL));
        self.handle.send(Out::Rst { id: self.shared.id, status: frame::CANCEL });
        self.forget();
    }

    pub(super) fn accept(&self) {
        self.handle.send(Out::SynReply { id: self.shared.id });
    }

    fn forget(&self) {
        self.handle.core.table.lock().streams.remove(&self.shared.id);
    }

    /// Half-closes; true if that ended the stream.
    fn finish(&self) -> bool {
        let mut state = self.shared.state.lock();
        if !state.local_end {
            state.local_end = true;
            self.handle.send(Out::Data { stream: self.shared.clone(), data: Bytes::new(), fin: true });
        }
        state.finished()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        let Some(chunk) = state.incoming.front_mut() else {
            return match state.remote_end {
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                Some(End::Eof) => Poll::Ready(Ok(())),
                Some(End::Reset(status)) => Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    format!("the stream was reset ({status})"),
                ))),
                Some(End::Lost) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            };
        };
        let n = chunk.len().min(buf.remaining());
        buf.put_slice(&chunk[..n]);
        chunk.advance(n);
        if chunk.is_empty() {
            state.incoming.pop_front();
        }
        state.buffered -= n;
        state.consumed = state.consumed.saturating_add(n as u32).min(frame::MAX_ID);
        let backlog = &self.handle.core.control_backlog;
        // Only to a peer that counts: one that does not may close with the update unread, and the reset that follows destroys its last data.
        if self.handle.core.windows_count.load(Ordering::Relaxed)
            && i64::from(state.consumed) >= frame::INITIAL_WINDOW / 2
            && state.remote_end.is_none()
            && backlog.load(Ordering::Relaxed) < CONTROL_BACKLOG / 2
        {
            let delta = std::mem::take(&mut state.consumed);
            self.handle.core.control_backlog.fetch_add(1, Ordering::Relaxed);
            self.handle.send(Out::WindowUpdate { id: self.shared.id, delta });
        }
        drop(state);
        self.shared.room.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state.lock();
        if state.local_end {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let windowed = self.handle.core.windows_count.load(Ordering::Relaxed);
        if state.queued >= SEND_BUFFER || (windowed && state.window <= 0) {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut n = buf.len().min(CHUNK);
        if windowed {
            n = n.min(usize::try_from(state.window).unwrap_or(0));
        }
        if n > 0 {
            state.queued += n;
            state.window -= n as i64;
            let data = Bytes::copy_from_slice(&buf[..n]);
            self.handle.send(Out::Data { stream: self.shared.clone(), data, fin: false });
        }
        Poll::Ready(Ok(n))
    }

    /// Done when everything is on the wire.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state.lock();
        if state.queued == 0 {
            return Poll::Ready(Ok(()));
        }
        if state.local_end && state.remote_end == Some(End::Lost) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finish() {
            self.forget();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let finished = self.finish();
        {
            let mut state = self.shared.state.lock();
            state.abandoned = true;
            state.incoming.clear();
            state.buffered = 0;
        }
        self.shared.room.notify_one();
        if finished {
            self.forget();
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", &self.shared.id).field("headers", &self.headers).finish()
    }
}
