//! The node's side of the join.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CA_PATH, JOIN_PATH, JoinReply, JoinRequest};
use crate::data_dir::{read, write};
use crate::pki::{self, Pair};
use crate::token::Token;
use crate::{Error, Result, node_password};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Larger answers are not from our server.
const REPLY_LIMIT: usize = 1 << 20;

/// What a joined node holds, kept below `agent/` so that it can start while the server is away.
#[derive(Clone)]
pub struct Membership {
    /// The cluster's CA, PEM.
    pub ca: String,
    /// The kubelet's client certificate.
    pub client: Pair,
    /// The kubelet's serving certificate.
    pub serving: Pair,
    /// What every node knows.
    pub cluster: super::ClusterSettings,
}

/// Fetches the server's CA and holds it against the token's hash. With a short token whoever answers is trusted: the caller
/// warns about it.
pub async fn fetch_ca(server: &Uri, token: &Token) -> Result<String> {
    // Nothing secret is sent, and what comes back is held against the hash.
    let tls = client::trust::anyone().map_err(|error| unreachable(server, error))?;
    let (status, body) = send(server, tls, Method::GET, CA_PATH, None, Vec::new()).await?;
    let pem = String::from_utf8(body).ok().filter(|_| status == StatusCode::OK);
    let pem = pem.filter(|text| CertificateDer::from_pem_slice(text.as_bytes()).is_ok());
    let pem = pem.ok_or_else(|| unreachable(server, "it shows no CA certificate; is it an isopod server?"))?;
    match &token.ca_hash {
        Some(expected) if *expected != pki::hash(&pem) => {
            Err(Error::OtherCa { server: server.to_string(), found: pki::hash(&pem), expected: expected.clone() })
        }
        _ => Ok(pem),
    }
}

impl Membership {
    /// Whether it is the membership of a node called so: a node may have been renamed since.
    pub fn is_of(&self, node_name: &str) -> bool {
        self.client.common_name().is_some_and(|user| user.strip_prefix("system:node:") == Some(node_name))
    }

    /// Whether one of its certificates is to be renewed.
    pub fn is_due(&self, now: SystemTime) -> bool {
        self.client.is_due(now) || self.serving.is_due(now)
    }
}

/// Joins (again): new keys, new certificates. Everything is written below `dir` before it is returned. A node that has
/// joined before shows its client certificate too, which does where the token has expired since.
pub async fn join(
    server: &Uri,
    token: &Token,
    dir: &Path,
    node_name: &str,
    addresses: &[IpAddr],
) -> Result<Membership> {
    let ca = fetch_ca(server, token).await?;
    let kept = kept(dir)?.filter(|kept| kept.ca == ca);
    ask(server, token, dir, node_name, addresses, ca, kept.as_ref().map(|kept| &kept.client)).await
}

/// Joins again from within the cluster: as [`join`], but the server must prove itself to the CA the node knows.
pub async fn renew(
    server: &Uri,
    token: &Token,
    dir: &Path,
    node_name: &str,
    addresses: &[IpAddr],
    current: &Membership,
) -> Result<Membership> {
    ask(server, token, dir, node_name, addresses, current.ca.clone(), Some(&current.client)).await
}

async fn ask(
    server: &Uri,
    token: &Token,
    dir: &Path,
    node_name: &str,
    addresses: &[IpAddr],
    ca: String,
    identity: Option<&Pair>,
) -> Result<Membership> {
    let (request, keys) = prepare(dir, node_name, addresses)?;
    let bearer = Token { ca_hash: None, ..token.clone() }.render();
    let body = serde_json::to_vec(&request).map_err(|e| unreachable(server, e))?;
    let (status, body) = send(server, trust(&ca, identity)?, Method::POST, JOIN_PATH, Some(&bearer), body).await?;
    if status != StatusCode::OK {
        let message = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(Error::Refused { server: server.to_string(), message, retry: status.is_server_error() });
    }
    let reply: JoinReply = serde_json::from_slice(&body).map_err(|e| unreachable(server, e))?;
    keep(dir, ca, keys, reply)
}

/// The private keys of a request under way.
pub struct Keys {
    client: String,
    serving: String,
}

/// Makes the node's keys and a request for their certificates.
pub fn prepare(dir: &Path, node_name: &str, addresses: &[IpAddr]) -> Result<(JoinRequest, Keys)> {
    let user = format!("system:node:{node_name}");
    let (client_request, client) = pki::request(&user, "system:nodes")?;
    let (serving_request, serving) = pki::request(&user, "system:nodes")?;
    let request = JoinRequest {
        node_name: node_name.into(),
        node_password: node_password::ensure(&dir.join("node-password"))?,
        addresses: addresses.to_vec(),
        client_request,
        serving_request,
    };
    Ok((request, Keys { client, serving }))
}

/// Writes what the server granted.
pub fn keep(dir: &Path, ca: String, keys: Keys, reply: JoinReply) -> Result<Membership> {
    write(&dir.join("client-ca.crt"), ca.as_bytes(), 0o644)?;
    for (name, key, cert) in [
        ("client-kubelet", &keys.client, &reply.client_certificate),
        ("serving-kubelet", &keys.serving, &reply.serving_certificate),
    ] {
        write(&dir.join(format!("{name}.key")), key.as_bytes(), 0o600)?;
        write(&dir.join(format!("{name}.crt")), cert.as_bytes(), 0o644)?;
    }
    let settings = serde_json::to_vec_pretty(&reply.cluster).unwrap_or_default();
    write(&dir.join("cluster.json"), &settings, 0o644)?;
    Ok(Membership {
        ca,
        client: Pair { cert: reply.client_certificate, key: keys.client },
        serving: Pair { cert: reply.serving_certificate, key: keys.serving },
        cluster: reply.cluster,
    })
}

/// What an earlier join left, if it is whole: nothing of it is missing, keys and certificates belong together.
pub fn kept(dir: &Path) -> Result<Option<Membership>> {
    let file = |name: &str| read(&dir.join(name));
    let pair = |name: &str| -> Result<Option<Pair>> {
        Ok(file(&format!("{name}.crt"))?.zip(file(&format!("{name}.key"))?).map(|(cert, key)| Pair { cert, key }))
    };
    let settings = file("cluster.json")?.and_then(|text| serde_json::from_str(&text).ok());
    let (Some(ca), Some(client), Some(serving), Some(cluster)) =
        (file("client-ca.crt")?, pair("client-kubelet")?, pair("serving-kubelet")?, settings)
    else {
        return Ok(None);
    };
    let whole = client.belongs_together() && serving.belongs_together();
    Ok(whole.then_some(Membership { ca, client, serving, cluster }))
}

pub(super) async fn send(
    server: &Uri,
    tls: ClientConfig,
    method: Method,
    path: &str,
    bearer: Option<&str>,
    body: Vec<u8>,
) -> Result<(StatusCode, Vec<u8>)> {
    let exchange = async {
        let host = server.host().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
        let tcp =
            TcpStream::connect((host.as_str(), server.port_u16().unwrap_or(6443))).await.map_err(|e| e.to_string())?;
        let name = ServerName::try_from(host.clone()).map_err(|e| e.to_string())?;
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|e| no_trust(&host, &e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|e| e.to_string())?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_LIMIT).collect().await.map_err(|e| e.to_string())?;
        connection.abort();
        Ok::<_, String>((status, body.to_bytes().to_vec()))
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(outcome) => outcome.map_err(|why| unreachable(server, why)),
        Err(_) => Err(unreachable(server, "no answer in time")),
    }
}

fn unreachable(server: &Uri, why: impl std::fmt::Display) -> Error {
    Error::Unreachable { server: server.to_string(), why: why.to_string() }
}

/// Why TLS does not trust the server, with what helps where that can be told.
fn no_trust(host: &str, error: &std::io::Error) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => format!(
            "its certificate does not name {host}; join by another name of it, or start the server with --tls-san {host}"
        ),
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => "its certificate is not valid at this machine's time; are both clocks right?".into(),
        _ => error.to_string(),
    }
}

/// TLS that trusts a CA, with a client certificate to show if there is one.
pub(super) fn trust(ca_pem: &str, identity: Option<&Pair>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca_pem.as_bytes()).flatten() {
        // A certificate that cannot be a root is left out; without any, no connection succeeds.
        let _ = roots.add(cert);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let shown = identity.and_then(|pair| {
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect::<Result<Vec<_>, _>>().ok()?;
        Some((chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).ok()?))
    });
    // One that cannot be shown is not: the token may do.
    let with = shown.and_then(|(chain, key)| builder.clone().with_client_auth_cert(chain, key).ok());
    Ok(with.unwrap_or_else(|| builder.with_no_client_auth()))
}
