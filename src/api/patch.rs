//! The one way to read a patch body and to apply it: JSON Patch, merge patch, strategic merge patch.

use serde_json::Value;

use crate::json::{self, Limits, ReadError, normalize_numbers};
use crate::quote::json_type;
use crate::schema::Message;
use crate::status::Details;
use crate::strategic_merge::{self, StrategicMergeError};
use crate::{Patch, Status};

mod operations;
#[cfg(test)]
mod tests;

/// Why a patch was not read or does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The content type names no kind of patch: 415.
    #[error("the body of the request was in an unknown format - accepted media types include: {ACCEPTED}")]
    ContentType,
    /// The patch is malformed: 400.
    #[error("{0}")]
    Malformed(String),
    /// The patch is well-formed but asks too much: 413.
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object: 422. The text is for logs; clients get upstream's, which hides it.
    #[error("{0}")]
    Unprocessable(String),
    /// An operation tests for what is not so: 422 as well.
    #[error("{0}")]
    TestFailed(String),
    /// A strategic merge patch asks for something the schema does not have: 500, as upstream.
    #[error("{0}")]
    Failed(String),
    /// This kind of patch is not applied here: server-side apply has its own code, and strategic merge needs a schema.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// The content types of patches, as a 415 lists them.
const ACCEPTED: &str = "application/json-patch+json, application/merge-patch+json, \
                        application/strategic-merge-patch+json, application/apply-patch+yaml";

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Status {
        let text = error.to_string();
        match error {
            PatchError::ContentType => Status::unsupported_media_type(ACCEPTED),
            PatchError::Unsupported(_) => Status::failure(415, "UnsupportedMediaType", text),
            PatchError::Malformed(_) => Status::bad_request(text),
            PatchError::TooLarge(_) => {
                Status::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {text}"))
            }
            PatchError::Unprocessable(_) | PatchError::TestFailed(_) => {
                let why = "the server rejected our request due to an error in our request";
                Status { details: Some(Details::default()), ..Status::failure(422, "Invalid", why) }
            }
            PatchError::Failed(_) => Status::failure(500, "", text),
        }
    }
}

impl From<StrategicMergeError> for PatchError {
    fn from(error: StrategicMergeError) -> PatchError {
        let text = error.to_string();
        match error {
            StrategicMergeError::BadPatch(_) => PatchError::Malformed(text),
            StrategicMergeError::ListOfLists => PatchError::Unprocessable(text),
            StrategicMergeError::Failed(_) => PatchError::Failed(text),
        }
    }
}

impl Patch {
    /// Reads a patch body; also returns the paths of fields that come twice in it. Parameters of the content type do
    /// not count. A body of an apply patch has to be JSON here: turn YAML into a value first.
    ///
    /// The Python client has sent bodies under the wrong type for years: an object sent as a JSON patch is taken as a
    /// strategic merge patch, a list sent as a merge patch as a JSON patch.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<(Patch, Vec<String>), PatchError> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let wrap = match media_type.as_str() {
            "application/json-patch+json" => Patch::Json,
            "application/merge-patch+json" => Patch::Merge,
            "application/strategic-merge-patch+json" => Patch::Strategic,
            "application/apply-patch+yaml" => Patch::Apply,
            _ => return Err(PatchError::ContentType),
        };
        let document = json::read(body, Limits::default()).map_err(|error| match error {
            ReadError::TooLarge(limit) => PatchError::TooLarge(format!("Request entity too large: limit is {limit}")),
            ReadError::Syntax(why) => PatchError::Malformed(why),
        })?;
        let patch = match (wrap(Value::Null), document.value) {
            (Patch::Json(_), body @ Value::Object(_)) => Patch::Strategic(body),
            (Patch::Merge(_) | Patch::Strategic(_), body @ Value::Array(_)) => Patch::Json(body),
            (Patch::Merge(_), mut body) => {
                drop_nulls_in_lists(&mut body);
                Patch::Merge(body)
            }
            (_, body) => wrap(body),
        };
        Ok((patch, document.duplicates))
    }

    /// Applies the patch to an object. `message` is the schema of built-in kinds, which strategic merge needs; without
    /// one (custom resources) a strategic merge patch is unsupported. When it fails, the object is left half patched:
    /// drop it. The result may have nulls and unknown fields: decode it against its schema next.
    pub fn apply(&self, object: &mut Value, message: Option<&Message>) -> Result<(), PatchError> {
        match self {
            Patch::Json(operations) => operations::apply(object, operations),
            Patch::Merge(patch) => {
                if patch.is_null() {
                    return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
                }
                if !patch.is_object() {
                    let why = unreadable(patch, "map[string]interface {}");
                    return Err(PatchError::Malformed(format!("error decoding patch: {why}")));
                }
                json_patch::merge(object, patch);
                Ok(())
            }
            Patch::Strategic(patch) => {
                let message = message.ok_or(PatchError::Unsupported("strategic merge patch of a custom resource"))?;
                match (object, patch) {
                    (_, Value::Null) => Ok(()),
                    (Value::Object(object), Value::Object(patch)) => {
                        let mut patch = patch.clone();
                        // Upstream's converter, which strategic merges go through, takes `3.0` where an integer is wanted.
                        patch.values_mut().for_each(normalize_numbers);
                        Ok(strategic_merge::apply(object, patch, message)?)
                    }
                    (_, patch) => Err(PatchError::Malformed(unreadable(patch, "map[string]interface {}"))),
                }
            }
            Patch::Apply(_) => Err(PatchError::Unsupported("server-side apply as a plain patch")),
        }
    }
}

/// What Go's decoder says of a patch that is something else than what a patch is read into.
fn unreadable(patch: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", json_type(patch))
}

/// Objects in lists lose their nulls, as everywhere else in a merge patch. By the letter of RFC 7386 lists are taken over
/// as they stand, but upstream's library does not, and clients send lists of Go structs whose empty fields are null.
fn drop_nulls_in_lists(patch: &mut Value) {
    match patch {
        Value::Object(map) => map.values_mut().for_each(drop_nulls_in_lists),
        Value::Array(list) => list.iter_mut().for_each(strategic_merge::discard_nulls),
        _ => {}
    }
}
