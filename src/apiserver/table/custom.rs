//! Kinds without columns of their own: custom resources, with the columns their definition gives, and the rest, which
//! have a name and a time of creation.

use std::borrow::Cow;

use api::custom::whole;
use api::resource::PrinterColumn;
use api::{Object, Resource, quote};
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
        columns => definitions.extend(shown(columns).map(|(column, _)| definition(column))),
    }
    definitions.into()
}

/// One object's cells.
pub(super) fn cells(resource: &Resource, object: &Object) -> Row {
    let mut row = Row::default();
    row.push(name(object));
    if !resource.columns.is_empty() {
        let value = object.to_value().unwrap_or_default();
        shown(&resource.columns).for_each(|(column, path)| cell(column, path.first(&value), &mut row));
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

/// The columns up to the first whose path cannot be read: a definition may have any path that begins with a dot.
fn shown(columns: &[PrinterColumn]) -> impl Iterator<Item = (&PrinterColumn, JsonPath)> {
    columns.iter().map_while(|column| Some((column, JsonPath::parse(&column.json_path)?)))
}

/// Adds what the path leads to, if it is of the column's type; null else, which shows as nothing.
fn cell(column: &PrinterColumn, found: Option<Cow<'_, Value>>, row: &mut Row) {
    let Some(found) = found else { return row.push(Value::Null) };
    match (&*column.ty, &*found) {
        ("string", Value::String(text)) => row.push(text.as_str()),
        ("string", Value::Null) => row.push("<no value>"),
        ("string", Value::Number(number)) if !number.is_i64() => {
            row.push(quote::float(number.as_f64().unwrap_or_default()));
        }
        ("string", other) => row.push(quote::json(other)),
        ("integer", Value::Number(number)) => {
            let number = number.as_i64().or_else(|| number.as_f64().map(whole));
            row.push(number.map_or(Value::Null, Value::from));
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => row.push(found.into_owned()),
        ("date", Value::String(text)) if text.is_empty() => row.push("<unknown>"),
        ("date", Value::String(text)) => match api::time::parse(text) {
            Ok(time) => row.push(Words::since(Some(time))),
            Err(_) => row.push("<invalid>"),
        },
        _ => row.push(Value::Null),
    }
}
