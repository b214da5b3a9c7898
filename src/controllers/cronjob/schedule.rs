//! Cron schedules: five fields, or a word like `@daily`, in a time zone.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// A schedule that names no day within so many days names none: `0 0 30 2 *`.
const HORIZON_DAYS: i32 = 5 * 366;

/// When something is to happen, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// At the minutes that all fields name.
    Fields(Fields),
    /// `@every`: at this distance.
    Every(SignedDuration),
}

/// The fields, each as a set of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day has to fit both the day of the month and that of the week: one of them was `*`. Otherwise either will do.
    both_days: bool,
}

impl Schedule {
    /// Reads a schedule; the complaint is for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(distance) = fields.strip_prefix("@every ") {
            let duration: SignedDuration =
                distance.trim().parse().map_err(|_| format!("failed to parse duration {text}"))?;
            return Ok(Self::Every(SignedDuration::from_secs(duration.as_secs().max(1))));
        }
        if fields.starts_with('@') {
            return Err(format!("unrecognized descriptor: {text}"));
        }
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        };
        let is_any = |field: &str| field.split(',').any(|part| matches!(part.split('/').next(), Some("*" | "?")));
        Ok(Self::Fields(Fields {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 0, 6, &DAYS)?,
            both_days: is_any(days) || is_any(weekdays),
        }))
    }

    /// The first time after `after`; `None` when there is none.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(distance) => Timestamp::from_second(after.as_second()).ok()?.checked_add(*distance).ok(),
            Self::Fields(fields) => fields.next(after, zone),
        }
    }

    /// The last time from `first`, which is one, up to `until`.
    fn last(&self, first: Timestamp, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(distance) => {
                let distance = distance.as_secs().max(1);
                let whole = until.duration_since(first).as_secs() / distance * distance;
                first.checked_add(SignedDuration::from_secs(whole)).ok()
            }
            Self::Fields(fields) => fields.last(first, until, zone),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = after.to_zoned(zone.clone()).date();
        for _ in 0..HORIZON_DAYS {
            if self.names(date)
                && let Some(found) = self.next_on(date, after, zone)
            {
                return Some(found);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn names(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.both_days { day && weekday } else { day || weekday }
    }

    /// The first time of a day after `after`.
    fn next_on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.times_on(date, zone).filter(|time| *time > after).min()
    }

    /// The last time from `since` on that is not after `until`.
    fn last(&self, since: Timestamp, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let earliest = since.to_zoned(zone.clone()).date();
        let mut date = until.to_zoned(zone.clone()).date();
        for _ in 0..HORIZON_DAYS {
            let on = || self.times_on(date, zone).filter(|time| (since..=until).contains(time)).max();
            if let Some(found) = self.names(date).then(on).flatten() {
                return Some(found);
            }
            date = date.checked_sub(1.day()).ok().filter(|date| *date >= earliest)?;
        }
        None
    }

    /// The times of a day. Those that the clock skips do not come; those that it repeats come twice.
    fn times_on(&self, date: Date, zone: &TimeZone) -> impl Iterator<Item = Timestamp> {
        let (hours, minutes) = (self.hours, self.minutes);
        let of_hour = move |hour| {
            let minutes = (0..60).filter(move |minute| has(minutes, *minute));
            minutes.filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        };
        let times = (0..24).filter(move |hour| has(hours, *hour)).flat_map(of_hour);
        times.flat_map(move |time| {
            let at = date.to_datetime(time);
            let offsets = match zone.to_ambiguous_timestamp(at).offset() {
                AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
                AmbiguousOffset::Gap { .. } => [None, None],
                AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
            };
            offsets.into_iter().flatten().filter_map(move |offset| offset.to_timestamp(at).ok())
        })
    }
}

fn has(set: u64, bit: i8) -> bool {
    u32::try_from(bit).is_ok_and(|bit| set & (1 << bit) != 0)
}

/// `*`, `a`, `a-b`, each with `/step`, and lists of those.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Result<u64, String> {
    let number = |text: &str| -> Result<u32, String> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + least);
        named.or_else(|| text.parse().ok()).ok_or_else(|| format!("failed to parse int from {text}"))
    };
    let mut set = 0_u64;
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (first, last) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (least, most),
            (_, Some((first, last))) => (number(first)?, number(last)?),
            // `5/15` means from 5 on.
            (single, None) => (number(single)?, if step.is_some() { most } else { number(single)? }),
        };
        let step = step.map_or(Ok(1), number)?;
        if first < least {
            return Err(format!("beginning of range ({first}) below minimum ({least}): {part}"));
        }
        if last > most {
            return Err(format!("end of range ({last}) above maximum ({most}): {part}"));
        }
        if first > last {
            return Err(format!("beginning of range ({first}) beyond end of range ({last}): {part}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        (first..=last).step_by(step as usize).for_each(|bit| set |= 1 << bit);
    }
    Ok(set)
}

/// What is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The last time that has come and was not acted upon.
    pub(super) at: Option<Timestamp>,
    /// Whether more than a hundred times have come since.
    pub(super) too_many: bool,
}

/// The most recent time between `since` and `now`.
pub(super) fn due(schedule: &Schedule, zone: &TimeZone, since: Timestamp, now: Timestamp) -> Due {
    let Some(first) = schedule.next(since, zone).filter(|first| *first <= now) else { return Due::default() };
    let Some(second) = schedule.next(first, zone).filter(|second| *second <= now) else {
        return Due { at: Some(first), too_many: false };
    };
    // The distance of two times is taken for that of all when they are counted. The last one is looked for from the end: after long
    // silence, a walk through all of them could take minutes.
    let distance = second.duration_since(first);
    let missed = now.duration_since(first).as_secs() / distance.as_secs().max(1) + 1;
    let at = schedule.last(first, now, zone).unwrap_or(second);
    Due { at: Some(at), too_many: missed > 100 }
}

/// How long until the next time, and a little more: clocks are never quite even.
pub(super) fn until_next(schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Option<Duration> {
    let next = schedule.next(now, zone)?;
    Some(Duration::try_from(next.duration_since(now)).unwrap_or_default() + Duration::from_millis(100))
}
