//! The server's side of the join.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use api::validation::ip::{mask, parse_cidr};
use api::{DeleteOptions, Resource, Status, User, resource};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, kinds};
use serde_json::{Value, json};

use super::{CA_PATH, ClusterSettings, JOIN_PATH, JoinReply, JoinRequest};
use crate::pki::{Authority, Leaf};
use crate::token::Token;
use crate::{Error, node_password};

/// A join request is two certificate requests and a few words.
const BODY_LIMIT: usize = 64 << 10;

/// Admits nodes: checks the token and the node's password, signs its certificates.
pub struct Joins {
    /// The cluster's CA.
    pub ca: Arc<Authority>,
    /// The server's own token.
    pub token: Token,
    /// What every node is told.
    pub cluster: ClusterSettings,
    /// Reads bootstrap tokens, keeps node passwords.
    pub client: Client,
}

/// Why a join is refused.
enum Refusal {
    Token,
    OtherNode { certified: String, asked: String },
    Password(String),
    Malformed(String),
    Later(String),
}

impl Joins {
    /// The routes to serve beside the API. Where the caller has shown a client certificate of the cluster, the request must carry
    /// its user as an extension (`Arc<User>`): a node may renew its own certificates with the one it has.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(CA_PATH, get(|State(joins): State<Arc<Self>>| async move { joins.ca.cert().to_owned() }))
            .route(JOIN_PATH, post(handle))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(self)
    }

    /// Signs the node's certificates, for a year from `now`. The server's own agent calls this directly.
    pub fn issue(&self, request: &JoinRequest, now: SystemTime) -> crate::Result<JoinReply> {
        let user = format!("system:node:{}", request.node_name);
        let names = vec![request.node_name.clone(), "localhost".into()];
        let serving = Leaf::server(&user, api::user::NODES, names, request.addresses.clone());
        Ok(JoinReply {
            client_certificate: self.ca.sign(&request.client_request, &Leaf::client(&user, api::user::NODES), now)?,
            serving_certificate: self.ca.sign(&request.serving_request, &serving, now)?,
            cluster: self.cluster.clone(),
        })
    }

    /// Gives the server's own node its name, whoever had it: a worker that calls itself the same, as clones of a machine do,
    /// is refused from then on. An error may pass.
    pub async fn claim(&self, node: &str, password: &str) -> crate::Result<()> {
        let later = |message| Error::Refused { server: "the API server".into(), message, retry: true };
        match self.check_password(node, password).await {
            Err(Refusal::Password(_)) => {
                tracing::warn!(node, "another machine has joined under this server's name; it cannot join again");
                let name = password_secret(node);
                let deleted = self.client.delete(secrets(), "kube-system", &name, DeleteOptions::default()).await;
                deleted.map_err(|e| later(e.message))?;
                Err(later("the name is being claimed".into()))
            }
            Err(Refusal::Later(why)) => Err(later(why)),
            _ => Ok(()),
        }
    }

    async fn join(&self, headers: &HeaderMap, caller: Option<&User>, body: &[u8]) -> Result<JoinReply, Refusal> {
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        let by_token = match bearer.and_then(|text| Token::parse(text).ok()) {
            Some(token) => self.token.admits(&token) || self.admits_bootstrap_token(&token).await?,
            None => false,
        };
        // A node outlives the token it came with: bootstrap tokens last a day.
        let certified = caller.and_then(node_of);
        if !by_token && certified.is_none() {
            return Err(Refusal::Token);
        }
        let request: JoinRequest = serde_json::from_slice(body).map_err(|e| Refusal::Malformed(e.to_string()))?;
        if !is_node_name(&request.node_name) {
            return Err(Refusal::Malformed(format!(
                "{:?} is no node name: use a lowercase RFC 1123 subdomain",
                request.node_name
            )));
        }
        if let Some(claimed) = self.not_a_nodes(&request) {
            return Err(Refusal::Malformed(format!("{claimed} cannot be a node's: the cluster itself answers there")));
        }
        if let Some(certified) = certified.filter(|certified| !by_token && *certified != request.node_name) {
            return Err(Refusal::OtherNode { certified: certified.to_owned(), asked: request.node_name });
        }
        // Before the password: a request that cannot be granted takes no name.
        let reply = self
            .issue(&request, SystemTime::now())
            .map_err(|_| Refusal::Malformed("a certificate request cannot be read".into()))?;
        self.check_password(&request.node_name, &request.node_password).await?;
        tracing::info!(node = request.node_name, by_token, "node joined");
        Ok(reply)
    }

    /// A name or address in the request that pods know as the API server or as a Service: with a serving certificate for it a
    /// node could stand in for them.
    fn not_a_nodes(&self, request: &JoinRequest) -> Option<String> {
        let name = request.node_name.as_str();
        let reserved = ["kubernetes", "localhost"].contains(&name)
            || ["kubernetes.", "localhost."].iter().any(|first| name.starts_with(first))
            || name.split('.').any(|label| label == "svc");
        if reserved {
            return Some(format!("the name {name:?}"));
        }
        let services = parse_cidr(&self.cluster.service_cidr);
        let taken = |ip: &&IpAddr| {
            let service = services.is_some_and(|(network, bits)| mask(**ip, bits) == mask(network, bits));
            service || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast()
        };
        request.addresses.iter().find(taken).map(|ip| format!("the address {ip}"))
    }

    /// Whether this is a bootstrap token (a Secret in kube-system) that is valid now.
    async fn admits_bootstrap_token(&self, token: &Token) -> Result<bool, Refusal> {
        let name = format!("bootstrap-token-{}", token.user);
        let secret = match self.client.get(secrets(), "kube-system", &name).await {
            Ok(secret) => secret.to_value().map_err(|e| Refusal::Later(e.to_string()))?,
            Err(e) if e.is_not_found() => return Ok(false),
            Err(e) => return Err(Refusal::Later(e.message)),
        };
        let field = |name: &str| {
            let text = secret.get("data")?.get(name)?.as_str()?;
            String::from_utf8(STANDARD.decode(text).ok()?).ok()
        };
        let fresh = field("expiration")
            .is_none_or(|at| at.parse::<jiff::Timestamp>().is_ok_and(|at| at > jiff::Timestamp::now()));
        Ok(secret["type"] == "bootstrap.kubernetes.io/token"
            && fresh
            && field("usage-bootstrap-authentication").as_deref() == Some("true")
            && field("token-secret").is_some_and(|kept| crate::token::same(kept.as_bytes(), token.password.as_bytes())))
    }

    /// Forgets the password of every node that is deleted from now on: the machine may be installed anew and join again under
    /// its name. Never ends.
    pub async fn forget_deleted_nodes(&self) {
        let nodes = self.client.cache(&kinds::nodes());
        nodes.synced().await;
        let (_, mut changes) = nodes.subscribe();
        loop {
            let Ok(changed) = changes.next().await else {
                // Fell behind the history: what was deleted meanwhile keeps its password, as it would over a restart.
                changes = nodes.subscribe().1;
                continue;
            };
            for node in
                changed.iter().map(|change| &change.object.meta.name).filter(|name| nodes.get("", name).is_none())
            {
                let secret = password_secret(node);
                match self.client.delete(secrets(), "kube-system", &secret, DeleteOptions::default()).await {
                    Ok(()) => tracing::info!(node = &**node, "the password of a deleted node is forgotten"),
                    Err(status) if status.is_not_found() => {}
                    Err(error) => tracing::warn!(node = &**node, %error, "the password of a deleted node is kept"),
                }
            }
        }
    }

    /// Remembers the password of a node that is new, compares that of a node that is known.
    async fn check_password(&self, node: &str, password: &str) -> Result<(), Refusal> {
        let name = password_secret(node);
        let later = |e: Status| Refusal::Later(e.message);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "metadata": {"name": name, "namespace": "kube-system"},
            "data": {"hash": STANDARD.encode(node_password::hash(password))},
        });
        match self.client.create(secrets(), "kube-system", secret).await {
            Ok(_) => return Ok(()),
            Err(e) if e.is_already_exists() => {}
            Err(e) => return Err(later(e)),
        }
        let kept = self.client.get(secrets(), "kube-system", &name).await.map_err(later)?;
        let kept: Value = kept.to_value().map_err(|e| Refusal::Later(e.to_string()))?;
        let hash = kept.pointer("/data/hash").and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
        match hash.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(hash) if node_password::verify(password, &hash) => Ok(()),
            _ => Err(Refusal::Password(node.to_owned())),
        }
    }
}

async fn handle(
    State(joins): State<Arc<Joins>>,
    caller: Option<Extension<Arc<User>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match joins.join(&headers, caller.as_ref().map(|caller| &***caller), &body).await {
        Ok(reply) => axum::Json(reply).into_response(),
        Err(refusal) => {
            let (code, why) = match refusal {
                Refusal::Token => (StatusCode::UNAUTHORIZED, "the token is not valid here".to_owned()),
                Refusal::OtherNode { certified, asked } => (
                    StatusCode::UNAUTHORIZED,
                    format!(
                        "the token is not valid here, and the client certificate is that of node {certified:?}, not of {asked:?}"
                    ),
                ),
                Refusal::Password(node) => (
                    StatusCode::FORBIDDEN,
                    format!(
                        "a node named {node:?} has joined before with another password; use another --node-name, \
                         or delete the old node: kubectl delete node {node} (where it is gone already: \
                         kubectl -n kube-system delete secret {})",
                        password_secret(&node)
                    ),
                ),
                Refusal::Malformed(why) => (StatusCode::BAD_REQUEST, why),
                Refusal::Later(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
            };
            tracing::warn!(code = code.as_u16(), why, "join refused");
            (code, why).into_response()
        }
    }
}

/// The node a client certificate is of, if it is a node's.
fn node_of(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.groups.iter().any(|group| **group == *api::user::NODES))
}

/// Whether a node may be called so: a lowercase RFC 1123 subdomain.
pub fn is_node_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The name of the Secret that keeps a node's password.
fn password_secret(node: &str) -> String {
    format!("{node}.node-password.isopod")
}

fn secrets() -> &'static Arc<Resource> {
    // A row of the built-in table.
    resource::find("", "v1", "secrets").unwrap_or_else(|| unreachable!("the table has no secrets"))
}
