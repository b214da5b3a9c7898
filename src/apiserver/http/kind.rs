//! Of which kind a body has to be, by its path.

use api::{Resource, Status};
use serde_json::{Map, Value};

use crate::discovery::subresource;

/// The kind a path takes.
pub(super) struct Expected<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// Any version of the group will do: `policy/v1beta1` evictions are still sent.
    any_version: bool,
}

impl<'a> Expected<'a> {
    pub(super) fn new(row: &'a Resource, subresource: &str) -> Self {
        let described = (!subresource.is_empty()).then(|| subresource::describe(row, subresource)).and_then(|s| s.kind);
        match described {
            Some((group, version, kind)) => Self { group, version, kind, any_version: true },
            None => Self { group: &row.group, version: &row.version, kind: &row.kind, any_version: false },
        }
    }

    /// Group, version and kind.
    pub(super) fn triple(&self) -> (&'a str, &'a str, &'a str) {
        (self.group, self.version, self.kind)
    }

    /// Checks what a body says of itself, and fills in what it does not say.
    pub(super) fn check(&self, mut body: Value) -> Result<Value, Status> {
        let expected_kind = self.kind;
        let Some(object) = body.as_object_mut() else {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {expected_kind}): couldn't get version/kind; json parse error: cannot unmarshal into Go value of type struct"
            )));
        };
        let expected_version =
            if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) };
        let said = |object: &Map<String, Value>, field: &str| {
            object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (version, kind) = (said(object, "apiVersion"), said(object, "kind"));
        if !version.is_empty() && version != expected_version {
            let group = version.split_once('/').map_or("", |(group, _)| group);
            if !self.any_version || group != self.group {
                return Err(Status::bad_request(format!(
                    "the API version in the data ({version}) does not match the expected API version ({expected_version})"
                )));
            }
        }
        if !kind.is_empty() && kind != expected_kind {
            return Err(Status::bad_request(format!(
                "the kind in the data ({kind}) does not match the expected kind ({expected_kind})"
            )));
        }
        object.insert("apiVersion".into(), expected_version.into());
        object.insert("kind".into(), expected_kind.into());
        Ok(body)
    }
}
