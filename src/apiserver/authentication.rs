//! Who asks: client certificates, bearer tokens of four kinds, front-proxy headers, or nobody.
//!
//! The order is upstream's: front proxy, client certificate, token. Credentials that are there and wrong are 401, also
//! where anonymous requests are allowed.

pub(crate) mod bootstrap_token;
mod front_proxy;
pub(crate) mod keys;
pub(crate) mod published;
pub(crate) mod service_account;
mod token_file;
pub(crate) mod token_request;
pub(crate) mod x509;

use std::sync::Arc;

use api::{Status, User};
use base64::Engine;
use http::HeaderMap;

pub use keys::{KeyError, ServiceAccountKeys};
pub use token_file::{TokenFile, TokenFileError};

use bootstrap_token::BootstrapTokens;
use service_account::ServiceAccounts;
use x509::Peer;

/// Tokens of browsers travel in a WebSocket subprotocol of this prefix.
const BROWSER_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// All ways to prove who one is.
pub(crate) struct Authenticator {
    pub(crate) service_accounts: Arc<ServiceAccounts>,
    pub(crate) bootstrap: BootstrapTokens,
    pub(crate) static_tokens: TokenFile,
    /// Common names of front proxies; empty for any that the front-proxy CA signed.
    pub(crate) front_proxy_names: Vec<String>,
    pub(crate) anonymous: bool,
}

/// A user, and for which audiences a token spoke.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    pub user: User,
    pub audiences: Vec<String>,
}

impl Authenticator {
    /// Finds out who sent a request.
    pub(crate) async fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<Arc<User>, Status> {
        if let Some(proxy) = peer.front_proxy()
            && (self.front_proxy_names.is_empty() || self.front_proxy_names.iter().any(|name| name == proxy))
            && let Some(user) = front_proxy::user(headers)
        {
            return Ok(Arc::new(user));
        }
        if let Some(user) = peer.client()? {
            return Ok(user);
        }
        if let Some(token) = bearer(headers) {
            let found = self.token(&token, &[]).await.map_err(|why| {
                tracing::debug!(%why, "a bearer token was refused");
                Status::unauthorized()
            })?;
            return Ok(Arc::new(found.user));
        }
        if peer.presented_invalid() || headers.contains_key(http::header::AUTHORIZATION) {
            return Err(Status::unauthorized());
        }
        if self.anonymous { Ok(Arc::new(User::anonymous())) } else { Err(Status::unauthorized()) }
    }

    /// Finds out whose a token is. `audiences` are those it must speak for, one of them at least; empty for the API
    /// server's own.
    pub(crate) async fn token(&self, token: &str, audiences: &[String]) -> Result<Authenticated, String> {
        let own = self.service_accounts.audiences();
        let asked: &[String] = if audiences.is_empty() { own } else { audiences };
        // Tokens that name no audience speak for the API server alone.
        let ours = |user: User| {
            let shared: Vec<String> = asked.iter().filter(|a| own.contains(a)).cloned().collect();
            if shared.is_empty() {
                Err("token audiences are not acceptable".to_owned())
            } else {
                Ok(Authenticated { user, audiences: shared })
            }
        };
        if let Some(user) = self.static_tokens.user(token) {
            return ours(user);
        }
        if bootstrap_token::looks_like_one(token) {
            return self.bootstrap.user(token).and_then(ours);
        }
        self.service_accounts.authenticate(token, asked)
    }
}

/// The bearer token of a request, wherever it travels.
fn bearer(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()) {
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.trim();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned());
    }
    let protocols = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let encoded = protocols.flat_map(|v| v.split(',')).find_map(|p| p.trim().strip_prefix(BROWSER_TOKEN))?;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(token).ok()
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
