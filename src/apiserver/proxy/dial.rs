//! Connecting to kubelets, pods and services.

use std::error::Error;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use api::Status;
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::trust::{self, Trust, TrustError};

/// Upstream's patience with the far end.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// How those are told whose requests did not get through.
pub(crate) const UNREACHED: &str = "error trying to reach service: ";

/// A client certificate or CA that kubelets cannot be reached with.
pub type KubeletAccessError = TrustError;

/// How the API server proves itself to kubelets, and knows theirs: by client certificate, and the cluster's CA.
#[derive(Debug)]
pub struct KubeletAccess(ArcSwap<Configs>);

#[derive(Debug)]
struct Configs {
    proven: Arc<ClientConfig>,
    /// Takes whoever answers for the kubelet.
    unproven: Arc<ClientConfig>,
}

impl KubeletAccess {
    /// The CA of the kubelets' serving certificates, and our certificate chain and key, all PEM.
    pub fn from_pem(ca: &str, chain: &str, key: &str) -> Result<Self, KubeletAccessError> {
        Ok(Self(ArcSwap::from_pointee(configs(ca, chain, key)?)))
    }

    /// Uses others from now on.
    pub fn replace(&self, ca: &str, chain: &str, key: &str) -> Result<(), KubeletAccessError> {
        self.0.store(Arc::new(configs(ca, chain, key)?));
        Ok(())
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.0.load().proven.clone()
    }

    /// For clients that do not ask the kubelet for proof.
    pub(super) fn tls_to_anyone(&self) -> Arc<ClientConfig> {
        self.0.load().unproven.clone()
    }
}

fn configs(ca: &str, chain: &str, key: &str) -> Result<Configs, TrustError> {
    let config = |trust| trust::client_config(trust, Some((chain.as_bytes(), key.as_bytes()))).map(Arc::new);
    Ok(Configs { proven: config(Trust::Bundle(ca.as_bytes()))?, unproven: config(Trust::Anyone)? })
}

/// A byte stream to somewhere.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to `host:port`; 503 when nobody is there. Over TLS whoever answers has to prove to be `server_name`, or the
/// host where there is none.
pub(super) async fn connect(
    authority: &str,
    tls: Option<&Arc<ClientConfig>>,
    server_name: Option<&str>,
) -> Result<Box<dyn Stream>, Status> {
    let failed = |why: String| {
        tracing::debug!(authority, %why, "the far end of a proxied request cannot be reached");
        unreached(why)
    };
    let undialed = |why: &str| failed(format!("dial tcp {authority}: {why}"));
    let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(authority));
    let stream = match connected.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(undialed(&explain(&error))),
        Err(_) => return Err(undialed("i/o timeout")),
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let name = server_name.unwrap_or_else(|| host.trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned()).map_err(|error| undialed(&error.to_string()))?;
    let shaken =
        tokio::time::timeout(CONNECT_TIME, tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream));
    match shaken.await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls) => trust::explain(tls),
            None => explain(&error),
        })),
        Err(_) => Err(failed("net/http: TLS handshake timeout".to_owned())),
    }
}

fn unreached(why: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("{UNREACHED}{why}"))
}

/// The failure of a connection that was there, in the words Go has for it.
pub(super) fn broken(error: &(dyn Error + 'static)) -> Status {
    tracing::debug!(error, "a request cannot be passed on");
    let causes = || std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    if let Some(io) = causes().find_map(|cause| cause.downcast_ref::<std::io::Error>()) {
        return unreached(explain(io));
    }
    match causes().find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(hyper) if hyper.is_incomplete_message() || hyper.is_closed() => unreached("EOF"),
        Some(hyper) if hyper.is_parse_too_large() => {
            unreached("net/http: HTTP/1.x transport connection broken: too long")
        }
        Some(hyper) if hyper.is_parse() => {
            unreached(format_args!("net/http: HTTP/1.x transport connection broken: malformed HTTP response: {hyper}"))
        }
        _ => unreached(error),
    }
}

/// What went wrong on the way to somebody, in the words Go has for it.
pub(crate) fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}
