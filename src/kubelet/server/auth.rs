//! Who asks, and whether they may.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::User;
use http::{Method, Request, StatusCode, header};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Answer, text};
use crate::Config;
use crate::agent::Agent;
use crate::error::{Error, Result};
use crate::resources;

/// How long answers of the API server hold: upstream's defaults.
const TOKEN_TTL: Duration = Duration::from_secs(120);
const ALLOWED_TTL: Duration = Duration::from_secs(300);
const DENIED_TTL: Duration = Duration::from_secs(30);
/// Remembered answers; beyond that the memory is emptied.
const REMEMBERED: usize = 4096;

/// TLS with client certificates asked for and not demanded: tokens do as well.
pub(super) fn tls(config: &Config) -> Result<Arc<ServerConfig>> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Preflight(format!("the kubelet's TLS configuration cannot be used: {error}"))
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?;
    let mut roots = RootCertStore::empty();
    for certificate in &config.client_ca {
        roots.add(certificate.clone()).map_err(|e| wrong(&e))?;
    }
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider).allow_unauthenticated().build();
        builder.with_client_cert_verifier(verifier.map_err(|e| wrong(&e))?)
    };
    let mut tls = builder.with_cert_resolver(config.serving.clone());
    // Upgrades are a matter of HTTP/1.1; metrics collectors may use HTTP/2.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

/// User, groups, verb and subresource.
type Access = (String, Vec<String>, &'static str, &'static str);

/// Remembers what the API server said.
#[derive(Default)]
pub(super) struct Auth {
    tokens: Mutex<HashMap<String, (Instant, Option<User>)>>,
    access: Mutex<HashMap<Access, (Instant, bool)>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenReview {
    status: TokenReviewStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenReviewStatus {
    authenticated: bool,
    user: ReviewedUser,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReviewedUser {
    username: String,
    uid: String,
    groups: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessReview {
    status: AccessReviewStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessReviewStatus {
    allowed: bool,
}

impl Auth {
    /// Lets the request pass, or says why not.
    pub(super) async fn check<B>(
        &self,
        agent: &Agent,
        request: &Request<B>,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Result<(), Answer> {
        let Some(user) = self.authenticate(agent, request, certificate).await else {
            return Err(text(StatusCode::UNAUTHORIZED, "Unauthorized"));
        };
        let verb = verb(request.method());
        let subresources = subresources(request.uri().path());
        for subresource in subresources {
            match self.authorize(agent, &user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, user = user.name, "the API server did not say whether a request is allowed");
                    let why = format!(
                        "Authorization error (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
                        user.name,
                        subresources.join(" ")
                    );
                    return Err(text(StatusCode::INTERNAL_SERVER_ERROR, why));
                }
            }
        }
        let why = format!(
            "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
            user.name,
            subresources.join(" ")
        );
        Err(text(StatusCode::FORBIDDEN, why))
    }

    async fn authenticate<B>(
        &self,
        agent: &Agent,
        request: &Request<B>,
        certificate: Option<&CertificateDer<'_>>,
    ) -> Option<User> {
        // The chain was verified in the handshake.
        if let Some(user) = certificate.and_then(|c| subject(c)) {
            return Some(user);
        }
        let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?.1.trim();
        if token.is_empty() || token.len() > 16 << 10 {
            return None;
        }
        if let Some((at, user)) = self.tokens.lock().get(token)
            && at.elapsed() < TOKEN_TTL
        {
            return user.clone();
        }
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let answer = agent.client.create(resources::token_reviews(), "", review).await;
        let review: TokenReview = match answer {
            Ok(object) => object.view().unwrap_or_default(),
            Err(error) => {
                warn!(%error, "the API server did not review a token");
                return None;
            }
        };
        let reviewed = review.status.user;
        let user = review
            .status
            .authenticated
            .then(|| User { uid: reviewed.uid, ..User::new(reviewed.username, reviewed.groups) });
        let mut tokens = self.tokens.lock();
        if tokens.len() >= REMEMBERED {
            tokens.clear();
        }
        tokens.insert(token.to_owned(), (Instant::now(), user.clone()));
        user
    }

    async fn authorize(
        &self,
        agent: &Agent,
        user: &User,
        verb: &'static str,
        subresource: &'static str,
    ) -> Result<bool, api::Status> {
        let key = (user.name.clone(), user.groups.clone(), verb, subresource);
        if let Some((at, allowed)) = self.access.lock().get(&key)
            && at.elapsed() < if *allowed { ALLOWED_TTL } else { DENIED_TTL }
        {
            return Ok(*allowed);
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups,
                "resourceAttributes": {
                    "verb": verb, "group": "", "version": "v1", "resource": "nodes", "subresource": subresource, "name": agent.config.node_name,
                },
            },
        });
        let answer = agent.client.create(resources::access_reviews(), "", review).await?;
        let allowed = answer.view::<AccessReview>().unwrap_or_default().status.allowed;
        let mut access = self.access.lock();
        if access.len() >= REMEMBERED {
            access.clear();
        }
        access.insert(key, (Instant::now(), allowed));
        Ok(allowed)
    }
}

/// Name and groups of a client certificate: common name and organizations.
fn subject(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<String> =
        parsed.subject().iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Some(User::new(name, groups))
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

/// What of `nodes` a path belongs to: a fine-grained subresource first, where there is one, then what covers it.
fn subresources(path: &str) -> &'static [&'static str] {
    let under = |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    match () {
        () if under("/stats") => &["stats"],
        () if under("/metrics") => &["metrics"],
        () if under("/logs") => &["log"],
        () if under("/pods") || under("/runningpods") => &["pods", "proxy"],
        () if under("/healthz") => &["healthz", "proxy"],
        () if under("/configz") => &["configz", "proxy"],
        () => &["proxy"],
    }
}
