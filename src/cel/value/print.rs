//! Numbers and times as text, the way Go prints them.

use std::fmt::Write;

use jiff::Timestamp;

use super::Value;

/// What `string()` makes of a value; empty for what it takes no value of.
pub(crate) fn text(value: &Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => shortest(*value),
        Value::String(text) | Value::Type(text) => text.to_string(),
        Value::Duration(nanos) => duration(*nanos),
        Value::Timestamp(time) => timestamp(*time),
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(cidr) => cidr.to_string(),
        _ => String::new(),
    }
}

/// Go's `%g`: the shortest digits that read back as the same number.
pub(crate) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    // Numbers from a million on, and below a ten-thousandth, are written with an exponent.
    if !(-4..6).contains(&exponent) {
        return go_exponent(digits, exponent);
    }
    format!("{value}")
}

/// `1.5e+07`: at least two digits in the exponent.
pub(crate) fn go_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Seconds, with as many places as there are.
pub(crate) fn duration(nanos: i64) -> String {
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let total = nanos.unsigned_abs();
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", total / 1_000_000_000);
    fraction(&mut out, (total % 1_000_000_000) as u32);
    out.push('s');
    out
}

/// RFC 3339 in UTC, with as many places as there are.
pub(crate) fn timestamp(time: Timestamp) -> String {
    let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
    let nanos = time.as_nanosecond().rem_euclid(1_000_000_000) as u32;
    let whole = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(time);
    let mut out = api::time::format(whole);
    out.pop();
    fraction(&mut out, nanos);
    out.push('Z');
    out
}

fn fraction(out: &mut String, nanos: u32) {
    if nanos > 0 {
        let digits = format!(".{nanos:09}");
        out.push_str(digits.trim_end_matches('0'));
    }
}
