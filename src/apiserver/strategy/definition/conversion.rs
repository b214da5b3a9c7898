//! How versions become each other: `spec.conversion`.

use std::collections::HashSet;

use api::validation::dns1035_label;
use api::validation::field::{Error, ErrorList, Path};
use base64::Engine;
use serde_json::Value;

use crate::strategy::webhooks::{validate_service, validate_url};
use crate::tree::Tree;
use crate::trust;

/// Complaints about the conversion of a definition; `old` is what it replaces.
pub(super) fn validate(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::root("spec.conversion");
    let conversion = &definition["spec"]["conversion"];
    let webhook = conversion.at("webhook");
    let client = webhook.and_then(|webhook| webhook.at("clientConfig"));
    let strategy = conversion.text("strategy");
    match strategy {
        "" => errors.push(Error::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => errors.push(Error::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    if strategy != "None" && definition.truth("spec.preserveUnknownFields") {
        let why = "must be None if spec.preserveUnknownFields is true";
        errors.push(Error::invalid(&path.child("strategy"), strategy, why));
    }
    if strategy == "Webhook" {
        let path_of_client = path.child("webhookClientConfig");
        match client {
            None => errors.push(Error::required(&path_of_client, "required when strategy is set to Webhook")),
            Some(client) => self::client(client, old, &path_of_client, errors),
        }
        review_versions(versions(definition), old.map(versions), &path.child("conversionReviewVersions"), errors);
        return;
    }
    let why = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        errors.push(Error::forbidden(&path.child("webhookClientConfig"), why));
    }
    if !versions(definition).is_empty() {
        errors.push(Error::forbidden(&path.child("conversionReviewVersions"), why));
    }
}

fn versions(definition: &Value) -> &[Value] {
    definition.items("spec.conversion.webhook.conversionReviewVersions")
}

fn client(client: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
    match (client.at("url").and_then(Value::as_str), client.at("service")) {
        (None, None) | (Some(_), Some(_)) => {
            errors.push(Error::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => validate_url(url, &path.child("url"), errors),
        (None, Some(service)) => validate_service(service, &path.child("service"), errors),
    }
    // Who was served with a bundle that is none may go on with it.
    let was_invalid =
        |old: &Value| bundle_complaint(old.text("spec.conversion.webhook.clientConfig.caBundle")).is_some();
    if old.is_some_and(|old| super::is_established(old) && !was_invalid(old)) {
        let bundle = client.text("caBundle");
        if let Some(why) = bundle_complaint(bundle) {
            errors.push(Error::invalid(&path.child("caBundle"), bundle, why));
        }
    }
}

/// What is wrong with a bundle of certificates, in base64; nothing is with an empty one.
pub(crate) fn bundle_complaint(bundle: &str) -> Option<String> {
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default();
    if pem.is_empty() { None } else { trust::check_bundle(&pem).err().map(|error| error.to_string()) }
}

fn review_versions(versions: &[Value], old: Option<&[Value]>, path: &Path, errors: &mut ErrorList) {
    if versions.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let mut seen = HashSet::new();
    for (at, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or_default();
        if !seen.insert(version) {
            errors.push(Error::invalid(&path.index(at), text, "duplicate version"));
            continue;
        }
        errors.invalid_each(&path.index(at), text, dns1035_label(text));
    }
    let known = |versions: &[Value]| versions.iter().any(|v| matches!(v.as_str(), Some("v1" | "v1beta1")));
    // Who could be asked nothing before need not be asked more now.
    if !known(versions) && old.is_none_or(|old| old.is_empty() || known(old)) {
        errors.push(Error::invalid(path, versions.to_vec(), "must include at least one of v1, v1beta1"));
    }
}
