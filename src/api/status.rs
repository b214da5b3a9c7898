//! `Status`: the one form errors take on the wire, in upstream's words.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

/// A Kubernetes `Status`. As an error it is what every layer of the API server returns; the HTTP layer writes it out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// List metadata: `continue` on an expired list, else empty.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// `Success` or `Failure`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For machines: `NotFound`, `Conflict` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the failure is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

/// `Status.details`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The group of its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The kind, or for most errors the plural, as upstream has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry a cause: fields of an invalid object, conflicts of an apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to come again, in seconds; 0 when unsaid.
    #[serde(skip_serializing_if = "is_zero32")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero32(seconds: &u32) -> bool {
    *seconds == 0
}

/// One entry of `Status.details.causes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldManagerConflict`, `ResourceVersionTooLarge` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `plural.group`, or the plural alone for the core group: how upstream names a resource in messages.
pub fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

impl Status {
    /// A failure of any kind.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            code,
            ..Self::default()
        }
    }

    /// What a delete answers when no object is left to show.
    pub fn success(group: &str, plural: &str, name: &str, uid: &str) -> Self {
        let details = Details {
            name: name.into(),
            group: group.into(),
            kind: plural.into(),
            uid: uid.into(),
            ..Details::default()
        };
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            status: "Success".into(),
            details: Some(details),
            ..Self::default()
        }
    }

    /// 404 for an object: `pods "x" not found`.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{} \"{name}\" not found", qualified(plural, group)))
            .about(group, plural, name)
    }

    /// 404 for a path nobody serves.
    pub fn no_such_path() -> Self {
        let mut status = Self::failure(404, "NotFound", "the server could not find the requested resource");
        status.details = Some(Details::default());
        status
    }

    /// 409 for a name that is taken: `pods "x" already exists`.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{} \"{name}\" already exists", qualified(plural, group)))
            .about(group, plural, name)
    }

    /// 409 for a write based on an old version, or refused in the object's present state.
    pub fn conflict(group: &str, plural: &str, name: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", qualified(plural, group));
        Self::failure(409, "Conflict", message).about(group, plural, name)
    }

    /// 409 with upstream's words for a stale resourceVersion.
    pub fn stale(group: &str, plural: &str, name: &str) -> Self {
        Self::conflict(
            group,
            plural,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403, by authorization or admission: `pods "x" is forbidden: why`.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: impl std::fmt::Display) -> Self {
        let what = qualified(plural, group);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{name}\" is forbidden: {why}")
        };
        Self::failure(403, "Forbidden", message).about(group, plural, name)
    }

    /// 422: `Pod "x" is invalid: causes`. The kind is the object's kind, not its plural.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let each =
            |c: &Cause| if c.field.is_empty() { c.message.clone() } else { format!("{}: {}", c.field, c.message) };
        // What is found twice is a cause each time, and said once.
        let mut said = HashSet::new();
        let told: Vec<String> = causes.iter().map(each).filter(|why| said.insert(why.clone())).collect();
        let why = match told.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{name}\" is invalid: {why}", qualified(kind, group));
        let mut status = Self::failure(422, "Invalid", message).about(group, kind, name);
        if let Some(details) = &mut status.details {
            details.causes = causes;
        }
        status
    }

    /// 400.
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", why)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let why = "the server does not allow this method on the requested resource";
        Self { details: Some(Details::default()), ..Self::failure(405, "MethodNotAllowed", why) }
    }

    /// 406.
    pub fn not_acceptable(accepted: &str) -> Self {
        Self::failure(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let why =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::failure(415, "UnsupportedMediaType", why)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 410 for a version that history no longer holds.
    pub fn expired(why: impl Into<String>) -> Self {
        Self::failure(410, "Expired", why)
    }

    /// 429.
    pub fn too_many_requests(why: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::failure(429, "TooManyRequests", why);
        status.details = Some(Details { retry_after_seconds, ..Details::default() });
        status
    }

    /// 500. The message is external text: never an internal error's chain.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let why = why.to_string();
        let status = Self::failure(500, "InternalError", format!("Internal error occurred: {why}"));
        let cause = Cause { reason: String::new(), message: why, field: String::new() };
        Self { details: Some(Details { causes: vec![cause], ..Details::default() }), ..status }
    }

    /// 503.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", why)
    }

    /// 504.
    pub fn timeout(why: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::failure(504, "Timeout", why);
        status.details = Some(Details { retry_after_seconds, ..Details::default() });
        status
    }

    /// Names the object that the failure is about.
    #[must_use]
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        (details.group, details.kind, details.name) = (group.into(), kind.into(), name.into());
        self
    }

    /// Whether this is 404.
    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// Whether this is what [`Self::no_such_path`] says.
    pub fn is_no_such_path(&self) -> bool {
        self.is_not_found() && self.details.as_ref() == Some(&Details::default())
    }

    /// Whether this is a stale write; `AlreadyExists` is not.
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    /// Whether a create met its own name.
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    /// Whether the version asked for is gone.
    pub fn is_expired(&self) -> bool {
        self.reason == "Expired" || self.reason == "Gone"
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Status};

    #[test]
    fn what_is_found_twice_is_said_once() {
        let check = |fields: &[&str], expect: &str| {
            let cause = |field: &&str| Cause { field: field.to_string(), message: "wrong".into(), ..Cause::default() };
            let status = Status::invalid("", "Pod", "p", fields.iter().map(cause).collect());
            assert_eq!(status.message, format!("Pod \"p\" is invalid: {expect}"));
            assert_eq!(status.details.unwrap().causes.len(), fields.len());
        };
        check(&["a"], "a: wrong");
        check(&["a", "b"], "[a: wrong, b: wrong]");
        check(&["a", "a"], "a: wrong");
        check(&["a", "b", "a"], "[a: wrong, b: wrong]");
    }
}
