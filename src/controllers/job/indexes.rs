//! Sets of completion indexes, written as Jobs write them: `0,2-5,9`.

use std::fmt;

/// A set of indexes as ordered intervals that do not touch: small even for Jobs of a hundred thousand completions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i64, i64)>);

impl Indexes {
    /// Reads a set, as far as it lies below `completions`. What does not parse is left out.
    pub(super) fn parse(text: &str, completions: i64) -> Self {
        let intervals = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
            (0 <= first && first < completions && first <= last).then(|| (first, last.min(completions - 1)))
        });
        Self::of(intervals.collect())
    }

    fn of(mut intervals: Vec<(i64, i64)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// This set and more indexes.
    #[must_use]
    pub(super) fn with(&self, more: impl IntoIterator<Item = i64>) -> Self {
        Self::of(self.0.iter().copied().chain(more.into_iter().map(|index| (index, index))).collect())
    }

    /// This set and another.
    #[must_use]
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// How many indexes it holds.
    pub(super) fn len(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, index: i64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes both sets hold.
    pub(super) fn shared_with(&self, other: &Self) -> i64 {
        let overlap = |a: &(i64, i64), b: &(i64, i64)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().map(|mine| other.0.iter().map(|theirs| overlap(mine, theirs)).sum::<i64>()).sum()
    }

    /// The first `count` indexes below `completions` that it lacks.
    pub(super) fn first_missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let mut missing = Vec::new();
        let mut next = 0;
        let end = [(completions, completions)];
        for (first, last) in self.0.iter().chain(&end) {
            let upto = (*first).min(completions);
            missing.extend((next..upto).take(count - missing.len()));
            if missing.len() == count {
                break;
            }
            next = next.max(last + 1);
        }
        missing
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(out, "{comma}{first}")?,
                1 => write!(out, "{comma}{first},{last}")?,
                _ => write!(out, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}
