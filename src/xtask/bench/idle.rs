//! What a server costs that has nothing to do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::figure;
use super::machine::Machine;

/// Ticks of /proc/<pid>/stat a second: USER_HZ, 100 on every Linux that runs containers.
const TICKS: f64 = 100.0;

pub(super) fn run(binary: &Path, seconds: u64) -> Result<()> {
    let size = std::fs::metadata(binary)?.len();
    figure("idle", "binary", size as f64 / f64::from(1 << 20), "MiB");
    let mut machine = Machine::new(binary)?;
    let (pid, _) = machine.start(&[], &["node Ready"])?;
    // What the start left to do is not idling.
    std::thread::sleep(Duration::from_secs(20));
    let before = Sample::take(pid)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = Sample::take(pid)?;
    let span = seconds as f64;
    figure("idle", "resident memory", after.resident, "MB");
    figure("idle", "processor", after.busy_since(&before, Duration::from_secs(seconds)), "% of a core");
    figure("idle", "bytes written per day", (after.written - before.written) / span * 86_400.0 / 1e6, "MB");
    Ok(())
}

/// What a process has used at one moment.
pub(super) struct Sample {
    /// Megabytes of resident memory.
    pub(super) resident: f64,
    /// The most that was resident since the start or since [`Sample::forget_peak`].
    pub(super) peak: f64,
    ticks: f64,
    written: f64,
}

impl Sample {
    /// Percent of a core used since an earlier sample, `span` ago.
    pub(super) fn busy_since(&self, before: &Self, span: Duration) -> f64 {
        (self.ticks - before.ticks) / TICKS / span.as_secs_f64() * 100.0
    }

    /// Lets the process's peak begin anew.
    pub(super) fn forget_peak(pid: u32) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
    }

    /// `pid` runs under nsenter, which executes it in place: the number is the server's own.
    pub(super) fn take(pid: u32) -> Result<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let field = |text: &str, name: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            Ok(line.split_whitespace().next().context("empty")?.parse()?)
        };
        let stat = read("stat")?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        let status = read("status")?;
        Ok(Self {
            resident: field(&status, "VmRSS:")? * 1024.0 / 1e6,
            peak: field(&status, "VmHWM:")? * 1024.0 / 1e6,
            ticks: ticks(11) + ticks(12),
            written: field(&read("io")?, "write_bytes:")?,
        })
    }
}
