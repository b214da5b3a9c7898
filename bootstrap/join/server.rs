//! The server's side of the join.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::{DeleteOptions, ListOptions, Resource, Status, User, resource};
use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, kinds};
use serde_json::{Value, json};

use super::{CA_PATH, ClusterSettings, JOIN_PATH, JoinReply, JoinRequest, claims};
use crate::certificates::Names;
use crate::pki::{Authority, Leaf};
use crate::token::{Token, TokenFile};
use crate::{Error, node_password};

/// A join request is two certificate requests and a few words.
const BODY_LIMIT: usize = 64 << 10;
/// How long a node may take between its join and its registration.
const JOINING: Duration = Duration::from_secs(600);
/// What follows the node's name in the name of the Secret that keeps its password.
const PASSWORD_SUFFIX: &str = ".node-password.isopod";

/// Admits nodes: checks the token and the node's password, signs its certificates.
pub struct Joins {
    /// The cluster's CA.
    pub ca: Arc<Authority>,
    /// The token that admits workers, beside bootstrap tokens.
    pub token: TokenFile,
    /// What the server's own certificate names: no worker may.
    pub names: Names,
    /// What every node is told.
    pub cluster: ClusterSettings,
    /// Reads bootstrap tokens, keeps node passwords.
    pub client: Client,
}

/// Who asks, as the connection tells.
struct Caller<'a> {
    /// The user of its client certificate.
    certified: Option<&'a User>,
    /// Where it comes from.
    peer: Option<IpAddr>,
}

/// Why a join is refused.
enum Refusal {
    Token,
    OtherNode { certified: String, asked: String },
    Password(String),
    Taken(String),
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

    fn own_token(&self) -> Result<Token, Refusal> {
        self.token.token().map_err(|error| {
            tracing::error!(%error, "the token cannot be read: nobody can join by it");
            Refusal::Later("the server's token cannot be read".into())
        })
    }

    async fn join(&self, headers: &HeaderMap, caller: Caller<'_>, body: &[u8]) -> Result<JoinReply, Refusal> {
        let Caller { certified, peer } = caller;
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
        let by_token = match bearer.and_then(|text| Token::parse(text).ok()) {
            Some(token) => self.own_token()?.admits(&token) || self.admits_bootstrap_token(&token).await?,
            None => false,
        };
        // A node outlives the token it came with: bootstrap tokens last a day.
        let certified = certified.and_then(node_of);
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
        if let Some(certified) = certified.filter(|certified| !by_token && *certified != request.node_name) {
            return Err(Refusal::OtherNode { certified: certified.to_owned(), asked: request.node_name });
        }
        self.check_claims(&request, peer).await?;
        // Before the password: a request that cannot be granted takes no name.
        let reply = self
            .issue(&request, SystemTime::now())
            .map_err(|_| Refusal::Malformed("a certificate request cannot be read".into()))?;
        self.check_password(&request.node_name, &request.node_password).await?;
        tracing::info!(node = request.node_name, by_token, "node joined");
        Ok(reply)
    }

    /// Whether the request asks for what is another's.
    async fn check_claims(&self, request: &JoinRequest, peer: Option<IpAddr>) -> Result<(), Refusal> {
        let settled =
            claims::name(request, &self.names).or_else(|| claims::address(request, &self.names, &self.cluster));
        if let Some(why) = settled {
            return Err(Refusal::Malformed(why));
        }
        let of_another = claims::of_another(request, peer, &self.client).await;
        match of_another.map_err(|status| Refusal::Later(status.message))? {
            Some(why) => Err(Refusal::Taken(why)),
            None => Ok(()),
        }
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

    /// Forgets the password of every node that is deleted, before now or from now on: the machine may be installed anew and join
    /// again under its name. Never ends.
    pub async fn forget_deleted_nodes(&self) {
        let nodes = self.client.cache(&kinds::nodes());
        nodes.synced().await;
        let (_, mut changes) = nodes.subscribe();
        self.forget_the_missing().await;
        loop {
            let Ok(changed) = changes.next().await else {
                // Fell behind the history: what was deleted meanwhile is found by looking at all.
                changes = nodes.subscribe().1;
                self.forget_the_missing().await;
                continue;
            };
            for node in
                changed.iter().map(|change| &change.object.meta.name).filter(|name| nodes.get("", name).is_none())
            {
                self.forget(node).await;
            }
        }
    }

    /// Forgets the passwords of nodes that are not there. A node that is joining has a password before it has a Node.
    async fn forget_the_missing(&self) {
        let nodes = self.client.cache(&kinds::nodes());
        let all = match self.client.list(secrets(), "kube-system", ListOptions::default()).await {
            Ok(all) => all,
            Err(error) => return tracing::warn!(%error, "passwords of nodes that are gone are kept"),
        };
        let long_ago = jiff::Timestamp::now() - JOINING;
        for secret in all.items.iter().filter(|secret| secret.meta.creation_timestamp.is_some_and(|at| at < long_ago)) {
            let node = secret.meta.name.strip_suffix(PASSWORD_SUFFIX).filter(|node| nodes.get("", node).is_none());
            if let Some(node) = node {
                self.forget(node).await;
            }
        }
    }

    async fn forget(&self, node: &str) {
        let secret = password_secret(node);
        match self.client.delete(secrets(), "kube-system", &secret, DeleteOptions::default()).await {
            Ok(()) => tracing::info!(node, "the password of a deleted node is forgotten"),
            Err(status) if status.is_not_found() => {}
            Err(error) => tracing::warn!(node, %error, "the password of a deleted node is kept"),
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
    user: Option<Extension<Arc<User>>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let caller =
        Caller { certified: user.as_ref().map(|user| &***user), peer: peer.map(|Extension(peer)| peer.0.ip()) };
    match joins.join(&headers, caller, &body).await {
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
                Refusal::Taken(why) => (StatusCode::FORBIDDEN, why),
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
    format!("{node}{PASSWORD_SUFFIX}")
}

fn secrets() -> &'static Arc<Resource> {
    // A row of the built-in table.
    resource::find("", "v1", "secrets").unwrap_or_else(|| unreachable!("the table has no secrets"))
}
