//! Request bodies: bounded in size and time, read by their content type.

mod complaint;
mod documents;
mod duplicates;
mod media_type;
mod polite;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::json::{Document, Limits, ReadError};
use api::protobuf::ProtobufError;
use api::{Patch, Status};
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

pub(crate) use media_type::bare as media_type;
pub(crate) use polite::Polite;

/// Upstream's limit on bodies.
pub(crate) const BODY_MAX: usize = 3 * 1024 * 1024;
/// A client that needs longer to send a body than a request may take is not sending one.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Upstream's limit on the operations of a JSON patch.
const PATCH_OPERATIONS_MAX: usize = 10_000;
const APPLY: &str = "application/apply-patch+yaml";
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// How the complaint about a body begins that is no JSON.
const UNREADABLE: &str = "couldn't get version/kind; json parse error: ";

const UNREADABLE_PATCH: &str = "error decoding patch: ";

/// Whether a complaint about a body is that it is no JSON, no YAML or no protobuf.
pub(crate) fn is_syntax(why: &str) -> bool {
    why.starts_with(UNREADABLE) || why.starts_with(complaint::YAML) || why == ProtobufError::Prefix.to_string()
}

/// The whole body; 413 when it is too large.
pub(crate) async fn read(body: Body) -> Result<Bytes, Status> {
    let whole = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY_MAX).collect());
    match whole.await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(e)) if e.downcast_ref::<LengthLimitError>().is_some() || is_axum_limit(&*e) => {
            Err(Status::too_large(BODY_MAX))
        }
        Ok(Err(_)) => Err(Status::bad_request("the body of the request could not be read")),
        Err(_) => Err(Status::timeout("the body of the request did not arrive in time", 0)),
    }
}

/// `Limited` wraps its error once more when the body is boxed.
fn is_axum_limit(e: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(e), |e| e.source()).any(|e| e.is::<LengthLimitError>())
}

/// Whether duplicates of a body are told with their lines, as YAML's are.
pub(crate) fn is_yaml(content_type: &str) -> bool {
    media_type(content_type).ends_with("yaml")
}

/// Decodes an object. `protobuf` turns the protobuf form into JSON, where the kind has one.
pub(crate) fn object(
    bytes: &[u8],
    content_type: &str,
    protobuf: impl FnOnce(&[u8]) -> Result<Value, Status>,
) -> Result<Document, Status> {
    let unsupported = || Status::unsupported_media_type(ACCEPTED);
    match media_type::whole(content_type).ok_or_else(unsupported)? {
        "" | "application/json" => json(bytes, UNREADABLE),
        "application/yaml" => yaml(bytes, ""),
        "application/vnd.kubernetes.protobuf" => Ok(Document { value: protobuf(bytes)?, duplicates: Vec::new() }),
        _ => Err(unsupported()),
    }
}

/// Whether a patch says what its sender owns.
pub(crate) fn is_apply(content_type: &str) -> bool {
    media_type(content_type).eq_ignore_ascii_case(APPLY)
}

/// Decodes a patch by its content type. `builtin` kinds take strategic merges; 415 for what a kind does not take.
pub(crate) fn patch(bytes: &[u8], content_type: &str, builtin: bool) -> Result<(Patch, Vec<String>), Status> {
    let media_type = media_type(content_type);
    let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    let refused = || {
        if !builtin {
            return Status::unsupported_media_type(accepted);
        }
        // Of built-in kinds upstream's routes ask first.
        let status = Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type");
        Status { details: Some(api::status::Details::default()), ..status }
    };
    Ok(match media_type {
        APPLY => {
            let Document { mut value, duplicates } =
                yaml(bytes, "error decoding YAML: error converting YAML to JSON: ")?;
            api::json::normalize_numbers(&mut value);
            (Patch::Apply(value), duplicates)
        }
        "application/json-patch+json" => {
            let value = json(bytes, UNREADABLE_PATCH)?.value;
            match &value {
                Value::Array(operations) if operations.len() > PATCH_OPERATIONS_MAX => {
                    let why = format!(
                        "Request entity too large: The allowed maximum operations in a JSON patch is {PATCH_OPERATIONS_MAX}, got {}",
                        operations.len()
                    );
                    return Err(Status {
                        code: 413,
                        reason: "RequestEntityTooLarge".into(),
                        ..Status::failure(413, "", why)
                    });
                }
                _ => (Patch::Json(value), Vec::new()),
            }
        }
        "application/merge-patch+json" => {
            let Document { value, duplicates } = json(bytes, UNREADABLE_PATCH)?;
            (Patch::Merge(value), duplicates)
        }
        "application/strategic-merge-patch+json" if builtin => {
            let Document { value, duplicates } = json(bytes, "")?;
            (Patch::Strategic(value), duplicates)
        }
        _ => return Err(refused()),
    })
}

/// JSON, its nesting bounded. Complaints begin with `what`.
fn json(bytes: &[u8], what: &str) -> Result<Document, Status> {
    api::json::read(bytes, Limits::default()).map_err(|e| match e {
        ReadError::TooLarge(limit) => Status::too_large(limit),
        ReadError::Syntax(why) => Status::bad_request(format!("{what}{why}")),
    })
}

/// The first YAML document of a text, its nesting and aliases bounded by the parser's budget. Most senders of YAML send JSON. Duplicates are
/// complaints that tell the line. Other complaints begin with `what`.
fn yaml(bytes: &[u8], what: &str) -> Result<Document, Status> {
    let mut document = yaml_value(bytes).map_err(|why| Status::bad_request(format!("{what}{why}")))?;
    if !document.duplicates.is_empty() {
        document.duplicates =
            std::str::from_utf8(bytes).map(|text| duplicates::complaints(documents::first(text))).unwrap_or_default();
    }
    Ok(document)
}

/// A YAML document, which JSON is too.
pub(crate) fn yaml_value(bytes: &[u8]) -> Result<Document, String> {
    if bytes.first() == Some(&b'{')
        && let Ok(document) = api::json::read(bytes, Limits::default())
    {
        return Ok(document);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{}invalid UTF-8", complaint::YAML))?;
    let text = documents::first(text);
    if text.chars().any(complaint::is_control) {
        return Err(format!("{}control characters are not allowed", complaint::YAML));
    }
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
        api::json::read_from(from, Limits::default().depth)
    })
    .map_err(|e| complaint::words(&e, text))
}
