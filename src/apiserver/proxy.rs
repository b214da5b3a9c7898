//! Requests that end somewhere else: logs and sessions at a pod's kubelet, and the HTTP proxies of pods, services and nodes.
//!
//! Upgraded connections (WebSocket, SPDY) are passed through as they are; the far end speaks the protocol.

mod admit;
mod backend;
mod connections;
pub(crate) mod dial;
pub(crate) mod forward;
mod links;
mod options;
mod session;
#[cfg(test)]
pub(crate) mod tests;
mod unreached;

use std::net::IpAddr;
use std::sync::Arc;

use api::{Resource, Status};
use axum::body::Body;
use http::{HeaderMap, Response};
use watch_cache::Cache;

use crate::chain::Pass;
use crate::endpoints::ServiceEndpoints;
use crate::http::Incoming;
use crate::metrics::requests::LongRunning;
use crate::server::Server;
use crate::trust::{self, Trust};

pub(crate) use connections::Connections;
pub use dial::{KubeletAccess, KubeletAccessError};
use options::ConnectOptions;

/// How to find and reach what requests are passed on to.
pub(crate) struct Proxy {
    kubelet: Arc<KubeletAccess>,
    /// For pods and services that speak TLS: nobody can say which names their certificates should have.
    blind: Arc<rustls::ClientConfig>,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    endpoints: ServiceEndpoints,
    /// Which addresses of pods and nodes requests are passed on to.
    proxied: fn(IpAddr) -> bool,
}

/// Whether an address is one that pods and nodes may be proxied at: nothing that only this machine or its link can reach, where
/// the API server would lend a client its place. Go's `IsGlobalUnicast`.
pub fn is_global_unicast(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !link_local && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

impl Proxy {
    pub(crate) fn new(
        kubelet: Arc<KubeletAccess>,
        endpoints: ServiceEndpoints,
        proxied: fn(IpAddr) -> bool,
        cache: &impl Fn(&str, &str) -> Arc<Cache>,
    ) -> Result<Self, KubeletAccessError> {
        Ok(Self {
            kubelet,
            blind: Arc::new(trust::client_config(Trust::Anyone, None)?),
            pods: cache("", "pods"),
            nodes: cache("", "nodes"),
            endpoints,
            proxied,
        })
    }
}

/// Where a request goes.
pub(crate) struct Target {
    /// `host:port` to connect to.
    pub(crate) authority: String,
    /// How to speak there.
    pub(crate) link: Link,
    /// Path and query to ask for.
    pub(crate) path: String,
    /// The path of the proxy itself, which links and `Location` headers of answers have to stay below; empty for kubelets
    /// and API servers.
    pub(crate) below: String,
    /// What is told beside the client's own headers.
    pub(crate) headers: HeaderMap,
}

/// How a connection to somebody is made.
pub(crate) enum Link {
    /// As it is.
    Plain,
    /// Over TLS, by the host's name.
    Tls(Arc<rustls::ClientConfig>),
    /// By one that is kept, where the request is not to last.
    Kept(Connections),
}

impl From<Option<Arc<rustls::ClientConfig>>> for Link {
    fn from(tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        tls.map_or(Self::Plain, Self::Tls)
    }
}

/// Answers a request for `log`, `exec`, `attach`, `portforward` or `proxy`.
pub(crate) async fn serve(
    server: &Arc<Server>,
    pass: &Pass,
    row: &Arc<Resource>,
    incoming: Incoming<'_>,
    counted: Option<LongRunning>,
) -> Result<Response<Body>, Status> {
    let proxy = &server.proxy;
    tracing::debug!(user = %pass.user.name, subresource = %incoming.info.subresource, "passing a request on");
    // A websocket's token was for us.
    let mut incoming = incoming;
    crate::authentication::strip_browser_token(incoming.request.headers_mut());
    let options = ConnectOptions::read(incoming.info, incoming.query)?;
    admit::admit(&server.chain.registry, pass, row, incoming.info, &options).await?;
    match &options {
        ConnectOptions::Log(options) => proxy.log(incoming, options, server.draining.clone(), counted).await,
        ConnectOptions::Proxy => proxy.backend(&row.plural, incoming, counted).await,
        sessions => proxy.session(incoming, sessions, counted).await,
    }
}
