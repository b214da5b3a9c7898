//! Port 10250: what the API server, metrics collectors and people with the right ask of a node.
//!
//! Everybody proves who they are by a client certificate of the cluster's CA or by a token; what they may do the API server decides
//! (TokenReview, SubjectAccessReview on `nodes/<subresource>`). Nobody is anonymous.

mod auth;
mod command;
mod logs;
mod metrics;
mod stats;
mod status;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::agent::Agent;
use crate::error::{Error, Result};
use auth::Auth;

pub(crate) type Body = BoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

/// Connections at the same time; further ones wait.
const CONNECTIONS: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);

/// What a handler gets beside the request.
pub(crate) struct Server {
    pub(crate) agent: Arc<Agent>,
    auth: Auth,
}

/// Listens on the configured addresses until `stop`.
pub(crate) async fn start(agent: Arc<Agent>, stop: CancellationToken) -> Result<()> {
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address).await.map_err(|error| {
            Error::Preflight(format!(
                "cannot listen on {address} ({error}): another kubelet may be running on this machine"
            ))
        })
    };
    if let Some(address) = agent.config.healthz {
        let listener = bind(address).await?;
        tokio::spawn(serve_healthz(listener, stop.clone()));
    }
    let listener = bind(agent.config.listen).await?;
    let port = listener.local_addr().map_or(agent.config.listen.port(), |a| a.port());
    agent.set_port(port);
    let tls = auth::tls(&agent.config)?;
    info!(port, "kubelet server listens");
    let server = Arc::new(Server { auth: Auth::default(), agent });
    tokio::spawn(accept(listener, tokio_rustls::TlsAcceptor::from(tls), server, stop));
    Ok(())
}

async fn accept(listener: TcpListener, tls: tokio_rustls::TlsAcceptor, server: Arc<Server>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (tls, server, stop) = (tls.clone(), server.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, tls, server) => {}
            }
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, tls: tokio_rustls::TlsAcceptor, server: Arc<Server>) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
        Err(_) => return debug!("TLS handshake took too long"),
    };
    let certificate: Option<CertificateDer<'static>> =
        stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|c| c.clone().into_owned());
    serve(stream, server, certificate).await;
}

/// Serves one connection of a peer with this certificate.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    server: Arc<Server>,
    certificate: Option<CertificateDer<'static>>,
) {
    let certificate = Arc::new(certificate);
    let service = service_fn(move |request: Request<Incoming>| {
        let (server, certificate) = (server.clone(), certificate.clone());
        async move { Ok::<_, Infallible>(server.answer(request, certificate.as_ref().as_ref()).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        debug!(%error, "connection ended");
    }
}

impl Server {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, certificate: Option<&CertificateDer<'_>>) -> Answer {
        match self.auth.check(&self.agent, &request, certificate).await {
            Ok(()) => {}
            Err(refusal) => return refusal,
        }
        self.route(request).await
    }

    async fn route(self: &Arc<Self>, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let agent = &self.agent;
        match parts.as_slice() {
            ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => text(StatusCode::OK, "ok"),
            ["pods"] => status::pods(agent),
            ["runningpods"] => status::running_pods(agent).await,
            ["configz"] => status::configz(agent),
            ["stats", "summary"] => stats::summary(agent).await,
            ["metrics"] => metrics::own(agent).await,
            ["metrics", "resource"] => metrics::resource(agent).await,
            ["metrics", "cadvisor"] => metrics::cadvisor(agent).await,
            ["metrics", "probes"] => metrics::probes(),
            ["logs", ..] => text(StatusCode::NOT_FOUND, "this node shows no system logs\n"),
            ["containerLogs", namespace, pod, container] => {
                logs::container(agent, namespace, pod, container, &query(&request)).await
            }
            ["exec", namespace, pod, rest @ ..] => either(command::exec(agent, namespace, pod, rest, request).await),
            ["attach", namespace, pod, rest @ ..] => {
                either(command::attach(agent, namespace, pod, rest, request).await)
            }
            ["run", namespace, pod, rest @ ..] => either(command::run(agent, namespace, pod, rest, request).await),
            ["portForward", namespace, pod, ..] => either(command::port_forward(agent, namespace, pod, request).await),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

/// The answer, granted or refused.
fn either(outcome: Result<Answer, Answer>) -> Answer {
    outcome.unwrap_or_else(|refusal| refusal)
}

/// The pairs of a query, in order, some keys more than once.
pub(crate) fn query<B>(request: &Request<B>) -> Vec<(String, String)> {
    Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|q| q.0).unwrap_or_default()
}

/// The first value of a key.
pub(crate) fn value<'a>(query: &'a [(String, String)], key: &str) -> Option<&'a str> {
    query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
}

pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, "text/plain; charset=utf-8", body)
}

pub(crate) fn json(body: &serde_json::Value) -> Answer {
    respond(StatusCode::OK, "application/json", body.to_string())
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// Plain HTTP on the loopback, for whoever watches over this agent.
async fn serve_healthz(listener: TcpListener, stop: CancellationToken) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async move {
                let found = request.uri().path().starts_with("/healthz");
                Ok::<_, Infallible>(if found {
                    text(StatusCode::OK, "ok")
                } else {
                    text(StatusCode::NOT_FOUND, "404 page not found\n")
                })
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            let _ = serving.await;
        });
    }
}
