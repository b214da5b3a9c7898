//! What requests are counted as: upstream's `apiserver_request_*`, `apiserver_response_sizes` and
//! `apiserver_longrunning_requests`. A request looks for its place once.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::histogram::Histogram;
use super::table::{Row, Shown, Table, family};
use crate::audit::Trail;
use crate::authorization::Attributes;

/// Upstream's buckets for request durations, in seconds.
const DURATIONS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
/// Upstream's buckets for what matters to service levels, in seconds.
const LEVELS: &[f64] =
    &[0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];
/// Upstream's buckets for sizes, in bytes.
const SIZES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

const NAMES: [&str; 7] = ["verb", "group", "version", "resource", "subresource", "scope", "component"];

/// What a request is counted under, in the order of [`NAMES`].
pub(crate) type Labels<'a> = [&'a str; 7];

/// All requests over HTTP.
#[derive(Debug, Default)]
pub(crate) struct Requests(Table<7, Series>);

/// Requests of one kind.
#[derive(Debug)]
pub(super) struct Series {
    kept: Outcomes,
    /// Those that were to change nothing, if there were any.
    dry: OnceLock<Outcomes>,
    levels: Histogram,
    pub(super) sizes: Histogram,
    running: AtomicI64,
}

#[derive(Debug)]
struct Outcomes {
    durations: Histogram,
    /// There are few codes.
    codes: RwLock<Vec<(u16, AtomicU64)>>,
}

impl Default for Outcomes {
    fn default() -> Self {
        Self { durations: Histogram::new(DURATIONS), codes: RwLock::default() }
    }
}

impl Outcomes {
    fn count(&self, code: u16) {
        let count = |codes: &[(u16, AtomicU64)]| {
            let known = codes.iter().find(|(known, _)| *known == code);
            known.map(|(_, count)| count.fetch_add(1, Ordering::Relaxed)).is_some()
        };
        if !count(&self.codes.read()) {
            let mut codes = self.codes.write();
            if !count(&codes) {
                codes.push((code, AtomicU64::new(1)));
            }
        }
    }
}

impl Default for Series {
    fn default() -> Self {
        let (levels, sizes) = (Histogram::new(LEVELS), Histogram::new(SIZES));
        Self { kept: Outcomes::default(), dry: OnceLock::new(), levels, sizes, running: AtomicI64::new(0) }
    }
}

impl Series {
    /// One answer.
    pub(super) fn answered(&self, code: u16, dry_run: bool) {
        self.outcomes(dry_run).count(code);
    }

    /// How long one took.
    pub(super) fn took(&self, seconds: f64, dry_run: bool) {
        self.outcomes(dry_run).durations.observe(seconds);
        if !dry_run {
            self.levels.observe(seconds);
        }
    }

    fn outcomes(&self, dry_run: bool) -> &Outcomes {
        if dry_run { self.dry.get_or_init(Outcomes::default) } else { &self.kept }
    }
}

impl Requests {
    pub(super) fn of(&self, labels: Labels<'_>) -> Arc<Series> {
        self.0.get(labels, Series::default)
    }

    /// Counts a long-running request until the value is dropped, and ends its record then.
    pub(crate) fn long_running(&self, labels: Option<Labels<'_>>, trail: Option<Arc<Trail>>) -> LongRunning {
        let series = labels.map(|labels| self.of(labels));
        if let Some(series) = &series {
            series.running.fetch_add(1, Ordering::Relaxed);
        }
        LongRunning { series, since: Instant::now(), _trail: trail }
    }
}

/// A long-running request, as long as it is counted.
pub(crate) struct LongRunning {
    series: Option<Arc<Series>>,
    since: Instant,
    _trail: Option<Arc<Trail>>,
}

impl Drop for LongRunning {
    fn drop(&mut self) {
        if let Some(series) = &self.series {
            series.running.fetch_sub(1, Ordering::Relaxed);
            // They say nothing of how fast the server is.
            series.kept.durations.observe(self.since.elapsed().as_secs_f64());
        }
    }
}

/// What a request is counted under; `None` where upstream counts nothing. `known` tells whether it is about a resource there is:
/// what a client made up is not counted under names of its choosing. `apply` tells patches apart that apply.
pub(crate) fn labels<'a>(what: &Attributes<'a>, scope: &'static str, known: bool, apply: bool) -> Option<Labels<'a>> {
    if !what.is_resource {
        let page = ["/healthz", "/livez", "/readyz", "/openapi/v2", "/openapi/v3"]
            .into_iter()
            .find(|page| what.path == *page)?;
        let page = if page.starts_with("/openapi") { &page[1..] } else { page };
        return Some([verb(what.verb, apply), "", "", "", page, "", ""]);
    }
    if !known {
        return Some([verb(what.verb, apply), "", "", "", "", scope, "apiserver"]);
    }
    let verb = match what.subresource {
        "log" | "exec" | "attach" | "portforward" | "proxy" => "CONNECT",
        _ => verb(what.verb, apply),
    };
    let scope = match verb {
        "POST" => "resource",
        "WATCH" if !what.name.is_empty() => "resource",
        _ => scope,
    };
    Some([verb, what.group, what.version, what.resource, what.subresource, scope, "apiserver"])
}

fn verb(verb: &str, apply: bool) -> &'static str {
    match verb {
        "patch" if apply => "APPLY",
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "other",
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.all();
        let outcomes = || {
            let kept = all.iter().map(|(labels, series)| (labels, "", &series.kept));
            let dry = all.iter().filter_map(|(labels, series)| Some((labels, "All", series.dry.get()?)));
            kept.chain(dry)
        };
        let mut codes = Vec::new();
        for (labels, dry_run, outcomes) in outcomes() {
            for (code, count) in outcomes.codes.read().iter() {
                codes.push((labels, dry_run, code.to_string(), count.load(Ordering::Relaxed)));
            }
        }
        let rows = codes.iter().map(|(labels, dry_run, code, count)| -> Row<'_> {
            (named(labels, &[("dry_run", dry_run), ("code", code)]), Shown::Counter(*count))
        });
        family(&mut encoder, "apiserver_request", "Requests by verb, group, version, resource and code", rows)?;
        let seen = outcomes().filter(|(.., outcomes)| !outcomes.durations.is_empty());
        let rows = seen.map(|(labels, dry_run, outcomes)| -> Row<'_> {
            (named(labels, &[("dry_run", dry_run)]), Shown::Histogram(&outcomes.durations))
        });
        family(&mut encoder, "apiserver_request_duration_seconds", "Response latency in seconds", rows)?;
        let mut histograms = |name: &str, help: &str, of: fn(&Series) -> &Histogram| {
            let rows = all.iter().filter(|(_, series)| !of(series).is_empty());
            let rows = rows.map(|(labels, series)| -> Row<'_> { (named(labels, &[]), Shown::Histogram(of(series))) });
            family(&mut encoder, name, help, rows)
        };
        // What dashboards and alerts look at. Upstream leaves out the time that webhooks take.
        let (name, help) = ("apiserver_request_sli_duration_seconds", "Response latency in seconds");
        histograms(name, help, |series| &series.levels)?;
        histograms("apiserver_response_sizes", "Sizes of answers to reads in bytes", |series| &series.sizes)?;
        let lasting = all.iter().filter(|(labels, _)| matches!(&*labels[0], "WATCH" | "CONNECT"));
        let rows = lasting.map(|(labels, series)| -> Row<'_> {
            (named(labels, &[]), Shown::Gauge(series.running.load(Ordering::Relaxed)))
        });
        family(&mut encoder, "apiserver_longrunning_requests", "Long-running requests under way", rows)
    }
}

fn named<'a>(labels: &'a [Box<str>; 7], more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    NAMES.into_iter().zip(labels.iter().map(|label| &**label)).chain(more.iter().copied()).collect()
}
