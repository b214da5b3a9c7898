//! The file of `--authorization-config`: which authorizers are asked, in which order.

use std::path::Path as FilePath;
use std::time::Duration;

use api::validation::field::{Error, ErrorList, Path};
use serde::Deserialize;

use super::{AuthorizationMode, AuthorizationWebhook, MatchConditions, OnFailure};
use crate::webhook::Access;

/// An AuthorizationConfiguration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationConfigError {
    /// It is no such document.
    #[error("it is no AuthorizationConfiguration: {0}")]
    Unreadable(String),
    /// Fields have values of no use.
    #[error("{0}")]
    Invalid(String),
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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

/// Reads a file of `--authorization-config`, YAML or JSON, and the kubeconfigs it names.
pub fn read_authorization(text: &str) -> Result<Vec<AuthorizationMode>, AuthorizationConfigError> {
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
        if configured.name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else if names.contains(&configured.name) {
            errors.push(Error::duplicate(&path.child("name"), &*configured.name));
        }
        if configured.r#type != "Webhook" && kinds.contains(&configured.r#type) {
            errors.push(Error::duplicate(&path.child("type"), &*configured.r#type));
        }
        names.push(configured.name);
        kinds.push(configured.r#type.clone());
        let mode = match (&*configured.r#type, configured.webhook) {
            ("Webhook", Some(webhook)) => read_webhook(webhook, &path.child("webhook"), &mut errors),
            ("Webhook", None) => {
                errors.push(Error::required(&path.child("webhook"), "required when type=Webhook"));
                None
            }
            (_, Some(_)) => {
                errors.push(Error::forbidden(&path.child("webhook"), "may only be specified when type=Webhook"));
                None
            }
            ("Node", _) => Some(AuthorizationMode::Node),
            ("RBAC", _) => Some(AuthorizationMode::Rbac),
            ("AlwaysAllow", _) => Some(AuthorizationMode::AlwaysAllow),
            ("AlwaysDeny", _) => Some(AuthorizationMode::AlwaysDeny),
            (other, _) => {
                let known = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
                errors.push(Error::not_supported(&path.child("type"), other, &known));
                None
            }
        };
        modes.extend(mode);
    }
    if errors.is_empty() {
        return Ok(modes);
    }
    let all: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.body())).collect();
    Err(AuthorizationConfigError::Invalid(all.join(", ")))
}

fn read_webhook(webhook: Webhook, path: &Path, errors: &mut ErrorList) -> Option<AuthorizationMode> {
    let before = errors.len();
    let mut duration = |field: &str, text: &str| {
        let read = api::duration::parse(text).filter(|duration| !duration.is_zero());
        if read.is_none() {
            errors.push(Error::invalid(&path.child(field), text, "must be a duration greater than zero"));
        }
        read.unwrap_or_default()
    };
    let authorized_ttl = duration("authorizedTTL", &webhook.authorized_ttl);
    let unauthorized_ttl = duration("unauthorizedTTL", &webhook.unauthorized_ttl);
    let timeout = duration("timeout", &webhook.timeout);
    if timeout > Duration::from_secs(30) {
        errors.push(Error::invalid(&path.child("timeout"), webhook.timeout, "must be <= 30s"));
    }
    if !["v1", "v1beta1"].contains(&&*webhook.subject_access_review_version) {
        let version = &*webhook.subject_access_review_version;
        errors.push(Error::not_supported(&path.child("subjectAccessReviewVersion"), version, &["v1", "v1beta1"]));
    }
    let on_failure = match &*webhook.failure_policy {
        "NoOpinion" => OnFailure::NoOpinion,
        "Deny" => OnFailure::Deny,
        other => {
            errors.push(Error::not_supported(&path.child("failurePolicy"), other, &["NoOpinion", "Deny"]));
            OnFailure::Deny
        }
    };
    let mut conditions = MatchConditions::default();
    let version = &*webhook.match_condition_subject_access_review_version;
    if version != "v1" && !(version.is_empty() && webhook.match_conditions.is_empty()) {
        let path = path.child("matchConditionSubjectAccessReviewVersion");
        errors.push(Error::not_supported(&path, version, &["v1"]));
    }
    for (at, condition) in webhook.match_conditions.iter().enumerate() {
        let path = path.child("matchConditions").index(at).child("expression");
        if condition.expression.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if webhook.match_conditions[..at].iter().any(|other| other.expression == condition.expression) {
            errors.push(Error::duplicate(&path, &*condition.expression));
        } else if let Err(why) = conditions.add(&condition.expression) {
            errors.push(Error::invalid(&path, &*condition.expression, why));
        }
    }
    let connection = path.child("connectionInfo");
    let file = match (&*webhook.connection_info.r#type, webhook.connection_info.kube_config_file) {
        ("KubeConfigFile", Some(file)) if file.starts_with('/') => file,
        ("KubeConfigFile", file) => {
            let why = "must be an absolute path";
            errors.push(Error::invalid(&connection.child("kubeConfigFile"), file.unwrap_or_default(), why));
            return None;
        }
        (other, _) => {
            errors.push(Error::not_supported(&connection.child("type"), other, &["KubeConfigFile"]));
            return None;
        }
    };
    let read = std::fs::read_to_string(&file).map_err(|error| error.to_string());
    let folder = FilePath::new(&file).parent().unwrap_or(FilePath::new("/"));
    let access = read.and_then(|text| Access::from_kubeconfig(&text, folder).map_err(|error| error.to_string()));
    let access = match access {
        Ok(access) => access,
        Err(why) => {
            errors.push(Error::invalid(&connection.child("kubeConfigFile"), file, why));
            return None;
        }
    };
    let kept = |kept: bool, ttl: Duration| if kept { ttl } else { Duration::ZERO };
    (errors.len() == before).then(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorizers_are_asked_in_the_order_they_stand_in() {
        let check = |authorizers: &str, expect: Result<usize, &str>| {
            let text = format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: {authorizers}"
            );
            match (read_authorization(&text), expect) {
                (Ok(modes), Ok(expect)) => assert_eq!(modes.len(), expect),
                (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
                (seen, expect) => panic!("{seen:?} instead of {expect:?}"),
            }
        };
        check("[{type: Node, name: node}, {type: RBAC, name: rbac}]", Ok(2));
        check("[]", Err("at least one authorization mode must be defined"));
        check("[{type: RBAC, name: a}, {type: RBAC, name: b}]", Err("authorizers[1].type: Duplicate value"));
        check("[{type: RBAC, name: a}, {type: Node, name: a}]", Err("authorizers[1].name: Duplicate value"));
        check("[{type: X, name: a}]", Err("authorizers[0].type: Unsupported value"));
        check("[{type: Webhook, name: a}]", Err("required when type=Webhook"));
        let webhook = "[{type: Webhook, name: a, webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /nowhere}}}]";
        check(webhook, Err("kubeConfigFile: Invalid value"));
        check(&webhook.replace("3s", "60s"), Err("must be <= 30s"));
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
