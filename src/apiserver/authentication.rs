//! Who asks: client certificates, bearer tokens of many kinds, front-proxy headers, or nobody.
//!
//! The order is upstream's: front proxy, client certificate, token; of tokens those written down, service accounts', bootstrap
//! tokens, other issuers', and what a webhook knows. Credentials that are there and wrong are 401, also where anonymous
//! requests are allowed.

pub(crate) mod bootstrap_token;
mod config;
mod front_proxy;
pub(crate) mod keys;
pub(crate) mod legacy_tokens;
mod oidc;
pub(crate) mod published;
pub(crate) mod service_account;
#[cfg(test)]
mod tests;
mod token_file;
pub(crate) mod token_request;
pub(crate) mod webhook;
pub(crate) mod x509;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use api::{Status, User};
use arc_swap::ArcSwap;
use base64::Engine;
use http::HeaderMap;

pub use config::{Anonymous, Authentication, AuthenticationConfigError, RequestHeaders};
pub use keys::{KeyError, ServiceAccountKeys};
pub use oidc::{ClaimMapping, Expression, JwtIssuer, JwtIssuerError, ValidationRule};
pub use service_account::TokenLimits;
pub use token_file::{TokenFile, TokenFileError};
pub use webhook::TokenWebhook;

use crate::digest_cache::{DigestCache, LONGEST};
use crate::notes;
use bootstrap_token::BootstrapTokens;
use service_account::ServiceAccounts;
use x509::Peer;

/// Tokens of browsers travel in a WebSocket subprotocol of this prefix.
const BROWSER_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";
/// Of a token that is of no kind the server knows.
pub(crate) const UNKNOWN_TOKEN: &str = "invalid bearer token";
/// How long a verified token of another issuer is not verified again.
const CACHED: Duration = Duration::from_secs(10);
/// How long it may take until new issuers are known, as upstream.
const ISSUERS_KNOWN_IN: Duration = Duration::from_secs(60);

/// All ways to prove who one is.
pub(crate) struct Authenticator {
    pub(crate) service_accounts: Arc<ServiceAccounts>,
    bootstrap: BootstrapTokens,
    static_tokens: TokenFile,
    request_headers: RequestHeaders,
    foreign: ArcSwap<Foreign>,
    webhook: Option<webhook::Reviewer>,
    anonymous: Anonymous,
}

/// Other issuers, and whose their tokens were a moment ago.
struct Foreign {
    issuers: Vec<oidc::Issuer>,
    known: DigestCache<Arc<User>>,
}

impl Foreign {
    /// Needs a Tokio runtime: issuers are looked for at once.
    fn start(issuers: Vec<JwtIssuer>, client: &Arc<crate::webhook::Client>) -> Self {
        let issuers = issuers.into_iter().map(|issuer| oidc::Issuer::start(issuer, client.clone())).collect();
        Self { issuers, known: DigestCache::new() }
    }
}

/// A user, and for which audiences a token spoke.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    pub user: Arc<User>,
    pub audiences: Vec<String>,
}

impl Authenticator {
    /// Needs a Tokio runtime: issuers are looked for at once.
    pub(crate) fn new(
        config: Authentication,
        service_accounts: Arc<ServiceAccounts>,
        bootstrap: BootstrapTokens,
        client: &Arc<crate::webhook::Client>,
    ) -> Result<Self, crate::webhook::TrustError> {
        let webhook = match &config.webhook {
            Some(webhook) => {
                let target = client.target(&webhook.access)?;
                Some(webhook::Reviewer::new(webhook, target, service_accounts.audiences().to_vec()))
            }
            None => None,
        };
        Ok(Self {
            service_accounts,
            bootstrap,
            static_tokens: config.static_tokens,
            request_headers: config.request_headers,
            foreign: ArcSwap::from_pointee(Foreign::start(config.issuers, client)),
            webhook,
            anonymous: config.anonymous,
        })
    }

    /// Believes other issuers from now on: as soon as the keys of all of them are known, and only then.
    pub(crate) async fn replace_issuers(
        &self,
        issuers: Vec<JwtIssuer>,
        client: &Arc<crate::webhook::Client>,
    ) -> Result<(), String> {
        let fresh = Foreign::start(issuers, client);
        let ready = async {
            for issuer in &fresh.issuers {
                issuer.ready().await;
            }
        };
        let known = tokio::time::timeout(ISSUERS_KNOWN_IN, ready).await;
        known.map_err(|_| "the keys of an issuer cannot be found".to_owned())?;
        self.foreign.store(Arc::new(fresh));
        Ok(())
    }

    pub(crate) fn request_headers(&self) -> &RequestHeaders {
        &self.request_headers
    }

    /// Finds out who sent a request for `path`.
    pub(crate) async fn authenticate(&self, peer: &Peer, headers: &HeaderMap, path: &str) -> Result<Arc<User>, Status> {
        let allowed = &self.request_headers.allowed_names;
        if let Some(proxy) = peer.front_proxy()
            && (allowed.is_empty() || allowed.iter().any(|name| name == proxy))
            && let Some(user) = front_proxy::user(headers, &self.request_headers)
        {
            return Ok(Arc::new(user));
        }
        if let Some(user) = peer.client() {
            return Ok(user.clone());
        }
        if let Some(token) = bearer(headers) {
            let found = self.token(&token, &[]).await.map_err(|why| {
                tracing::debug!(%why, "a bearer token was refused");
                Status::unauthorized()
            })?;
            return Ok(found.user);
        }
        if peer.presented_invalid() {
            return Err(Status::unauthorized());
        }
        if self.anonymous.lets_in(path) { Ok(Arc::new(User::anonymous())) } else { Err(Status::unauthorized()) }
    }

    /// Finds out whose a token is. `audiences` are those it must speak for, one of them at least; empty for the API
    /// server's own. The reason of a refusal never holds the token.
    pub(crate) async fn token(&self, token: &str, audiences: &[String]) -> Result<Authenticated, String> {
        let own = self.service_accounts.audiences();
        let asked: &[String] = if audiences.is_empty() { own } else { audiences };
        // Tokens that name no audience speak for the API server alone.
        let ours = |user: Arc<User>| {
            let shared: Vec<String> = asked.iter().filter(|a| own.contains(a)).cloned().collect();
            if shared.is_empty() {
                Err(UNKNOWN_TOKEN.to_owned())
            } else {
                Ok(Authenticated { user, audiences: shared })
            }
        };
        if let Some(user) = self.static_tokens.user(token) {
            return ours(Arc::new(user));
        }
        let found = if bootstrap_token::looks_like_one(token) {
            // Why it is none is nobody's matter.
            let user =
                self.bootstrap.user(token).inspect_err(|why| tracing::debug!(why, "a bootstrap token is refused"));
            user.map_err(|_| UNKNOWN_TOKEN.to_owned()).map(Arc::new).and_then(ours)
        } else {
            match self.service_accounts.authenticate(token, asked) {
                Err(why) if !self.foreign.load().issuers.is_empty() => match self.foreign(token).await {
                    Some(found) => found.and_then(ours),
                    None => Err(why),
                },
                found => found,
            }
        };
        match (found, &self.webhook) {
            (Err(why), Some(webhook)) => {
                let both = |other: String| match (&*why, &*other) {
                    (UNKNOWN_TOKEN, _) => other,
                    (_, UNKNOWN_TOKEN) => why,
                    _ => format!("{why}, {other}"),
                };
                webhook.authenticate(token, asked).await.map_err(both)
            }
            (found, _) => found,
        }
    }

    /// Whose a token of another issuer is; `None` where no issuer says it is theirs.
    async fn foreign(&self, token: &str) -> Option<Result<Arc<User>, String>> {
        let foreign = self.foreign.load_full();
        let digest = foreign.known.digest(token, &[]);
        if let Some(user) = foreign.known.get(&digest) {
            return Some(Ok(user));
        }
        let claimed = oidc::claimed_issuer(token)?;
        let issuer = foreign.issuers.iter().find(|issuer| issuer.url() == claimed)?;
        // Rare, and much larger than what else a request waits for.
        let found = Box::pin(issuer.authenticate(token)).await.map(|mut user| {
            add_authenticated(&mut user);
            Arc::new(user)
        });
        if let Ok(user) = &found
            && token.len() <= LONGEST
        {
            foreign.known.put(digest, user.clone(), CACHED);
        }
        Some(found)
    }
}

/// Everybody who is somebody is in the group of those.
fn add_authenticated(user: &mut User) {
    if user.name != "system:anonymous" && !user.in_group(api::user::AUTHENTICATED) {
        user.groups.push(api::user::AUTHENTICATED.to_owned());
    }
}

/// The bearer token of a request, wherever it travels.
fn bearer(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()) {
        // What is no bearer token, and one that is empty, is nobody's.
        let mut parts = value.trim().split(' ');
        let is_bearer = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        let token = parts.next().filter(|token| is_bearer && !token.is_empty());
        if token.is_none() && is_bearer && parts.next().is_some() {
            const WHY: &str =
                "the provided Authorization header contains extra space before the bearer token, and is ignored";
            notes::warn(WHY);
        }
        return token.map(Cow::Borrowed);
    }
    let protocols = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let encoded = protocols.flat_map(|v| v.split(',')).find_map(|p| p.trim().strip_prefix(BROWSER_TOKEN))?;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(token).ok().map(Cow::Owned)
}

/// Takes the browser's token out of the subprotocols, so that it is neither answered nor passed on.
pub(crate) fn strip_browser_token(headers: &mut HeaderMap) {
    let name = http::header::SEC_WEBSOCKET_PROTOCOL;
    let all: Vec<String> = headers
        .get_all(&name)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(',').map(|p| p.trim().to_owned()))
        .collect();
    if all.iter().any(|p| p.starts_with(BROWSER_TOKEN)) {
        let kept = all.into_iter().filter(|p| !p.starts_with(BROWSER_TOKEN)).collect::<Vec<_>>().join(", ");
        match http::HeaderValue::from_str(&kept) {
            Ok(value) if !kept.is_empty() => drop(headers.insert(name, value)),
            _ => drop(headers.remove(name)),
        }
    }
}
