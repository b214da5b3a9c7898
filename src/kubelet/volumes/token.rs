//! Tokens of service accounts, bound to their pod and renewed before they expire.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ServiceAccountTokenProjection;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::agent::Agent;
use crate::error::{Error, Result};
use crate::pods::pod::Pod;
use crate::resources;

/// Upstream asks anew after 80 % of a token's life, and at the latest after a day.
const LIFE_PERCENT: i64 = 80;
const LONGEST: i64 = 24 * 3600;

/// Tokens by pod, volume and path.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<(String, String, String), Token>>);

#[derive(Clone)]
struct Token {
    text: String,
    renew: Timestamp,
    expires: Timestamp,
}

#[derive(Deserialize)]
struct Reply {
    status: ReplyStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyStatus {
    token: String,
    expiration_timestamp: Timestamp,
}

impl Tokens {
    /// The token for a projection, from memory while it is fresh.
    pub(super) async fn get(
        &self,
        agent: &Agent,
        pod: &Pod,
        volume: &str,
        source: &ServiceAccountTokenProjection,
    ) -> Result<String> {
        let key = (pod.uid.clone(), volume.to_owned(), source.path.clone());
        let known = self.0.lock().get(&key).cloned();
        let now = Timestamp::now();
        if let Some(token) = known.as_ref().filter(|t| now < t.renew) {
            return Ok(token.text.clone());
        }
        match request(agent, pod, source).await {
            Ok(token) => {
                self.0.lock().insert(key, token.clone());
                Ok(token.text)
            }
            // The old one is good for a while yet: try again in a minute.
            Err(error) => match known.filter(|t| now < t.expires) {
                Some(mut token) => {
                    tracing::warn!(pod = pod.name, namespace = pod.namespace, %error, "could not renew a service account token, will retry");
                    token.renew = now + SignedDuration::from_secs(60);
                    let text = token.text.clone();
                    self.0.lock().insert(key, token);
                    Ok(text)
                }
                None => Err(error),
            },
        }
    }

    pub(super) fn next_refresh(&self, uid: &str) -> Option<Timestamp> {
        self.0.lock().iter().filter(|((pod, ..), _)| pod == uid).map(|(_, token)| token.renew).min()
    }

    /// Drops a pod's tokens.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().retain(|(pod, ..), _| pod != uid);
    }
}

async fn request(agent: &Agent, pod: &Pod, source: &ServiceAccountTokenProjection) -> Result<Token> {
    let audiences: Vec<&str> = source.audience.as_deref().filter(|a| !a.is_empty()).into_iter().collect();
    let seconds = source.expiration_seconds.unwrap_or(3600);
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": audiences, "expirationSeconds": seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
        },
    });
    let account = pod.spec.service_account_name.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
    let asked = Timestamp::now();
    let reply =
        agent.client.create_subresource(resources::service_accounts(), &pod.namespace, account, "token", body).await?;
    let reply: Reply = reply.view().map_err(|_| Error::Invalid("the answer to a token request was none".into()))?;
    let life = reply.status.expiration_timestamp.duration_since(asked).as_secs().max(1);
    let renew = (life * LIFE_PERCENT / 100).min(LONGEST);
    Ok(Token {
        text: reply.status.token,
        renew: asked + SignedDuration::from_secs(renew),
        expires: reply.status.expiration_timestamp,
    })
}
