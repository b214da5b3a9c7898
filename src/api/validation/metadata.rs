//! Labels, annotations and selectors: the checks every kind shares.

use serde_json::{Map, Value};

use super::field::{Error, ErrorList, Path};
use super::{label_value, qualified_name};
use crate::managed_fields::ManagedFields;

/// Why a change is refused when a field may not change.
pub const FIELD_IMMUTABLE: &str = "field is immutable";

/// Most bytes in all annotations of an object together, keys and values.
pub const TOTAL_ANNOTATION_SIZE_LIMIT: usize = 256 * 1024;

/// Checks keys and values of labels.
pub fn validate_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, field: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels {
        errors.invalid_each(field, key, qualified_name(key));
        errors.invalid_each(field, value, label_value(value));
    }
    errors
}

/// Checks keys of annotations (upper case is fine before the slash) and their size all together.
pub fn validate_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>, field: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in annotations {
        size += key.len() + value.len();
        errors.invalid_each(field, key, qualified_name(&key.to_lowercase()));
    }
    if size > TOTAL_ANNOTATION_SIZE_LIMIT {
        errors.push(Error::too_long(field, TOTAL_ANNOTATION_SIZE_LIMIT));
    }
    errors
}

/// Longest name of a field manager.
pub const FIELD_MANAGER_MAX: usize = 128;
/// Longest name of a subresource.
const SUBRESOURCE_MAX: usize = 256;

/// Checks the name of a field manager.
pub fn validate_field_manager(name: &str, field: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.len() > FIELD_MANAGER_MAX {
        errors.push(Error::too_long(field, FIELD_MANAGER_MAX));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        errors.push(Error::invalid(field, name, format!("invalid character U+{:04X} (at position {at})", c as u32)));
    }
    errors
}

/// Go's `unicode.IsPrint`, as far as names go: of all spaces only ASCII's.
pub fn is_print(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}'))
}

/// Checks what a client may have said about those who own fields.
pub fn validate_managed_fields(managed: &ManagedFields, field: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (at, entry) in managed.entries().iter().enumerate() {
        let field = field.index(at);
        errors.extend(validate_field_manager(&entry.manager.name, &field.child("manager")));
        if entry.manager.subresource.len() > SUBRESOURCE_MAX {
            errors.push(Error::too_long(&field.child("subresource"), SUBRESOURCE_MAX));
        }
    }
    errors
}

/// Checks a `LabelSelector` object. Its types are the schema's matter; this looks at its words.
pub fn validate_label_selector(selector: &Value, field: &Path) -> ErrorList {
    let empty = Map::new();
    let labels = selector.get("matchLabels").and_then(Value::as_object).unwrap_or(&empty);
    let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    let mut errors = validate_labels(pairs, &field.child("matchLabels"));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    for (i, expression) in expressions.iter().enumerate() {
        let field = field.child("matchExpressions").index(i);
        validate_selector_requirement(expression, true, false, &field, &mut errors);
    }
    errors
}

/// Checks one requirement of a selector of labels or, else, of fields. `lenient` lets operators pass that nobody knows.
pub fn validate_selector_requirement(
    expression: &Value,
    labels: bool,
    lenient: bool,
    field: &Path,
    errors: &mut ErrorList,
) {
    let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
    let values = expression.get("values").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    match text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(Error::required(&field.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"))
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(Error::forbidden(
            &field.child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        "Exists" | "DoesNotExist" => {}
        _ if lenient => {}
        other => errors.push(Error::invalid(&field.child("operator"), other, "not a valid selector operator")),
    }
    if !labels {
        return;
    }
    errors.invalid_each(&field.child("key"), text("key"), qualified_name(text("key")));
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.invalid_each(&field.child("values").index(i), value, label_value(value));
    }
}
