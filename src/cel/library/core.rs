//! The standard library: operators, conversions, sizes, times.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Context, Cost, Row, regex, row, time};
use crate::error::Error;
use crate::value::{Key, List, Map, Text, Value, print};
use crate::work::any;

const ORDERED: &[&str] = &[
    "(bool, bool) -> bool",
    "(int, int) -> bool",
    "(int, double) -> bool",
    "(int, uint) -> bool",
    "(uint, uint) -> bool",
    "(uint, double) -> bool",
    "(uint, int) -> bool",
    "(double, double) -> bool",
    "(double, int) -> bool",
    "(double, uint) -> bool",
    "(string, string) -> bool",
    "(bytes, bytes) -> bool",
    "(timestamp, timestamp) -> bool",
    "(duration, duration) -> bool",
];

const ARITHMETIC: &[&str] = &["(double, double) -> double", "(int, int) -> int", "(uint, uint) -> uint"];

const TIMESTAMP_PART: &[&str] = &["timestamp.() -> int", "timestamp.(string) -> int"];
const TIME_PART: &[&str] = &["timestamp.() -> int", "timestamp.(string) -> int", "duration.() -> int"];

pub(super) const ROWS: &[Row] = &[
    row("_?_:_", Cost::Conditional, never, &["(bool, A, A) -> A"]),
    row("_&&_", Cost::Logic, never, &["(bool, bool) -> bool"]),
    row("_||_", Cost::Logic, never, &["(bool, bool) -> bool"]),
    row("@not_strictly_false", Cost::One, never, &["(bool) -> bool"]),
    row("!_", Cost::One, not, &["(bool) -> bool"]),
    row(
        "_==_",
        Cost::Equals,
        |context, args| Ok(Value::Bool(args[0].equals(&args[1], context.work)?)),
        &["(A, A) -> bool"],
    ),
    row(
        "_!=_",
        Cost::Equals,
        |context, args| Ok(Value::Bool(!args[0].equals(&args[1], context.work)?)),
        &["(A, A) -> bool"],
    ),
    row("_<_", Cost::Compare, |_, args| ordered(args, |order| order == Ordering::Less), ORDERED),
    row("_<=_", Cost::Compare, |_, args| ordered(args, |order| order != Ordering::Greater), ORDERED),
    row("_>_", Cost::Compare, |_, args| ordered(args, |order| order == Ordering::Greater), ORDERED),
    row("_>=_", Cost::Compare, |_, args| ordered(args, |order| order != Ordering::Less), ORDERED),
    row(
        "_+_",
        Cost::Add,
        add,
        &[
            "(bytes, bytes) -> bytes",
            "(double, double) -> double",
            "(duration, duration) -> duration",
            "(duration, timestamp) -> timestamp",
            "(timestamp, duration) -> timestamp",
            "(int, int) -> int",
            "(list<A>, list<A>) -> list<A>",
            "(string, string) -> string",
            "(uint, uint) -> uint",
        ],
    ),
    row(
        "_-_",
        Cost::One,
        subtract,
        &[
            "(double, double) -> double",
            "(duration, duration) -> duration",
            "(int, int) -> int",
            "(timestamp, duration) -> timestamp",
            "(timestamp, timestamp) -> duration",
            "(uint, uint) -> uint",
        ],
    ),
    row("_*_", Cost::One, multiply, ARITHMETIC),
    row("_/_", Cost::One, divide, ARITHMETIC),
    row("_%_", Cost::One, modulo, &["(int, int) -> int", "(uint, uint) -> uint"]),
    row("-_", Cost::One, negate, &["(double) -> double", "(int) -> int"]),
    row(
        "_[_]",
        Cost::Index,
        index,
        &[
            "(list<A>, int) -> A",
            "(map<A, B>, A) -> B",
            "(optional<list<V>>, int) -> optional<V>",
            "(optional<map<K, V>>, K) -> optional<V>",
        ],
    ),
    row("@in", Cost::In, contained, &["(A, list<A>) -> bool", "(A, map<A, B>) -> bool"]),
    row(
        "size",
        Cost::One,
        size,
        &[
            "(bytes) -> int",
            "bytes.() -> int",
            "(list<A>) -> int",
            "list<A>.() -> int",
            "(map<A, B>) -> int",
            "map<A, B>.() -> int",
            "(string) -> int",
            "string.() -> int",
        ],
    ),
    row("type", Cost::One, |_, args| Ok(Value::Type(args[0].type_name())), &["(A) -> type<A>"]),
    row("dyn", Cost::Dyn, |_, args| Ok(args[0].clone()), &["(A) -> dyn"]),
    row("bool", Cost::One, to_bool, &["(bool) -> bool", "(string) -> bool"]),
    row("bytes", Cost::ToBytes, to_bytes, &["(bytes) -> bytes", "(string) -> bytes"]),
    row(
        "double",
        Cost::One,
        to_double,
        &["(double) -> double", "(int) -> double", "(string) -> double", "(uint) -> double"],
    ),
    row(
        "duration",
        Cost::One,
        time::to_duration,
        &["(duration) -> duration", "(int) -> duration", "(string) -> duration"],
    ),
    row(
        "int",
        Cost::One,
        to_int,
        &[
            "(int) -> int",
            "(double) -> int",
            "(duration) -> int",
            "(string) -> int",
            "(timestamp) -> int",
            "(uint) -> int",
        ],
    ),
    row(
        "string",
        Cost::ToString,
        to_string,
        &[
            "(string) -> string",
            "(bool) -> string",
            "(bytes) -> string",
            "(double) -> string",
            "(duration) -> string",
            "(int) -> string",
            "(timestamp) -> string",
            "(uint) -> string",
            "(Ip) -> string",
            "(Cidr) -> string",
        ],
    ),
    row(
        "timestamp",
        Cost::One,
        time::to_timestamp,
        &["(timestamp) -> timestamp", "(int) -> timestamp", "(string) -> timestamp"],
    ),
    row("uint", Cost::One, to_uint, &["(uint) -> uint", "(double) -> uint", "(int) -> uint", "(string) -> uint"]),
    row(
        "contains",
        Cost::Contains,
        |_, args| text_test(args, |text, part| text.contains(part)),
        &["string.(string) -> bool"],
    ),
    row(
        "endsWith",
        Cost::Affix,
        |_, args| text_test(args, |text, part| text.ends_with(part)),
        &["string.(string) -> bool"],
    ),
    row(
        "startsWith",
        Cost::Affix,
        |_, args| text_test(args, |text, part| text.starts_with(part)),
        &["string.(string) -> bool"],
    ),
    row("matches", Cost::Matches, regex::matches, &["(string, string) -> bool", "string.(string) -> bool"]),
    row("getFullYear", Cost::One, |_, args| time::part(args, time::Part::FullYear), TIMESTAMP_PART),
    row("getMonth", Cost::One, |_, args| time::part(args, time::Part::Month), TIMESTAMP_PART),
    row("getDayOfYear", Cost::One, |_, args| time::part(args, time::Part::DayOfYear), TIMESTAMP_PART),
    row("getDayOfMonth", Cost::One, |_, args| time::part(args, time::Part::DayOfMonth), TIMESTAMP_PART),
    row("getDate", Cost::One, |_, args| time::part(args, time::Part::Date), TIMESTAMP_PART),
    row("getDayOfWeek", Cost::One, |_, args| time::part(args, time::Part::DayOfWeek), TIMESTAMP_PART),
    row("getHours", Cost::One, |_, args| time::part(args, time::Part::Hours), TIME_PART),
    row("getMinutes", Cost::One, |_, args| time::part(args, time::Part::Minutes), TIME_PART),
    row("getSeconds", Cost::One, |_, args| time::part(args, time::Part::Seconds), TIME_PART),
    row("getMilliseconds", Cost::One, |_, args| time::part(args, time::Part::Milliseconds), TIME_PART),
    row(
        "cel.@mapInsert",
        Cost::One,
        map_insert,
        &["(map<K, V>, K, V) -> map<K, V>", "(map<K, V>, map<K, V>) -> map<K, V>"],
    ),
];

/// Logic is the evaluator's: it decides what is evaluated at all.
fn never<'a>(_: &Context<'_>, _: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Err(Error::no_overload())
}

fn not<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(Error::no_overload()),
    }
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Result<Value<'a>, Error> {
    args[0].compare(&args[1]).map(|order| Value::Bool(holds(order)))
}

fn overflow() -> Error {
    Error::new("integer overflow")
}

fn unsigned_overflow() -> Error {
    Error::new("unsigned integer overflow")
}

pub(super) fn add<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or_else(unsigned_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Value::String(a), Value::String(b)) => {
            context.reserve((a.len() + b.len()) / 10)?;
            let mut text = String::with_capacity(a.len() + b.len());
            text.push_str(a);
            text.push_str(b);
            Value::from(text)
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            context.reserve((a.len() + b.len()) / 10)?;
            Value::Bytes([&**a, &**b].concat().into())
        }
        (Value::List(a), Value::List(b)) => {
            context.reserve(a.len() + b.len())?;
            Value::List(a.plus(b, context.work)?)
        }
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_add(*b).ok_or_else(time::too_long)?),
        (Value::Timestamp(at), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(at)) => {
            time::shift(*at, i128::from(*by))?
        }
        _ => return Err(Error::no_overload()),
    })
}

fn subtract<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_sub(*b).ok_or_else(unsigned_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_sub(*b).ok_or_else(time::too_long)?),
        (Value::Timestamp(at), Value::Duration(by)) => time::shift(*at, -i128::from(*by))?,
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            Value::Duration(i64::try_from(nanos).map_err(|_| time::too_long())?)
        }
        _ => return Err(Error::no_overload()),
    })
}

fn multiply<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_mul(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_mul(*b).ok_or_else(unsigned_overflow)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(a * b),
        _ => return Err(Error::no_overload()),
    })
}

fn divide<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
            return Err(Error::new("division by zero"));
        }
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_div(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a / b),
        (Value::Double(a), Value::Double(b)) => Value::Double(a / b),
        _ => return Err(Error::no_overload()),
    })
}

fn modulo<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(match (&args[0], &args[1]) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => return Err(Error::new("modulus by zero")),
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_rem(*b).ok_or_else(overflow)?),
        (Value::Uint(a), Value::Uint(b)) => Value::Uint(a % b),
        _ => return Err(Error::no_overload()),
    })
}

fn negate<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Int(value) => Ok(Value::Int(value.checked_neg().ok_or_else(overflow)?)),
        Value::Double(value) => Ok(Value::Double(-value)),
        _ => Err(Error::no_overload()),
    }
}

fn index<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let found = args[0].index(&args[1])?;
    match (&args[0], found) {
        (Value::Optional(_), None) => Ok(Value::Optional(None)),
        (Value::Optional(_), Some(value)) => Ok(Value::some(value)),
        (_, Some(value)) => Ok(value),
        (Value::List(_), None) => Err(Error::new(format!("index out of bounds: {}", print::text(&args[1])))),
        (_, None) => Err(Error::no_such_key(print::text(&args[1]))),
    }
}

fn contained<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[1] {
        Value::List(list) => Ok(Value::Bool(any(list.iter(), |element| element.equals(&args[0], context.work))?)),
        Value::Map(map) => Ok(Value::Bool(map.get(&args[0]).is_some())),
        _ => Err(Error::no_overload()),
    }
}

fn size<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => Ok(Value::Int(args[0].size() as i64)),
        _ => Err(Error::no_overload()),
    }
}

fn text_test<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(holds(text, part))),
        _ => Err(Error::no_overload()),
    }
}

/// A value that cannot become one of another type.
pub(super) fn conversion(value: &Value<'_>, to: &str) -> Error {
    Error::new(format!("type conversion error from '{}' to '{to}'", value.type_name()))
}

fn to_bool<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        // What Go's strconv.ParseBool reads.
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(conversion(&args[0], "bool")),
        },
        _ => Err(Error::no_overload()),
    }
}

fn to_bytes<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
        Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
        _ => Err(Error::no_overload()),
    }
}

fn to_double<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Double(value) => Ok(Value::Double(*value)),
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::Uint(value) => Ok(Value::Double(*value as f64)),
        Value::String(text) => {
            // Rust reads what Go reads, but for digits apart by underscores, which neither reads here.
            text.parse().map(Value::Double).map_err(|_| conversion(&args[0], "double"))
        }
        _ => Err(Error::no_overload()),
    }
}

fn to_int<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Int(value) | Value::Duration(value) => Ok(Value::Int(*value)),
        Value::Uint(value) => i64::try_from(*value).map(Value::Int).map_err(|_| overflow()),
        Value::Double(value) if *value > -9_223_372_036_854_775_808.0 && *value < 9_223_372_036_854_775_808.0 => {
            Ok(Value::Int(*value as i64))
        }
        Value::Double(_) => Err(overflow()),
        Value::Timestamp(time) => Ok(Value::Int(time.as_nanosecond().div_euclid(1_000_000_000) as i64)),
        Value::String(text) => text.parse().map(Value::Int).map_err(|_| conversion(&args[0], "int")),
        _ => Err(Error::no_overload()),
    }
}

fn to_uint<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Uint(value) => Ok(Value::Uint(*value)),
        Value::Int(value) => u64::try_from(*value).map(Value::Uint).map_err(|_| unsigned_overflow()),
        Value::Double(value) if *value > -1.0 && *value < 18_446_744_073_709_551_616.0 => {
            Ok(Value::Uint(*value as u64))
        }
        Value::Double(_) => Err(unsigned_overflow()),
        Value::String(text) if !text.starts_with('+') => {
            text.parse().map(Value::Uint).map_err(|_| conversion(&args[0], "uint"))
        }
        Value::String(_) => Err(conversion(&args[0], "uint")),
        _ => Err(Error::no_overload()),
    }
}

fn to_string<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::String(text) => Ok(Value::String(text.clone())),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::from(text.to_owned())),
            Err(_) => Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_) => {
            Ok(Value::from(print::text(&args[0])))
        }
        Value::Timestamp(_) | Value::Ip(_) | Value::Cidr(_) => Ok(Value::from(print::text(&args[0]))),
        _ => Err(Error::no_overload()),
    }
}

fn map_insert<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Value::Map(map) = &args[0] else { return Err(Error::no_overload()) };
    context.reserve(map.len())?;
    context.work.take(map.len())?;
    let mut entries = match map {
        Map::Owned(entries, _) => (**entries).clone(),
        Map::Json(..) => map.iter().filter_map(|(key, value)| Some((Key::of(&key)?, value))).collect(),
    };
    insert_into(&mut entries, &args[1..])?;
    Ok(Value::Map(Map::of(entries)))
}

/// Adds a key and its value, or all of a map.
pub(crate) fn insert_into<'a>(entries: &mut BTreeMap<Key<'a>, Value<'a>>, added: &[Value<'a>]) -> Result<(), Error> {
    let mut insert = |key: &Value<'a>, value: Value<'a>| {
        let key = Key::of(key).ok_or_else(Error::no_overload)?;
        match entries.insert(key.clone(), value) {
            Some(_) => Err(Error::new(format!("insert failed: key {} already exists", print::text(&key.value())))),
            None => Ok(()),
        }
    };
    match added {
        [key, value] => insert(key, value.clone()),
        [Value::Map(more)] => more.iter().try_for_each(|(key, value)| insert(&key, value)),
        _ => Err(Error::no_overload()),
    }
}

/// Text of an argument.
pub(super) fn text<'v, 'a>(value: &'v Value<'a>) -> Result<&'v Text<'a>, Error> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Error::no_overload()),
    }
}

/// A list of an argument.
pub(super) fn list<'v, 'a>(value: &'v Value<'a>) -> Result<&'v List<'a>, Error> {
    match value {
        Value::List(list) => Ok(list),
        _ => Err(Error::no_overload()),
    }
}

/// An integer of an argument.
pub(super) fn int(value: &Value<'_>) -> Result<i64, Error> {
    match value {
        Value::Int(value) => Ok(*value),
        _ => Err(Error::no_overload()),
    }
}
