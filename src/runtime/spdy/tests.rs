//! Both ends against each other, and against peers that mean no good.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::frame::{self, Head};
use super::headers::Deflater;
use super::{Connection, Headers, Limits};

fn pair() -> (Connection, Connection) {
    pair_with(Limits::default())
}

fn pair_with(limits: Limits) -> (Connection, Connection) {
    let (a, b) = tokio::io::duplex(64 << 10);
    (Connection::client(a), Connection::server_with(b, limits))
}

/// Nothing here may hang: a test that would, fails instead.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("this should not take so long")
}

#[tokio::test]
async fn streams_carry_headers_and_bytes_both_ways() {
    let (client, mut server) = pair();
    let serve = tokio::spawn(async move {
        let mut stream = server.accept_stream().await.unwrap();
        assert_eq!(stream.headers().get("streamType"), Some("data"));
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        text.reverse();
        stream.write_all(&text).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut stream = soon(client.open_stream(Headers::new().with("streamtype", "data"))).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    // Half close: the other direction still works.
    stream.shutdown().await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "cba");
    serve.await.unwrap();
    assert!(stream.write_all(b"late").await.is_err());
}

#[tokio::test]
async fn megabytes_pass_in_both_directions_at_once() {
    let (client, mut server) = pair();
    let serve = tokio::spawn(async move {
        let stream = server.accept_stream().await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let stream = soon(client.open_stream(Headers::new())).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..8 << 20).map(|i: u32| (i % 251) as u8).collect();
    let expect = sent.clone();
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    soon(read.read_to_end(&mut received)).await.unwrap();
    assert!(received == expect);
    writing.await.unwrap();
    serve.await.unwrap();
}

#[tokio::test]
async fn what_was_written_arrives_though_everything_is_dropped() {
    let (client, mut server) = pair();
    let opened = soon(async { tokio::join!(client.open_stream(Headers::new()), server.accept_stream()) }).await;
    let (mut stream, mut accepted) = (opened.0.unwrap(), opened.1.unwrap());
    stream.write_all(&[7; 30_000]).await.unwrap();
    drop((stream, client));
    let mut received = Vec::new();
    soon(accepted.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 30_000);
    drop(accepted);
    assert!(soon(server.accept_stream()).await.is_none());
}

#[tokio::test]
async fn a_reader_that_does_not_read_bounds_memory_and_stalls_the_sender() {
    let limits = Limits { stream_buffer: 32 << 10, ..Limits::default() };
    let (client, mut server) = pair_with(limits);
    let opened = soon(async { tokio::join!(client.open_stream(Headers::new()), server.accept_stream()) }).await;
    let (mut stream, mut accepted) = (opened.0.unwrap(), opened.1.unwrap());
    let writing = tokio::spawn(async move {
        stream.write_all(&vec![1; 4 << 20]).await.unwrap();
        stream
    });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!writing.is_finished());
    let mut received = vec![0; 4 << 20];
    soon(accepted.read_exact(&mut received)).await.unwrap();
    drop(soon(writing).await.unwrap());
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_freed_ones_count_no_more() {
    let (client, mut server) = pair_with(Limits { max_streams: 1, ..Limits::default() });
    let opened = soon(async { tokio::join!(client.open_stream(Headers::new()), server.accept_stream()) }).await;
    let (first, accepted) = (opened.0.unwrap(), opened.1.unwrap());
    assert_eq!(soon(client.open_stream(Headers::new())).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop((first, accepted));
    // Both halves are closed by now or soon.
    let reopened = soon(async {
        tokio::join!(
            async {
                loop {
                    if let Ok(stream) = client.open_stream(Headers::new()).await {
                        return stream;
                    }
                }
            },
            server.accept_stream()
        )
    })
    .await;
    assert!(reopened.1.is_some());
}

#[tokio::test]
async fn reset_ends_both_ends() {
    let (client, mut server) = pair();
    let opened = soon(async { tokio::join!(client.open_stream(Headers::new()), server.accept_stream()) }).await;
    let (stream, mut accepted) = (opened.0.unwrap(), opened.1.unwrap());
    stream.reset();
    let mut rest = Vec::new();
    soon(accepted.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(accepted.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn pings_are_answered_in_both_directions() {
    let (client, server) = pair();
    for _ in 0..3 {
        soon(client.ping()).await.unwrap();
        soon(server.ping()).await.unwrap();
    }
}

#[tokio::test]
async fn goaway_forbids_new_streams_and_lets_old_ones_finish() {
    let (client, mut server) = pair();
    let opened = soon(async { tokio::join!(client.open_stream(Headers::new()), server.accept_stream()) }).await;
    let (mut stream, mut accepted) = (opened.0.unwrap(), opened.1.unwrap());
    server.go_away();
    // Once the pong is here, so is the goaway before it.
    soon(client.ping()).await.unwrap();
    assert!(soon(client.open_stream(Headers::new())).await.is_err());
    accepted.write_all(b"still here").await.unwrap();
    drop((accepted, server));
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "still here");
    soon(client.closed()).await;
}

#[tokio::test]
async fn a_broken_connection_is_an_error_for_readers() {
    let (raw, io) = tokio::io::duplex(1 << 16);
    let client = Connection::client(io);
    let opening = tokio::spawn(async move {
        let stream = client.open_stream(Headers::new()).await;
        (client, stream)
    });
    let mut raw = answer_one_stream(raw).await;
    raw.write_all(b"").await.unwrap();
    let (_client, stream) = soon(opening).await.unwrap();
    drop(raw);
    let mut text = String::new();
    let error = soon(stream.unwrap().read_to_string(&mut text)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

/// Plays a server that accepts stream 1.
/// A connection whose peer may stop listening, as one that has closed does, with its last words still on their way.
struct Deafening {
    io: DuplexStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deafening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Deafening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn the_last_words_of_a_peer_that_listens_no_more_are_read() {
    let (io, raw) = tokio::io::duplex(64 << 10);
    let deaf = Arc::new(AtomicBool::new(false));
    let client = Connection::client(Deafening { io, deaf: deaf.clone() });
    let answered = tokio::spawn(answer_one_stream(raw));
    let mut stream = soon(client.open_stream(Headers::new())).await.unwrap();
    let mut raw = answered.await.unwrap();
    deaf.store(true, Ordering::Relaxed);
    stream.write_all(b"are you there?").await.unwrap();
    // Until the writer has found out, nothing is to be seen of it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut words = BytesMut::new();
    frame::put_data(&mut words, stream.id(), true, b"goodbye");
    raw.write_all(&words).await.unwrap();
    let mut text = String::new();
    soon(stream.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "goodbye");
}

async fn answer_one_stream(mut raw: DuplexStream) -> DuplexStream {
    let mut head = [0; frame::HEAD_LEN];
    raw.read_exact(&mut head).await.unwrap();
    let Ok(Head::Control { kind: 1, len, .. }) = frame::head(head) else { panic!("not a SYN_STREAM: {head:?}") };
    raw.read_exact(&mut vec![0; len]).await.unwrap();
    let mut reply = BytesMut::new();
    frame::put_syn_reply(&mut reply, 1, &Deflater::new().block(&Headers::new()).unwrap());
    raw.write_all(&reply).await.unwrap();
    raw
}

#[tokio::test]
async fn a_peer_that_ignores_windows_gets_more_than_one_window() {
    let (raw, io) = tokio::io::duplex(1 << 16);
    let client = Connection::client(io);
    let opening = tokio::spawn(async move { (client.open_stream(Headers::new()).await.unwrap(), client) });
    let mut raw = answer_one_stream(raw).await;
    let (mut stream, _client) = soon(opening).await.unwrap();
    let writing = tokio::spawn(async move { stream.write_all(&vec![0; 1 << 20]).await });
    let mut received = vec![0; 1 << 20];
    soon(raw.read_exact(&mut received)).await.unwrap();
    soon(writing).await.unwrap().unwrap();
}

#[tokio::test]
async fn once_the_peer_counts_windows_so_do_we() {
    let (raw, io) = tokio::io::duplex(1 << 20);
    let client = Connection::client(io);
    let opening = tokio::spawn(async move { (client.open_stream(Headers::new()).await.unwrap(), client) });
    let mut raw = answer_one_stream(raw).await;
    let (mut stream, client) = soon(opening).await.unwrap();
    let mut update = BytesMut::new();
    frame::put_window_update(&mut update, 1, 10);
    // The pong shows that the update was seen.
    raw.write_all(&update).await.unwrap();
    let ((), pinged) = soon(async {
        tokio::join!(
            async {
                let mut ping = [0; 12];
                raw.read_exact(&mut ping).await.unwrap();
                raw.write_all(&ping).await.unwrap();
            },
            client.ping()
        )
    })
    .await;
    pinged.unwrap();
    let window = (64 << 10) + 10;
    let writing = tokio::spawn(async move { stream.write_all(&vec![0; window + 1]).await });
    let mut payload = 0;
    while payload < window {
        let mut head = [0; frame::HEAD_LEN];
        soon(raw.read_exact(&mut head)).await.unwrap();
        let Ok(Head::Data { len, .. }) = frame::head(head) else { panic!("not data: {head:?}") };
        raw.read_exact(&mut vec![0; len]).await.unwrap();
        payload += len;
    }
    assert_eq!(payload, window);
    assert!(!writing.is_finished());
    let mut update = BytesMut::new();
    frame::put_window_update(&mut update, 1, 1);
    raw.write_all(&update).await.unwrap();
    soon(writing).await.unwrap().unwrap();
}

#[tokio::test]
async fn windows_are_updated_for_peers_that_count_them_only() {
    for counts in [false, true] {
        let (raw, io) = tokio::io::duplex(1 << 20);
        let client = Connection::client(io);
        let opening = tokio::spawn(async move { (client.open_stream(Headers::new()).await.unwrap(), client) });
        let mut raw = answer_one_stream(raw).await;
        let (mut stream, client) = soon(opening).await.unwrap();
        let mut frames = BytesMut::new();
        if counts {
            frame::put_window_update(&mut frames, 1, 1);
        }
        frame::put_data(&mut frames, 1, false, &[0; 40 << 10]);
        raw.write_all(&frames).await.unwrap();
        soon(stream.read_exact(&mut vec![0; 40 << 10])).await.unwrap();
        // A ping comes after whatever the reading caused.
        let ping = tokio::spawn(async move { client.ping().await });
        let mut kinds = Vec::new();
        while kinds.last() != Some(&6) {
            let mut head = [0; frame::HEAD_LEN];
            soon(raw.read_exact(&mut head)).await.unwrap();
            let Ok(Head::Control { kind, len, .. }) = frame::head(head) else { panic!("data: {head:?}") };
            raw.read_exact(&mut vec![0; len]).await.unwrap();
            kinds.push(kind);
        }
        assert_eq!(kinds.contains(&9), counts, "{kinds:?}");
        ping.abort();
    }
}

#[tokio::test]
async fn a_peer_that_pings_and_never_reads_is_cut_off() {
    let (mut raw, io) = tokio::io::duplex(1 << 10);
    let server = Connection::server(io);
    let mut flood = BytesMut::new();
    for id in 0..4000 {
        frame::put_ping(&mut flood, id * 2 + 1);
    }
    // The write fails once the connection is gone.
    let _ = soon(raw.write_all(&flood)).await;
    soon(server.closed()).await;
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    // A small generator of its own, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let block = Deflater::new().block(&Headers::new().with("streamtype", "data")).unwrap();
    for round in 0..500 {
        let mut bytes = BytesMut::new();
        if round % 2 == 0 {
            frame::put_syn_stream(&mut bytes, 1, &block);
            frame::put_data(&mut bytes, 1, false, b"hello");
            frame::put_window_update(&mut bytes, 1, 77);
            frame::put_goaway(&mut bytes, 0);
            // A few bytes of a well-formed exchange are turned.
            for _ in 0..1 + random() % 4 {
                let at = (random() as usize) % bytes.len();
                bytes[at] = random() as u8;
            }
        } else {
            bytes.extend((0..random() % 300).map(|_| random() as u8));
        }
        let (mut raw, io) = tokio::io::duplex(1 << 16);
        let mut server = Connection::server(io);
        let _ = raw.write_all(&bytes).await;
        drop(raw);
        soon(async {
            while let Some(mut stream) = server.accept_stream().await {
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text).await;
            }
            server.closed().await;
        })
        .await;
    }
}
