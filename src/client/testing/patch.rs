//! Patches, as far as clients here send them: JSON, merge, and strategic merge with the lists named below.

use api::{Patch, Status};
use serde_json::Value;

/// Lists that strategic merge merges by a key, by their field's name; all others are replaced.
const KEYED: &[(&str, &str)] = &[
    ("conditions", "type"),
    ("addresses", "type"),
    ("ownerReferences", "uid"),
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("secrets", "name"),
];
/// Lists of plain values that strategic merge unites.
const SETS: &[&str] = &["finalizers", "podCIDRs"];

pub(super) fn apply(mut object: Value, patch: &Patch) -> Result<Value, Status> {
    match patch {
        Patch::Merge(patch) => json_patch::merge(&mut object, patch),
        Patch::Strategic(patch) => strategic(&mut object, patch),
        Patch::Json(operations) => {
            let operations: json_patch::Patch =
                serde_json::from_value(operations.clone()).map_err(|e| Status::bad_request(e.to_string()))?;
            json_patch::patch(&mut object, &operations)
                .map_err(|e| Status::failure(422, "Invalid", format!("the server rejected our request: {e}")))?;
        }
        Patch::Apply(_) => return Err(Status::unsupported_media_type("application/merge-patch+json")),
    }
    Ok(object)
}

fn strategic(into: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Default::default());
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(from) = into[list].as_array_mut() {
                from.retain(|item| !value.as_array().is_some_and(|gone| gone.contains(item)));
            }
        } else if field.starts_with('$') {
            // $setElementOrder and the like do not change the content.
        } else if value.is_null() {
            if let Some(into) = into.as_object_mut() {
                into.remove(field);
            }
        } else if let (Some((_, key)), Some(items)) = (KEYED.iter().find(|(f, _)| f == field), value.as_array()) {
            keyed(&mut into[field], key, items);
        } else if SETS.contains(&&**field) && value.is_array() {
            union(&mut into[field], value);
        } else {
            strategic(&mut into[field], value);
        }
    }
}

fn keyed(into: &mut Value, key: &str, items: &[Value]) {
    if !into.is_array() {
        *into = Value::Array(Vec::new());
    }
    let Some(list) = into.as_array_mut() else { return };
    for item in items {
        let at = list.iter().position(|present| present[key] == item[key]);
        match (at, item["$patch"] == "delete") {
            (Some(at), true) => drop(list.remove(at)),
            (Some(at), false) => strategic(&mut list[at], item),
            (None, true) => {}
            (None, false) => list.push(item.clone()),
        }
    }
}

/// Adds to a list of plain values those it does not have.
pub(super) fn union(into: &mut Value, items: &Value) {
    if !into.is_array() {
        *into = Value::Array(Vec::new());
    }
    let (Some(list), Some(items)) = (into.as_array_mut(), items.as_array()) else { return };
    for item in items {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}
