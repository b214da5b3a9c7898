//! Expressions as tables: what they come to, what is wrong with them, what they cost.

use serde_json::{Value as Json, json};

use crate::{Budget, DeclType, Environment, ErrorKind, Type, Value, Variables};

mod data;
mod fuzz;
mod language;
mod libraries;
mod mistakes;
mod rows;

/// What an expression without variables comes to, as text: `error: …` when it fails.
fn result(source: &str) -> String {
    let program = match Environment::new().compile(source) {
        Ok(program) => program,
        Err(errors) => return format!("compile: {}", errors.issues()[0].message),
    };
    match program.evaluate(&Variables::new(), &mut Budget::default()) {
        Ok(value) => shown(&value),
        Err(error) => format!("error: {error}"),
    }
}

/// A value as text that tells its type.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Uint(value) => format!("{value}u"),
        Value::Double(value) => format!("{value:?}"),
        Value::Bytes(bytes) => format!("b{:?}", String::from_utf8_lossy(bytes)),
        Value::Duration(_) | Value::Timestamp(_) => crate::value::print::text(value),
        Value::Type(name) => format!("type {name}"),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(value)) => format!("some({})", shown(value)),
        Value::List(list) => {
            let elements: Vec<_> = list.iter().map(|element| shown(&element)).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Map(map) => {
            let entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", shown(&key), shown(&value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(cidr) => cidr.to_string(),
        other => other.to_json().map_or_else(|error| error.to_string(), |json| json.to_string()),
    }
}

fn check(table: &[(&str, &str)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|(source, expect)| {
            let found = result(source);
            (found != *expect).then(|| format!("{source}\n   expected {expect}\n      found {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every line has to be true.
fn holds(table: &[&str]) {
    check(&table.iter().map(|source| (*source, "true")).collect::<Vec<_>>());
}
