//! `/metrics`: upstream's names, with labels whose values are few and known.

pub(crate) mod exposition;
mod histogram;
mod in_process;
pub(crate) mod kinds;
mod process;
pub(crate) mod requests;
mod sizes;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod watches;
pub(crate) mod writes;

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

use crate::audit::Counters;
use crate::authentication::x509::Peer;
use crate::authorization::Decision;
use crate::fairness::InFlight;

use in_process::InProcess;
use kinds::Kinds;
use requests::{Labels, Requests};
use table::Counts;
use watches::Watches;

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

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InFlightLabels {
    request_kind: &'static str,
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

/// What others in the process count: the text of it in the classic format, made when somebody asks.
#[derive(Clone, Default)]
pub struct MoreMetrics(Option<Arc<dyn Fn() -> String + Send + Sync>>);

impl MoreMetrics {
    /// What `text` says. It must not block.
    pub fn new(text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(text)))
    }
}

impl std::fmt::Debug for MoreMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MoreMetrics")
    }
}

/// What the API server counts.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Arc<Requests>,
    pub(crate) watches: Arc<Watches>,
    deprecated: Arc<Counts<5>>,
    in_flight: Family<InFlightLabels, Gauge>,
    authentication: Family<ResultLabels, Counter>,
    authorization: Verdicts,
    certificates: Histogram,
    unavailable: Family<NameLabels, Gauge>,
    in_process: Arc<InProcess>,
    more: MoreMetrics,
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
    /// The caches of all stored kinds.
    pub(crate) kinds: Kinds,
    /// The APIServices, and whether they do not answer.
    pub(crate) services: Vec<(String, bool)>,
}

impl Metrics {
    /// `fairness`, `audit` and the registry count for themselves.
    pub(crate) fn new(fairness: &crate::fairness::Metrics, audit: &Counters, registry: &crate::Registry) -> Self {
        let authorization: Family<ResultLabels, Counter> = Family::default();
        let verdict = |result| authorization.get_or_create(&ResultLabels { result }).clone();
        let mut metrics = Self {
            registry: Registry::default(),
            authorization: Verdicts {
                allowed: verdict("allowed"),
                denied: verdict("denied"),
                no_opinion: verdict("no-opinion"),
                failed: verdict("error"),
            },
            certificates: Histogram::new(LIFETIMES),
            unavailable: Family::default(),
            requests: Arc::default(),
            watches: Arc::default(),
            deprecated: Arc::new(Counts::flags(
                "apiserver_requested_deprecated_apis",
                "Deprecated APIs that were asked for",
                ["group", "version", "resource", "subresource", "removed_release"],
            )),
            in_flight: Family::default(),
            authentication: Family::default(),
            in_process: Arc::default(),
            more: MoreMetrics::default(),
            panics: Counter::default(),
            connections: Gauge::default(),
            handshake_errors: Counter::default(),
        };
        let to = &mut metrics.registry;
        to.register_collector(Box::new(metrics.requests.clone()));
        to.register_collector(Box::new(metrics.watches.clone()));
        to.register_collector(Box::new(metrics.deprecated.clone()));
        to.register_collector(Box::new(registry.writes().clone()));
        to.register("apiserver_current_inflight_requests", "Requests under way, by kind", metrics.in_flight.clone());
        to.register("authentication_attempts", "Authentication attempts by result", metrics.authentication.clone());
        to.register("authorization_attempts", "Authorization attempts by result", authorization);
        to.register(
            "apiserver_client_certificate_expiration_seconds",
            "How long the certificates that requests come with will last",
            metrics.certificates.clone(),
        );
        to.register(
            "aggregator_unavailable_apiservice",
            "Whether an APIService is unavailable, by its name",
            metrics.unavailable.clone(),
        );
        to.register_collector(Box::new(process::Process));
        to.register_collector(Box::new(process::Build));
        to.register_collector(Box::new(metrics.in_process.clone()));
        to.register("apiserver_panics", "Requests that ended in a panic", metrics.panics.clone());
        fairness.register(to);
        audit.register(to);
        registry.webhooks().register(to);
        to.register("isopod_apiserver_connections", "Open connections", metrics.connections.clone());
        to.register("apiserver_tls_handshake_errors", "TLS handshakes that failed", metrics.handshake_errors.clone());
        metrics
    }

    /// A configuration file counts its reloads.
    pub(crate) fn follow(&mut self, what: &str, reloads: &crate::reload::Reloads) {
        reloads.register(what, &mut self.registry);
    }

    /// Shows what others count as well.
    pub(crate) fn show(&mut self, more: MoreMetrics, broken: Arc<Counts<2>>) {
        self.more = more;
        self.registry.register_collector(Box::new(broken));
    }

    /// One request about a deprecated kind. Of none is it known when it will be gone.
    pub(crate) fn deprecated(&self, row: &Resource, subresource: &str) {
        if row.builtin {
            self.deprecated.add([&row.group, &row.version, &row.plural, subresource, ""]);
        }
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
            Decision::Failed { .. } => &verdicts.failed,
        };
        verdict.inc();
    }

    /// One request from this process.
    pub(crate) fn in_process(&self, verb: &'static str, resource: &Resource, code: u16) {
        self.in_process.count(verb, resource, code);
    }

    /// One request over HTTP, with its answer. See [`requests::labels`].
    pub(crate) fn request(
        &self,
        labels: Labels<'_>,
        (lasting, dry_run): (bool, bool),
        response: Response<Body>,
        took: Duration,
    ) -> Response<Body> {
        let series = self.requests.of(labels);
        series.answered(response.status().as_u16(), dry_run);
        if lasting {
            return response;
        }
        series.took(took.as_secs_f64(), dry_run);
        match labels[0] {
            "GET" | "LIST" => sizes::count(response, series),
            _ => response,
        }
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, now: Now) -> String {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (request_kind, count) in [("readOnly", now.in_flight.reads), ("mutating", now.in_flight.writes)] {
            self.in_flight.get_or_create(&InFlightLabels { request_kind }).set(whole(count));
        }
        // Kinds and services come and go.
        self.unavailable.clear();
        for (name, unavailable) in now.services {
            self.unavailable.get_or_create(&NameLabels { name }).set(unavailable.into());
        }
        let mut kinds = Registry::default();
        kinds.register_collector(Box::new(now.kinds));
        let more = self.more.0.as_ref().map(|more| more()).unwrap_or_default();
        written(&self.registry) + &written(&kinds) + &more
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
