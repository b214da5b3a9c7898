//! `workqueue_*`: how the queues of the loops stand, under upstream's names, in the text of `/metrics`.

use std::fmt::Write;

use client::controller::Gauge;
use client::queue::{QueueStats, Spans};

/// Upstream's queues, where they are not called as their controllers are.
const QUEUES: &[(&str, &str)] = &[
    ("certificatesigningrequest-approving-controller", "certificate_approving"),
    ("certificatesigningrequest-cleaner-controller", "certificate_cleaner"),
    ("certificatesigningrequest-signing-controller", "certificate"),
    ("endpoints-controller", "endpoint"),
    ("endpointslice-controller", "endpoint_slice"),
    ("endpointslice-mirroring-controller", "endpoint_slice_mirroring"),
    ("garbage-collector-controller", "garbage_collector_attempt_to_delete"),
    ("node-lifecycle-controller", "node_lifecycle_controller"),
    ("persistentvolume-binder-controller", "claims"),
    ("persistentvolume-protection-controller", "pvprotection"),
    ("persistentvolumeclaim-protection-controller", "pvcprotection"),
    ("pod-garbage-collector-controller", "orphaned_pods_nodes"),
    ("replicationcontroller-controller", "replicationmanager"),
    ("resourcequota-controller", "resourcequota_primary"),
    ("root-ca-certificate-publisher-controller", "root_ca_cert_publisher"),
    ("service-cidr-controller", "ipaddresses"),
    ("serviceaccount-token-controller", "serviceaccount_tokens_service"),
    ("taint-eviction-controller", "noexec_taint_pod"),
    ("ttl-after-finished-controller", "ttl_jobs_to_delete"),
    ("volumeattributesclass-protection-controller", "vacprotection"),
];

/// A metric with one value: its name, its type, what it says.
type Single = (&'static str, &'static str, &'static str, fn(&QueueStats) -> f64);

const SINGLES: &[Single] = &[
    ("workqueue_adds_total", "counter", "Keys added", |stats| stats.adds as f64),
    ("workqueue_depth", "gauge", "Keys that wait for a worker", |stats| stats.depth as f64),
    ("workqueue_longest_running_processor_seconds", "gauge", "How long the oldest work has gone on", |stats| {
        stats.longest.as_secs_f64()
    }),
    ("workqueue_retries_total", "counter", "Keys added after a failure", |stats| stats.retries as f64),
    ("workqueue_unfinished_work_seconds", "gauge", "How long all work under way has gone on", |stats| {
        stats.unfinished.as_secs_f64()
    }),
];

/// A metric of times: its name, what it says.
type Timed = (&'static str, &'static str, fn(&QueueStats) -> &Spans);

const TIMES: [Timed; 2] = [
    ("workqueue_queue_duration_seconds", "How long keys wait for a worker", |stats| &stats.waits),
    ("workqueue_work_duration_seconds", "How long keys are worked on", |stats| &stats.works),
];

/// The bounds of [`Spans`], as Go writes them.
const BOUNDS: [&str; Spans::BOUNDS.len()] =
    ["1e-08", "1e-07", "1e-06", "9.999999999999999e-06", "9.999999999999999e-05", "0.001", "0.01", "0.1", "1", "10"];

/// The figures of loops as text, in the classic format.
pub fn metrics(gauges: &[Gauge]) -> String {
    let queues: Vec<(&str, QueueStats)> = gauges.iter().map(|gauge| (name(gauge.name), gauge.queue())).collect();
    text(&queues)
}

/// Where nothing else is said, upstream's queue has the name of the kind.
fn name(controller: &'static str) -> &'static str {
    let said = QUEUES.iter().find(|(name, _)| *name == controller).map(|(_, queue)| *queue);
    said.unwrap_or_else(|| controller.strip_suffix("-controller").unwrap_or(controller))
}

fn text(queues: &[(&str, QueueStats)]) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(queues, &mut out);
    out
}

fn write(queues: &[(&str, QueueStats)], out: &mut String) -> std::fmt::Result {
    for (metric, kind, help, value) in SINGLES {
        writeln!(out, "# HELP {metric} [ALPHA] {help}.\n# TYPE {metric} {kind}")?;
        for (name, stats) in queues {
            writeln!(out, "{metric}{{name=\"{name}\"}} {}", value(stats))?;
        }
    }
    for (metric, help, spans) in TIMES {
        writeln!(out, "# HELP {metric} [ALPHA] {help}.\n# TYPE {metric} histogram")?;
        for (name, stats) in queues {
            let spans = spans(stats);
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().chain(&["+Inf"]).zip(spans.counts) {
                below += count;
                writeln!(out, "{metric}_bucket{{name=\"{name}\",le=\"{bound}\"}} {below}")?;
            }
            writeln!(out, "{metric}_sum{{name=\"{name}\"}} {}", spans.sum.as_secs_f64())?;
            writeln!(out, "{metric}_count{{name=\"{name}\"}} {below}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn queues_are_told_under_upstreams_names() {
        assert_eq!(name("deployment-controller"), "deployment");
        assert_eq!(name("replicationcontroller-controller"), "replicationmanager");
        let mut stats = QueueStats { adds: 3, depth: 1, ..QueueStats::default() };
        stats.works.add(Duration::from_millis(5));
        stats.works.add(Duration::from_secs(20));
        let text = text(&[("job", stats)]);
        for line in [
            "# TYPE workqueue_adds_total counter",
            "workqueue_adds_total{name=\"job\"} 3",
            "workqueue_depth{name=\"job\"} 1",
            "# TYPE workqueue_work_duration_seconds histogram",
            "workqueue_work_duration_seconds_bucket{name=\"job\",le=\"0.001\"} 0",
            "workqueue_work_duration_seconds_bucket{name=\"job\",le=\"0.01\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"job\",le=\"10\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"job\",le=\"+Inf\"} 2",
            "workqueue_work_duration_seconds_sum{name=\"job\"} 20.005",
            "workqueue_work_duration_seconds_count{name=\"job\"} 2",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn no_two_loops_have_one_queue() {
        let mut names: Vec<_> = crate::names().map(name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
