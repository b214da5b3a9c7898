//! How long the steps of writes take: admission, plugin by plugin, and the store.

use std::fmt::Error;
use std::time::Duration;

use api::Resource;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::histogram::Histogram;
use super::table::{Row, Shown, Table, family};
use crate::admission::Verb;

/// Upstream's buckets for admission, in seconds.
const ADMISSION: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
/// Upstream's buckets for the store, in seconds.
const STORE: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// The turns of admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Admit,
    Validate,
}

/// All writes. What every one of them counts lies in arrays: there are as many plugins as there are.
#[derive(Debug)]
pub(crate) struct Writes {
    /// In the order of the plugins, each with its name.
    plugins: Box<[(&'static str, Times)]>,
    /// All plugins together.
    steps: Times,
    /// By operation, group and resource.
    store: Table<3, Histogram>,
}

/// Times by turn, operation and outcome.
#[derive(Debug)]
struct Times([[[Histogram; 2]; VERBS.len()]; 2]);

const VERBS: [Verb; 4] = [Verb::Create, Verb::Update, Verb::Delete, Verb::Connect];

impl Times {
    fn new() -> Self {
        use std::array::from_fn;
        Self(from_fn(|_| from_fn(|_| from_fn(|_| Histogram::new(ADMISSION)))))
    }

    fn observe(&self, turn: Turn, verb: Verb, rejected: bool, took: Duration) {
        self.0[turn as usize][verb as usize][usize::from(rejected)].observe(took.as_secs_f64());
    }

    /// What was counted, with its labels.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let turns = ["admit", "validate"].into_iter().zip(&self.0);
        let verbs = turns
            .flat_map(|(turn, verbs)| VERBS.into_iter().zip(verbs).map(move |(verb, outcomes)| (turn, verb, outcomes)));
        let all = verbs.flat_map(|(turn, verb, outcomes)| {
            ["false", "true"].into_iter().zip(outcomes).map(move |(rejected, times)| {
                let labels = vec![("operation", verb.name()), ("rejected", rejected), ("type", turn)];
                (labels, times)
            })
        });
        all.filter(|(_, times)| !times.is_empty()).map(|(labels, times)| (labels, Shown::Histogram(times)))
    }
}

impl Writes {
    /// `plugins` are the names of the plugins, in the order of their turns.
    pub(crate) fn new(plugins: impl Iterator<Item = &'static str>) -> Self {
        let plugins = plugins.map(|name| (name, Times::new())).collect();
        Self { plugins, steps: Times::new(), store: Table::default() }
    }

    /// The turn of the plugin at a place.
    pub(crate) fn plugin(&self, place: usize, turn: Turn, verb: Verb, rejected: bool, took: Duration) {
        if let Some((_, times)) = self.plugins.get(place) {
            times.observe(turn, verb, rejected, took);
        }
    }

    /// The turn of all plugins.
    pub(crate) fn step(&self, turn: Turn, verb: Verb, rejected: bool, took: Duration) {
        self.steps.observe(turn, verb, rejected, took);
    }

    /// One write of the store.
    pub(crate) fn store(&self, operation: &'static str, resource: &Resource, took: Duration) {
        let labels = [operation, &resource.group, &resource.plural];
        self.store.get(labels, || Histogram::new(STORE)).observe(took.as_secs_f64());
    }
}

impl Collector for Writes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let (name, help) =
            ("apiserver_admission_controller_admission_duration_seconds", "Latency of admission by plugin in seconds");
        let rows = self.plugins.iter().flat_map(|(name, times)| {
            times.rows().map(|(mut labels, shown)| {
                labels.insert(0, ("name", name));
                (labels, shown)
            })
        });
        family(&mut encoder, name, help, rows)?;
        let (name, help) =
            ("apiserver_admission_step_admission_duration_seconds", "Latency of admission by turn in seconds");
        family(&mut encoder, name, help, self.steps.rows())?;
        let all = self.store.all();
        let rows = all.iter().map(|(labels, times)| -> Row<'_> {
            let labels = ["operation", "group", "resource"].into_iter().zip(labels.iter().map(|label| &**label));
            (labels.collect(), Shown::Histogram(times))
        });
        let help = "Latency of writes to the store in seconds, of which upstream's is etcd";
        family(&mut encoder, "etcd_request_duration_seconds", help, rows)
    }
}
