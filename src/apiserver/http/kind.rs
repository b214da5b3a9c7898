//! Of which kind a body has to be, by its path.

use api::quote::json_type;
use api::validation::field::{Error, ErrorList, Path};
use api::{Resource, Status, schema};
use serde_json::{Map, Value};

use crate::discovery::subresource;
use crate::registry;

/// So many bytes of a body that says nothing of itself are shown.
const SHOWN: usize = 30;
/// And so many where upstream shows all of it.
const SHOWN_WHOLE: usize = 4096;

/// The kind a path takes.
pub(super) struct Expected<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    /// Any version of the group will do: `policy/v1beta1` evictions are still sent.
    any_version: bool,
    /// Whether it is a custom kind.
    custom: bool,
}

impl<'a> Expected<'a> {
    pub(super) fn new(row: &'a Resource, subresource: &str) -> Self {
        let described = (!subresource.is_empty()).then(|| subresource::describe(row, subresource)).and_then(|s| s.kind);
        match described {
            Some((group, version, kind)) => Self { group, version, kind, any_version: true, custom: false },
            None => Self {
                group: &row.group,
                version: &row.version,
                kind: &row.kind,
                any_version: false,
                custom: !row.builtin,
            },
        }
    }

    /// Group, version and kind.
    pub(super) fn triple(&self) -> (&'a str, &'a str, &'a str) {
        (self.group, self.version, self.kind)
    }

    /// Checks what a body says of itself, and fills in what it does not say.
    /// `sent` is the body as it came.
    pub(super) fn check(&self, mut body: Value, sent: &[u8]) -> Result<Value, Status> {
        let expected_kind = self.kind;
        if body.is_null() {
            body = Value::Object(Map::new());
        }
        let unread = |what: &str| {
            self.unrecognized(
                &format!("couldn't get version/kind; json parse error: json: cannot unmarshal {what}"),
                sent,
            )
        };
        let Some(object) = body.as_object_mut() else {
            let said = json_type(&body);
            return Err(unread(&format!(
                "{said} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
                 \"json:\\\"kind,omitempty\\\"\" }}"
            )));
        };
        for field in ["apiVersion", "kind"] {
            let said = object.get(field).filter(|said| !matches!(said, Value::String(_) | Value::Null));
            if let Some(said) = said {
                return Err(unread(&format!("{} into Go struct field .{field} of type string", json_type(said))));
            }
        }
        let expected_version =
            if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) };
        let said = |object: &Map<String, Value>, field: &str| {
            object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (version, kind) = (said(object, "apiVersion"), said(object, "kind"));
        if version.matches('/').count() > 1 {
            return Err(self.unrecognized(&format!("unexpected GroupVersion string: {version}"), sent));
        }
        let other_version = || {
            Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected_version})"
            ))
        };
        if self.custom {
            // Nothing but the body tells upstream of which kind it is.
            if kind.is_empty() {
                let shown = String::from_utf8_lossy(&sent[..sent.len().min(SHOWN_WHOLE)]);
                return Err(self.unrecognized(&format!("Object 'Kind' is missing in '{shown}'"), sent));
            }
            if version != expected_version {
                return Err(other_version());
            }
            if kind != expected_kind {
                let mut errors = ErrorList::new();
                errors.push(Error::invalid(&Path::root("kind"), kind.as_str(), format!("must be {expected_kind}")));
                let causes = registry::causes(&errors);
                let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                return Err(Status::invalid(self.group, &kind, name, causes));
            }
            object.insert("apiVersion".into(), expected_version.into());
            object.insert("kind".into(), expected_kind.into());
            return Ok(body);
        }
        let or = |said: &str, unsaid: &str| if said.is_empty() { unsaid.to_owned() } else { said.to_owned() };
        let (version_said, kind_said) = (or(&version, &expected_version), or(&kind, expected_kind));
        if version_said != expected_version || kind_said != expected_kind {
            let (group, number) = version_said.split_once('/').unwrap_or(("", &version_said));
            let known = schema::for_kind(group, number, &kind_said).is_some();
            // Events are of two groups.
            let events = expected_kind == "Event" && matches!(group, "" | "events.k8s.io");
            if kind_said != expected_kind || !known || (group != self.group && !events) {
                let why = registry::unknown_kind(&version_said, &kind_said, self.group, expected_kind);
                return Err(Status::bad_request(why));
            }
            if !self.any_version {
                return Err(other_version());
            }
        }
        object.insert("apiVersion".into(), expected_version.into());
        object.insert("kind".into(), expected_kind.into());
        Ok(body)
    }

    /// 400 for a body that does not say what it is.
    pub(super) fn unrecognized(&self, why: &str, sent: &[u8]) -> Status {
        let (kind, sent) = (self.kind, summary(sent));
        Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({sent})"))
    }
}

/// The beginning of a body: what may be JSON as it is, and else in hexadecimal.
fn summary(sent: &[u8]) -> String {
    let (shown, more) = (&sent[..sent.len().min(SHOWN)], if sent.len() > SHOWN { " ..." } else { "" });
    match sent.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => {
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}
