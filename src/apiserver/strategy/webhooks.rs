//! Configurations of admission webhooks: what they may say.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1035_label, dns1123_subdomain, port_number, validate_label_selector};
use serde_json::Value;

use super::policies::validate_conditions;
use super::{Generation, Strategy};
use crate::admission::expressions::Names;
use crate::defaults::Defaults;
use crate::tree::Tree;

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

fn defaults() -> Defaults {
    Defaults::new(&[]).with(
        "webhooks[]",
        &[
            ("failurePolicy", r#""Fail""#),
            ("matchPolicy", r#""Equivalent""#),
            ("namespaceSelector", "{}"),
            ("objectSelector", "{}"),
            ("timeoutSeconds", "10"),
            ("rules[].scope", r#""*""#),
            ("clientConfig.service.port", "443"),
        ],
    )
}

pub(super) const MUTATING: Strategy = Strategy {
    generation: Generation::CountedWithEmpty,
    defaults: Some(|| defaults().with("webhooks[]", &[("reinvocationPolicy", r#""Never""#)])),
    validate,
    unconditional_update: false,
    ..Strategy::DEFAULT
};

pub(super) const VALIDATING: Strategy = Strategy {
    generation: Generation::CountedWithEmpty,
    defaults: Some(defaults),
    validate,
    unconditional_update: false,
    ..Strategy::DEFAULT
};

fn validate(configuration: &Value, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for (at, webhook) in configuration.items("webhooks").iter().enumerate() {
        let path = Path::root("webhooks").index(at);
        let name = webhook.text("name");
        validate_webhook(webhook, &path, errors);
        if !name.is_empty() && !names.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
}

fn validate_webhook(webhook: &Value, path: &Path, errors: &mut ErrorList) {
    validate_name(webhook.text("name"), &path.child("name"), errors);
    for (at, rule) in webhook.items("rules").iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(at), errors);
    }
    for (field, known) in [
        ("failurePolicy", ["Fail", "Ignore"]),
        ("matchPolicy", ["Equivalent", "Exact"]),
        ("sideEffects", ["None", "NoneOnDryRun"]),
        ("reinvocationPolicy", ["IfNeeded", "Never"]),
    ] {
        match webhook.at(field).and_then(Value::as_str) {
            None if field == "sideEffects" => {
                errors.push(Error::required(&path.child(field), "must specify one of None, NoneOnDryRun"));
            }
            Some(said) if !known.contains(&said) => {
                errors.push(Error::not_supported(&path.child(field), said, &known));
            }
            _ => {}
        }
    }
    if let Some(seconds) = webhook.int("timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(Error::invalid(&path.child("timeoutSeconds"), seconds, why));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = webhook.at(field) {
            errors.extend(validate_label_selector(selector, &path.child(field)));
        }
    }
    let client = path.child("clientConfig");
    match (webhook.at("clientConfig.url"), webhook.at("clientConfig.service")) {
        (Some(url), None) => validate_url(url.as_str().unwrap_or_default(), &client.child("url"), errors),
        (None, Some(service)) => validate_service(service, &client.child("service"), errors),
        _ => errors.push(Error::required(&client, "exactly one of url or service is required")),
    }
    let names = Names { authorizer: true, ..Names::default() };
    validate_conditions(webhook.items("matchConditions"), names, &path.child("matchConditions"), errors);
    validate_versions(webhook, &path.child("admissionReviewVersions"), errors);
}

/// A fully qualified name.
fn validate_name(name: &str, path: &Path, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let complaints = dns1123_subdomain(name);
    if !complaints.is_empty() {
        errors.push(Error::invalid(path, name, complaints.join(",")));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(Error::invalid(path, name, why));
    }
}

pub(super) fn validate_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    let lists = [
        ("operations", "if '*' is present, must not specify other operations"),
        ("apiGroups", "if '*' is present, must not specify other API groups"),
        ("apiVersions", "if '*' is present, must not specify other API versions"),
    ];
    for (field, alone) in lists {
        let (items, path) = (rule.items(field), path.child(field));
        if items.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if items.len() > 1 && items.iter().any(|item| item == "*") {
            errors.push(Error::invalid(&path, items.to_vec(), alone));
        }
        for (at, item) in items.iter().enumerate() {
            let item = item.as_str().unwrap_or_default();
            if field == "operations" && !OPERATIONS.contains(&item) {
                errors.push(Error::not_supported(&path.index(at), item, &OPERATIONS));
            }
            if field == "apiVersions" && item.is_empty() {
                errors.push(Error::required(&path.index(at), ""));
            }
        }
    }
    validate_resources(rule.items("resources"), &path.child("resources"), errors);
    const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
    if let Some(scope) = rule.at("scope").and_then(Value::as_str).filter(|scope| !SCOPES.contains(scope)) {
        errors.push(Error::not_supported(&path.child("scope"), scope, &SCOPES));
    }
}

fn validate_resources(resources: &[Value], path: &Path, errors: &mut ErrorList) {
    if resources.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut all_subresources, mut all_resources) = (Vec::new(), Vec::new());
    let (mut everything, mut wildcard, mut plain) = (false, false, false);
    for (at, named) in resources.iter().enumerate() {
        let (named, path) = (named.as_str().unwrap_or_default(), path.index(at));
        if named.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        everything |= named == "*/*";
        wildcard |= named == "*";
        let Some((resource, subresource)) = named.split_once('/') else {
            plain = named != "*";
            continue;
        };
        if all_subresources.contains(&resource) {
            let why = format!("if '{resource}/*' is present, must not specify {named}");
            errors.push(Error::invalid(&path, named, why));
        }
        if all_resources.contains(&subresource) {
            let why = format!("if '*/{subresource}' is present, must not specify {named}");
            errors.push(Error::invalid(&path, named, why));
        }
        if subresource == "*" {
            all_subresources.push(resource);
        }
        if resource == "*" {
            all_resources.push(subresource);
        }
    }
    if resources.len() > 1 && everything {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(Error::invalid(path, resources.to_vec(), why));
    }
    if wildcard && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, resources.to_vec(), why));
    }
}

fn validate_versions(webhook: &Value, path: &Path, errors: &mut ErrorList) {
    let versions = webhook.items("admissionReviewVersions");
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        errors.push(Error::required(path, format!("must specify one of {known}")));
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
    if !versions.iter().any(|version| REVIEW_VERSIONS.iter().any(|known| version == known)) {
        let why = format!("must include at least one of {known}");
        errors.push(Error::invalid(path, versions.to_vec(), why));
    }
}

/// A webhook's URL, in upstream's words.
pub(crate) fn validate_url(url: &str, path: &Path, errors: &mut ErrorList) {
    const FORM: &str = "; desired format: https://host[/path]";
    if let Some(why) = unparsable(url) {
        let why = format!("url must be a valid URL: parse {}: {why}{FORM}", api::quote::quote(url));
        errors.push(Error::required(path, why));
        return;
    }
    let (before, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (before, query) = before.split_once('?').unwrap_or((before, ""));
    let named = |scheme: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(plain)
    };
    let (scheme, rest) = before.split_once(':').filter(|(scheme, _)| named(scheme)).unwrap_or(("", before));
    let scheme = &*scheme.to_ascii_lowercase();
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split('/').next().unwrap_or_default());
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        errors.push(Error::invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        errors.push(Error::invalid(path, host, format!("host must be specified{FORM}")));
    }
    if !user.is_empty() {
        errors.push(Error::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(Error::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(Error::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

/// Why a text is no URL to Go, in its words.
fn unparsable(url: &str) -> Option<String> {
    if url.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Some("net/url: invalid control character in URL".into());
    }
    if url.starts_with(':') {
        return Some("missing protocol scheme".into());
    }
    let (before, fragment) = url.split_once('#').unwrap_or((url, ""));
    let before = before.split('?').next().unwrap_or_default();
    let (host, way) = match before.split_once("://") {
        None => ("", before),
        Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    if host.starts_with('[') && !host.contains(']') {
        return Some("missing ']' in host".into());
    }
    let after = host.rfind(']').map_or(0, |end| end + 1);
    if let Some(at) = host[after..].rfind(':') {
        let port = &host[after + at..];
        if !port[1..].bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(format!("invalid port {} after host", api::quote::quote(port)));
        }
    }
    if let Some(bad) = host.chars().find(|c| matches!(c, ' ' | '\\' | '^' | '`' | '{' | '|' | '}')) {
        return Some(format!("invalid character {} in host name", api::quote::quote(&bad.to_string())));
    }
    [host, way, fragment].into_iter().find_map(|part| {
        let escapes = part.match_indices('%').map(|(at, _)| &part.as_bytes()[at..]);
        let bad = escapes
            .map(|from| &from[..from.len().min(3)])
            .find(|escape| escape.len() < 3 || !escape[1..].iter().all(u8::is_ascii_hexdigit))?;
        let shown = String::from_utf8_lossy(bad);
        Some(format!("invalid URL escape {}", api::quote::quote(&shown)))
    })
}

/// A webhook's service, in upstream's words.
pub(crate) fn validate_service(service: &Value, path: &Path, errors: &mut ErrorList) {
    // Upstream names the one when the other is missing.
    for (missing, named) in [("namespace", "name"), ("name", "namespace")] {
        if service.text(missing).is_empty() {
            errors.push(Error::required(&path.child(named), ""));
        }
    }
    let port = service.int("port").unwrap_or(0);
    let complaints = port_number(port);
    if !complaints.is_empty() {
        let why = format!("port is not valid: {}", complaints.join(", "));
        errors.push(Error::invalid(&path.child("port"), port, why));
    }
    let (url, path) = (service.text("path"), path.child("path"));
    if matches!(url, "" | "/") {
        return;
    }
    if url == "//" {
        errors.push(Error::invalid(&path, url, "segment[0] may not be empty"));
        return;
    }
    if !url.starts_with('/') {
        errors.push(Error::invalid(&path, url, "must start with a '/'"));
    }
    // Upstream leaves out a byte here, not a letter.
    let checked = String::from_utf8_lossy(&url.as_bytes()[1..]);
    let checked = checked.strip_suffix('/').unwrap_or(&checked);
    for (at, step) in checked.split('/').enumerate() {
        if step.is_empty() {
            errors.push(Error::invalid(&path, url, format!("segment[{at}] may not be empty")));
            continue;
        }
        for complaint in dns1123_subdomain(step) {
            errors.push(Error::invalid(&path, url, format!("segment[{at}]: {complaint}")));
        }
    }
}
