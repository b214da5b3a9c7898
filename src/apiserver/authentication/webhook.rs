//! Tokens that somebody else knows: a TokenReview is posted to the webhook a kubeconfig describes, and what it says is
//! remembered for a while.

use std::sync::Arc;
use std::time::Duration;

use api::User;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::Authenticated;
use crate::digest_cache::{Digest, DigestCache, LONGEST};
use crate::single_flight::SingleFlight;
use crate::webhook::{Access, CallError, Target};

/// The whole of one call.
const TIME: Duration = Duration::from_secs(30);
/// Tries, and the pause before the second; each further pause is half as long again (upstream's figures).
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How the webhook is reached, and how long its answers hold.
#[derive(Clone)]
pub struct TokenWebhook {
    /// The webhook.
    pub access: Access,
    /// How long an answer holds, yes or no; zero for not at all.
    pub cache_ttl: Duration,
    /// The API version of the reviews: `v1` or `v1beta1`.
    pub version: String,
}

impl std::fmt::Debug for TokenWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenWebhook").field("cache_ttl", &self.cache_ttl).finish_non_exhaustive()
    }
}

/// Asks the webhook.
pub(super) struct Reviewer {
    known: Arc<Known>,
    asking: SingleFlight<Result<Authenticated, String>>,
}

/// The webhook, and what it said.
struct Known {
    target: Arc<Target>,
    cache: DigestCache<Option<Authenticated>>,
    cache_ttl: Duration,
    api_version: String,
    /// The audiences that a token speaks for when the webhook names none.
    own: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: Option<Info>,
    audiences: Option<Vec<String>>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    username: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<std::collections::BTreeMap<String, Vec<String>>>,
}

impl Reviewer {
    pub(super) fn new(config: &TokenWebhook, target: Arc<Target>, own: Vec<String>) -> Self {
        let api_version = format!("authentication.k8s.io/{}", config.version);
        let known = Known { target, cache: DigestCache::new(), cache_ttl: config.cache_ttl, api_version, own };
        Self { known: Arc::new(known), asking: SingleFlight::new() }
    }

    /// Whose a token is, for one of the asked audiences at least. The reason of a refusal is for the log.
    pub(super) async fn authenticate(&self, token: &str, asked: &[String]) -> Result<Authenticated, String> {
        let digest = self.known.cache.digest(token, asked);
        if let Some(known) = self.known.cache.get(&digest) {
            return known.ok_or_else(refused);
        }
        let question = || {
            let (known, token, asked) = (self.known.clone(), token.to_owned(), asked.to_vec());
            async move { known.ask(digest, &token, &asked).await }
        };
        let answer = self.asking.ask(digest, question).await;
        answer.unwrap_or_else(|| Err("the webhook did not answer in time, or is asked too much".to_owned()))
    }
}

fn refused() -> String {
    super::UNKNOWN_TOKEN.to_owned()
}

impl Known {
    async fn ask(&self, digest: Digest, token: &str, asked: &[String]) -> Result<Authenticated, String> {
        let review = json!({
            "kind": "TokenReview", "apiVersion": self.api_version, "metadata": {},
            "spec": {"token": token, "audiences": asked}, "status": {"user": {}},
        });
        let answer = post(&self.target, Bytes::from(review.to_string())).await.map_err(|error| error.to_string())?;
        let review: Review = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let audiences = self.spoken_for(&review.status, asked);
        if !review.status.error.is_empty() && !review.status.authenticated && !audiences.is_empty() {
            // An error is no answer: the next request asks anew.
            return Err(review.status.error);
        }
        let found = judge(review.status, audiences);
        if answer.len() <= LONGEST {
            self.cache.put(digest, found.clone(), self.cache_ttl);
        }
        found.ok_or_else(refused)
    }

    /// Those of the asked audiences that a token is for.
    fn spoken_for(&self, status: &Status, asked: &[String]) -> Vec<String> {
        let spoken = status.audiences.as_deref().filter(|audiences| !audiences.is_empty()).unwrap_or(&self.own);
        asked.iter().filter(|audience| spoken.contains(audience)).cloned().collect()
    }
}

fn judge(status: Status, audiences: Vec<String>) -> Option<Authenticated> {
    if !status.authenticated || audiences.is_empty() {
        return None;
    }
    let info = status.user.unwrap_or_default();
    let mut user = User {
        name: info.username,
        uid: info.uid,
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    };
    super::add_authenticated(&mut user);
    Some(Authenticated { user: Arc::new(user), audiences })
}

/// Posts a review, again where another try may help.
pub(crate) async fn post(target: &Target, body: Bytes) -> Result<Bytes, CallError> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match target.post(body.clone(), TIME).await {
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "a review was not answered, will try again");
                tokio::time::sleep(pause.mul_f64(rand::random_range(1.0..1.2))).await;
                pause = pause.mul_f64(1.5);
            }
            outcome => return outcome,
        }
    }
    target.post(body, TIME).await
}
