//! Kinds without columns of their own: custom resources, with the columns their definition gives, and the rest, which
//! have a name and a time of creation.

use api::resource::PrinterColumn;
use api::{Object, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::column::{CREATED_AT, Column, DATE_AGE, NAME};
use super::duration;
use super::json_path::JsonPath;
use super::text::{age, name};

/// The column definitions.
pub(super) fn definitions(resource: &Resource) -> Value {
    let mut definitions = vec![NAME.definition()];
    match resource.columns.as_slice() {
        [] => definitions.push(last(resource).definition()),
        columns => definitions.extend(columns.iter().map(definition)),
    }
    definitions.into()
}

/// One object's cells.
pub(super) fn cells(resource: &Resource, object: &Object, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![name(object)];
    if !resource.columns.is_empty() {
        let value = object.to_value().unwrap_or_default();
        cells.extend(resource.columns.iter().map(|column| cell(column, &value, now)));
    } else if resource.builtin {
        let created = object.meta.creation_timestamp.map(api::time::format);
        cells.push(created.map_or_else(|| "<unknown>".into(), Value::from));
    } else {
        cells.push(age(object, now));
    }
    cells
}

fn last(resource: &Resource) -> Column {
    if resource.builtin { CREATED_AT } else { DATE_AGE }
}

fn definition(column: &PrinterColumn) -> Value {
    json!({
        "name": column.name,
        "type": column.ty,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

/// What the path leads to, if it is of the column's type; null else, which shows as nothing.
fn cell(column: &PrinterColumn, object: &Value, now: Timestamp) -> Value {
    // Paths are validated with the definition.
    let Some(found) = JsonPath::parse(&column.json_path).and_then(|path| path.first(object)) else {
        return Value::Null;
    };
    match (&*column.ty, found) {
        ("string", Value::String(text)) => text.as_str().into(),
        ("string", Value::Null) => "<nil>".into(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("date", Value::String(text)) => match api::time::parse(text) {
            Ok(time) => duration::since(Some(time), now).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
