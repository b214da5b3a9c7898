//! Values under labels. Whoever counts finds its value without making the labels anew, and writes nothing but the value.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Error;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::histogram::Histogram;

/// Values of type `V`, each under its own `N` labels. What was counted once stays.
#[derive(Debug)]
pub(crate) struct Table<const N: usize, V> {
    /// By the hash of the labels.
    rows: RwLock<HashMap<u64, Vec<Entry<N, V>>>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry<const N: usize, V> {
    labels: [Box<str>; N],
    value: Arc<V>,
}

impl<const N: usize, V> Default for Table<N, V> {
    fn default() -> Self {
        Self { rows: RwLock::default(), hasher: RandomState::new() }
    }
}

impl<const N: usize, V> Table<N, V> {
    /// The value under these labels.
    pub(crate) fn get(&self, labels: [&str; N], make: impl FnOnce() -> V) -> Arc<V> {
        let hash = self.hasher.hash_one(labels);
        let same = |entry: &&Entry<N, V>| entry.labels.iter().zip(labels).all(|(one, other)| **one == *other);
        if let Some(entry) = self.rows.read().get(&hash).and_then(|entries| entries.iter().find(same)) {
            return entry.value.clone();
        }
        let mut rows = self.rows.write();
        let entries = rows.entry(hash).or_default();
        if let Some(entry) = entries.iter().find(same) {
            return entry.value.clone();
        }
        let value = Arc::new(make());
        entries.push(Entry { labels: labels.map(Box::from), value: value.clone() });
        value
    }

    /// All of them, in the order of their labels.
    pub(crate) fn all(&self) -> Vec<([Box<str>; N], Arc<V>)> {
        let rows = self.rows.read();
        let mut all: Vec<_> =
            rows.values().flatten().map(|entry| (entry.labels.clone(), entry.value.clone())).collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

/// One metric of counts under labels.
#[derive(Debug)]
pub(crate) struct Counts<const N: usize> {
    name: &'static str,
    help: &'static str,
    names: [&'static str; N],
    shown: fn(u64) -> Shown<'static>,
    counts: Table<N, AtomicU64>,
}

impl<const N: usize> Counts<N> {
    /// A counter; `_total` is not part of its name.
    pub(crate) fn new(name: &'static str, help: &'static str, names: [&'static str; N]) -> Self {
        Self { name, help, names, shown: Shown::Counter, counts: Table::default() }
    }

    /// A gauge that is one where something was counted.
    pub(crate) fn flags(name: &'static str, help: &'static str, names: [&'static str; N]) -> Self {
        Self { shown: |_| Shown::Gauge(1), ..Self::new(name, help, names) }
    }

    /// Counts one.
    pub(crate) fn add(&self, labels: [&str; N]) {
        self.counts.get(labels, AtomicU64::default).fetch_add(1, Ordering::Relaxed);
    }
}

impl<const N: usize> Collector for Counts<N> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.counts.all();
        let rows = all.iter().map(|(labels, count)| -> Row<'_> {
            let labels = self.names.into_iter().zip(labels.iter().map(|label| &**label)).collect();
            (labels, (self.shown)(count.load(Ordering::Relaxed)))
        });
        family(&mut encoder, self.name, self.help, rows)
    }
}

/// What is shown under some labels.
pub(crate) enum Shown<'a> {
    Counter(u64),
    Gauge(i64),
    Histogram(&'a Histogram),
}

/// A line, or the lines of a histogram: labels and values.
pub(crate) type Row<'a> = (Vec<(&'static str, &'a str)>, Shown<'a>);

/// Writes all lines of one metric, which are of one type. Nothing is written where there is none.
pub(crate) fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = Row<'a>>,
) -> Result<(), Error> {
    let mut rows = rows.peekable();
    let kind = match rows.peek() {
        None => return Ok(()),
        Some((_, Shown::Counter(count))) => ConstCounter::new(*count).metric_type(),
        Some((_, Shown::Gauge(value))) => ConstGauge::new(*value).metric_type(),
        Some((_, Shown::Histogram(histogram))) => histogram.metric_type(),
    };
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    rows.try_for_each(|(labels, shown)| {
        let line = metric.encode_family(&labels)?;
        match shown {
            Shown::Counter(count) => ConstCounter::new(count).encode(line),
            Shown::Gauge(value) => ConstGauge::new(value).encode(line),
            Shown::Histogram(histogram) => histogram.encode(line),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_for_its_labels() {
        let table = Table::<2, AtomicU64>::default();
        for labels in [["a", "b"], ["ab", ""], ["a", "b"]] {
            table.get(labels, AtomicU64::default).fetch_add(1, Ordering::Relaxed);
        }
        let counts: Vec<_> =
            table.all().iter().map(|(labels, n)| format!("{labels:?} {}", n.load(Ordering::Relaxed))).collect();
        assert_eq!(counts, ["[\"a\", \"b\"] 2", "[\"ab\", \"\"] 1"]);
    }
}
