//! How many seats each priority level gets: by its shares of the server, and by what it lends and borrows.

/// What a level's object says of its seats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    pub nominal: u32,
    /// Of the nominal seats, how many others may have while they are not needed.
    pub lendable_percent: u32,
    /// How many seats more than nominal the level may borrow; `None` for any number.
    pub borrowing_percent: Option<u32>,
}

/// The seats of one level: what it is entitled to, and between what bounds it moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub nominal: u64,
    pub lower: u64,
    pub upper: u64,
}

impl Limits {
    /// The limits of each level of a server with `total` seats.
    pub(super) fn of(total: u64, shares: &[Shares]) -> Vec<Limits> {
        let sum: f64 = shares.iter().map(|level| f64::from(level.nominal)).sum();
        let limits = |level: &Shares| {
            let nominal = if sum > 0.0 { (total as f64 * f64::from(level.nominal) / sum).ceil() } else { 0.0 };
            let part = |percent: u32| (nominal * f64::from(percent) / 100.0).round() as u64;
            let nominal = nominal as u64;
            let borrowed = level.borrowing_percent.map_or(total, part);
            Limits { nominal, lower: nominal - part(level.lendable_percent).min(nominal), upper: nominal + borrowed }
        };
        shares.iter().map(limits).collect()
    }

    /// What a level begins with, before anything is known of its demand.
    pub(super) fn initial(&self) -> u64 {
        self.nominal - (self.nominal - self.lower) / 2
    }
}

/// What a level asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub limits: Limits,
    /// Exempt levels take what they want; the others share the rest.
    pub exempt: bool,
    /// The most seats wanted at once since the last time.
    pub highest: u64,
    /// The same, forgotten slowly.
    pub smoothed: f64,
}

impl Demand {
    /// What is due to the level, if there is enough.
    fn floor(&self) -> u64 {
        let due = if self.exempt { self.highest } else { self.highest.min(self.limits.nominal) };
        self.limits.lower.max(due)
    }

    /// What the level would have if there were enough for all.
    pub(super) fn target(&self) -> f64 {
        self.smoothed.max(self.floor() as f64).max(0.001)
    }
}

/// The seats each level has from now on, and the fair fraction of what it wants that each level gets.
pub(super) fn adjust(levels: &[Demand]) -> (Vec<u64>, f64) {
    let total: u64 = levels.iter().map(|level| level.limits.nominal).sum();
    let floor = Demand::floor;
    let taken: u64 = levels.iter().filter(|level| level.exempt).map(floor).sum();
    let left = total.saturating_sub(taken);
    let shared = || levels.iter().filter(|level| !level.exempt);
    let (least, wanted): (u64, u64) = (shared().map(|l| l.limits.lower).sum(), shared().map(floor).sum());
    if left <= wanted {
        // Not even what is due to them: between the lower bound and that, all get the same fraction.
        let fraction = if wanted > least { left.saturating_sub(least) as f64 / (wanted - least) as f64 } else { 0.0 };
        let seats = |level: &Demand| match level.exempt {
            true => floor(level),
            false => level.limits.lower + ((floor(level) - level.limits.lower) as f64 * fraction).round() as u64,
        };
        return (levels.iter().map(seats).collect(), 0.0);
    }
    let fair = fair_fraction(left as f64, shared().map(|level| (floor(level), level)));
    let seats = |level: &Demand| match level.exempt {
        true => floor(level),
        false => seats_at(fair, floor(level), level).round() as u64,
    };
    (levels.iter().map(seats).collect(), fair)
}

/// What a level gets when everybody gets `fair` times what they want, within their bounds.
fn seats_at(fair: f64, floor: u64, level: &Demand) -> f64 {
    (fair * level.target()).clamp(floor as f64, level.limits.upper.max(floor) as f64)
}

/// The fraction at which all seats are given away. What levels get rises with the fraction, so it is found by halving.
fn fair_fraction<'a>(total: f64, levels: impl Iterator<Item = (u64, &'a Demand)> + Clone) -> f64 {
    let given = |fair: f64| levels.clone().map(|(floor, level)| seats_at(fair, floor, level)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    while given(high) < total && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if given(middle) < total {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's defaults: shares and what can be lent.
    const DEFAULTS: [(&str, u32, u32); 8] = [
        ("exempt", 0, 0),
        ("catch-all", 5, 0),
        ("system", 30, 33),
        ("node-high", 40, 25),
        ("leader-election", 10, 0),
        ("workload-high", 40, 50),
        ("workload-low", 100, 90),
        ("global-default", 20, 50),
    ];

    fn limits() -> Vec<Limits> {
        let shares = DEFAULTS.map(|(_, nominal, lendable_percent)| Shares {
            nominal,
            lendable_percent,
            borrowing_percent: None,
        });
        Limits::of(600, &shares)
    }

    #[test]
    fn seats_follow_shares() {
        let limits = limits();
        let nominal: Vec<u64> = limits.iter().map(|level| level.nominal).collect();
        assert_eq!(nominal, [0, 13, 74, 98, 25, 98, 245, 49]);
        assert_eq!(limits[6], Limits { nominal: 245, lower: 24, upper: 845 });
        assert_eq!(limits[6].initial(), 135);
    }

    fn adjusted(highest: [u64; 8]) -> Vec<u64> {
        let levels: Vec<Demand> = limits()
            .into_iter()
            .zip(highest)
            .enumerate()
            .map(|(at, (limits, highest))| Demand { limits, exempt: at == 0, highest, smoothed: highest as f64 })
            .collect();
        adjust(&levels).0
    }

    #[test]
    fn a_busy_level_borrows_what_others_do_not_need() {
        let idle = adjusted([0; 8]);
        let busy = adjusted([0, 0, 0, 0, 0, 0, 0, 500]);
        assert!(busy[7] > 250, "{busy:?}");
        for (at, limits) in limits().iter().enumerate().skip(1) {
            assert!(busy[at] >= limits.lower && busy[at] <= limits.upper, "{at}: {busy:?}");
            assert!(idle[at] >= limits.lower, "{at}: {idle:?}");
        }
        let sum: u64 = busy.iter().sum();
        assert!((595..=610).contains(&sum), "{sum}: {busy:?}");
    }

    #[test]
    fn exempt_requests_leave_less_for_the_others() {
        let levels = adjusted([550, 0, 500, 500, 500, 500, 500, 500]);
        for (at, limits) in limits().iter().enumerate().skip(1) {
            assert!(levels[at] >= limits.lower && levels[at] <= limits.nominal, "{at}: {levels:?}");
        }
    }
}
