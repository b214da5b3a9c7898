//! `/metrics`: upstream's names, with labels whose values are few and known.

pub(crate) mod exposition;

use std::sync::Arc;
use std::time::Duration;

use api::Resource;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::audit::{Counters, Trail};
use crate::authorization::Attributes;
use crate::fairness::InFlight;

/// Upstream's buckets for request durations, in seconds.
const BUCKETS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0, 120.0,
];

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    component: &'static str,
    dry_run: &'static str,
    code: String,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    component: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InFlightLabels {
    request_kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// What the API server counts.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    long_running: Family<DurationLabels, Gauge>,
    in_flight: Family<InFlightLabels, Gauge>,
    authentication: Family<ResultLabels, Counter>,
    in_process: Family<RequestLabels, Counter>,
    pub(crate) panics: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshake_errors: Counter,
}

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// `fairness`, `audit` and `webhooks` count for themselves.
    pub(crate) fn new(
        fairness: &crate::fairness::Metrics,
        audit: &Counters,
        webhooks: &crate::webhook::Client,
    ) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations as fn() -> Histogram),
            long_running: Family::default(),
            in_flight: Family::default(),
            authentication: Family::default(),
            in_process: Family::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
            handshake_errors: Counter::default(),
        };
        let to = &mut metrics.registry;
        to.register(
            "apiserver_request",
            "Requests by verb, group, version, resource and code",
            metrics.requests.clone(),
        );
        to.register("apiserver_request_duration_seconds", "Response latency in seconds", metrics.durations.clone());
        // What dashboards and alerts look at. Upstream leaves out the time that webhooks take.
        to.register("apiserver_request_sli_duration_seconds", "Response latency in seconds", metrics.durations.clone());
        to.register("apiserver_longrunning_requests", "Long-running requests under way", metrics.long_running.clone());
        to.register("apiserver_current_inflight_requests", "Requests under way, by kind", metrics.in_flight.clone());
        to.register("authentication_attempts", "Authentication attempts by result", metrics.authentication.clone());
        to.register(
            "isopod_in_process_requests",
            "Requests from components of this process",
            metrics.in_process.clone(),
        );
        to.register("apiserver_panics", "Requests that ended in a panic", metrics.panics.clone());
        fairness.register(to);
        audit.register(to);
        webhooks.register(to);
        to.register("isopod_apiserver_connections", "Open connections", metrics.connections.clone());
        to.register("apiserver_tls_handshake_errors", "TLS handshakes that failed", metrics.handshake_errors.clone());
        metrics
    }

    /// A configuration file counts its reloads.
    pub(crate) fn follow(&mut self, what: &str, reloads: &crate::reload::Reloads) {
        reloads.register(what, &mut self.registry);
    }

    pub(crate) fn authenticated(&self) {
        self.authentication.get_or_create(&ResultLabels { result: "success" }).inc();
    }

    pub(crate) fn unauthenticated(&self) {
        self.authentication.get_or_create(&ResultLabels { result: "failure" }).inc();
    }

    /// One request from this process.
    pub(crate) fn in_process(&self, verb: &'static str, resource: &Resource, code: u16) {
        let labels = RequestLabels {
            verb: verb.to_ascii_uppercase(),
            group: resource.group.to_string(),
            version: resource.version.to_string(),
            resource: resource.plural.to_string(),
            component: "apiserver",
            code: code.to_string(),
            ..RequestLabels::default()
        };
        self.in_process.get_or_create(&labels).inc();
    }

    /// One request over HTTP. `known` tells whether it is about a resource there is: what a client made up is not counted
    /// under names of its choosing.
    pub(crate) fn request(
        &self,
        what: &Attributes<'_>,
        scope: &'static str,
        known: bool,
        dry_run: bool,
        code: u16,
        took: Duration,
    ) {
        let labels = labels(what, scope, known);
        let counted = RequestLabels {
            verb: labels.verb.clone(),
            group: labels.group.clone(),
            version: labels.version.clone(),
            resource: labels.resource.clone(),
            subresource: labels.subresource.clone(),
            scope: labels.scope,
            component: labels.component,
            dry_run: if dry_run { "All" } else { "" },
            code: code.to_string(),
        };
        self.requests.get_or_create(&counted).inc();
        if !crate::fairness::is_long_running(what) {
            self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }

    /// Counts a long-running request until the value is dropped.
    pub(crate) fn long_running(&self, what: &Attributes<'_>, scope: &'static str, known: bool) -> LongRunning {
        let gauge = self.long_running.get_or_create(&labels(what, scope, known)).clone();
        gauge.inc();
        LongRunning { gauge, _trail: None }
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, in_flight: InFlight) -> String {
        let set = |kind, count: usize| {
            self.in_flight
                .get_or_create(&InFlightLabels { request_kind: kind })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set("readOnly", in_flight.reads);
        set("mutating", in_flight.writes);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics cannot be written");
        }
        exposition::classic(&text)
    }
}

/// A long-running request, as long as it is counted.
pub(crate) struct LongRunning {
    gauge: Gauge,
    _trail: Option<Arc<Trail>>,
}

impl LongRunning {
    /// Ends the record of the request with the request.
    pub(crate) fn recorded(mut self, trail: Option<Arc<Trail>>) -> Self {
        self._trail = trail;
        self
    }
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

fn labels(what: &Attributes<'_>, scope: &'static str, known: bool) -> DurationLabels {
    let verb = match what.verb {
        "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection" | "post" | "put" => {
            match what.verb {
                "create" => "POST".into(),
                "update" => "PUT".into(),
                verb => verb.to_ascii_uppercase(),
            }
        }
        _ => "other".into(),
    };
    if !known {
        return DurationLabels { verb, component: "apiserver", scope, ..DurationLabels::default() };
    }
    DurationLabels {
        verb,
        group: what.group.into(),
        version: what.version.into(),
        resource: what.resource.into(),
        subresource: what.subresource.into(),
        scope,
        component: "apiserver",
    }
}
