//! An issuer's keys: found by discovery, kept, and fetched anew when a token is signed with one that is not among them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use crate::webhook::{Access, Client, Place};

/// One answer of an issuer has to come within this time.
const TIME: Duration = Duration::from_secs(30);
/// Keys are not fetched more often than this: anybody may send tokens with keys that nobody has.
const SELDOM: Duration = Duration::from_secs(1);

/// Where an issuer's documents are.
pub(super) struct Source {
    pub(super) issuer: String,
    /// Where the discovery document lies, if not below the issuer's URL.
    pub(super) discovery_url: Option<String>,
    /// Who vouches for the issuer, PEM; else the machine's authorities do.
    pub(super) ca: Option<String>,
    pub(super) client: Arc<Client>,
}

/// The keys of one issuer.
pub(super) struct Keys {
    source: Source,
    /// Where the key set lies, once that is known.
    location: Mutex<Option<String>>,
    set: ArcSwapOption<Set>,
    fetching: tokio::sync::Mutex<()>,
}

/// A key set, as it was at some time.
pub(super) struct Set {
    keys: Vec<Jwk>,
    fetched: Instant,
}

#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(source: Source) -> Self {
        let fetching = tokio::sync::Mutex::default();
        Self { source, location: Mutex::default(), set: ArcSwapOption::empty(), fetching }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.source.issuer
    }

    /// The keys, if they were found.
    pub(super) fn current(&self) -> Option<Arc<Set>> {
        self.set.load_full()
    }

    /// Reads the discovery document, and the keys it leads to.
    pub(super) async fn discover(&self) -> Result<(), String> {
        let below = || format!("{}/.well-known/openid-configuration", self.source.issuer.trim_end_matches('/'));
        let url = self.source.discovery_url.clone().unwrap_or_else(below);
        let document: Discovery = self.fetch(&url).await?;
        if document.issuer != self.source.issuer {
            return Err(format!(
                "oidc: issuer URL provided to client ({:?}) did not match the issuer URL returned by provider ({:?})",
                self.source.issuer, document.issuer
            ));
        }
        if document.jwks_uri.is_empty() {
            return Err("provider did not return JWKS URL".into());
        }
        *self.location.lock() = Some(document.jwks_uri);
        self.load().await.map(drop)
    }

    /// The keys after those that were `seen`, of which none has signed a token.
    pub(super) async fn renew(&self, seen: &Arc<Set>) -> Result<Arc<Set>, String> {
        // Who waits here finds what the one before has fetched.
        let _one = self.fetching.lock().await;
        match self.current() {
            Some(now) if !Arc::ptr_eq(&now, seen) || now.fetched.elapsed() < SELDOM => Ok(now),
            _ => self.load().await,
        }
    }

    async fn load(&self) -> Result<Arc<Set>, String> {
        let location = self.location.lock().clone().ok_or("the key set's place is not known yet")?;
        let set: KeySet = self.fetch(&location).await.map_err(|why| format!("fetching keys {why}"))?;
        // Keys of kinds we do not know are no reason to refuse the others.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let set = Arc::new(Set { keys, fetched: Instant::now() });
        self.set.store(Some(set.clone()));
        Ok(set)
    }

    async fn fetch<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let place = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let access = Access::new(Place::Url(place), self.source.ca.as_deref().unwrap_or_default().as_bytes());
        let target = self.source.client.target(&access).map_err(|error| error.to_string())?;
        let answer = target.get(TIME).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer).map_err(|error| format!("{url}: {error}"))
    }
}

impl Set {
    /// The keys that may have signed a token with this header.
    pub(super) fn candidates(&self, header: &Header) -> Vec<DecodingKey> {
        let fits = |key: &&Jwk| {
            let named = header.kid.is_none() || key.common.key_id.is_none() || key.common.key_id == header.kid;
            named && !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
        };
        self.keys.iter().filter(fits).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
    }
}
