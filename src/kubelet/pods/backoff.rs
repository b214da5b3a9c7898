//! Delays that grow while something keeps failing, and are forgotten when it has been well for a while.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// Back-offs by key. Time is the caller's, so that plans stay pure.
#[derive(Clone, Debug)]
pub(crate) struct Backoffs {
    first: Duration,
    longest: Duration,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    since: Timestamp,
}

impl Backoffs {
    pub(crate) fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, entries: HashMap::new() }
    }

    /// The delay in force, and when it ends, for something that last failed at `failed`; None when it may be tried now.
    pub(crate) fn waiting(&self, key: &str, failed: Timestamp, now: Timestamp) -> Option<(Duration, Timestamp)> {
        let entry = self.entries.get(key)?;
        if self.is_over(entry, failed) {
            return None;
        }
        let until = failed.checked_add(entry.delay).ok()?;
        (now < until).then_some((entry.delay, until))
    }

    /// Notes another attempt at something that last failed at `failed`: the next delay is twice as long.
    pub(crate) fn next(&mut self, key: &str, failed: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(key) {
            Some(entry) if !self.is_over(entry, failed) => (entry.delay * 2).min(self.longest),
            _ => self.first,
        };
        self.entries.insert(key.to_owned(), Entry { delay, since: now });
    }

    /// Forgets a key.
    pub(crate) fn reset(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Drops entries nobody asked about for long.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let (longest, entries) = (self.longest, &mut self.entries);
        entries.retain(|_, entry| elapsed(entry.since, now) <= longest * 4);
    }

    /// Well for twice the longest delay: what fails now fails for the first time.
    fn is_over(&self, entry: &Entry, failed: Timestamp) -> bool {
        elapsed(entry.since, failed) > self.longest * 2
    }
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_forgotten() {
        let at = |seconds| Timestamp::from_second(1_000_000 + seconds).unwrap();
        let mut backoffs = Backoffs::new((Duration::from_secs(10), Duration::from_secs(300)));
        assert_eq!(backoffs.waiting("a", at(0), at(0)), None, "the first restart is immediate");
        for expect in [10, 20, 40, 80, 160, 300, 300] {
            backoffs.next("a", at(0), at(0));
            assert_eq!(backoffs.waiting("a", at(0), at(1)), Some((Duration::from_secs(expect), at(expect as i64))));
            assert_eq!(backoffs.waiting("a", at(0), at(expect as i64)), None);
        }
        assert_eq!(backoffs.waiting("a", at(700), at(701)), None, "it was well for long enough");
        backoffs.next("a", at(700), at(701));
        assert_eq!(backoffs.waiting("a", at(702), at(703)).unwrap().0, Duration::from_secs(10));
    }
}
