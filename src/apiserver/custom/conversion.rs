//! Conversion by webhook: objects go out in one ConversionReview and come back in another version, otherwise themselves.

mod answer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Status;
use api::custom::{Conversion, Convert};
use api::json::Limits;
use api::quote::go_type;
use api::validation::field::Path;
use api::validation::{validate_annotations, validate_labels};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
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
                converted.extend(outcome.map_err(|failure| failure.status(some))?);
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
    /// The object it is about, of those that were to be converted.
    at: usize,
    /// What follows `conversion webhook for … `; upstream says some things without that.
    why: Result<String, String>,
}

impl Failure {
    fn call(why: impl std::fmt::Display) -> Self {
        Self { kind: "conversion_webhook_call_failure", at: 0, why: Ok(format!("failed: {why}")) }
    }

    fn malformed(why: impl std::fmt::Display) -> Self {
        Self { kind: "conversion_webhook_malformed_response_failure", at: 0, why: Ok(format!("failed: {why}")) }
    }

    fn partial(answered: usize, asked: usize) -> Self {
        let why = format!("returned {answered} objects, expected {asked}");
        Self { kind: "conversion_webhook_partial_response_failure", at: 0, why: Ok(why) }
    }

    /// Of an object, in the words for one alone: upstream sends each alone.
    fn invalid(at: usize, why: Result<String, String>) -> Self {
        let why = why.map(|why| format!("returned invalid {why}"));
        Self { kind: "conversion_webhook_invalid_converted_object_failure", at, why }
    }

    /// As clients see it.
    fn status(self, objects: &[Value]) -> Status {
        let object = &objects[self.at];
        let what = kind_of(object.text("apiVersion"), object.text("kind"));
        let why = self.why.map_or_else(|bare| bare, |why| format!("conversion webhook for {what} {why}"));
        // Upstream has no reason for it.
        Status::failure(500, "", why)
    }
}

/// As Go shows it.
fn kind_of(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    format!("{group}/{version}, Kind={kind}")
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
        let converted = answer::converted(&answer, review, &uid)?;
        if converted.len() != objects.len() {
            return Err(Failure::partial(converted.len(), objects.len()));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let restored = pairs.map(|(at, (original, raw))| {
            let converted = object(&raw).map_err(|bare| Failure::invalid(at, Err(bare)))?;
            restore(original, converted, to).map_err(|why| Failure::invalid(at, Ok(why)))
        });
        restored.collect()
    }
}

/// A converted object as it was written, or why it is none.
fn object(raw: &RawValue) -> Result<Value, String> {
    let text = raw.get();
    if text == "null" {
        return Err("unexpected end of JSON input".into());
    }
    if !text.starts_with('{') {
        return Err(answer::mistyped(raw, "value of type map[string]interface {}"));
    }
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let value = api::json::read(text.as_bytes(), limits).map_err(|error| error.to_string())?.value;
    // To Go it has no kind either where its version cannot be read.
    if value.text("kind").is_empty() || value.text("apiVersion").matches('/').count() > 1 {
        return Err(format!("Object 'Kind' is missing in '{text}'"));
    }
    Ok(value)
}

/// A converted object stays the object it was: its metadata may differ in labels and annotations alone. An error says of
/// what it complains, and why.
fn restore(original: &Value, mut converted: Value, to: &str) -> Result<Value, String> {
    if converted.text("apiVersion") != to {
        let received = converted.text("apiVersion");
        return Err(format!("object at index 0: invalid groupVersion (expected {to}, received {received})"));
    }
    let both = |field: &str| (original.text(field).to_owned(), converted.text(field).to_owned());
    let (expected, received) = both("kind");
    if expected != received {
        return Err(format!("object at index 0: invalid kind (expected {expected}, received {received})"));
    }
    for (field, name) in [("metadata.name", "name"), ("metadata.namespace", "namespace"), ("metadata.uid", "UID")] {
        let (before, after) = both(field);
        if before != after {
            return Err(format!("object: must have the same {name}: {before} != {after}"));
        }
    }
    let said = match converted.get_mut("metadata").map(Value::take) {
        Some(Value::Object(said)) => said,
        None => return Err("metadata: missing metadata in converted object".into()),
        Some(other) => {
            return Err(format!("metadata: invalid metadata of type {} in converted object", go_type(&other)));
        }
    };
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        let new = spoken(&said, field, &metadata).map_err(|why| format!("metadata: {why}"))?;
        metadata.put_or_remove(field, new);
    }
    converted["metadata"] = metadata;
    Ok(converted)
}

/// The labels or annotations that a webhook gave an object.
fn spoken(said: &Map<String, Value>, field: &str, before: &Value) -> Result<Option<Value>, String> {
    let new = match said.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(new)) if new.is_empty() => return Ok(None),
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
