//! What calls of webhooks are counted as.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Upstream's buckets for reviews of conversions, in seconds.
const CONVERSION: [f64; 15] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ConversionLabels {
    result: &'static str,
    failure_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DefinitionLabels {
    crd_name: String,
    from_version: String,
    to_version: String,
    succeeded: &'static str,
}

/// Reviews of conversions.
#[derive(Clone, Debug)]
pub(crate) struct ConversionCounters {
    requests: Family<ConversionLabels, Counter>,
    durations: Histograms<ConversionLabels>,
    by_definition: Histograms<DefinitionLabels>,
}

fn conversion() -> Histogram {
    Histogram::new(CONVERSION)
}

fn by_definition() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Default for ConversionCounters {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(conversion as fn() -> Histogram),
            by_definition: Family::new_with_constructor(by_definition as fn() -> Histogram),
        }
    }
}

impl ConversionCounters {
    /// One review: between which versions (`group/version`) and, if it did not succeed, what went wrong.
    pub(crate) fn observe(
        &self,
        definition: &str,
        (from, to): (&str, &str),
        failure: Option<&'static str>,
        took: Duration,
    ) {
        let version = |said: &str| said.rsplit('/').next().unwrap_or_default().to_owned();
        let result = if failure.is_none() { "success" } else { "failure" };
        let labels = ConversionLabels { result, failure_type: failure.unwrap_or_default() };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        let labels = DefinitionLabels {
            crd_name: definition.to_owned(),
            from_version: version(from),
            to_version: version(to),
            succeeded: if failure.is_none() { "true" } else { "false" },
        };
        self.by_definition.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Adds them to what `/metrics` shows.
    pub(crate) fn register(&self, to: &mut Registry) {
        let conversions = "Conversion webhook requests with success or failure and the type of failure";
        to.register("apiserver_conversion_webhook_request", conversions, self.requests.clone());
        let latency = "Conversion webhook request latency";
        to.register("apiserver_conversion_webhook_duration_seconds", latency, self.durations.clone());
        let durations = "CRD webhook conversion duration in seconds";
        to.register("apiserver_crd_conversion_webhook_duration_seconds", durations, self.by_definition.clone());
    }
}
