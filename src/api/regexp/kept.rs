//! The compiled expressions that were used last.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use regex::Regex;

/// What one generation of them may take, in bytes, as it is estimated; there are two.
const GENERATION: usize = 32 << 20;
/// What searches can make the smallest expression take, in one thread.
const SEARCHED: usize = 2 * super::CACHE_MAX;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

type Generation = HashMap<Box<str>, (Arc<Regex>, usize)>;

/// Whoever is used moves to the young. When these have become too many they are the old ones, and the old ones go.
#[derive(Default)]
struct Kept {
    young: Generation,
    old: Generation,
    /// What the young take.
    size: usize,
}

impl Kept {
    fn find(&mut self, pattern: &str) -> Option<Arc<Regex>> {
        if let Some((regex, _)) = self.young.get(pattern) {
            return Some(regex.clone());
        }
        let (pattern, (regex, size)) = self.old.remove_entry(pattern)?;
        self.keep(pattern, regex.clone(), size);
        Some(regex)
    }

    fn keep(&mut self, pattern: Box<str>, regex: Arc<Regex>, size: usize) {
        if self.size.saturating_add(size) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        if self.young.insert(pattern, (regex, size)).is_none() {
            self.size += size;
        }
    }
}

pub(super) fn find(pattern: &str) -> Option<Arc<Regex>> {
    KEPT.lock().find(pattern)
}

pub(super) fn keep(pattern: &str, regex: &Arc<Regex>, size: usize) {
    let size = size.saturating_add(SEARCHED + pattern.len());
    KEPT.lock().keep(pattern.into(), regex.clone(), size);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_last_stay() {
        let mut kept = Kept::default();
        let regex = Arc::new(Regex::new("a").unwrap());
        let half = GENERATION / 2;
        for name in ["a", "b", "c"] {
            kept.keep(name.into(), regex.clone(), half);
        }
        // `c` began a new generation; `a` goes on into it, and `b` is left behind by the next one.
        assert!(kept.find("a").is_some());
        kept.keep("d".into(), regex.clone(), half);
        let mut there = |name| kept.find(name).is_some();
        assert_eq!([there("d"), there("a"), there("b")], [true, true, false]);
    }
}
