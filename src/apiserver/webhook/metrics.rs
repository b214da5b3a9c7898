//! What calls of webhooks are counted as.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Upstream's buckets for admission by webhooks, in seconds.
const ADMISSION: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Codes that no HTTP has are counted as this.
const HIGHEST_CODE: u16 = 600;
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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AdmissionLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    rejected: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    code: u64,
    rejected: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RejectionLabels {
    name: String,
    r#type: &'static str,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailOpenLabels {
    name: String,
    r#type: &'static str,
}

/// A counter whose name does not end in `_total`.
#[derive(Clone, Debug, Default)]
struct Count(Counter);

impl EncodeMetric for Count {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // What distinguishes them in the text is the ending alone.
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Count {
    const TYPE: MetricType = MetricType::Counter;
}

/// What became of a call of an admission webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// It let the write pass.
    Allowed,
    /// It refused, with this code.
    Rejected(u16),
    /// It could not be asked, which counts as this code; whether the write went on all the same.
    Failed { code: u16, open: bool },
    /// What it said could not be done.
    Broken,
}

/// Calls of admission webhooks.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionCounters {
    durations: Histograms<AdmissionLabels>,
    requests: Family<RequestLabels, Counter>,
    rejections: Family<RejectionLabels, Count>,
    failed_open: Family<FailOpenLabels, Count>,
}

fn admission() -> Histogram {
    Histogram::new(ADMISSION)
}

impl Default for AdmissionCounters {
    fn default() -> Self {
        Self {
            durations: Family::new_with_constructor(admission as fn() -> Histogram),
            requests: Family::default(),
            rejections: Family::default(),
            failed_open: Family::default(),
        }
    }
}

impl AdmissionCounters {
    /// One call of the webhook `name`. `kind` is `admit` or `validating`.
    pub(crate) fn observe(
        &self,
        name: &str,
        kind: &'static str,
        operation: &'static str,
        called: Called,
        took: Duration,
    ) {
        let (code, error) = match called {
            Called::Allowed => (200, None),
            Called::Rejected(code) => (code, Some("no_error")),
            Called::Failed { code, open } => (code, (!open).then_some("calling_webhook_error")),
            Called::Broken => (0, Some("apiserver_internal_error")),
        };
        let code = u64::from(code.min(HIGHEST_CODE));
        let rejected = if error.is_some() { "true" } else { "false" };
        let name = name.to_owned();
        if let Some(error_type) = error {
            let labels =
                RejectionLabels { name: name.clone(), r#type: kind, operation, error_type, rejection_code: code };
            self.rejections.get_or_create(&labels).0.inc();
        }
        if matches!(called, Called::Failed { open: true, .. }) {
            self.failed_open.get_or_create(&FailOpenLabels { name: name.clone(), r#type: kind }).0.inc();
        }
        let labels = RequestLabels { name: name.clone(), r#type: kind, operation, code, rejected };
        self.requests.get_or_create(&labels).inc();
        let labels = AdmissionLabels { name, r#type: kind, operation, rejected };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Adds them to what `/metrics` shows.
    pub(crate) fn register(&self, to: &mut Registry) {
        let durations = "Admission webhook latency in seconds, by name, operation and type (validating or admit)";
        to.register("apiserver_admission_webhook_admission_duration_seconds", durations, self.durations.clone());
        let requests = "Admission webhook requests, by name, operation, type and code";
        to.register("apiserver_admission_webhook_request", requests, self.requests.clone());
        let rejections = "Admission webhook rejections, by name, operation, type, type of error and code";
        to.register("apiserver_admission_webhook_rejection_count", rejections, self.rejections.clone());
        let open = "Writes that went on though a webhook failed, by its name and type";
        to.register("apiserver_admission_webhook_fail_open_count", open, self.failed_open.clone());
    }
}
