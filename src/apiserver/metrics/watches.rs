//! Events that watchers were sent.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Resource;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::histogram::Histogram;
use super::table::{Row, Shown, Table, family};

/// Upstream's buckets for events, in bytes.
const SIZES: &[f64] = &[1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0, 131_072.0];

/// Events by group, version and resource.
#[derive(Debug, Default)]
pub(crate) struct Watches(Table<3, Sent>);

/// Events of one kind.
#[derive(Debug)]
pub(crate) struct Sent {
    sizes: Histogram,
    initial: AtomicU64,
}

impl Sent {
    /// Counts one event.
    pub(crate) fn event(&self, size: usize) {
        self.sizes.observe(size as f64);
    }

    /// Counts an object that was there when the watch began.
    pub(crate) fn initial(&self) {
        self.initial.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watches {
    /// Where events of a kind are counted.
    pub(crate) fn of(&self, resource: &Resource) -> Arc<Sent> {
        let make = || Sent { sizes: Histogram::new(SIZES), initial: AtomicU64::new(0) };
        self.0.get([&resource.group, &resource.version, &resource.plural], make)
    }
}

impl Collector for Watches {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.all();
        fn named(labels: &[Box<str>; 3]) -> Vec<(&'static str, &str)> {
            ["group", "version", "resource"].into_iter().zip(labels.iter().map(|label| &**label)).collect()
        }
        let rows = all.iter().map(|(labels, sent)| -> Row<'_> { (named(labels), Shown::Counter(sent.sizes.count())) });
        family(&mut encoder, "apiserver_watch_events", "Events sent to watchers", rows)?;
        let rows = all.iter().map(|(labels, sent)| -> Row<'_> { (named(labels), Shown::Histogram(&sent.sizes)) });
        family(&mut encoder, "apiserver_watch_events_sizes", "Sizes of events sent to watchers in bytes", rows)?;
        let mut initial = std::collections::BTreeMap::<(&str, &str), u64>::new();
        for ([group, _, resource], sent) in &all {
            *initial.entry((group, resource)).or_default() += sent.initial.load(Ordering::Relaxed);
        }
        let rows = initial.into_iter().map(|((group, resource), count)| -> Row<'_> {
            (vec![("group", group), ("resource", resource)], Shown::Counter(count))
        });
        family(&mut encoder, "apiserver_init_events", "Objects told to watchers that begin", rows)
    }
}
