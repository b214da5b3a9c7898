//! A set of numbers of which each is held by at most one.

/// Numbers `0..size`, a bit each.
#[derive(Debug)]
pub(super) struct Pool {
    words: Vec<u64>,
    size: usize,
    /// Where the part begins from which numbers are chosen at random first.
    dynamic: usize,
}

impl Pool {
    pub(super) fn new(size: usize, dynamic: usize) -> Self {
        Self { words: vec![0; size.div_ceil(64)], size, dynamic: dynamic.min(size) }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Takes one number; false when it is taken, or none of these.
    pub(super) fn take(&mut self, number: usize) -> bool {
        if number >= self.size || self.holds(number) {
            return false;
        }
        self.words[number / 64] |= 1 << (number % 64);
        true
    }

    /// Takes any free number: a random one of the dynamic part or, when that is full, of the rest.
    pub(super) fn take_any(&mut self) -> Option<usize> {
        let number = self.free_in(self.dynamic..self.size).or_else(|| self.free_in(0..self.dynamic))?;
        self.take(number).then_some(number)
    }

    pub(super) fn free(&mut self, number: usize) {
        if number < self.size {
            self.words[number / 64] &= !(1 << (number % 64));
        }
    }

    pub(super) fn holds(&self, number: usize) -> bool {
        self.words[number / 64] & (1 << (number % 64)) != 0
    }

    fn free_in(&self, part: std::ops::Range<usize>) -> Option<usize> {
        if part.is_empty() {
            return None;
        }
        // Random, so that an address that was just given up is not soon somebody else's.
        let start = rand::random_range(part.clone());
        (start..part.end).chain(part.start..start).find(|number| !self.holds(*number))
    }
}
