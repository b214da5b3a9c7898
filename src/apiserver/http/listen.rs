//! The accept loop: connections, handshakes and their limits, and the drain at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Polite;
use super::gather::Gathering;
use super::stall::Stalling;
use crate::authentication::x509::Peer;
use crate::server::Server;

/// A peer that needs longer for the handshake is not a client.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take over the head of a request, and how long a connection may idle without one. Upstream's idle
/// time: clients keep connections as long.
const HEADER_TIME: Duration = Duration::from_secs(90);
/// Heads of requests are at most this large, as upstream's.
const HEADER_MAX: usize = 1 << 20;
/// And have so many lines: a proxy tells each of a user's groups in one.
const HEADERS_MAX: usize = 1000;
/// Requests under way on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1000;
const CONNECTIONS_MAX: usize = 20_000;
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(15);
/// How long requests under way may take at the end.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Serves until `shutdown`, then lets what is under way come to its end.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: CancellationToken) {
    let acceptor = TlsAcceptor::from(server.tls.clone());
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let (stream, address) = accepted;
        let Ok(place) = room.clone().try_acquire_owned() else {
            tracing::warn!(%address, "too many connections, one was turned away");
            continue;
        };
        let (server, acceptor, shutdown) = (server.clone(), acceptor.clone(), shutdown.clone());
        connections.spawn(async move {
            server.chain.metrics.connections.inc();
            connection(&server, acceptor, stream, address, shutdown).await;
            server.chain.metrics.connections.dec();
            drop(place);
        });
    }
    drop(listener);
    // Watches end now, and their clients go elsewhere; everything else may finish.
    server.draining.cancel();
    connections.close();
    if tokio::time::timeout(DRAIN_TIME, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections are cut off");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end make room.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    server: &Arc<Server>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, %error, "TCP_NODELAY cannot be set");
    }
    let stream = match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            server.chain.metrics.handshake_errors.inc();
            tracing::debug!(%address, %error, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            server.chain.metrics.handshake_errors.inc();
            tracing::debug!(%address, "a TLS handshake took too long");
            return;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = Arc::new(Peer::judge(chain, &server.client_ca, server.front_proxy_ca.as_deref(), address));
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move {
            Ok::<_, Infallible>(super::handle(server, peer, request.map(|body| Body::new(Polite::new(body)))).await)
        }
    });
    let (builder, stream) = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => (builder().http2_only(), Gathering::new(Stalling::new(stream))),
        _ => (builder(), Gathering::passing(Stalling::new(stream))),
    };
    let mut connection =
        stream.serve(|stream| Box::pin(builder.serve_connection_with_upgrades(TokioIo::new(stream), service)));
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = shutdown.cancelled() => {
            connection.connection().as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%address, error = &*error, "a connection ended badly");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_MAX as u32)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    builder
}
