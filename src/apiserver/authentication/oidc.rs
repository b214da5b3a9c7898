//! OpenID Connect: tokens of other issuers, whose keys are found by discovery and followed as they change.

mod claims;
pub(crate) mod config;
mod expressions;
mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::User;
use api::quote::quote;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

pub use config::{ClaimMapping, JwtIssuer, JwtIssuerError};
pub use expressions::{Expression, ValidationRule};
use keys::{Keys, Source};

use crate::webhook;

/// How much an issuer's clock may be ahead of ours.
const LEEWAY_SECONDS: i64 = 60;
/// How long discovery waits before it is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// The pause between two looks whether keys are there.
const LOOK: Duration = Duration::from_millis(50);

/// One issuer whose tokens are good.
pub(super) struct Issuer {
    config: JwtIssuer,
    keys: Arc<Keys>,
    discovery: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.discovery.abort();
    }
}

impl Issuer {
    /// Begins to look for the issuer's keys. Needs a Tokio runtime.
    pub(super) fn start(config: JwtIssuer, client: Arc<webhook::Client>) -> Self {
        let keys = Arc::new(Keys::new(Source {
            issuer: config.url.clone(),
            discovery_url: config.discovery_url.clone(),
            ca: config.certificate_authority.clone(),
            client,
        }));
        let discovery = tokio::spawn({
            let keys = keys.clone();
            async move {
                while let Err(why) = keys.discover().await {
                    tracing::error!(issuer = keys.issuer(), why, "an issuer's keys cannot be found, will try again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        });
        Self { config, keys, discovery }
    }

    /// Waits until the issuer's keys are known.
    pub(super) async fn ready(&self) {
        while self.keys.current().is_none() {
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.config.url
    }

    /// Whose a token of this issuer is. The reason of a refusal is for the log.
    pub(super) async fn authenticate(&self, token: &str) -> Result<User, String> {
        let keys = self.keys.current().ok_or("oidc: authenticator not initialized")?;
        let claims = self.verify(token, &keys).await.map_err(|why| format!("oidc: verify token: {why}"))?;
        self.config.user(&claims)
    }

    /// What can be told without keys comes first: tokens that are no good anyway make nobody fetch any.
    async fn verify(&self, token: &str, keys: &Arc<keys::Set>) -> Result<Map<String, Value>, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| format!("oidc: malformed jwt: {error}"))?;
        let said = payload(token).ok_or("oidc: malformed jwt")?;
        self.check(&said).map_err(|why| format!("oidc: {why}"))?;
        if !self.config.algorithms.contains(&header.alg) {
            let known: Vec<String> = self.config.algorithms.iter().map(|known| format!("{known:?}")).collect();
            let (expected, got) = (quoted(&known), header.alg);
            let what = "oidc: id token signed with unsupported algorithm";
            return Err(format!("{what}, expected {expected} got \"{got:?}\""));
        }
        let claims = match decode(token, &header, keys) {
            Some(claims) => claims,
            // The issuer may have other keys by now.
            None => match self.keys.renew(keys).await {
                Ok(fresh) => decode(token, &header, &fresh).ok_or("failed to verify id token signature".to_owned()),
                Err(why) => Err(why),
            }
            .map_err(|why| format!("failed to verify signature: {why}"))?,
        };
        self.check_audience(&claims)?;
        Ok(claims)
    }

    fn check(&self, claims: &Map<String, Value>) -> Result<(), String> {
        if let Some(other) = claims.get("sub").filter(|sub| !sub.is_string() && !sub.is_null()) {
            let why = claims::no(other, "string").replace("Go value", "Go struct field idToken.sub");
            return Err(format!("failed to unmarshal claims: {why}"));
        }
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if issuer != self.config.url && !(is_google(issuer) && is_google(&self.config.url)) {
            return Err(format!(
                "id token issued by a different provider, expected {:?} got {issuer:?}",
                self.config.url
            ));
        }
        let now = jiff::Timestamp::now().as_second();
        let moment = |claim: &str| claims.get(claim).and_then(Value::as_f64).map(|seconds| seconds as i64);
        let until = moment("exp");
        if until.is_none_or(|until| until <= now) {
            return Err(format!("token is expired (Token Expiry: {})", shown(until)));
        }
        if let Some(from) = moment("nbf").filter(|from| *from > now + LEEWAY_SECONDS) {
            let (now, from) = (shown(Some(now)), shown(Some(from)));
            return Err(format!("current time {now} before the nbf (not before) time: {from}"));
        }
        Ok(())
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), String> {
        let audiences: Vec<String> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        if self.config.audiences.iter().any(|audience| audiences.contains(audience)) {
            return Ok(());
        }
        let mut known = self.config.audiences.clone();
        known.sort();
        Err(format!("oidc: expected audience in {} got {}", quoted(&known), quoted(&audiences)))
    }
}

/// Texts as Go shows a list of them.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
    format!("[{}]", texts.join(" "))
}

/// A moment as Go shows it; none is the beginning of Go's time.
fn shown(second: Option<i64>) -> String {
    match second.and_then(|second| jiff::Timestamp::from_second(second).ok()) {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        None => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
    }
}

/// The claims of a token that one of the keys has signed.
fn decode(token: &str, header: &jsonwebtoken::Header, keys: &keys::Set) -> Option<Map<String, Value>> {
    let mut rules = Validation::new(header.alg);
    // Only the signature: the rest is looked at afterwards, in one place.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let candidates = keys.candidates(header);
    candidates
        .into_iter()
        .find_map(|key| Some(jsonwebtoken::decode::<Map<String, Value>>(token, &key, &rules).ok()?.claims))
}

/// Whom a token says it is from, nothing of it being verified.
pub(super) fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let Claims { iss } = payload(token)?;
    // Google's tokens name their issuer in two ways.
    Some(if iss == "accounts.google.com" { "https://accounts.google.com".into() } else { iss })
}

/// What stands in a token, nothing of it being verified.
fn payload<T: serde::de::DeserializeOwned>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn is_google(issuer: &str) -> bool {
    matches!(issuer, "https://accounts.google.com" | "accounts.google.com")
}
