//! The file of `--authorization-config`: which authorizers are asked, in which order.

use std::path::Path as FilePath;
use std::time::Duration;

use api::validation::dns1123_subdomain;
use api::validation::field::{Error, ErrorList, Path};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AbacPolicies, AuthorizationMode, AuthorizationWebhook, MatchConditions, OnFailure};
use crate::webhook::Access;

/// The types of authorizers.
const KNOWN: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
/// A webhook may have at most so many match conditions.
const CONDITIONS_MOST: usize = 64;
/// How long one request waits for a webhook at most.
const LONGEST: Duration = Duration::from_secs(30);

/// An AuthorizationConfiguration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationConfigError {
    /// It is no such document.
    #[error("it is no AuthorizationConfiguration: {0}")]
    Unreadable(String),
    /// Fields have values of no use.
    #[error("{0}")]
    Invalid(ErrorList),
    /// An authorizer is called by another name than its own.
    #[error("expected name {expected} for authorizer {kind} instead of {name}")]
    Name {
        /// Its name.
        expected: String,
        /// Its type.
        kind: String,
        /// What it is called.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    authorizers: Vec<Configured>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    name: String,
    webhook: Option<Webhook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Webhook {
    #[serde(rename = "authorizedTTL", default = "five_minutes")]
    authorized_ttl: String,
    #[serde(default = "yes")]
    cache_authorized_requests: bool,
    #[serde(rename = "unauthorizedTTL", default = "half_a_minute")]
    unauthorized_ttl: String,
    #[serde(default = "yes")]
    cache_unauthorized_requests: bool,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    #[serde(default)]
    failure_policy: String,
    #[serde(default)]
    connection_info: Connection,
    #[serde(default)]
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    expression: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all(deserialize = "camelCase", serialize = "PascalCase"), deny_unknown_fields, default)]
struct Connection {
    r#type: String,
    kube_config_file: Option<String>,
}

fn five_minutes() -> String {
    "5m".into()
}

fn half_a_minute() -> String {
    "30s".into()
}

fn yes() -> bool {
    true
}

/// Reads a file of `--authorization-config`, YAML or JSON, and the kubeconfigs it names. `policies` are what ABAC goes by.
pub fn read_authorization(
    text: &str,
    policies: Option<&AbacPolicies>,
) -> Result<Vec<AuthorizationMode>, AuthorizationConfigError> {
    let document: Document =
        serde_saphyr::from_str(text).map_err(|error| AuthorizationConfigError::Unreadable(error.to_string()))?;
    let versions = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
    if document.kind != "AuthorizationConfiguration" || !versions.contains(&document.api_version) {
        let what = format!("{}, kind {}", document.api_version, document.kind);
        return Err(AuthorizationConfigError::Unreadable(what));
    }
    let mut errors = ErrorList::new();
    let root = Path::root("authorizers");
    if document.authorizers.is_empty() {
        errors.push(Error::required(&root, "at least one authorization mode must be defined"));
    }
    let mut modes = Vec::new();
    let (mut names, mut kinds): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (at, configured) in document.authorizers.into_iter().enumerate() {
        let path = root.index(at);
        match &*configured.r#type {
            "" => {
                errors.push(Error::required(&path.child("type"), ""));
                continue;
            }
            kind if !KNOWN.contains(&kind) => {
                errors.push(Error::not_supported(&path.child("type"), kind, &KNOWN));
                continue;
            }
            kind if kind != "Webhook" && kinds.iter().any(|known| known == kind) => {
                errors.push(Error::duplicate(&path.child("type"), kind));
                continue;
            }
            _ => {}
        }
        let at = path.child("name");
        if configured.name.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if names.contains(&configured.name) {
            errors.push(Error::duplicate(&at, &*configured.name));
        } else {
            let wrong = dns1123_subdomain(&configured.name);
            if !wrong.is_empty() {
                let why = format!("authorizer name is invalid: {}", wrong.join(", "));
                errors.push(Error::invalid(&at, &*configured.name, why));
            }
        }
        names.push(configured.name);
        kinds.push(configured.r#type.clone());
        let mode = match (&*configured.r#type, configured.webhook) {
            ("Webhook", Some(webhook)) => read_webhook(webhook, &path, &mut errors),
            ("Webhook", None) => {
                errors.push(Error::required(&path.child("webhook"), "required when type=Webhook"));
                None
            }
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                errors.push(Error::invalid(&path.child("webhook"), "non-null", why));
                None
            }
            ("Node", _) => Some(AuthorizationMode::Node),
            ("RBAC", _) => Some(AuthorizationMode::Rbac),
            ("AlwaysAllow", _) => Some(AuthorizationMode::AlwaysAllow),
            ("AlwaysDeny", _) => Some(AuthorizationMode::AlwaysDeny),
            _ => {
                if policies.is_none() {
                    let why = "goes with authorization-policy-file, which was not given";
                    errors.push(Error::invalid(&path.child("type"), "ABAC", why));
                }
                policies.cloned().map(AuthorizationMode::Abac)
            }
        };
        modes.extend(mode);
    }
    // Each of the others is there once, and called by its type.
    let called = kinds.iter().zip(&names).find(|(kind, name)| *kind != "Webhook" && kind.to_lowercase() != **name);
    if let Some((kind, name)) = called.filter(|_| errors.is_empty()) {
        let expected = kind.to_lowercase();
        return Err(AuthorizationConfigError::Name { expected, kind: kind.clone(), name: name.clone() });
    }
    if errors.is_empty() {
        return Ok(modes);
    }
    Err(AuthorizationConfigError::Invalid(errors))
}

fn read_webhook(webhook: Webhook, path: &Path, errors: &mut ErrorList) -> Option<AuthorizationMode> {
    let before = errors.len();
    let mut duration = |field: &str, text: &str, must_be: &str, most: i64| match api::duration::nanoseconds(text) {
        Ok(0) => {
            errors.push(Error::required(&path.child(field), ""));
            Duration::ZERO
        }
        Ok(long) if long > 0 && long <= most => Duration::from_nanos(long.unsigned_abs()),
        Ok(_) => {
            errors.push(Error::invalid(&path.child(field), text, must_be));
            Duration::ZERO
        }
        Err(why) => {
            errors.push(Error::invalid(&path.child(field), text, why));
            Duration::ZERO
        }
    };
    let timeout = match &*webhook.timeout {
        "" => "0",
        given => given,
    };
    let timeout = duration("timeout", timeout, "must be > 0s and <= 30s", LONGEST.as_nanos() as i64);
    // Nothing at all is what is usual.
    let or = |given: String, usual: &str| match api::duration::nanoseconds(&given) {
        Ok(0) => usual.to_owned(),
        _ => given,
    };
    let (authorized, unauthorized) = (or(webhook.authorized_ttl, "5m"), or(webhook.unauthorized_ttl, "30s"));
    let authorized_ttl = duration("authorizedTTL", &authorized, "must be > 0s", i64::MAX);
    let unauthorized_ttl = duration("unauthorizedTTL", &unauthorized, "must be > 0s", i64::MAX);
    let one_of = |errors: &mut ErrorList, field: &str, given: &str, known: &[&str]| match given {
        "" => errors.push(Error::required(&path.child(field), "")),
        given if known.contains(&given) => {}
        other => errors.push(Error::not_supported(&path.child(field), other, known)),
    };
    one_of(errors, "subjectAccessReviewVersion", &webhook.subject_access_review_version, &["v1", "v1beta1"]);
    let version = &*webhook.match_condition_subject_access_review_version;
    match version {
        "" if webhook.match_conditions.is_empty() => {}
        "" => {
            let why = "required if match conditions are specified";
            errors.push(Error::required(&path.child("matchConditionSubjectAccessReviewVersion"), why));
        }
        given => one_of(errors, "matchConditionSubjectAccessReviewVersion", given, &["v1"]),
    }
    one_of(errors, "failurePolicy", &webhook.failure_policy, &["NoOpinion", "Deny"]);
    let on_failure = if webhook.failure_policy == "NoOpinion" { OnFailure::NoOpinion } else { OnFailure::Deny };
    let access = connect(&webhook.connection_info, &path.child("connectionInfo"), errors);
    let mut conditions = MatchConditions::default();
    if webhook.match_conditions.len() > CONDITIONS_MOST {
        let many = webhook.match_conditions.len();
        errors.push(Error::too_many(&path.child("matchConditions"), many, CONDITIONS_MOST));
        return None;
    }
    for (at, condition) in webhook.match_conditions.iter().enumerate() {
        let path = path.child("matchConditions").index(at).child("expression");
        if condition.expression.trim().is_empty() {
            errors.push(Error::required(&path, ""));
        } else if webhook.match_conditions[..at].iter().any(|other| other.expression == condition.expression) {
            errors.push(Error::duplicate(&path, &*condition.expression));
        } else if let Err(why) = conditions.add(&condition.expression) {
            errors.push(Error::invalid(&path, &*condition.expression, why));
        }
    }
    let kept = |kept: bool, ttl: Duration| if kept { ttl } else { Duration::ZERO };
    access.filter(|_| errors.len() == before).map(|access| {
        AuthorizationMode::Webhook(Box::new(AuthorizationWebhook {
            access,
            version: webhook.subject_access_review_version,
            authorized_ttl: kept(webhook.cache_authorized_requests, authorized_ttl),
            unauthorized_ttl: kept(webhook.cache_unauthorized_requests, unauthorized_ttl),
            timeout,
            on_failure,
            conditions,
        }))
    })
}

/// How the webhook is reached.
fn connect(connection: &Connection, path: &Path, errors: &mut ErrorList) -> Option<Access> {
    let at = path.child("kubeConfigFile");
    let mut wrong = |error: Error| {
        errors.push(error);
        None
    };
    let file = match (&*connection.r#type, connection.kube_config_file.as_deref().unwrap_or_default()) {
        ("", _) => return wrong(Error::required(&path.child("type"), "")),
        ("KubeConfigFile", "") => return wrong(Error::required(&at, "")),
        ("KubeConfigFile", file) if file.starts_with('/') => file,
        ("KubeConfigFile", file) => return wrong(Error::invalid(&at, file, "must be an absolute path")),
        ("InClusterConfig", "") => {
            return wrong(Error::forbidden(&path.child("type"), "this API server runs in no cluster but its own"));
        }
        ("InClusterConfig", file) => {
            return wrong(Error::invalid(&at, file, "can only be set when type=KubeConfigFile"));
        }
        _ => {
            let known = ["InClusterConfig", "KubeConfigFile"];
            return wrong(Error::not_supported(&path.child("type"), json!(connection), &known));
        }
    };
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return wrong(Error::invalid(&at, file, "must be a regular file")),
        Err(error) => {
            let error = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            return wrong(Error::invalid(&at, file, format!("error loading file: stat {file}: {error}")));
        }
    }
    let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let folder = FilePath::new(file).parent().unwrap_or(FilePath::new("/"));
    let access = read.and_then(|text| Access::from_kubeconfig(&text, folder).map_err(|error| error.to_string()));
    access.map_or_else(|why| wrong(Error::invalid(&at, file, why)), Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorizers_are_asked_in_the_order_they_stand_in() {
        let policies = AbacPolicies::default();
        let checked = |authorizers: &str, policies: Option<&AbacPolicies>, expect: Result<usize, &str>| {
            let text = format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: {authorizers}"
            );
            match (read_authorization(&text, policies), expect) {
                (Ok(modes), Ok(expect)) => assert_eq!(modes.len(), expect),
                (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
                (seen, expect) => panic!("{seen:?} instead of {expect:?}"),
            }
        };
        let check = |authorizers: &str, expect| checked(authorizers, None, expect);
        check("[{type: Node, name: node}, {type: RBAC, name: rbac}]", Ok(2));
        checked("[{type: ABAC, name: abac}]", Some(&policies), Ok(1));
        check("[{type: ABAC, name: abac}]", Err("authorizers[0].type: Invalid value: \"ABAC\": goes with"));
        check("[]", Err("at least one authorization mode must be defined"));
        check("[{type: RBAC, name: a}, {type: RBAC, name: b}]", Err("authorizers[1].type: Duplicate value"));
        check("[{type: RBAC, name: a}, {type: Node, name: a}]", Err("authorizers[1].name: Duplicate value"));
        check("[{type: X, name: a}]", Err("authorizers[0].type: Unsupported value"));
        check("[{type: Webhook, name: a}]", Err("required when type=Webhook"));
        let webhook = "[{type: Webhook, name: a, webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /nowhere}}}]";
        check(webhook, Err("kubeConfigFile: Invalid value"));
        check(
            &webhook.replace("3s", "60s"),
            Err(r#"authorizers[0].timeout: Invalid value: "60s": must be > 0s and <= 30s"#),
        );
        check(&webhook.replace("timeout: 3s, ", ""), Err("authorizers[0].timeout: Required value"));
        check(&webhook.replace("failurePolicy: Deny, ", ""), Err("authorizers[0].failurePolicy: Required value"));
        check(&webhook.replace("/nowhere", "here"), Err("must be an absolute path"));
        check(&webhook.replace("name: a", "name: A_"), Err("authorizer name is invalid: a lowercase RFC 1123"));
        check(&webhook.replace("/nowhere", "/dev"), Err("must be a regular file"));
        let missing = "connectionInfo.kubeConfigFile: Invalid value: \"/nowhere\": error loading file: stat /nowhere: no such file";
        check(webhook, Err(missing));
        check(
            &webhook.replace("type: KubeConfigFile, kubeConfigFile: /nowhere", ""),
            Err("connectionInfo.type: Required"),
        );
        check("[{type: RBAC, name: own}]", Err("expected name rbac for authorizer RBAC instead of own"));
        check("[{name: rbac}]", Err("authorizers[0].type: Required value"));
        let condition = |source: &str| {
            let conditions = format!(
                "timeout: 3s, matchConditionSubjectAccessReviewVersion: v1, matchConditions: [{{expression: \"{source}\"}}]"
            );
            webhook.replace("timeout: 3s", &conditions)
        };
        check(&condition("request.user"), Err("must evaluate to bool"));
        check(&condition("request.x == 1"), Err("undefined field 'x'"));
    }
}
