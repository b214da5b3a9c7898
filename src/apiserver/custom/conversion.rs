//! Conversion by webhook: objects go out in one ConversionReview and come back in another version, otherwise themselves.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use api::custom::{Conversion, Convert};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Registry;
use crate::tree::Tree;
use crate::webhook::{Access, Place, Target};

/// Upstream's patience.
const TIMEOUT: Duration = Duration::from_secs(30);

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
    client_config: Option<ClientConfig>,
    #[serde(default)]
    conversion_review_versions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    url: Option<String>,
    service: Option<Service>,
    ca_bundle: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Service {
    namespace: String,
    name: String,
    path: Option<String>,
    port: Option<u16>,
}

impl View {
    /// What the view describes. A webhook that cannot be called says so to whoever needs a conversion.
    pub(super) fn build(&self, registry: &Registry) -> Conversion {
        let Some(webhook) = self.webhook.as_ref().filter(|_| &*self.strategy == "Webhook") else {
            return Conversion::None;
        };
        let review =
            webhook.conversion_review_versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"));
        let target = webhook.target(registry).map_err(|why| {
            tracing::warn!(why, "a conversion webhook cannot be called");
            why
        });
        let review = review.cloned().unwrap_or_else(|| "v1".into());
        Conversion::Webhook(Arc::new(Converter { target, review }))
    }
}

impl Webhook {
    fn target(&self, registry: &Registry) -> Result<Arc<Target>, String> {
        use base64::Engine;
        let config = self.client_config.as_ref().ok_or("no clientConfig")?;
        let place = match (&config.url, &config.service) {
            (Some(url), _) => Place::Url(url.parse().map_err(|error| format!("{error}"))?),
            (None, Some(service)) => Place::Service {
                namespace: service.namespace.clone(),
                name: service.name.clone(),
                port: service.port.unwrap_or(443),
                path: service.path.clone().unwrap_or_default(),
            },
            (None, None) => return Err("neither url nor service".into()),
        };
        let bundle = config.ca_bundle.as_deref().unwrap_or_default();
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle).map_err(|error| error.to_string())?;
        registry.webhooks().target(&Access::new(place, &bundle)).map_err(|error| error.to_string())
    }
}

#[derive(Debug)]
struct Converter {
    target: Result<Arc<Target>, String>,
    review: String,
}

impl Convert for Converter {
    fn convert(&self, objects: Vec<Value>, api_version: String) -> BoxFuture<'_, Result<Vec<Value>, Status>> {
        self.ask(objects, api_version).boxed()
    }
}

impl Converter {
    async fn ask(&self, objects: Vec<Value>, to: String) -> Result<Vec<Value>, Status> {
        let first =
            objects.first().map(|object| (object.text("kind").to_owned(), object.text("apiVersion").to_owned()));
        let (kind, from) = first.unwrap_or_default();
        let (group, version) = from.split_once('/').unwrap_or(("", &from));
        let what = format!("{group}/{version}, Kind={kind}");
        let failed = |why: String| Status::internal(format!("conversion webhook for {what} failed: {why}"));
        let target = self.target.as_ref().map_err(|why| failed(why.clone()))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let review = json!({
            "kind": "ConversionReview",
            "apiVersion": format!("apiextensions.k8s.io/{}", self.review),
            "request": { "uid": uid, "desiredAPIVersion": to, "objects": objects },
        });
        let answer =
            target.post(Bytes::from(review.to_string()), TIMEOUT).await.map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
        let converted = check(&answer, &self.review, &uid)
            .map_err(|why| Status::internal(format!("conversion webhook for {what} {why}")))?;
        if converted.len() != objects.len() {
            let why = format!("returned {} objects, expected {}", converted.len(), objects.len());
            return Err(Status::internal(format!("conversion webhook for {what} {why}")));
        }
        let pairs = objects.iter().zip(converted).enumerate();
        let restored = pairs.map(|(at, (original, converted))| {
            restore(original, converted, &to).map_err(|why| {
                Status::internal(format!(
                    "conversion webhook for {what} returned invalid converted object at index {at}: {why}"
                ))
            })
        });
        restored.collect()
    }
}

/// The converted objects of an answer, or what is wrong with it.
fn check(answer: &Value, review: &str, uid: &str) -> Result<Vec<Value>, String> {
    let expected = format!("apiextensions.k8s.io/{review}");
    let said = (answer.text("apiVersion"), answer.text("kind"));
    if said != (&*expected, "ConversionReview") {
        let (version, kind) = said;
        return Err(format!(
            "returned invalid response: expected webhook response of {expected}, Kind=ConversionReview, got {version}, Kind={kind}"
        ));
    }
    let response = answer.at("response").ok_or("returned no response")?;
    if review == "v1" && response.text("uid") != uid {
        let quoted = api::quote::quote;
        let said = quoted(response.text("uid"));
        return Err(format!("returned invalid response: expected response.uid={}, got {said}", quoted(uid)));
    }
    let result = response.at("result");
    let status = result.map(|result| result.text("status")).unwrap_or_default();
    if status != "Success" {
        let message = result.map(|result| result.text("message")).unwrap_or_default();
        let message = if message.is_empty() {
            format!("response.result.status was '{status}', not 'Success'")
        } else {
            message.to_owned()
        };
        return Err(format!("failed: {message}"));
    }
    Ok(response.items("convertedObjects").to_vec())
}

/// A converted object stays the object it was: its metadata may differ in labels and annotations alone.
fn restore(original: &Value, mut converted: Value, to: &str) -> Result<Value, String> {
    if converted.text("apiVersion") != to {
        return Err(format!("invalid groupVersion (expected {to}, received {})", converted.text("apiVersion")));
    }
    if converted.text("kind") != original.text("kind") {
        let (expected, received) = (original.text("kind"), converted.text("kind"));
        return Err(format!("invalid kind (expected {expected}, received {received})"));
    }
    if !converted["metadata"].is_object() {
        return Err("missing metadata in converted object".into());
    }
    for field in ["name", "namespace", "uid"] {
        let (before, after) = (original["metadata"].text(field), converted["metadata"].text(field));
        if before != after {
            return Err(format!("metadata.{field} was changed: expected {before}, received {after}"));
        }
    }
    let mut metadata = original["metadata"].clone();
    for field in ["labels", "annotations"] {
        metadata.put_or_remove(field, converted["metadata"].at(field).cloned());
    }
    converted["metadata"] = metadata;
    Ok(converted)
}
