//! A histogram that is counted without a lock.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Observations by the bound they do not exceed, and their sum.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what exceeds them all.
    counts: Box<[AtomicU64]>,
    /// An `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// Of ascending bounds.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub(crate) fn observe(&self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // It always is some.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// How many values were counted.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), Error> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(f64::from_bits(self.sum.load(Ordering::Relaxed)), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::super::table::{Row, Shown, family};
    use super::*;

    #[test]
    fn values_are_counted_below_their_bounds() {
        #[derive(Debug)]
        struct One(Histogram);
        impl prometheus_client::collector::Collector for One {
            fn encode(&self, mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>) -> Result<(), Error> {
                let rows: [Row<'_>; 1] = [(vec![("a", "b")], Shown::Histogram(&self.0))];
                family(&mut encoder, "t", "T", rows.into_iter())
            }
        }
        let histogram = Histogram::new(&[1.0, 2.5]);
        assert!(histogram.is_empty());
        [0.5, 1.0, 2.0, 9.0].iter().for_each(|value| histogram.observe(*value));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(One(histogram)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let expect = "# HELP t T\n# TYPE t histogram\nt_sum{a=\"b\"} 12.5\nt_count{a=\"b\"} 4\n\
                      t_bucket{le=\"1.0\",a=\"b\"} 2\nt_bucket{le=\"2.5\",a=\"b\"} 3\nt_bucket{le=\"+Inf\",a=\"b\"} 4\n# EOF\n";
        assert_eq!(text, expect);
    }
}
