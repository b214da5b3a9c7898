//! `Time` (seconds) and `MicroTime` (microseconds) of the API: RFC 3339 in UTC, with Go's complaints.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};

use crate::quote::quote;

#[cfg(test)]
mod tests;

/// Why a text is no time; the words are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {}{problem}", quote(text))]
pub struct TimeError {
    text: String,
    problem: String,
}

/// Go's zero time, which the API writes as null.
pub fn is_zero(time: Timestamp) -> bool {
    time.as_second() == ZERO_SECOND
}

/// `0001-01-01T00:00:00Z` in seconds since 1970.
pub(crate) const ZERO_SECOND: i64 = -62_135_596_800;

/// Reads a `Time`: RFC 3339 with any offset; a fraction of a second is accepted.
pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
    Reader { text, rest: text, layout: "2006-01-02T15:04:05Z07:00" }.read(false)
}

/// Reads a `MicroTime`: RFC 3339 with exactly six digits of fraction.
pub fn parse_micro(text: &str) -> Result<Timestamp, TimeError> {
    Reader { text, rest: text, layout: "2006-01-02T15:04:05.000000Z07:00" }.read(true)
}

/// Writes a `Time`: `2026-01-02T03:04:05Z`.
pub fn format(time: Timestamp) -> String {
    // Formatting with a constant, valid pattern does not fail.
    strtime::format("%Y-%m-%dT%H:%M:%SZ", time).unwrap_or_default()
}

/// Writes a `MicroTime`: `2026-01-02T03:04:05.000006Z`.
pub fn format_micro(time: Timestamp) -> String {
    let whole = strtime::format("%Y-%m-%dT%H:%M:%S", time).unwrap_or_default();
    // The fraction of a time before 1970 counts backwards from the second after it.
    let nanos = time.as_nanosecond().rem_euclid(1_000_000_000);
    format!("{whole}.{:06}Z", nanos / 1000)
}

/// Walks through Go's layout element by element, so that the complaint names the same element.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Reader<'_> {
    fn read(mut self, micro: bool) -> Result<Timestamp, TimeError> {
        let year = self.number("2006", 4, 4)?;
        self.literal("-")?;
        let month = self.number("01", 2, 2)?;
        self.range(month, 1, 12, "month")?;
        self.literal("-")?;
        let day = self.number("02", 2, 2)?;
        self.literal("T")?;
        let hour = self.number("15", 1, 2)?;
        self.range(hour, 0, 23, "hour")?;
        self.literal(":")?;
        let minute = self.number("04", 2, 2)?;
        self.range(minute, 0, 59, "minute")?;
        self.literal(":")?;
        let second = self.number("05", 2, 2)?;
        self.range(second, 0, 59, "second")?;
        let nanos = self.fraction(micro)?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(self.problem(format!(": extra text: {}", quote(self.rest))));
        }
        let date = DateTime::new(year as i16, month as i8, day as i8, hour as i8, minute as i8, second as i8, nanos);
        let date = date.map_err(|_| self.problem(": day out of range".to_owned()))?;
        let offset =
            Offset::from_seconds(offset).map_err(|_| self.problem(": time zone offset hour out of range".into()))?;
        let zoned = date.to_zoned(TimeZone::fixed(offset)).map_err(|_| self.problem(": year out of range".into()))?;
        Ok(zoned.timestamp())
    }

    fn number(&mut self, element: &str, least: usize, most: usize) -> Result<i32, TimeError> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return Err(self.cannot(element));
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        Ok(number.bytes().fold(0, |n, d| n * 10 + i32::from(d - b'0')))
    }

    fn literal(&mut self, element: &str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(element).ok_or_else(|| self.cannot(element))?;
        Ok(())
    }

    fn range(&self, value: i32, low: i32, high: i32, name: &str) -> Result<(), TimeError> {
        if (low..=high).contains(&value) { Ok(()) } else { Err(self.problem(format!(": {name} out of range"))) }
    }

    /// Nanoseconds after the point. Go's plain layout accepts a fraction it does not name.
    fn fraction(&mut self, micro: bool) -> Result<i32, TimeError> {
        let digits = self.rest.strip_prefix(['.', ',']).map_or("", |rest| {
            let count = rest.bytes().take_while(u8::is_ascii_digit).count();
            &rest[..count]
        });
        if micro && digits.len() < 6 {
            return Err(self.cannot(".000000"));
        }
        let digits = if micro { &digits[..6] } else { digits };
        if digits.is_empty() {
            return Ok(0);
        }
        self.rest = &self.rest[digits.len() + 1..];
        let nanos = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
        Ok(nanos.fold(0, |n, d| n * 10 + i32::from(d - b'0')))
    }

    fn offset(&mut self) -> Result<i32, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let digit = |at: usize| bytes.get(at).filter(|b| b.is_ascii_digit()).map(|b| i32::from(b - b'0'));
        let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
        let sign = match bytes.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.cannot("Z07:00")),
        };
        let (Some(hours), Some(b':'), Some(minutes)) = (two(1), bytes.get(3), two(4)) else {
            return Err(self.cannot("Z07:00"));
        };
        self.range(hours, 0, 24, "time zone offset hour")?;
        self.range(minutes, 0, 60, "time zone offset minute")?;
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }

    fn cannot(&self, element: &str) -> TimeError {
        let rest = quote(self.rest);
        self.problem(format!(" as \"{}\": cannot parse {rest} as \"{element}\"", self.layout))
    }

    fn problem(&self, problem: String) -> TimeError {
        TimeError { text: self.text.to_owned(), problem }
    }
}
