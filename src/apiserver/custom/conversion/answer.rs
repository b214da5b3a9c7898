//! What a webhook answered: read as Go reads a ConversionReview, so that what is wrong with it is told in Go's words.

use std::collections::HashMap;

use api::json::{Limits, ReadError};
use api::quote::quote;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Failure, kind_of};
use crate::http::body;

const GROUP: &str = "apiextensions.k8s.io";
const KIND: &str = "ConversionReview";
const UNREADABLE: &str = "couldn't get version/kind; json parse error: ";
/// What Go reads the type of an object into, as it tells.
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

type Fields = HashMap<String, Box<RawValue>>;

/// The converted objects of an answer to the review `uid` of the version `review`, as the webhook wrote them.
pub(super) fn converted(answer: &[u8], review: &str, uid: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    let answer = Answer::read(answer, review).map_err(Failure::call)?;
    answer.check(review, uid).map_err(Failure::malformed)?;
    Ok(answer.response.unwrap_or_default().converted)
}

struct Answer {
    api_version: String,
    kind: String,
    response: Option<Response>,
}

#[derive(Default)]
struct Response {
    uid: String,
    status: String,
    message: String,
    converted: Vec<Box<RawValue>>,
}

impl Answer {
    fn read(text: &[u8], review: &str) -> Result<Self, String> {
        let mut fields = document(text)?;
        let mut said = |field| string(&mut fields, "", "", field, "string").map_err(|why| format!("{UNREADABLE}{why}"));
        let (api_version, kind) = (said("apiVersion")?, said("kind")?);
        registered(&api_version, &kind, review)?;
        let holder = format!("{review}.ConversionResponse");
        let response = match members(&mut fields, "ConversionReview.response", "response", &holder)? {
            Some(response) => Some(Response::read(response)?),
            None => None,
        };
        Ok(Self { api_version, kind, response })
    }

    /// Whether it answers the question, and with success.
    fn check(&self, review: &str, uid: &str) -> Result<(), String> {
        // In its first version nobody looked at what was answered.
        let strict = review == "v1";
        let expected = (format!("{GROUP}/{review}"), KIND);
        if strict && (&self.api_version, &*self.kind) != (&expected.0, expected.1) {
            let (expected, got) = (kind_of(&expected.0, expected.1), kind_of(&self.api_version, &self.kind));
            return Err(format!("expected webhook response of {expected}, got {got}"));
        }
        let response = self.response.as_ref().ok_or("no response provided")?;
        if strict && response.uid != uid {
            return Err(format!("expected response.uid={}, got {}", quote(uid), quote(&response.uid)));
        }
        match (&*response.status, &*response.message) {
            ("Success", _) => Ok(()),
            (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, message) => Err(message.to_owned()),
        }
    }
}

impl Response {
    fn read(mut fields: Fields) -> Result<Self, String> {
        let uid = string(&mut fields, "ConversionResponse", "response.", "uid", "types.UID")?;
        let mut result = members(&mut fields, "ConversionResponse.response.result", "result", "v1.Status")?;
        let mut said = |field| match &mut result {
            Some(result) => string(result, "Status", "response.result.", field, "string"),
            None => Ok(String::new()),
        };
        let (status, message) = (said("status")?, said("message")?);
        let converted = match fields.remove("convertedObjects").filter(|raw| raw.get() != "null") {
            None => Vec::new(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| {
                let place = "ConversionResponse.response.convertedObjects";
                mistyped(&raw, &format!("struct field {place} of type []runtime.RawExtension"))
            })?,
        };
        Ok(Self { uid, status, message, converted })
    }
}

/// The members of an answer. What does not look like JSON is read as YAML.
fn document(text: &[u8]) -> Result<Fields, String> {
    if text.is_empty() {
        return Err("0-length response with status code: 200 and content type: application/json".into());
    }
    let looks_like_json = text.trim_ascii_start().first() == Some(&b'{');
    if looks_like_json && let Ok(fields) = serde_json::from_slice(text) {
        return Ok(fields);
    }
    let value = match looks_like_json {
        true => {
            let limits = Limits { bytes: usize::MAX, ..Limits::default() };
            api::json::read(text, limits).map(|document| document.value).map_err(|error| match error {
                ReadError::Syntax(why) => format!("{UNREADABLE}{why}"),
                ReadError::TooLarge(_) => format!("{UNREADABLE}{error}"),
            })?
        }
        false => body::yaml_value(text)?.value,
    };
    match value {
        Value::Null => Ok(Fields::new()),
        value => {
            let raw = serde_json::value::to_raw_value(&value).map_err(|error| error.to_string())?;
            let unfit = |_| format!("{UNREADABLE}{}", mistyped(&raw, &format!("value of type {TYPE_META}")));
            serde_json::from_str(raw.get()).map_err(unfit)
        }
    }
}

/// Whether upstream knows how to read a kind as the review that is expected. What is not said is what is expected.
fn registered(api_version: &str, kind: &str, review: &str) -> Result<(), String> {
    let expected = format!("{GROUP}/{review}");
    let api_version = if api_version.is_empty() { &*expected } else { api_version };
    let kind = if kind.is_empty() { KIND } else { kind };
    if (api_version, kind) == (&*expected, KIND) {
        return Ok(());
    }
    let number = api_version.strip_prefix("apiextensions.k8s.io/").filter(|number| matches!(*number, "v1" | "v1beta1"));
    let from = match (number, kind) {
        (Some(number), KIND) => number,
        _ if (api_version, kind) == ("v1", "Status") => "v1",
        _ => {
            let (kind, version) = (quote(kind), quote(api_version));
            return Err(format!(
                "no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\""
            ));
        }
    };
    Err(format!("converting ({from}.{kind}) to ({review}.{KIND}): unknown conversion"))
}

/// The members of a field that is an object, or absent. `place` and `ty` are Go's names for it.
fn members(fields: &mut Fields, place: &str, field: &str, ty: &str) -> Result<Option<Fields>, String> {
    let Some(raw) = fields.remove(field).filter(|raw| raw.get() != "null") else { return Ok(None) };
    let unfit = |_| mistyped(&raw, &format!("struct field {place} of type {ty}"));
    serde_json::from_str(raw.get()).map(Some).map_err(unfit)
}

/// The text of a field; none is empty. `holder`, `path` and `ty` are Go's names for where it is and what it is.
fn string(fields: &mut Fields, holder: &str, path: &str, field: &str, ty: &str) -> Result<String, String> {
    let Some(raw) = fields.remove(field).filter(|raw| raw.get() != "null") else { return Ok(String::new()) };
    let unfit = |_| mistyped(&raw, &format!("struct field {holder}.{path}{field} of type {ty}"));
    serde_json::from_str(raw.get()).map_err(unfit)
}

/// Go's complaint about a value that is of another type than the place it is for.
pub(super) fn mistyped(raw: &RawValue, place: &str) -> String {
    let what = match raw.get().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        _ => "number",
    };
    format!("json: cannot unmarshal {what} into Go {place}")
}
