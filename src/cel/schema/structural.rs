//! Structural schemas as declarations, with upstream's estimates of sizes: CRDs are refused by them.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{DeclKind, DeclType, LARGEST_REQUEST};

/// The sizes of times and lengths of time as JSON.
const LONGEST_DURATION: u64 = 32;
const LONGEST_TIME: u64 = 32;
const DATE: u64 = 12;

/// How deep schemas are followed; CRDs that nest deeper are refused elsewhere.
const DEEPEST: usize = 200;

pub(super) fn declare(schema: &Json, root: bool, name: &str) -> Option<DeclType> {
    declare_at(schema, root, name, 0)
}

fn declare_at(schema: &Json, root: bool, name: &str, depth: usize) -> Option<DeclType> {
    if depth > DEEPEST {
        return None;
    }
    let text = |key: &str| schema.get(key).and_then(Json::as_str).unwrap_or_default();
    let limit = |key: &str| schema.get(key).and_then(Json::as_i64).map(|limit| limit.max(0) as u64);
    if flag(schema, "x-kubernetes-int-or-string") {
        let longest = limit("maxLength").map_or(LARGEST_REQUEST - 2, |length| length.saturating_mul(4));
        return Some(DeclType { max_elements: Some(longest), ..DeclType::plain(DeclKind::Dyn, 1) });
    }
    let plain = |kind, min_size| Some(DeclType::plain(kind, min_size));
    match text("type") {
        "array" => {
            let items = schema.get("items")?;
            let element = declare_at(items, embedded(items), &format!("{name}.@idx"), depth + 1)?;
            let most = limit("maxItems").unwrap_or((LARGEST_REQUEST - 2) / (element.min_size + 1));
            let list_type = text("x-kubernetes-list-type");
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
            let keys = keys.filter(|_| list_type == "map").into_iter().flatten();
            let kind = DeclKind::List {
                element: Arc::new(element),
                set: list_type == "set",
                keys: keys.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            };
            Some(DeclType { max_elements: Some(most), ..DeclType::plain(kind, 2) })
        }
        "object" => match schema.get("additionalProperties").filter(|more| more.is_object()) {
            Some(values) if !root => {
                let value = declare_at(values, embedded(values), &format!("{name}.@elem"), depth + 1)?;
                let most = limit("maxProperties").unwrap_or((LARGEST_REQUEST - 2) / (value.min_size + 6));
                Some(DeclType { max_elements: Some(most), ..DeclType::plain(DeclKind::Map(Arc::new(value)), 2) })
            }
            _ => Some(object(schema, root, name, depth)),
        },
        "string" => {
            let (kind, min_size, most) = match text("format") {
                "byte" => (DeclKind::Bytes, 2, limit("maxLength").unwrap_or(LARGEST_REQUEST - 2)),
                "duration" => (DeclKind::Duration, 3, LONGEST_DURATION),
                "date" => (DeclKind::Date, DATE, DATE),
                "date-time" => (DeclKind::Timestamp, 21, LONGEST_TIME),
                _ => (DeclKind::String, 2, longest_text(schema, limit("maxLength"))),
            };
            Some(DeclType { max_elements: Some(most), ..DeclType::plain(kind, min_size) })
        }
        "boolean" => plain(DeclKind::Bool, 4),
        "number" => plain(DeclKind::Double, 1),
        "integer" => plain(DeclKind::Int, 1),
        _ => None,
    }
}

/// Characters can take four bytes.
fn longest_text(schema: &Json, limit: Option<u64>) -> u64 {
    if let Some(limit) = limit {
        return limit.saturating_mul(4);
    }
    match schema.get("enum").and_then(Json::as_array).filter(|values| !values.is_empty()) {
        Some(values) => values.iter().filter_map(Json::as_str).map(|value| value.len() as u64).max().unwrap_or(0),
        None => LARGEST_REQUEST - 2,
    }
}

fn object(schema: &Json, root: bool, name: &str, depth: usize) -> DeclType {
    let required = |property: &str| {
        let names = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        names.filter_map(Json::as_str).any(|name| name == property)
    };
    let mut fields = Vec::new();
    let mut min_size = 2;
    for (property, schema) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        if root && matches!(&**property, "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let Some(ty) = declare_at(schema, embedded(schema), &format!("{name}.{property}"), depth + 1) else {
            continue;
        };
        if required(property) && schema.get("default").is_none() {
            min_size += property.len() as u64 + ty.min_size + 4;
        }
        fields.push((property.clone(), Arc::new(ty)));
    }
    if root {
        let text =
            || Arc::new(DeclType { max_elements: Some(LARGEST_REQUEST - 2), ..DeclType::plain(DeclKind::String, 2) });
        let names = vec![("name".to_owned(), text()), ("generateName".to_owned(), text())];
        let metadata = DeclType::with_fields(&format!("{name}.metadata"), names, 2);
        fields.push(("apiVersion".to_owned(), text()));
        fields.push(("kind".to_owned(), text()));
        fields.push(("metadata".to_owned(), Arc::new(metadata)));
    }
    DeclType::with_fields(name, fields, min_size)
}

fn flag(schema: &Json, key: &str) -> bool {
    schema.get(key).and_then(Json::as_bool).unwrap_or_default()
}

fn embedded(schema: &Json) -> bool {
    flag(schema, "x-kubernetes-embedded-resource")
}
