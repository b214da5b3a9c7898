//! Where a webhook is, whom it is believed to be, and who we are to it.

use std::error::Error;
use std::path::PathBuf;

use base64::Engine;
use http::{HeaderValue, Uri};
use hyper_rustls::ResolveServerName;
use rustls::pki_types::ServerName;

use crate::endpoints::authority;
use crate::proxy::dial;
use crate::trust;

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A URL, `https://host[:port]/path`.
    Url(Uri),
    /// A Service of the cluster.
    Service {
        /// The service's namespace.
        namespace: String,
        /// The service's name.
        name: String,
        /// The path to post to; empty for `/`.
        path: String,
        /// The service's port.
        port: u16,
    },
}

/// A certificate chain and its key, PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The certificate and those that vouch for it.
    pub chain: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

/// What a webhook is told of who asks, beside a certificate.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// A token.
    Bearer(String),
    /// A token in a file, read before every call because it is renewed there.
    BearerFile(PathBuf),
    /// A name and a password.
    Basic(String, String),
}

/// Everything that has to be known to call a webhook.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// Where it is.
    pub place: Place,
    /// PEM certificates that vouch for it; without any the machine's authorities do.
    pub ca: Option<Vec<u8>>,
    /// Whether its certificate is not looked at.
    pub insecure: bool,
    /// The name its certificate has to have, if not the host's.
    pub server_name: Option<String>,
    /// The certificate shown to it.
    pub identity: Option<Identity>,
    /// What it is told beside.
    pub authorization: Authorization,
    /// Whether HTTP/2 is spoken where it is offered. Upstream does with webhooks of a kubeconfig and those on this machine.
    pub http2: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Access {
    /// A webhook as configurations of admission and of conversion have it: a place, and PEM certificates that vouch for it
    /// (empty for the machine's).
    pub fn new(place: Place, ca_bundle: &[u8]) -> Self {
        let local = match &place {
            Place::Url(url) => is_local(url.host().unwrap_or_default()),
            Place::Service { .. } => false,
        };
        Self {
            place,
            ca: (!ca_bundle.is_empty()).then(|| ca_bundle.to_vec()),
            insecure: false,
            server_name: None,
            identity: None,
            authorization: Authorization::None,
            http2: local,
        }
    }
}

fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Place {
    /// Scheme, `host[:port]` and path, as messages show them.
    pub(super) fn parts(&self) -> (&str, String, String) {
        let rooted = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        match self {
            Self::Url(url) => {
                let host = url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
                let path = url.path_and_query().map_or("", |path| path.as_str());
                (url.scheme_str().unwrap_or("https"), host, rooted(path))
            }
            Self::Service { path, port, .. } => ("https", authority(&self.server_name(), *port), rooted(path)),
        }
    }

    /// The name that the certificate has to have.
    pub(super) fn server_name(&self) -> String {
        match self {
            Self::Url(url) => url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            Self::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }
}

impl Authorization {
    /// The header's value. Errors are for people.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, String> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => format!("Bearer {token}"),
            Self::BearerFile(path) => {
                let token = tokio::fs::read_to_string(path).await;
                let token = token.map_err(|error| format!("failed to read token file {path:?}: {error}"))?;
                format!("Bearer {}", token.trim())
            }
            Self::Basic(name, password) => {
                let both = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
                format!("Basic {both}")
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| "the credentials are no header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Certificates are checked for this name, whatever address is connected to.
pub(super) struct ServerNamed(pub(super) String);

impl ResolveServerName for ServerNamed {
    fn resolve(&self, _: &Uri) -> Result<ServerName<'static>, Box<dyn Error + Send + Sync>> {
        Ok(ServerName::try_from(self.0.clone())?)
    }
}

/// Why there was no answer, in Go's words, and whether the connection merely broke.
pub(super) fn explain(error: &hyper_util::client::legacy::Error, authority: &str) -> (String, bool) {
    let mut innermost: &(dyn Error + 'static) = error;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        innermost = error;
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return (trust::explain(tls), false);
        }
        cause = match error.downcast_ref::<std::io::Error>() {
            // Who goes without a word, TLS's included, has gone.
            Some(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => break,
            // What an I/O error wraps is not its source.
            Some(io) if io.get_ref().is_some() => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            _ => error.source(),
        };
    }
    let why = match innermost.downcast_ref::<std::io::Error>() {
        Some(io) => dial::explain(io),
        None => innermost.to_string(),
    };
    let why = if error.is_connect() { format!("dial tcp {authority}: {why}") } else { why };
    (why, !error.is_connect())
}
