//! What a call has cost.

use super::{CHECK, REGEX_FACTOR, STRING_FACTOR, scaled};
use crate::library::Cost;
use crate::value::Value;

/// Making a list, a map, an object.
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;

/// The cost of a call with these arguments and this result.
pub(crate) fn call(cost: Cost, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Value::size);
    let walk = |at: usize| scaled(size(at), STRING_FACTOR);
    let allocated = |factor: f64, size: u64| (size as f64 * factor) as u64 + 1 + LIST;
    match cost {
        Cost::One | Cost::Index | Cost::Dyn => 1,
        Cost::Conditional | Cost::Logic => 0,
        Cost::Check => CHECK,
        Cost::Selector => selector(size(1)),
        Cost::Elements => args.first().map_or(0, |value| traversal(value, &mut MOST_VISITED.clone())),
        Cost::Traverse | Cost::Parse => walk(0),
        Cost::Replace | Cost::Split => scaled(size(0), 2.0 * STRING_FACTOR),
        Cost::Join => scaled(result.map_or(1, Value::size), 2.0 * STRING_FACTOR),
        Cost::Find => pattern(size(0), size(1)),
        Cost::Matches => pattern(size(0), size(1)),
        Cost::Contains => walk(0).saturating_mul(walk(1)),
        Cost::Affix | Cost::Quote | Cost::Printf => walk(0),
        Cost::ToBytes if matches!(args[0], Value::String(_)) => walk(0),
        Cost::ToString if matches!(args[0], Value::Bytes(_)) => walk(0),
        Cost::ToBytes | Cost::ToString => 1,
        Cost::Ip if matches!(args[0], Value::Cidr(_)) => 1,
        Cost::Ip => walk(0),
        Cost::IsCanonical => scaled(size(0), 2.0 * STRING_FACTOR),
        Cost::ContainsIp => scaled(2 * size(0), STRING_FACTOR) + parsed(args),
        Cost::ContainsCidr => scaled(2 * size(0), STRING_FACTOR) + walk(0) + 1 + parsed(args),
        Cost::Validate => match &args[0] {
            Value::Format(format) => pattern(size(1), format.regex_size),
            _ => 1,
        },
        Cost::Equals if is_library(&args[0]) => 1,
        Cost::Equals => scaled(size(0).min(size(1)), STRING_FACTOR),
        Cost::Compare if is_text(&args[0]) => scaled(size(0).min(size(1)), STRING_FACTOR),
        Cost::Compare => 1,
        Cost::Add if is_text(&args[0]) => scaled(size(0).saturating_add(size(1)), STRING_FACTOR),
        Cost::Add => 1,
        Cost::In if matches!(args[1], Value::List(_)) => size(1),
        Cost::In => 1,
        Cost::Sets(factor) => 1 + size(0).saturating_mul(size(1)).saturating_mul(u64::from(factor)),
        Cost::Slice | Cost::Range => allocated(1.0, result.map_or(1, Value::size)),
        Cost::Reverse if matches!(args[0], Value::String(_)) => 1,
        Cost::Reverse => allocated(1.0, size(0)),
        Cost::Flatten => match args.get(1) {
            Some(Value::Int(depth)) => allocated(*depth as f64, size(0)),
            _ => allocated(1.0, size(0)),
        },
        Cost::Distinct => compared(&args[0]),
        Cost::Sort => compared(args.last().unwrap_or(&Value::Null)),
    }
}

fn is_text(value: &Value<'_>) -> bool {
    matches!(value, Value::String(_) | Value::Bytes(_))
}

/// Values that compare in one step.
fn is_library(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Quantity(_)
            | Value::Ip(_)
            | Value::Cidr(_)
            | Value::Format(_)
            | Value::Url(_)
            | Value::Semver(_)
            | Value::Check(_)
            | Value::Decision(_)
    )
}

/// Text that has to be read first.
fn parsed(args: &[Value<'_>]) -> u64 {
    match args.get(1) {
        Some(text @ Value::String(_)) => scaled(text.size(), STRING_FACTOR),
        _ => 0,
    }
}

pub(super) fn pattern(text: u64, regex: u64) -> u64 {
    scaled(text.saturating_add(1), STRING_FACTOR).saturating_mul(scaled(regex, REGEX_FACTOR))
}

/// Reading a selector: a requirement for every other character at worst.
pub(super) fn selector(length: u64) -> u64 {
    let requirements = scaled(length, 0.5);
    LIST + scaled(length, STRING_FACTOR) + requirements.saturating_mul(LIST + STRUCT)
}

/// Every element against every other.
fn compared(list: &Value<'_>) -> u64 {
    let first = match list {
        Value::List(list) => list.get(0),
        _ => None,
    };
    let size = list.size();
    let factor = if first.as_ref().is_some_and(is_text) { 2.0 + STRING_FACTOR } else { 2.0 };
    (size.saturating_mul(size) as f64 * factor) as u64 + 1 + LIST
}

/// What is walked of a value; whatever there is more costs more than anybody has.
const MOST_VISITED: u32 = 2_000_000;

/// Everything within is walked once.
fn traversal(value: &Value<'_>, left: &mut u32) -> u64 {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return u64::MAX;
    }
    let sum = u64::saturating_add;
    match value {
        Value::String(text) => (text.len() as f64 * STRING_FACTOR) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * STRING_FACTOR) as u64,
        Value::List(list) => list.iter().map(|element| traversal(&element, left)).fold(0, sum),
        Value::Map(map) => {
            map.iter().map(|(key, value)| sum(traversal(&key, left), traversal(&value, left))).fold(0, sum)
        }
        _ => 1,
    }
}
