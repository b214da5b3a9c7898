//! What is known of each stored kind anyway, and shown when somebody asks: objects, and what the watch cache did.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use watch_cache::Cache;

use super::table::{Row, Shown, family};

/// The caches of all stored kinds, each once.
#[derive(Debug)]
pub(crate) struct Kinds(pub(crate) Vec<Arc<Cache>>);

/// The figure of one kind.
type Figure = fn(&Cache) -> Shown<'static>;

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(count: &AtomicU64) -> Shown<'static> {
    Shown::Counter(count.load(Ordering::Relaxed))
}

/// By group and resource.
const FIGURES: &[(&str, &str, Figure)] = &[
    ("apiserver_resource_objects", "Stored objects by kind", |cache| Shown::Gauge(whole(cache.len()))),
    ("apiserver_storage_events_received", "Changes that came from the store", |cache| count(&cache.counts().changes)),
    ("apiserver_storage_list", "Lists answered from the store", |cache| count(&cache.counts().store_lists.count)),
    ("apiserver_storage_list_fetched_objects", "Objects read for lists from the store", |cache| {
        count(&cache.counts().store_lists.looked_at)
    }),
    ("apiserver_storage_list_evaluated_objects", "Objects looked at for lists from the store", |cache| {
        count(&cache.counts().store_lists.looked_at)
    }),
    ("apiserver_storage_list_returned_objects", "Objects answered by lists from the store", |cache| {
        count(&cache.counts().store_lists.answered)
    }),
    ("apiserver_watch_cache_events_received", "Changes that watch caches took over", |cache| {
        count(&cache.counts().changes)
    }),
    ("apiserver_watch_cache_events_dispatched", "Changes that watch caches passed on", |cache| {
        count(&cache.counts().changes)
    }),
    ("apiserver_watch_cache_initializations", "How often watch caches were filled", |cache| {
        count(&cache.counts().fills)
    }),
    ("apiserver_watch_cache_resource_version", "The version of the last change in watch caches", |cache| {
        Shown::Gauge(i64::try_from(cache.revision()).unwrap_or(i64::MAX))
    }),
    ("apiserver_cache_list_returned_objects", "Objects answered by lists from watch caches", |cache| {
        count(&cache.counts().lists.answered)
    }),
    ("watch_cache_capacity", "How many changes watch caches remember", |cache| Shown::Gauge(whole(cache.history()))),
];

/// By group, resource and index, of which there is none.
const INDEXED: &[(&str, &str, Figure)] = &[
    ("apiserver_cache_list", "Lists answered from watch caches", |cache| count(&cache.counts().lists.count)),
    ("apiserver_cache_list_fetched_objects", "Objects looked at for lists from watch caches", |cache| {
        count(&cache.counts().lists.looked_at)
    }),
];

impl Collector for Kinds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        for (figures, more) in [(FIGURES, &[][..]), (INDEXED, &[("index", "")][..])] {
            for (name, help, figure) in figures {
                let rows = self.0.iter().map(|cache| -> Row<'_> {
                    let row = cache.resource();
                    let labels = [("group", &*row.group), ("resource", &*row.plural)];
                    (labels.into_iter().chain(more.iter().copied()).collect(), figure(cache))
                });
                family(&mut encoder, name, help, rows)?;
            }
        }
        let names: Vec<String> = self.0.iter().map(|cache| qualified(cache)).collect();
        let rows = self
            .0
            .iter()
            .zip(&names)
            .map(|(cache, name)| -> Row<'_> { (vec![("resource", name)], Shown::Gauge(whole(cache.len()))) });
        family(&mut encoder, "apiserver_storage_objects", "Stored objects by kind", rows)
    }
}

/// A resource with its group in one, as upstream's older metrics name it.
fn qualified(cache: &Cache) -> String {
    let row = cache.resource();
    if row.group.is_empty() { row.plural.to_string() } else { format!("{}.{}", row.plural, row.group) }
}
