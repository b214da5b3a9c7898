//! Optional values.

use super::core::list;
use super::{Context, Cost, Row, row};
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("optional.of", Cost::One, |_, args| Ok(Value::some(args[0].clone())), &["(V) -> optional<V>"]),
    row("optional.ofNonZeroValue", Cost::One, of_non_zero, &["(V) -> optional<V>"]),
    row("optional.none", Cost::One, |_, _| Ok(Value::Optional(None)), &["() -> optional<V>"]),
    row("value", Cost::One, value, &["optional<V>.() -> V"]),
    row("hasValue", Cost::One, has_value, &["optional<V>.() -> bool"]),
    // Both are the evaluator's: the second is evaluated only when the first has no value.
    row("or", Cost::One, or, &["optional<V>.(optional<V>) -> optional<V>"]),
    row("orValue", Cost::One, or_value, &["optional<V>.(V) -> V"]),
    row(
        "_[?_]",
        Cost::One,
        opt_index,
        &[
            "(list<V>, int) -> optional<V>",
            "(optional<list<V>>, int) -> optional<V>",
            "(map<K, V>, K) -> optional<V>",
            "(optional<map<K, V>>, K) -> optional<V>",
        ],
    ),
    row("_?._", Cost::One, opt_index, &["(dyn, string) -> optional<V>"]),
    row("first", Cost::One, |_, args| end(args, |len| len.checked_sub(1).map(|_| 0)), &["list<V>.() -> optional<V>"]),
    row("last", Cost::One, |_, args| end(args, |len| len.checked_sub(1)), &["list<V>.() -> optional<V>"]),
    row("optional.unwrap", Cost::One, unwrap, &["(list<optional<V>>) -> list<V>"]),
    row("unwrapOpt", Cost::One, unwrap, &["list<optional<V>>.() -> list<V>"]),
];

fn of_non_zero<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(if args[0].is_zero() { Value::Optional(None) } else { Value::some(args[0].clone()) })
}

fn value<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        Value::Optional(None) => Err(Error::new("optional.none() dereference")),
        _ => Err(Error::no_overload()),
    }
}

fn has_value<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Optional(value) => Ok(Value::Bool(value.is_some())),
        _ => Err(Error::no_overload()),
    }
}

fn or<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        [some @ Value::Optional(Some(_)), _] => Ok(some.clone()),
        _ => Err(Error::no_overload()),
    }
}

fn or_value<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Optional(None), other] => Ok(other.clone()),
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        _ => Err(Error::no_overload()),
    }
}

/// What is there, or nothing.
fn opt_index<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(args[0].index(&args[1])?.map_or(Value::Optional(None), Value::some))
}

fn end<'a>(args: &[Value<'a>], place: fn(usize) -> Option<usize>) -> Result<Value<'a>, Error> {
    let list = list(&args[0])?;
    Ok(place(list.len()).and_then(|at| list.get(at)).map_or(Value::Optional(None), Value::some))
}

fn unwrap<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let mut out = Vec::new();
    for element in list(&args[0])?.iter() {
        match element {
            Value::Optional(Some(value)) => out.push((*value).clone()),
            Value::Optional(None) => {}
            other => return Err(Error::new(format!("value of type '{}' is not optional", other.type_name()))),
        }
    }
    Ok(Value::from(out))
}
