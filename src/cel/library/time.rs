//! Durations and timestamps: Go's texts, and parts of times in any offset.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::Context;
use super::core::conversion;
use crate::error::Error;
use crate::value::Value;

/// The first and last second a timestamp may have: the years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

pub(super) fn too_long() -> Error {
    Error::new("duration overflow")
}

fn out_of_range() -> Error {
    Error::new("timestamp overflow")
}

fn at_nanosecond(nanos: i128) -> Result<Timestamp, Error> {
    let seconds = nanos.div_euclid(1_000_000_000);
    if seconds < i128::from(FIRST) || seconds > i128::from(LAST) {
        return Err(out_of_range());
    }
    Timestamp::from_nanosecond(nanos).map_err(|_| out_of_range())
}

pub(super) fn shift<'a>(at: Timestamp, by: i128) -> Result<Value<'a>, Error> {
    at_nanosecond(at.as_nanosecond() + by).map(Value::Timestamp)
}

pub(super) fn to_duration<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Duration(nanos) | Value::Int(nanos) => Ok(Value::Duration(*nanos)),
        Value::String(text) => {
            duration(text).map(Value::Duration).ok_or_else(|| conversion(&args[0], "google.protobuf.Duration"))
        }
        _ => Err(Error::no_overload()),
    }
}

pub(super) fn to_timestamp<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Timestamp(time) => Ok(Value::Timestamp(*time)),
        Value::Int(seconds) => at_nanosecond(i128::from(*seconds) * 1_000_000_000).map(Value::Timestamp),
        Value::String(text) => {
            timestamp(text).map(Value::Timestamp).ok_or_else(|| conversion(&args[0], "google.protobuf.Timestamp"))
        }
        _ => Err(Error::no_overload()),
    }
}

/// RFC 3339 with any offset, in the years 1 to 9999.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let time = api::time::parse(text).ok()?;
    at_nanosecond(time.as_nanosecond()).ok()
}

/// What Go's `time.ParseDuration` reads: `1h30m`, `-1.5s`, `0`; in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (digits, after) = rest.split_at(number);
        let unit = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at(unit);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 20 {
            return None;
        }
        total += whole.parse::<i128>().or(if whole.is_empty() { Ok(0) } else { Err(()) }).ok()? * scale;
        // Places beyond the eighteenth are less than a nanosecond of any unit.
        let fraction = &fraction[..fraction.len().min(18)];
        if !fraction.is_empty() {
            total += fraction.parse::<i128>().ok()? * scale / 10i128.pow(fraction.len() as u32);
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A part of a time.
#[derive(Clone, Copy)]
pub(super) enum Part {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

pub(super) fn part<'a>(args: &[Value<'a>], part: Part) -> Result<Value<'a>, Error> {
    match args {
        [Value::Timestamp(time)] => Ok(of_timestamp(*time, &TimeZone::UTC, part)),
        [Value::Timestamp(time), Value::String(zone)] => Ok(of_timestamp(*time, &zone_of(zone)?, part)),
        [Value::Duration(nanos)] => Ok(Value::Int(match part {
            Part::Hours => nanos / 3_600_000_000_000,
            Part::Minutes => nanos / 60_000_000_000,
            Part::Seconds => nanos / 1_000_000_000,
            Part::Milliseconds => nanos / 1_000_000,
            _ => return Err(Error::no_overload()),
        })),
        _ => Err(Error::no_overload()),
    }
}

fn of_timestamp<'a>(time: Timestamp, zone: &TimeZone, part: Part) -> Value<'a> {
    let local = time.to_zoned(zone.clone());
    Value::Int(match part {
        Part::FullYear => i64::from(local.year()),
        Part::Month => i64::from(local.month()) - 1,
        Part::DayOfYear => i64::from(local.day_of_year()) - 1,
        Part::DayOfMonth => i64::from(local.day()) - 1,
        Part::Date => i64::from(local.day()),
        Part::DayOfWeek => i64::from(local.weekday().to_sunday_zero_offset()),
        Part::Hours => i64::from(local.hour()),
        Part::Minutes => i64::from(local.minute()),
        Part::Seconds => i64::from(local.second()),
        Part::Milliseconds => i64::from(local.millisecond()),
    })
}

/// An offset (`-08:00`), UTC, or a zone by its name, when the machine knows zones.
fn zone_of(name: &str) -> Result<TimeZone, Error> {
    let unknown = || Error::new(format!("unknown time zone {name}"));
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return named(name).ok_or_else(unknown);
    };
    let number = |text: &str| text.parse::<i32>().ok().filter(|number| number.abs() < 100);
    let (Some(hours), Some(minutes)) = (number(hours), number(minutes)) else {
        return Err(Error::new(format!("strconv.Atoi: parsing {}: invalid syntax", api::quote::quote(name))));
    };
    let minutes = if name.starts_with('-') { hours * 60 - minutes } else { hours * 60 + minutes };
    let offset = Offset::from_seconds(minutes * 60).map_err(|_| unknown())?;
    Ok(TimeZone::fixed(offset))
}

/// A zone of the machine's database. Names cannot lead out of it.
fn named(name: &str) -> Option<TimeZone> {
    let harmless = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
    if !harmless || name.starts_with('/') || name.len() > 64 {
        return None;
    }
    let data = std::fs::read(std::path::Path::new("/usr/share/zoneinfo").join(name)).ok()?;
    TimeZone::tzif(name, &data).ok()
}
