//! Conversion by webhook: objects go out in one ConversionReview and come back in another version, otherwise themselves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Status;
use api::custom::{Conversion, Convert};
use api::quote::{go_type, quote};
use api::validation::field::Path;
use api::validation::{validate_annotations, validate_labels};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Registry;
use crate::strategy::definition::bundle_complaint;
use crate::tree::Tree;
use crate::webhook::{ClientConfig, ConversionCounters, Target};

/// Upstream's patience.
const TIMEOUT: Duration = Duration::from_secs(30);
/// At most so many objects go into one review. Upstream sends each alone.
const MOST: usize = 100;

/// `spec.conversion`.
#[derive(Debug, Deserialize)]
pub(super) struct View {
    #[serde(default)]
    strategy: Box<str>,
    webhook: Option<Webhook>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    #[serde(default)]
    client_config: ClientConfig,
    #[serde(default)]
    conversion_review_versions: Vec<String>,
}

impl View {
    /// Whether nobody can be believed to be the webhook.
    pub(super) fn is_unvouched(&self) -> bool {
        let bundle = self.webhook.as_ref().map_or("", |webhook| webhook.client_config.ca_bundle());
        bundle_complaint(bundle).is_some()
    }

    /// What the view of the definition `name` describes. A webhook that cannot be called says so to whoever needs a
    /// conversion.
    pub(super) fn build(self, registry: &Registry, name: &str) -> Conversion {
        let Some(webhook) = self.webhook.filter(|_| &*self.strategy == "Webhook") else {
            return Conversion::None;
        };
        let known = |version: &&String| matches!(version.as_str(), "v1" | "v1beta1");
        let review = webhook.conversion_review_versions.iter().find(known).cloned();
        let target = target(webhook.client_config, registry).inspect_err(|why| {
            tracing::warn!(definition = name, why, "a conversion webhook cannot be called");
        });
        let counters = registry.webhooks().conversions().clone();
        Conversion::Webhook(Arc::new(Converter { definition: name.into(), target, review, counters }))
    }
}

fn target(config: ClientConfig, registry: &Registry) -> Result<Arc<Target>, String> {
    let mut access = config.access()?;
    // A bundle of nothing but space was never refused by those who wrote it.
    access.ca = access.ca.filter(|bundle| !bundle.trim_ascii().is_empty());
    registry.webhooks().target(&access).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Converter {
    definition: Box<str>,
    target: Result<Arc<Target>, String>,
    review: Option<String>,
    counters: ConversionCounters,
}

impl Convert for Converter {
    fn convert(&self, objects: Vec<Value>, api_version: String) -> BoxFuture<'_, Result<Vec<Value>, Status>> {
        async move {
            let mut converted = Vec::with_capacity(objects.len());
            for some in objects.chunks(MOST) {
                let began = Instant::now();
                let outcome = self.ask(some, &api_version).await;
                let failure = outcome.as_ref().err().map(|failure| failure.kind);
                let versions = (some[0].text("apiVersion"), &*api_version);
                self.counters.observe(&self.definition, versions, failure, began.elapsed());
                converted.extend(outcome.map_err(|failure| failure.status(&some[0]))?);
            }
            Ok(converted)
        }
        .boxed()
    }
}

/// Why there are no converted objects.
struct Failure {
    /// As metrics call it.
    kind: &'static str,
    /// What follows `conversion webhook for … `.
    why: String,
}

impl Failure {
    fn call(why: impl std::fmt::Display) -> Self {
        Self { kind: "conversion_webhook_call_failure", why: format!("failed: {why}") }
    }

    fn malformed(why: impl std::fmt::Display) -> Self {
        Self { kind: "conversion_webhook_malformed_response_failure", why: format!("failed: {why}") }
    }

    /// As clients see it. `object` is the first of those that were to be converted.
    fn status(self, object: &Value) -> Status {
        let said = object.text("apiVersion");
        let (group, version) = said.split_once('/').unwrap_or(("", said));
        let what = format!("{group}/{version}, Kind={}", object.text("kind"));
        // Upstream has no reason for it.
        Status::failure(500, "", format!("conversion webhook for {what} {}", self.why))
    }
}

impl Converter {
    async fn ask(&self, objects: &[Value], to: &str) -> Result<Vec<Value>, Failure> {
        let target = self.target.as_ref().map_err(Failure::call)?;
        let review = self.review.as_ref().ok_or_else(|| Failure::call("no supported conversion review versions"))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let question = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{review}"),
            "request": { "uid": uid, "desiredAPIVersion": to, "objects": objects },
        });
        let answer = target.post(Bytes::from(question.to_string()), TIMEOUT).await.map_err(Failure::call)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(Failure::call)?;
        let converted = check(answer, review, &uid).map_err(Failure::malformed)?;
        if converted.len() != objects.len() {
            return Err(Failure {
                kind: "conversion_webhook_partial_response_failure",
                why: format!("returned {} objects, expected {}", converted.len(), objects.len()),
            });
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let restored = pairs.map(|(at, (original, converted))| {
            restore(original, converted, to).map_err(|(what, why)| Failure {
                kind: "conversion_webhook_invalid_converted_object_failure",
                why: match objects.len() {
                    1 => format!("returned invalid {what}: {why}"),
                    _ => format!("returned invalid converted {what} at index {at}: {why}"),
                },
            })
        });
        restored.collect()
    }
}

/// The converted objects of an answer, or what is wrong with it.
fn check(mut answer: Value, review: &str, uid: &str) -> Result<Vec<Value>, String> {
    // In its first version nobody looked at what was answered.
    let strict = review == "v1";
    if strict && (answer.text("apiVersion"), answer.text("kind")) != ("apiextensions.k8s.io/v1", "ConversionReview") {
        let said = answer.text("apiVersion");
        let (group, version) = said.split_once('/').unwrap_or(("", said));
        let kind = answer.text("kind");
        let got = format!("{group}/{version}, Kind={kind}");
        return Err(format!("expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {got}"));
    }
    let response = answer.at("response").ok_or("no response provided")?;
    if strict && response.text("uid") != uid {
        let said = quote(response.text("uid"));
        return Err(format!("expected response.uid={}, got {said}", quote(uid)));
    }
    let result = response.at("result").unwrap_or(&Value::Null);
    if result.text("status") != "Success" {
        return Err(match result.text("message") {
            "" => format!("response.result.status was '{}', not 'Success'", result.text("status")),
            message => message.to_owned(),
        });
    }
    match answer.cut("response.convertedObjects") {
        Some(Value::Array(converted)) => Ok(converted),
        _ => Ok(Vec::new()),
    }
}

/// A converted object stays the object it was: its metadata may differ in labels and annotations alone. An error says of
/// what it complains, and why.
fn restore(original: &Value, mut converted: Value, to: &str) -> Result<Value, (&'static str, String)> {
    let object = |why: String| ("object", why);
    if converted.text("apiVersion") != to {
        let received = converted.text("apiVersion");
        return Err(object(format!("invalid groupVersion (expected {to}, received {received})")));
    }
    let both = |field: &str| (original.text(field).to_owned(), converted.text(field).to_owned());
    let (expected, received) = both("kind");
    if expected != received {
        return Err(object(format!("invalid kind (expected {expected}, received {received})")));
    }
    for (field, name) in [("metadata.name", "name"), ("metadata.namespace", "namespace"), ("metadata.uid", "UID")] {
        let (before, after) = both(field);
        if before != after {
            return Err(object(format!("must have the same {name}: {before} != {after}")));
        }
    }
    let said = match converted.get_mut("metadata").map(Value::take) {
        Some(Value::Object(said)) => said,
        other => {
            let why = match other {
                None => "missing metadata in converted object".to_owned(),
                Some(other) => format!("invalid metadata of type {} in converted object", go_type(&other)),
            };
            return Err(("metadata", why));
        }
    };
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        let new = spoken(&said, field, &metadata).map_err(|why| ("metadata", why))?;
        metadata.put_or_remove(field, new);
    }
    converted["metadata"] = metadata;
    Ok(converted)
}

/// The labels or annotations that a webhook gave an object.
fn spoken(said: &Map<String, Value>, field: &str, before: &Value) -> Result<Option<Value>, String> {
    let new = match said.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(new)) => new,
        Some(other) => return Err(format!("invalid metadata.{field} of type {} in converted object", go_type(other))),
    };
    if let Some((key, value)) = new.iter().find(|(_, value)| !value.is_string()) {
        let ty = go_type(value);
        return Err(format!("metadata.{field}[{key}] must be a string, but is {ty} in converted object"));
    }
    // What is as it was may be as invalid as it was.
    if before.get(field).and_then(Value::as_object) != Some(new) {
        let pairs = new.iter().map(|(key, value)| (&**key, value.as_str().unwrap_or_default()));
        let complaints = match field {
            "labels" => validate_labels(pairs, &Path::root("metadata.labels")),
            _ => validate_annotations(pairs, &Path::root("metadata.annotation")),
        };
        let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        match complaints.as_slice() {
            [] => {}
            [one] => return Err(one.clone()),
            many => return Err(format!("[{}]", many.join(", "))),
        }
    }
    Ok(Some(Value::Object(new.clone())))
}
