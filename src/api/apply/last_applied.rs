//! `kubectl apply` without and with `--server-side` on the same object: the annotation of the one meets the owners of the
//! other.

use serde_json::{Map, Value};

use super::{compare, owned, validate};
use crate::fields::Set;
use crate::shape::Form;

/// Where `kubectl apply` keeps what it applied last.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Upstream's limit on all annotations of an object together.
const ANNOTATIONS_MAX: usize = 256 << 10;

/// The fields of `live` that it has from what was applied last on the client's side, at `version`. Whoever applied them
/// may take them over.
pub fn from_last_applied(form: Form<'_>, live: &Value, version: &str) -> Option<Set> {
    let last: Value = serde_json::from_str(annotation(live)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(version) {
        return None;
    }
    validate(form, live, false).ok()?;
    validate(form, &last, false).ok()?;
    let found = compare(form, &last, live, false);
    Some(owned(form, &last).difference(&found.changed).difference(&found.removed))
}

/// Writes what was applied into the annotation, if the object has it.
pub fn sync_last_applied(object: &mut Value, applied: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut applied = applied.clone();
    if let Some(annotations) = annotations(&mut applied) {
        annotations.shift_remove(LAST_APPLIED);
    }
    applied.sort_all_objects();
    let Some(annotations) = annotations(object) else { return };
    annotations.insert(LAST_APPLIED.to_owned(), format!("{applied}\n").into());
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_MAX {
        annotations.shift_remove(LAST_APPLIED);
    }
}

fn annotation(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

fn annotations(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()
}
