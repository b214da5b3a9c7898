//! Go's durations, as clients and configuration write them: `30s`, `1h30m`, `1.5h`, `100ms`, `0`.

use std::time::Duration;

use crate::quote::quote;

#[cfg(test)]
mod tests;

/// Reads a duration that is not negative; `None` where Go finds none or it is longer than any timer.
pub fn parse(text: &str) -> Option<Duration> {
    nanoseconds(text).ok().and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).map(Duration::from_nanos)
}

/// Reads a duration as Go does, which may be below zero; the complaints are Go's.
pub fn nanoseconds(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    let (mut rest, mut whole) = (unsigned, 0_i64);
    loop {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(digits);
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (integer.is_empty() && fraction.is_empty()) {
            return Err(invalid());
        }
        let letters = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at(letters);
        let nanoseconds: i64 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        let number = if integer.is_empty() { Some(0) } else { integer.parse().ok() };
        let whole_units = number.and_then(|number: i64| number.checked_mul(nanoseconds)).ok_or_else(invalid)?;
        // What is behind the point is less than a unit; digits that make no nanosecond do not count.
        let part = format!("0.{fraction}").parse::<f64>().unwrap_or(0.0) * nanoseconds as f64;
        let sum = whole.checked_add(whole_units).and_then(|sum| sum.checked_add(part as i64));
        whole = sum.ok_or_else(invalid)?;
        rest = after;
        if rest.is_empty() {
            return Ok(if negative { -whole } else { whole });
        }
    }
}
