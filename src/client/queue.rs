//! The work queue of a controller: keys, each at most once, with delays and backoff.
//!
//! A key that is added while it is being worked on runs again afterwards, never beside itself: a reconcile needs no lock
//! against its own key. Nothing polls: an idle queue is one parked waker per worker.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What a queue holds: `namespace/name`, or the name alone for objects of the cluster.
pub type Key = Arc<str>;

/// The delay after a key's first failure; it doubles with each further one.
const BASE_DELAY: Duration = Duration::from_millis(5);
/// No key waits longer than this after a failure.
const MAX_DELAY: Duration = Duration::from_secs(1000);

/// A de-duplicating queue with delayed adds and per-key exponential backoff (5 ms to 1000 s, as client-go's).
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Keys whose turn has come, with the time they were added.
    ready: VecDeque<(Key, Instant)>,
    /// Keys in `ready`, and keys that were added again while they run.
    dirty: HashSet<Key>,
    /// With the time they were taken.
    running: HashMap<Key, Instant>,
    /// Keys to come, by time; `due` is the same by key.
    delayed: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
    stats: QueueStats,
    closed: bool,
}

/// The figures upstream's `workqueue_*` metrics show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Keys whose turn has come and that no worker has taken yet.
    pub depth: usize,
    /// Keys being worked on.
    pub running: usize,
    /// Keys added since the start, duplicates not counted.
    pub adds: u64,
    /// Keys added after a failure since the start.
    pub retries: u64,
    /// How long keys have waited for a worker.
    pub waits: Spans,
    /// How long they were worked on.
    pub works: Spans,
    /// How long those have been worked on that still are: all together, and the longest.
    pub unfinished: Duration,
    /// See `unfinished`.
    pub longest: Duration,
}

/// Times by how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// How many are not longer than each of the [`Spans::BOUNDS`] and longer than the one before, and how many longer than all.
    pub counts: [u64; Self::BOUNDS.len() + 1],
    /// All together.
    pub sum: Duration,
}

impl Spans {
    /// Upstream's buckets: from ten nanoseconds to ten seconds, in nanoseconds.
    pub const BOUNDS: [u64; 10] =
        [10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[Self::BOUNDS.partition_point(|bound| *bound < nanoseconds)] += 1;
        self.sum += time;
    }
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a key, unless it waits already.
    pub fn add(&self, key: impl Into<Key>) {
        if self.state.lock().add(key.into()) {
            self.wake.notify_one();
        }
    }

    /// Adds a key when `delay` has passed. Of two delays for one key the shorter wins.
    pub fn add_after(&self, key: impl Into<Key>, delay: Duration) {
        let key = key.into();
        if delay.is_zero() {
            return self.add(key);
        }
        if self.state.lock().add_at(key, Instant::now() + delay) {
            // Whoever sleeps until the next due key must now wake earlier.
            self.wake.notify_one();
        }
    }

    /// Adds a key after its backoff, which grows with every call until [`Queue::forget`]. Returns the delay.
    pub fn retry(&self, key: &Key) -> Duration {
        let delay = {
            let mut state = self.state.lock();
            state.stats.retries += 1;
            let failures = state.failures.entry(key.clone()).or_default();
            *failures = failures.saturating_add(1);
            backoff(*failures)
        };
        self.add_after(key.clone(), delay);
        delay
    }

    /// How often a key has failed in a row.
    pub fn failures(&self, key: &str) -> u32 {
        self.state.lock().failures.get(key).copied().unwrap_or_default()
    }

    /// Resets a key's backoff.
    pub fn forget(&self, key: &str) {
        self.state.lock().failures.remove(key);
    }

    /// The next key, when there is one; `None` once the queue is closed. The caller owns the key until [`Queue::done`].
    pub async fn next(&self) -> Option<Key> {
        loop {
            let mut notified = std::pin::pin!(self.wake.notified());
            // From here on no wake-up is lost, whatever is added between the look and the sleep.
            notified.as_mut().enable();
            let due = {
                let mut state = self.state.lock();
                if state.closed {
                    return None;
                }
                state.promote(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return Some(key);
                }
                state.delayed.first().map(|(at, _)| *at)
            };
            match due {
                Some(at) => tokio::select! {
                    () = notified => {}
                    () = sleep_until(at) => {}
                },
                None => notified.await,
            }
        }
    }

    /// Gives a key back. If it was added meanwhile, its turn comes again.
    pub fn done(&self, key: &Key) {
        let mut state = self.state.lock();
        if let Some(since) = state.running.remove(key) {
            state.stats.works.add(since.elapsed());
        }
        if state.dirty.contains(key) {
            state.ready.push_back((key.clone(), Instant::now()));
            self.wake.notify_one();
        }
    }

    /// Ends the queue: what waits is dropped, and [`Queue::next`] answers `None`.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_waiters();
    }

    /// The figures so far.
    pub fn stats(&self) -> QueueStats {
        let state = self.state.lock();
        let times = || state.running.values().map(Instant::elapsed);
        let (unfinished, longest) = (times().sum(), times().max().unwrap_or_default());
        QueueStats { depth: state.ready.len(), running: state.running.len(), unfinished, longest, ..state.stats }
    }
}

impl State {
    /// Whether a worker has to be woken.
    fn add(&mut self, key: Key) -> bool {
        if self.closed || !self.dirty.insert(key.clone()) {
            return false;
        }
        self.stats.adds += 1;
        if self.running.contains_key(&key) {
            return false;
        }
        self.ready.push_back((key, Instant::now()));
        true
    }

    /// Whether the key is now the next one due.
    fn add_at(&mut self, key: Key, at: Instant) -> bool {
        if self.closed {
            return false;
        }
        if let Some(&earlier) = self.due.get(&key) {
            if earlier <= at {
                return false;
            }
            self.delayed.remove(&(earlier, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.delayed.insert((at, key.clone()));
        self.delayed.first().is_some_and(|(_, first)| *first == key)
    }

    fn promote(&mut self, now: Instant) {
        while self.delayed.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }

    fn take(&mut self) -> Option<Key> {
        let (key, since) = self.ready.pop_front()?;
        self.dirty.remove(&key);
        let now = Instant::now();
        self.running.insert(key.clone(), now);
        self.stats.waits.add(now - since);
        Some(key)
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    (BASE_DELAY * (1 << doublings)).min(MAX_DELAY)
}
