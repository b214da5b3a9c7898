//! Kinds without columns of their own: custom resources, with the columns their definition gives, and the rest, which
//! have a name and a time of creation.

use api::resource::PrinterColumn;
use api::{Object, Resource};
use serde_json::{Value, json};

use super::column::{CREATED_AT, Column, DATE_AGE, NAME};
use super::json_path::JsonPath;
use super::row::{Row, Words};
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
pub(super) fn cells(resource: &Resource, object: &Object) -> Row {
    let mut row = Row::default();
    row.push(name(object));
    if !resource.columns.is_empty() {
        let value = object.to_value().unwrap_or_default();
        resource.columns.iter().for_each(|column| cell(column, &value, &mut row));
    } else if resource.builtin {
        row.push(object.meta.creation_timestamp.map_or_else(|| "<unknown>".to_owned(), api::time::format));
    } else {
        row.push(age(object));
    }
    row
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

/// Adds what the path leads to, if it is of the column's type; null else, which shows as nothing.
fn cell(column: &PrinterColumn, object: &Value, row: &mut Row) {
    // Paths are validated with the definition.
    let Some(found) = JsonPath::parse(&column.json_path).and_then(|path| path.first(object)) else {
        return row.push(Value::Null);
    };
    match (&*column.ty, found) {
        ("string", Value::String(text)) => row.push(text.as_str()),
        ("string", Value::Null) => row.push("<nil>"),
        ("string", other) => row.push(other.to_string()),
        ("integer", Value::Number(number)) => {
            let number = number.as_i64().or_else(|| number.as_f64().map(|float| float as i64));
            row.push(number.map_or(Value::Null, Value::from));
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => row.push(found.clone()),
        ("date", Value::String(text)) => match api::time::parse(text) {
            Ok(time) => row.push(Words::since(Some(time))),
            Err(_) => row.push("<invalid>"),
        },
        _ => row.push(Value::Null),
    }
}
