//! The forms that values have.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Puts a value that is one in its place.
pub(super) fn put<V>(place: &mut V, value: Result<V, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected true or false".to_owned())
}

/// A whole number.
pub(super) fn number<N: FromStr + PartialOrd + Display>(text: &str, range: RangeInclusive<N>) -> Result<N, String> {
    let number = text.parse().ok().filter(|n| range.contains(n));
    number.ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
}

/// One of Go's durations, longer than nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = api::duration::parse(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a duration such as 30s, 5m or 1h30m".to_owned())
}

/// Words with commas between them.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What there is only one of here, said all the same.
pub(super) fn only(text: &str, one: &str) -> Result<(), String> {
    if text == one { Ok(()) } else { Err(format!("isopod does it one way: {one}")) }
}
