//! What a cache has done since it was made, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// All figures of one cache.
#[derive(Debug, Default)]
pub struct Counts {
    /// Changes that were taken over.
    pub changes: AtomicU64,
    /// How often it was filled as a whole.
    pub fills: AtomicU64,
    /// Lists that were answered from it.
    pub lists: Lists,
    /// Lists of the past, which were answered from the store.
    pub store_lists: Lists,
}

/// Lists of one sort.
#[derive(Debug, Default)]
pub struct Lists {
    /// How many there were.
    pub count: AtomicU64,
    /// Objects that were looked at.
    pub looked_at: AtomicU64,
    /// Objects that were answered.
    pub answered: AtomicU64,
}

impl Lists {
    /// Counts one list.
    pub fn add(&self, looked_at: usize, answered: usize) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.looked_at.fetch_add(looked_at as u64, Ordering::Relaxed);
        self.answered.fetch_add(answered as u64, Ordering::Relaxed);
    }
}
