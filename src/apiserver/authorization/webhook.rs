//! What a webhook says: a SubjectAccessReview is posted to it, and its answer holds for a while.

use std::sync::Arc;
use std::time::Duration;

use api::User;
use api::selector::{FieldSelector, LabelSelector, Operator};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Attributes, Decision, MatchConditions, Reason};
use crate::authentication::webhook::post;
use crate::digest_cache::{DigestCache, LONGEST};
use crate::webhook::{Access, Target};

/// What a client may put into one question for its answer to be remembered.
const REMEMBERED_MOST: usize = 10_000;

/// What becomes of a request when the webhook does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Others are asked.
    NoOpinion,
    /// It is refused.
    Deny,
}

/// How the webhook is reached, and how long its answers hold.
#[derive(Clone)]
pub struct AuthorizationWebhook {
    /// The webhook.
    pub access: Access,
    /// The API version of the reviews: `v1` or `v1beta1`.
    pub version: String,
    /// How long a permission holds; zero for not at all.
    pub authorized_ttl: Duration,
    /// How long a refusal holds; zero for not at all.
    pub unauthorized_ttl: Duration,
    /// How long one request may wait for it.
    pub timeout: Duration,
    /// What becomes of a request when it does not answer.
    pub on_failure: OnFailure,
    /// When it is asked at all.
    pub conditions: MatchConditions,
}

impl std::fmt::Debug for AuthorizationWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationWebhook").field("on_failure", &self.on_failure).finish_non_exhaustive()
    }
}

/// Asks the webhook.
pub(super) struct Reviewer {
    config: AuthorizationWebhook,
    target: Arc<Target>,
    known: DigestCache<Status>,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    allowed: bool,
    denied: bool,
    reason: String,
}

impl Reviewer {
    pub(super) fn new(config: AuthorizationWebhook, target: Arc<Target>) -> Self {
        Self { config, target, known: DigestCache::new() }
    }

    pub(super) async fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        let spec = spec(user, what);
        match self.config.conditions.hold(&spec) {
            Ok(true) => {}
            Ok(false) => return Decision::NoOpinion(String::new()),
            Err(why) => return self.failed(why),
        }
        let digest = self.known.digest(&spec.to_string(), &[]);
        let status = match self.known.get(&digest) {
            Some(known) => known,
            None => match self.ask(spec).await {
                Ok(status) => {
                    let life = if status.allowed { self.config.authorized_ttl } else { self.config.unauthorized_ttl };
                    if is_small(what) && status.reason.len() <= LONGEST {
                        self.known.put(digest, status.clone(), life);
                    }
                    status
                }
                Err(why) => return self.failed(why),
            },
        };
        match status {
            Status { denied: true, reason, .. } => Decision::Deny(reason),
            Status { allowed: true, reason, .. } => Decision::Allow(Reason::from(&*reason)),
            Status { reason, .. } => Decision::NoOpinion(reason),
        }
    }

    fn failed(&self, why: String) -> Decision {
        Decision::Failed { why, denies: self.config.on_failure == OnFailure::Deny }
    }

    async fn ask(&self, spec: Value) -> Result<Status, String> {
        let review = review(&self.config.version, spec);
        let asked = post(&self.target, Bytes::from(review.to_string()));
        let answer = match tokio::time::timeout(self.config.timeout, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err("context deadline exceeded".into()),
        };
        let review: Review = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        Ok(review.status)
    }
}

/// The question, in a version of the API. The old one has another word for groups.
fn review(version: &str, mut spec: Value) -> Value {
    if version == "v1beta1"
        && let Some(fields) = spec.as_object_mut()
        && let Some(groups) = fields.remove("groups")
    {
        fields.insert("group".into(), groups);
    }
    json!({
        "kind": "SubjectAccessReview", "apiVersion": format!("authorization.k8s.io/{version}"),
        "metadata": {}, "spec": spec, "status": {"allowed": false},
    })
}

fn is_small(what: &Attributes<'_>) -> bool {
    let parts = [what.namespace, what.name, what.verb, what.group, what.version, what.resource, what.subresource];
    parts.iter().chain([&what.path]).map(|part| part.len()).sum::<usize>() < REMEMBERED_MOST
}

/// The spec of a review.
fn spec(user: &User, what: &Attributes<'_>) -> Value {
    let mut spec = serde_json::Map::new();
    let put = |map: &mut serde_json::Map<String, Value>, key: &str, text: &str| {
        if !text.is_empty() {
            map.insert(key.to_owned(), text.into());
        }
    };
    if what.is_resource {
        let mut resource = serde_json::Map::new();
        for (key, text) in [
            ("namespace", what.namespace),
            ("verb", what.verb),
            ("group", what.group),
            ("version", what.version),
            ("resource", what.resource),
            ("subresource", what.subresource),
            ("name", what.name),
        ] {
            put(&mut resource, key, text);
        }
        if let Some(fields) = field_requirements(what.field_selector) {
            resource.insert("fieldSelector".into(), json!({ "requirements": fields }));
        }
        if let Some(labels) = label_requirements(what.label_selector) {
            resource.insert("labelSelector".into(), json!({ "requirements": labels }));
        }
        spec.insert("resourceAttributes".into(), resource.into());
    } else {
        spec.insert("nonResourceAttributes".into(), json!({"path": what.path, "verb": what.verb}));
    }
    put(&mut spec, "user", &user.name);
    if !user.groups.is_empty() {
        spec.insert("groups".into(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        spec.insert("extra".into(), json!(user.extra));
    }
    put(&mut spec, "uid", &user.uid);
    spec.into()
}

/// Selectors only narrow: what cannot be read is left out, and more is asked about than was meant.
fn field_requirements(text: &str) -> Option<Vec<Value>> {
    let selector = FieldSelector::parse(text).ok().filter(|selector| !selector.is_everything())?;
    let one = |requirement: &api::selector::FieldRequirement| {
        let operator = if requirement.equals { "In" } else { "NotIn" };
        json!({"key": requirement.field, "operator": operator, "values": [requirement.value]})
    };
    Some(selector.requirements().iter().map(one).collect())
}

fn label_requirements(text: &str) -> Option<Vec<Value>> {
    let selector = LabelSelector::parse(text).ok()?;
    let one = |requirement: &api::selector::Requirement| {
        let operator = match requirement.operator() {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            _ => return None,
        };
        let mut shown = json!({"key": requirement.key(), "operator": operator});
        if !requirement.values().is_empty() {
            shown["values"] = json!(requirement.values());
        }
        Some(shown)
    };
    let all: Vec<Value> = selector.requirements().iter().filter_map(one).collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_word_of_the_version() {
        let what = Attributes { verb: "get", path: "/version", ..Attributes::default() };
        let asked = |version| review(version, spec(&User::new("u", ["dev"]), &what));
        let groups = asked("v1")["spec"]["groups"].clone();
        assert_eq!(groups[0], "dev");
        let old = asked("v1beta1");
        assert_eq!((&old["apiVersion"], &old["spec"]["group"]), (&json!("authorization.k8s.io/v1beta1"), &groups));
        assert_eq!(old["spec"].get("groups"), None);
    }
}
