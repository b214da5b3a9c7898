//! `string.format(list)`: `%s`, `%d`, `%f`, `%e`, `%b`, `%x`, `%X`, `%o`.

use std::fmt::Write;

use super::Context;
use super::core::{list, text};
use crate::error::Error;
use crate::value::{Value, print};

/// The most places after the point. Beyond, digits say nothing.
const MOST_PLACES: usize = 1000;
/// The places printed when none are asked for.
const PLACES: usize = 6;

pub(super) fn format<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (template, values) = (text(&args[0])?, list(&args[1])?);
    let mut out = String::new();
    let mut values = values.iter();
    let mut used = 0;
    let mut rest: &str = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (places, after) = precision(rest)?;
        let Some(verb) = after.chars().next() else { return Err(Error::new("unexpected end of string")) };
        rest = &after[verb.len_utf8()..];
        let value = values.next().ok_or_else(|| Error::new(format!("index {used} out of range")))?;
        used += 1;
        clause(context, &mut out, verb, places, &value)?;
        context.reserve(out.len() / 10)?;
    }
    out.push_str(rest);
    Ok(Value::from(out))
}

/// Why a format cannot be read.
pub(crate) enum Unreadable {
    /// It ends in a percent sign.
    End,
    /// A clause in it is none.
    Clause(String),
}

/// The letters of the clauses of a format, up to one that cannot be read.
pub(crate) fn clauses(template: &str) -> impl Iterator<Item = Result<char, Unreadable>> {
    let mut rest = Some(template);
    std::iter::from_fn(move || {
        loop {
            let (_, clause) = rest.take()?.split_once('%')?;
            if let Some(after) = clause.strip_prefix('%') {
                rest = Some(after);
                continue;
            }
            if clause.is_empty() {
                return Some(Err(Unreadable::End));
            }
            return Some(match precision(clause) {
                Err(error) => Err(Unreadable::Clause(error.to_string())),
                Ok((_, after)) => after.chars().next().ok_or(Unreadable::End).inspect(|verb| {
                    rest = Some(&after[verb.len_utf8()..]);
                }),
            });
        }
    })
}

/// `.3`, if that is next.
fn precision(rest: &str) -> Result<(usize, &str), Error> {
    let Some(digits) = rest.strip_prefix('.') else { return Ok((PLACES, rest)) };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    let places = digits[..len].parse().ok().filter(|places| *places <= MOST_PLACES);
    let why = match places {
        _ if len == digits.len() => "could not find end of precision specifier",
        Some(places) => return Ok((places, &digits[len..])),
        None => "unable to convert precision modifier to integer",
    };
    Err(Error::new(format!("could not parse formatting clause: error while parsing precision: {why}")))
}

fn clause(context: &Context<'_>, out: &mut String, verb: char, places: usize, value: &Value<'_>) -> Result<(), Error> {
    // Writing to a String cannot fail.
    let _ = match (verb, value) {
        ('s', value) => return string(context, out, value, false),
        ('d', Value::Int(_) | Value::Uint(_)) => write!(out, "{}", print::text(value)),
        ('d', _) => return Err(refused("decimal", "can only be converted from integers", value)),
        ('f', Value::Double(number)) => match special(*number) {
            Some(word) => write!(out, "{word}"),
            None => write!(out, "{number:.places$}"),
        },
        ('f', _) => return Err(refused("fixed-point", "can only be used on doubles", value)),
        ('e', Value::Double(number)) => match special(*number) {
            Some(word) => write!(out, "{word}"),
            None => {
                let scientific = format!("{number:.places$e}");
                let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
                let exponent = exponent.parse().unwrap_or_default();
                write!(out, "{}", print::go_exponent(digits, exponent))
            }
        },
        ('e', _) => return Err(refused("scientific notation", "can only be used on doubles", value)),
        ('b', Value::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:b}")),
        ('b', Value::Uint(number)) => write!(out, "{number:b}"),
        ('b', Value::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('b', _) => return Err(refused("binary", "can only be used on ints, uints, bools", value)),
        ('o', Value::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:o}")),
        ('o', Value::Uint(number)) => write!(out, "{number:o}"),
        ('o', _) => return Err(refused("octal", "can only be used on ints and uints", value)),
        ('x', Value::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:x}")),
        ('x', Value::Uint(number)) => write!(out, "{number:x}"),
        ('X', Value::Int(number)) => signed(out, *number, |out, number| write!(out, "{number:X}")),
        ('X', Value::Uint(number)) => write!(out, "{number:X}"),
        ('x' | 'X', Value::String(text)) => return hex(out, text.as_bytes(), verb),
        ('x' | 'X', Value::Bytes(bytes)) => return hex(out, bytes, verb),
        ('x' | 'X', _) => return Err(refused("hex", "can only be used on ints, uints, bytes, and strings", value)),
        _ => {
            return Err(Error::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{verb}\""
            )));
        }
    };
    Ok(())
}

fn refused(clause: &str, why: &str, value: &Value<'_>) -> Error {
    Error::new(format!("error during formatting: {clause} clause {why}, was given {}", value.type_name()))
}

fn special(number: f64) -> Option<&'static str> {
    match number {
        number if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("∞"),
        f64::NEG_INFINITY => Some("-∞"),
        _ => None,
    }
}

fn signed(out: &mut String, number: i64, write: fn(&mut String, u64) -> std::fmt::Result) -> std::fmt::Result {
    if number < 0 {
        out.push('-');
    }
    write(out, number.unsigned_abs())
}

fn hex(out: &mut String, bytes: &[u8], verb: char) -> Result<(), Error> {
    for byte in bytes {
        let _ = if verb == 'x' { write!(out, "{byte:02x}") } else { write!(out, "{byte:02X}") };
    }
    Ok(())
}

/// Any value as text; within lists and maps texts are quoted.
fn string(context: &Context<'_>, out: &mut String, value: &Value<'_>, nested: bool) -> Result<(), Error> {
    context.work.take(1)?;
    match value {
        Value::Null => out.push_str("null"),
        Value::String(text) if nested => {
            context.work.take_text(text)?;
            out.push_str(&api::quote::quote(text));
        }
        Value::Bytes(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            if nested {
                out.push('b');
                out.push_str(&api::quote::quote(&text));
            } else {
                out.push_str(&text);
            }
        }
        Value::Double(number) if nested => {
            let _ = write!(out, "{number:.PLACES$}");
        }
        Value::Timestamp(_) if nested => {
            let _ = write!(out, "timestamp({})", api::quote::quote(&print::text(value)));
        }
        Value::Duration(_) if nested => {
            let _ = write!(out, "duration({})", api::quote::quote(&print::text(value)));
        }
        Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Bool(_)
        | Value::String(_)
        | Value::Type(_)
        | Value::Timestamp(_)
        | Value::Duration(_) => out.push_str(&print::text(value)),
        Value::List(list) => {
            out.push('[');
            for (at, element) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                string(context, out, &element, true)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut pairs = Vec::new();
            for (key, value) in map.iter() {
                let (mut name, mut text) = (String::new(), String::new());
                string(context, &mut name, &key, true)?;
                string(context, &mut text, &value, true)?;
                pairs.push(format!("{name}:{text}"));
            }
            pairs.sort();
            out.push('{');
            out.push_str(&pairs.join(", "));
            out.push('}');
        }
        _ => {
            let why = "can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
                       timestamps";
            return Err(refused("string", why, value));
        }
    }
    Ok(())
}
