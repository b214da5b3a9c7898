//! `process_*` and `kubernetes_build_info`: what every program tells of itself. Looked up when somebody asks.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::http::other;

/// The kernel tells times of processes in hundredths of a second, on every architecture.
const TICKS: f64 = 100.0;
/// What upstream shows where there is no limit.
const NO_LIMIT: f64 = u64::MAX as f64;

/// What the kernel says of this process.
#[derive(Debug)]
pub(super) struct Process;

/// The build, as `/version` tells it.
#[derive(Debug)]
pub(super) struct Build;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        if let Some((spent, started)) = times(&stat, &boot) {
            let spent = ConstCounter::new(spent);
            let help = "Total user and system CPU time spent in seconds.";
            spent.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, spent.metric_type())?)?;
            gauge(
                &mut encoder,
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                started,
            )?;
        }
        for (name, help, value) in [
            ("process_open_fds", "Number of open file descriptors.", open as f64),
            ("process_max_fds", "Maximum number of open file descriptors.", limit(&limits, "Max open files")),
            ("process_resident_memory_bytes", "Resident memory size in bytes.", kilobytes(&status, "VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", kilobytes(&status, "VmSize:")),
            (
                "process_virtual_memory_max_bytes",
                "Maximum amount of virtual memory available in bytes.",
                limit(&limits, "Max address space"),
            ),
        ] {
            gauge(&mut encoder, name, help, value)?;
        }
        Ok(())
    }
}

impl Collector for Build {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let version = other::version();
        let text = |name: &str| version[name].as_str().unwrap_or_default().to_owned();
        const LABELS: [(&str, &str); 9] = [
            ("build_date", "buildDate"),
            ("compiler", "compiler"),
            ("git_commit", "gitCommit"),
            ("git_tree_state", "gitTreeState"),
            ("git_version", "gitVersion"),
            ("go_version", "goVersion"),
            ("major", "major"),
            ("minor", "minor"),
            ("platform", "platform"),
        ];
        let labels = LABELS.map(|(label, member)| (label, text(member)));
        let (help, always) = ("What was built: version, platform and compiler.", ConstGauge::new(1));
        let mut build = encoder.encode_descriptor("kubernetes_build_info", help, None, always.metric_type())?;
        always.encode(build.encode_family(&labels)?)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> Result<(), Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// The time spent, and when the process started since the epoch.
fn times(stat: &str, boot: &str) -> Option<(f64, f64)> {
    // The name stands in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS);
    let booted: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some((ticks(11)? + ticks(12)?, booted + ticks(19)?))
}

fn kilobytes(status: &str, name: &str) -> f64 {
    let said = status.lines().find_map(|line| line.strip_prefix(name));
    said.and_then(|said| said.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).unwrap_or_default() * 1024.0
}

/// The soft limit.
fn limit(limits: &str, name: &str) -> f64 {
    let said = limits.lines().find_map(|line| line.strip_prefix(name));
    match said.and_then(|said| said.split_whitespace().next()) {
        Some(number) if number != "unlimited" => number.parse().unwrap_or_default(),
        _ => NO_LIMIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 200 123 456 18446744073709551615";
        assert_eq!(times(stat, "cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some((2.0, 1_700_000_002.0)));
        assert_eq!(times("", ""), None);
        assert_eq!(kilobytes("VmSize:\t  20 kB\nVmRSS:\t  10 kB\n", "VmRSS:"), 10_240.0);
        let limits = "Max open files            1024                 524288               files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), 1024.0);
        assert_eq!(limit(limits, "Max address space"), NO_LIMIT);
    }
}
