//! How long refused clients are told to stay away: longer, the more of them are refused.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Nobody is sent away for longer, in seconds.
const LONGEST: u64 = 32;

/// The refusals of one level. Like TCP: doubled while it does not help, lowered one by one when it does.
#[derive(Debug)]
pub(super) struct Dropped(Mutex<State>);

#[derive(Debug)]
struct State {
    after: u64,
    raised: u64,
    /// Seconds and the refusals in each, the present one last.
    history: Vec<(u64, u64)>,
}

impl Default for Dropped {
    fn default() -> Self {
        Self(Mutex::new(State { after: 1, raised: 0, history: Vec::new() }))
    }
}

impl Dropped {
    /// Notes a refusal and says after how many seconds to come back.
    pub(super) fn retry_after(&self) -> u32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.0.lock().note(now) as u32
    }
}

impl State {
    fn note(&mut self, now: u64) -> u64 {
        match self.history.last_mut() {
            Some((second, count)) if *second == now => *count += 1,
            _ => {
                self.adjust(now);
                self.history.push((now, 1));
            }
        }
        self.after
    }

    /// Judged by the seconds before this one.
    fn adjust(&mut self, now: u64) {
        let keep = (2 * self.after).min(LONGEST);
        self.history.retain(|(second, _)| now - second.min(&now) <= keep);
        let recent = self.history.iter().filter(|(second, _)| now - second.min(&now) <= self.after);
        let refused: u64 = recent.map(|(_, count)| count).sum();
        if now.saturating_sub(self.raised) >= self.after && refused >= 3 * self.after {
            self.after = (self.after * 2).min(LONGEST);
            self.raised = now;
        } else if refused < self.after && self.after > 1 {
            self.after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_under_pressure_and_shrinks_after_it() {
        let dropped = Dropped::default();
        let mut state = dropped.0.lock();
        let mut told = Vec::new();
        for second in 100..140 {
            for _ in 0..50 {
                state.note(second);
            }
            told.push(state.after);
        }
        assert_eq!((told[0], told[1], told[39]), (1, 2, 32));
        for second in 200..240 {
            state.note(second * 10);
        }
        assert_eq!(state.after, 1);
    }
}
