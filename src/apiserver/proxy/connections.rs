//! Connections to one aggregated API server. Those that are idle are kept and used again, so that a request costs no
//! handshake; watches and upgrades, which hold a connection as long as they last, get one of their own.
//!
//! HTTP/1.1 throughout: one connection of HTTP/2 carries no more requests at once than the far end allows, and a hundred
//! watches would hold up everybody else.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::Status;
use axum::body::Body;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::{self, Stream};

/// How many idle connections are kept to one endpoint, and for how long (client-go's figures).
const IDLE_CONNECTIONS: usize = 25;
const IDLE_TIME: Duration = Duration::from_secs(90);

/// The kept connections, by endpoint. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Client<Connector, Body>,
    connector: Connector,
}

impl Connections {
    /// Whoever answers has to prove to be `server_name`; `None` for the host that is connected to.
    pub(crate) fn new(tls: Arc<ClientConfig>, server_name: Option<String>) -> Self {
        let connector = Connector { tls, server_name };
        let kept = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .set_host(false)
            .build(connector.clone());
        Self(Arc::new(Inner { kept, connector }))
    }

    /// Sends a request, whose URI names the endpoint, on a connection that is free or on a new one.
    pub(super) async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<hyper::body::Incoming>, Status> {
        self.0.kept.request(request).await.map_err(|error| match std::error::Error::source(&error) {
            // The connector has said it all.
            Some(source) if source.is::<Status>() => source.downcast_ref().cloned().unwrap_or_default(),
            _ => dial::broken(&error),
        })
    }

    /// A connection that is nobody else's.
    pub(super) async fn open(&self, authority: &str) -> Result<Box<dyn Stream>, Status> {
        self.0.connector.connect(authority).await
    }
}

/// Makes new connections.
#[derive(Clone, Debug)]
struct Connector {
    tls: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl Connector {
    async fn connect(&self, authority: &str) -> Result<Box<dyn Stream>, Status> {
        dial::connect(authority, Some(&self.tls), self.server_name.as_deref()).await
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Kept>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let authority = endpoint.authority().map_or("", |authority| authority.as_str());
            connector.connect(authority).await.map(|stream| TokioIo::new(Kept(stream)))
        })
    }
}

/// A connection that may be kept.
struct Kept(Box<dyn Stream>);

impl Connection for Kept {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Kept {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
