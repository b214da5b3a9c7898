//! `/metrics`: upstream's names, with labels whose values are few and known.

pub(crate) mod exposition;
mod process;
mod sizes;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::Resource;
use axum::body::Body;
use http::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::audit::{Counters, Trail};
use crate::authentication::x509::Peer;
use crate::authorization::{Attributes, Decision};
use crate::fairness::InFlight;

/// Upstream's buckets for request durations, in seconds.
const BUCKETS: [f64; 24] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0, 120.0,
];

/// Upstream's buckets for what is left of certificates, in seconds.
const LIFETIMES: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
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
struct ResourceLabels {
    group: String,
    resource: String,
}

/// A resource with its group in one, as upstream's older metrics name it.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QualifiedLabels {
    resource: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NameLabels {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CheckLabels {
    name: String,
    r#type: &'static str,
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
    sizes: Family<DurationLabels, Histogram, fn() -> Histogram>,
    authentication: Family<ResultLabels, Counter>,
    authorization: Verdicts,
    certificates: Histogram,
    objects: Family<ResourceLabels, Gauge>,
    qualified_objects: Family<QualifiedLabels, Gauge>,
    unavailable: Family<NameLabels, Gauge>,
    in_process: Family<RequestLabels, Counter>,
    pub(crate) panics: Counter,
    pub(crate) connections: Gauge,
    pub(crate) handshake_errors: Counter,
}

/// Outcomes of authorization, each with its counter: every request counts one.
struct Verdicts {
    allowed: Counter,
    denied: Counter,
    no_opinion: Counter,
    failed: Counter,
}

/// What is counted when somebody asks, because it is known anyway.
pub(crate) struct Now {
    pub(crate) in_flight: InFlight,
    /// How many objects there are of each kind: group, plural, count.
    pub(crate) objects: Vec<(Box<str>, Box<str>, usize)>,
    /// The APIServices, and whether they do not answer.
    pub(crate) services: Vec<(String, bool)>,
}

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Upstream's buckets for sizes, in bytes.
fn sizes() -> Histogram {
    Histogram::new([1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
}

impl Metrics {
    /// `fairness`, `audit` and `webhooks` count for themselves.
    pub(crate) fn new(
        fairness: &crate::fairness::Metrics,
        audit: &Counters,
        webhooks: &crate::webhook::Client,
    ) -> Self {
        let authorization: Family<ResultLabels, Counter> = Family::default();
        let verdict = |result| authorization.get_or_create(&ResultLabels { result }).clone();
        let mut metrics = Self {
            registry: Registry::default(),
            sizes: Family::new_with_constructor(sizes as fn() -> Histogram),
            authorization: Verdicts {
                allowed: verdict("allowed"),
                denied: verdict("denied"),
                no_opinion: verdict("no-opinion"),
                failed: verdict("error"),
            },
            certificates: Histogram::new(LIFETIMES),
            objects: Family::default(),
            qualified_objects: Family::default(),
            unavailable: Family::default(),
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
        to.register("authorization_attempts", "Authorization attempts by result", authorization);
        to.register(
            "apiserver_client_certificate_expiration_seconds",
            "How long the certificates that requests come with will last",
            metrics.certificates.clone(),
        );
        to.register("apiserver_response_sizes", "Sizes of answers to reads in bytes", metrics.sizes.clone());
        to.register("apiserver_resource_objects", "Stored objects by kind", metrics.objects.clone());
        to.register("apiserver_storage_objects", "Stored objects by kind", metrics.qualified_objects.clone());
        to.register(
            "aggregator_unavailable_apiservice",
            "Whether an APIService is unavailable, by its name",
            metrics.unavailable.clone(),
        );
        to.register_collector(Box::new(process::Process));
        to.register_collector(Box::new(process::Build));
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

    pub(crate) fn authenticated(&self, peer: &Peer) {
        if let Some(left) = peer.expires_in() {
            self.certificates.observe(left as f64);
        }
        self.authentication.get_or_create(&ResultLabels { result: "success" }).inc();
    }

    pub(crate) fn unauthenticated(&self) {
        self.authentication.get_or_create(&ResultLabels { result: "failure" }).inc();
    }

    pub(crate) fn authorized(&self, decision: &Decision) {
        let verdicts = &self.authorization;
        let verdict = match decision {
            Decision::Allow(_) => &verdicts.allowed,
            Decision::Deny(_) => &verdicts.denied,
            Decision::NoOpinion(_) => &verdicts.no_opinion,
            Decision::Failed(_) => &verdicts.failed,
        };
        verdict.inc();
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

    /// One request over HTTP, with its answer. `known` tells whether it is about a resource there is: what a client made up is
    /// not counted under names of its choosing.
    pub(crate) fn request(
        &self,
        what: &Attributes<'_>,
        scope: &'static str,
        known: bool,
        dry_run: bool,
        response: Response<Body>,
        took: Duration,
    ) -> Response<Body> {
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
            code: response.status().as_u16().to_string(),
        };
        self.requests.get_or_create(&counted).inc();
        if crate::fairness::is_long_running(what) {
            return response;
        }
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        match what.verb {
            "get" | "list" => sizes::count(response, self.sizes.get_or_create(&labels).clone()),
            _ => response,
        }
    }

    /// Counts a long-running request until the value is dropped.
    pub(crate) fn long_running(&self, what: &Attributes<'_>, scope: &'static str, known: bool) -> LongRunning {
        let gauge = self.long_running.get_or_create(&labels(what, scope, known)).clone();
        gauge.inc();
        LongRunning { gauge, _trail: None }
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, now: Now) -> String {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (request_kind, count) in [("readOnly", now.in_flight.reads), ("mutating", now.in_flight.writes)] {
            self.in_flight.get_or_create(&InFlightLabels { request_kind }).set(whole(count));
        }
        // Kinds and services come and go.
        self.objects.clear();
        self.qualified_objects.clear();
        self.unavailable.clear();
        for (group, plural, count) in now.objects {
            let name = if group.is_empty() { plural.to_string() } else { format!("{plural}.{group}") };
            self.qualified_objects.get_or_create(&QualifiedLabels { resource: name }).set(whole(count));
            let labels = ResourceLabels { group: group.into(), resource: plural.into() };
            self.objects.get_or_create(&labels).set(whole(count));
        }
        for (name, unavailable) in now.services {
            self.unavailable.get_or_create(&NameLabels { name }).set(unavailable.into());
        }
        written(&self.registry)
    }
}

/// The text of `/metrics/slis`: whether each check is well, by its name and those of the pages that ask it.
pub(crate) fn checks(outcomes: Vec<(String, &'static str, bool)>) -> String {
    let health: Family<CheckLabels, Gauge> = Family::default();
    for (name, page, well) in outcomes {
        health.get_or_create(&CheckLabels { name, r#type: page }).set(well.into());
    }
    let mut registry = Registry::default();
    registry.register("kubernetes_healthcheck", "The result of a single health check", health);
    written(&registry)
}

fn written(registry: &Registry) -> String {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        tracing::error!("the metrics cannot be written");
    }
    exposition::classic(&text)
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
