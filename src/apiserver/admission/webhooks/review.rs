//! `AdmissionReview`: the question to a webhook, and what its answer may be.

use std::collections::BTreeMap;

use api::{Resource, Status};
use base64::Engine;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admission::Attributes;
use crate::discovery::subresource;

/// The version of `admission.k8s.io` a webhook understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1beta1,
}

impl Version {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    kind: &'static str,
    api_version: &'static str,
    request: Request<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    uid: &'a str,
    kind: Kind<'a>,
    resource: Row<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    sub_resource: &'a str,
    request_kind: Kind<'a>,
    request_resource: Row<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_sub_resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    operation: &'static str,
    user_info: User<'a>,
    object: &'a Value,
    old_object: &'a Value,
    dry_run: bool,
    options: Value,
}

#[derive(Serialize)]
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

#[derive(Serialize)]
struct Row<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

/// The question, and the uid that the answer has to name.
pub(super) fn question(
    version: Version,
    attributes: &Attributes,
    row: &Resource,
    object: &Value,
    old: &Value,
) -> (String, Bytes) {
    let uid = uuid::Uuid::new_v4().to_string();
    let review = Review {
        kind: "AdmissionReview",
        api_version: version.api_version(),
        request: Request {
            uid: &uid,
            kind: kind(row, &attributes.subresource),
            resource: resource(row),
            sub_resource: &attributes.subresource,
            request_kind: kind(&attributes.requested, &attributes.subresource),
            request_resource: resource(&attributes.requested),
            request_sub_resource: &attributes.subresource,
            name: &attributes.name,
            namespace: attributes.about_namespace(),
            operation: attributes.verb.name(),
            user_info: User {
                username: &attributes.user.name,
                uid: &attributes.user.uid,
                groups: &attributes.user.groups,
                extra: &attributes.user.extra,
            },
            object,
            old_object: old,
            dry_run: attributes.dry_run,
            options: attributes.options.to_value(),
        },
    };
    // Trees and strings always are JSON.
    let body = serde_json::to_vec(&review).unwrap_or_default();
    (uid, body.into())
}

fn kind<'a>(row: &'a Resource, subresource: &str) -> Kind<'a> {
    let own = Kind { group: &row.group, version: &row.version, kind: &row.kind };
    let described = (!subresource.is_empty()).then(|| subresource::describe(row, subresource).kind).flatten();
    described.map_or(own, |(group, version, kind)| Kind { group, version, kind })
}

fn resource(row: &Resource) -> Row<'_> {
    Row { group: &row.group, version: &row.version, resource: &row.plural }
}

/// What a webhook said, checked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    pub(super) status: Option<Status>,
    /// A JSON patch, as it came; only of mutating webhooks.
    pub(super) patch: Option<Vec<u8>>,
    pub(super) audit_annotations: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
}

/// An answer that says nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("failed to call webhook: couldn't get version/kind; json parse error: {0}")]
    Unreadable(serde_json::Error),
    #[error("received invalid webhook response: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Answered {
    kind: String,
    api_version: String,
    response: Option<Response>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    uid: String,
    allowed: bool,
    status: Option<Status>,
    patch: Option<String>,
    patch_type: Option<String>,
    audit_annotations: Option<BTreeMap<String, String>>,
    warnings: Option<Vec<String>>,
}

/// Reads an answer.
pub(super) fn answer(version: Version, uid: &str, body: &[u8], mutating: bool) -> Result<Answer, AnswerError> {
    let answered: Answered = serde_json::from_slice(body).map_err(AnswerError::Unreadable)?;
    let invalid = |why: String| Err(AnswerError::Invalid(why));
    let Some(response) = answered.response else { return invalid("webhook response was absent".into()) };
    if version == Version::V1 {
        let quote = api::quote::quote;
        if response.uid != uid {
            return invalid(format!("expected response.uid={}, got {}", quote(uid), quote(&response.uid)));
        }
        if (&*answered.api_version, &*answered.kind) != (version.api_version(), "AdmissionReview") {
            let got = format!("{}, Kind={}", or_nothing(&answered.api_version), answered.kind);
            let expected = version.api_version();
            return invalid(format!("expected webhook response of {expected}, Kind=AdmissionReview, got {got}"));
        }
    }
    let patch = response.patch.filter(|patch| !patch.is_empty());
    match (&patch, &response.patch_type, mutating, version) {
        (_, _, _, Version::V1beta1) => {}
        (Some(_), None, true, _) => {
            return invalid("webhook returned response.patch but not response.patchType".into());
        }
        (None, Some(_), true, _) => {
            return invalid("webhook returned response.patchType but not response.patch".into());
        }
        (_, Some(kind), true, _) if kind.is_empty() => {
            return invalid("webhook returned invalid response.patchType of \"\"".into());
        }
        (Some(_), Some(kind), true, _) if kind != "JSONPatch" => {
            return invalid(format!("unsupported patch type {}", api::quote::quote(kind)));
        }
        (Some(_), _, false, _) => return invalid("validating webhook may not return response.patch".into()),
        (None, Some(_), false, _) => return invalid("validating webhook may not return response.patchType".into()),
        _ => {}
    }
    let patch = match patch.filter(|_| mutating) {
        None => None,
        Some(patch) => match base64::engine::general_purpose::STANDARD.decode(patch) {
            Ok(patch) => Some(patch),
            Err(error) => return invalid(format!("response.patch: {error}")),
        },
    };
    Ok(Answer {
        allowed: response.allowed,
        status: response.status,
        patch,
        audit_annotations: response.audit_annotations.unwrap_or_default(),
        warnings: response.warnings.unwrap_or_default(),
    })
}

/// Go prints no group and no version as a slash.
fn or_nothing(api_version: &str) -> &str {
    if api_version.is_empty() { "/" } else { api_version }
}

/// A refusal as clients see it: the webhook's own status, never one of success.
pub(super) fn refusal(name: &str, said: Option<Status>) -> Status {
    let mut status = said.unwrap_or_default();
    status.kind = "Status".into();
    status.api_version = "v1".into();
    if status.code < 400 {
        status.code = 400;
    }
    if matches!(&*status.status, "" | "Success") {
        status.status = "Failure".into();
    }
    let denied = format!("admission webhook {} denied the request", api::quote::quote(name));
    status.message = match (&*status.message, &*status.reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    status
}
