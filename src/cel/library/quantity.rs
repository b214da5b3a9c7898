//! Quantities, semantic versions, and named formats.

use std::cmp::Ordering;
use std::sync::Arc;

use api::quantity::{Format, Quantity};

use super::core::{int, text};
use super::{Context, Cost, Row, format, row, semver};
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("quantity", Cost::Parse, to_quantity, &["(string) -> Quantity"]),
    row(
        "isQuantity",
        Cost::Parse,
        |_, args| Ok(Value::Bool(Quantity::parse(text(&args[0])?).is_ok())),
        &["(string) -> bool"],
    ),
    // Upstream declares it as a function, not as a member.
    row("sign", Cost::One, |_, args| Ok(Value::Int(i64::from(quantity(&args[0])?.signum()))), &["(Quantity) -> int"]),
    row(
        "isGreaterThan",
        Cost::One,
        |_, args| compared(args).map(|order| Value::Bool(order == Ordering::Greater)),
        &["Quantity.(Quantity) -> bool", "Semver.(Semver) -> bool"],
    ),
    row(
        "isLessThan",
        Cost::One,
        |_, args| compared(args).map(|order| Value::Bool(order == Ordering::Less)),
        &["Quantity.(Quantity) -> bool", "Semver.(Semver) -> bool"],
    ),
    row(
        "compareTo",
        Cost::One,
        |_, args| compared(args).map(|order| Value::Int(order as i64)),
        &["Quantity.(Quantity) -> int", "Semver.(Semver) -> int"],
    ),
    row(
        "asApproximateFloat",
        Cost::One,
        |_, args| Ok(Value::Double(quantity(&args[0])?.as_f64())),
        &["Quantity.() -> double"],
    ),
    row("asInteger", Cost::One, as_integer, &["Quantity.() -> int"]),
    row(
        "isInteger",
        Cost::One,
        |_, args| Ok(Value::Bool(integer(quantity(&args[0])?).is_some())),
        &["Quantity.() -> bool"],
    ),
    row(
        "add",
        Cost::One,
        |_, args| Ok(made(quantity(&args[0])?.clone() + &*other(&args[1])?)),
        &["Quantity.(Quantity) -> Quantity", "Quantity.(int) -> Quantity"],
    ),
    row(
        "sub",
        Cost::One,
        |_, args| Ok(made(quantity(&args[0])?.clone() - &*other(&args[1])?)),
        &["Quantity.(Quantity) -> Quantity", "Quantity.(int) -> Quantity"],
    ),
    row("semver", Cost::Parse, semver::semver, &["(string) -> Semver", "(string, bool) -> Semver"]),
    row("isSemver", Cost::Parse, semver::is_semver, &["(string) -> bool", "(string, bool) -> bool"]),
    row("major", Cost::One, |_, args| Ok(Value::Int(semver::of(&args[0])?.major as i64)), &["Semver.() -> int"]),
    row("minor", Cost::One, |_, args| Ok(Value::Int(semver::of(&args[0])?.minor as i64)), &["Semver.() -> int"]),
    row("patch", Cost::One, |_, args| Ok(Value::Int(semver::of(&args[0])?.patch as i64)), &["Semver.() -> int"]),
    row("validate", Cost::Validate, format::validate, &["Format.(string) -> optional<list<string>>"]),
    row("format.named", Cost::One, format::named, &["(string) -> optional<Format>"]),
    row("format.dns1123Label", Cost::One, |_, _| format::constant("dns1123Label"), FORMAT),
    row("format.dns1123Subdomain", Cost::One, |_, _| format::constant("dns1123Subdomain"), FORMAT),
    row("format.dns1035Label", Cost::One, |_, _| format::constant("dns1035Label"), FORMAT),
    row("format.qualifiedName", Cost::One, |_, _| format::constant("qualifiedName"), FORMAT),
    row("format.dns1123LabelPrefix", Cost::One, |_, _| format::constant("dns1123LabelPrefix"), FORMAT),
    row("format.dns1123SubdomainPrefix", Cost::One, |_, _| format::constant("dns1123SubdomainPrefix"), FORMAT),
    row("format.dns1035LabelPrefix", Cost::One, |_, _| format::constant("dns1035LabelPrefix"), FORMAT),
    row("format.labelValue", Cost::One, |_, _| format::constant("labelValue"), FORMAT),
    row("format.uri", Cost::One, |_, _| format::constant("uri"), FORMAT),
    row("format.uuid", Cost::One, |_, _| format::constant("uuid"), FORMAT),
    row("format.byte", Cost::One, |_, _| format::constant("byte"), FORMAT),
    row("format.date", Cost::One, |_, _| format::constant("date"), FORMAT),
    row("format.datetime", Cost::One, |_, _| format::constant("datetime"), FORMAT),
];

const FORMAT: &[&str] = &["() -> Format"];

fn quantity<'v>(value: &'v Value<'_>) -> Result<&'v Quantity, Error> {
    match value {
        Value::Quantity(quantity) => Ok(quantity),
        _ => Err(Error::no_overload()),
    }
}

/// A quantity, or an integer as one.
fn other(value: &Value<'_>) -> Result<Arc<Quantity>, Error> {
    match value {
        Value::Quantity(quantity) => Ok(quantity.clone()),
        other => Ok(Arc::new(Quantity::new(int(other)?, Format::DecimalExponent))),
    }
}

fn made<'a>(quantity: Quantity) -> Value<'a> {
    Value::Quantity(Arc::new(quantity))
}

fn to_quantity<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Quantity::parse(text(&args[0])?).map(made).map_err(|error| Error::new(error.to_string()))
}

fn compared(args: &[Value<'_>]) -> Result<Ordering, Error> {
    match &args[0] {
        Value::Semver(_) => Ok(semver::of(&args[0])?.cmp(semver::of(&args[1])?)),
        _ => Ok(quantity(&args[0])?.cmp(quantity(&args[1])?)),
    }
}

/// The amount as an integer, when it is one.
fn integer(quantity: &Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::new(value, Format::DecimalSI) == *quantity).then_some(value)
}

fn as_integer<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let value = integer(quantity(&args[0])?);
    value.map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer"))
}
