//! How versions become each other: `spec.conversion`.

use api::validation::dns1035_label;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::strategy::webhooks::{validate_service, validate_url};
use crate::tree::Tree;

pub(super) fn validate(definition: &Value, errors: &mut ErrorList) {
    let path = Path::root("spec.conversion");
    let conversion = &definition["spec"]["conversion"];
    let webhook = conversion.at("webhook");
    let versions = webhook.map_or(&[] as &[Value], |webhook| webhook.items("conversionReviewVersions"));
    let client = webhook.and_then(|webhook| webhook.at("clientConfig"));
    match conversion.text("strategy") {
        "" => errors.push(Error::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => errors.push(Error::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    if conversion.text("strategy") == "Webhook" {
        let path_of_client = path.child("webhookClientConfig");
        match client {
            None => errors.push(Error::required(&path_of_client, "required when strategy is set to Webhook")),
            Some(client) => self::client(client, &path_of_client, errors),
        }
        review_versions(versions, &path.child("conversionReviewVersions"), errors);
        return;
    }
    let why = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        errors.push(Error::forbidden(&path.child("webhookClientConfig"), why));
    }
    if !versions.is_empty() {
        errors.push(Error::forbidden(&path.child("conversionReviewVersions"), why));
    }
}

fn client(client: &Value, path: &Path, errors: &mut ErrorList) {
    match (client.at("url").and_then(Value::as_str), client.at("service")) {
        (None, None) | (Some(_), Some(_)) => {
            errors.push(Error::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => validate_url(url, &path.child("url"), errors),
        (None, Some(service)) => validate_service(service, &path.child("service"), errors),
    }
}

fn review_versions(versions: &[Value], path: &Path, errors: &mut ErrorList) {
    if versions.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    for (at, version) in versions.iter().enumerate() {
        let text = version.as_str().unwrap_or_default();
        if versions[..at].contains(version) {
            errors.push(Error::invalid(&path.index(at), text, "duplicate version"));
            continue;
        }
        errors.invalid_each(&path.index(at), text, dns1035_label(text));
    }
    if !versions.iter().any(|version| matches!(version.as_str(), Some("v1" | "v1beta1"))) {
        errors.push(Error::invalid(path, versions.to_vec(), "must include at least one of v1, v1beta1"));
    }
}
