//! Frames of an HTTP/2 connection travel together. The protocol's implementation flushes behind every frame of data, and every
//! flush is a TLS record, a system call and a wakeup of the peer. One write that a hundred watches of one client are told of
//! would be a hundred of them; so a flush waits until those who are ready to run at that moment have added theirs.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is gathered at most: four frames as large as they come, and what stands before them.
const MOST: usize = LEAD + 4 * (9 + 16 * 1024);

/// Frames of this size come in rows. What is gathered of them begins this far into its memory: allocators give large pieces of
/// memory the same place in a page, and processors copy at a twentieth of their speed when they write, within a page, a few bytes
/// ahead of what they read. The headers of frames and records are such few bytes.
const LARGE: usize = 4 * 1024;
const LEAD: usize = 1024;

/// So many turns in which more came are waited for at most.
const PATIENCE: u64 = 32;

/// A connection that is polled in turns, which its stream ([`Gathering`]) counts.
pub(crate) struct InTurns<F> {
    connection: F,
    turns: Arc<AtomicU64>,
}

impl<F> InTurns<F> {
    pub(crate) fn connection(&mut self) -> &mut F {
        &mut self.connection
    }
}

impl<F: Future + Unpin> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.connection).poll(cx)
    }
}

/// A stream that flushes in the first turn in which nothing new comes. When it is told to flush, it asks for another turn, and
/// that comes when all that are ready to run have run. Whoever uses it must flush in every turn, as HTTP/2 does, and inside of [`InTurns`].
pub(crate) struct Gathering<S> {
    stream: S,
    /// None for a stream that is only passed through.
    turns: Option<Arc<AtomicU64>>,
    /// What is not written yet, from `written` on. Without memory while there is nothing.
    buffer: Vec<u8>,
    written: usize,
    /// The turns in which the first and the last of it came.
    first: u64,
    last: u64,
}

impl<S> Gathering<S> {
    /// A stream that gathers.
    pub(crate) fn new(stream: S) -> Self {
        Self { turns: Some(Arc::default()), ..Self::passing(stream) }
    }

    /// A stream that does not: HTTP/1 writes whole answers, and its connections may become something else.
    pub(crate) fn passing(stream: S) -> Self {
        Self { stream, turns: None, buffer: Vec::new(), written: 0, first: 0, last: 0 }
    }

    /// Makes a connection of the stream.
    pub(crate) fn serve<F>(self, connection: impl FnOnce(Self) -> F) -> InTurns<F> {
        let turns = self.turns.clone().unwrap_or_default();
        InTurns { connection: connection(self), turns }
    }

    fn turn(&self) -> Option<u64> {
        self.turns.as_ref().map(|turns| turns.load(Ordering::Relaxed))
    }

    /// Takes over what is to be written, if there is room.
    fn take(&mut self, turn: u64, slices: &[IoSlice<'_>]) -> Option<usize> {
        let size = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let lead = if self.buffer.is_empty() && size >= LARGE { LEAD } else { 0 };
        if self.buffer.len() + lead + size > MOST {
            return None;
        }
        self.last = turn;
        if self.buffer.is_empty() {
            self.first = turn;
            self.buffer.reserve(if lead > 0 { MOST } else { size.next_power_of_two().max(1024) });
            self.buffer.resize(lead, 0);
            self.written = lead;
        }
        slices.iter().for_each(|slice| self.buffer.extend_from_slice(slice));
        Some(size)
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    /// Writes everything that was gathered.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.buffer[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        (self.buffer, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(turn) = self.turn() else { return Pin::new(&mut self.stream).poll_write_vectored(cx, slices) };
        if let Some(taken) = self.take(turn, slices) {
            return Poll::Ready(Ok(taken));
        }
        ready!(self.drain(cx))?;
        match self.take(turn, slices) {
            Some(taken) => Poll::Ready(Ok(taken)),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            if self.turn().is_some_and(|turn| turn == self.last && turn - self.first < PATIENCE) {
                cx.waker().wake_by_ref();
                return Poll::Ready(Ok(()));
            }
            ready!(self.drain(cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// A connection that writes a frame and flushes whenever it is told to, and flushes in every turn.
    async fn frames(mut stream: Gathering<tokio::io::DuplexStream>, mut frames: tokio::sync::mpsc::Receiver<Vec<u8>>) {
        let mut next = None;
        poll_fn(|cx| {
            loop {
                if let Some(frame) = &next {
                    let frame: &Vec<u8> = frame;
                    ready!(Pin::new(&mut stream).poll_write(cx, frame)).unwrap();
                    next = None;
                }
                ready!(Pin::new(&mut stream).poll_flush(cx)).unwrap();
                match frames.poll_recv(cx) {
                    Poll::Ready(Some(frame)) => next = Some(frame),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await.unwrap();
    }

    #[tokio::test]
    async fn frames_that_are_ready_together_travel_together() {
        let (ours, mut theirs) = tokio::io::duplex(1024 * 1024);
        let (sender, receiver) = tokio::sync::mpsc::channel(100);
        let connection = Gathering::new(ours).serve(|stream| Box::pin(frames(stream, receiver)));
        let connection = tokio::spawn(connection);
        let mut buffer = vec![0; 1024];
        for round in 0..3u8 {
            for _ in 0..10 {
                sender.send(vec![round; 7]).await.unwrap();
            }
            // The first read there is takes all of them: they were written at once.
            assert_eq!(theirs.read(&mut buffer).await.unwrap(), 70);
            assert_eq!(buffer[..70], [round; 70]);
        }
        sender.send(vec![9; MOST + 1]).await.unwrap();
        sender.send(vec![9; 5]).await.unwrap();
        drop(sender);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), MOST + 6);
        connection.await.unwrap();
    }

    #[tokio::test]
    async fn what_passes_through_is_not_held() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut stream = Gathering::passing(ours);
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"now").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(theirs.read(&mut buffer).await.unwrap(), 3);
    }
}
