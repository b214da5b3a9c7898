//! What this machine is: read from /proc, /sys and the filesystem.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The machine, as far as a Node object tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Facts {
    pub(crate) cpus: u64,
    pub(crate) memory: u64,
    pub(crate) disk: u64,
    /// Bytes by page size as upstream names it (`2Mi`).
    pub(crate) hugepages: BTreeMap<String, u64>,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    pub(crate) kernel: String,
    pub(crate) os_image: String,
    pub(crate) swap: u64,
}

/// What changes while the machine runs and decides about pressure.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pressure {
    pub(crate) memory_available: u64,
    pub(crate) disk_available: u64,
    pub(crate) disk_size: u64,
    pub(crate) inodes_free: u64,
    pub(crate) inodes: u64,
    pub(crate) pids_available: u64,
    pub(crate) pids_max: u64,
}

impl Facts {
    pub(crate) fn read(disk_of: &Path) -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let (disk, _) = disk(disk_of);
        Self {
            cpus: cpus(),
            memory: meminfo_bytes(&meminfo, "MemTotal"),
            disk,
            hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages")),
            machine_id: trimmed("/etc/machine-id"),
            system_uuid: trimmed("/sys/class/dmi/id/product_uuid"),
            boot_id: trimmed("/proc/sys/kernel/random/boot_id"),
            kernel: trimmed("/proc/sys/kernel/osrelease"),
            os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
            swap: meminfo_bytes(&meminfo, "SwapTotal"),
        }
    }
}

impl Pressure {
    pub(crate) fn read(disk_of: &Path) -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let stat = nix::sys::statvfs::statvfs(disk_of).ok();
        let pids_max: u64 = trimmed("/proc/sys/kernel/pid_max").parse().unwrap_or(0);
        // The last field but one of loadavg is `running/total`.
        let loadavg = trimmed("/proc/loadavg");
        let threads = loadavg.split(['/', ' ']).nth(4).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Self {
            memory_available: meminfo_bytes(&meminfo, "MemAvailable"),
            disk_available: stat.map_or(0, |s| s.blocks_available() * s.fragment_size()),
            disk_size: stat.map_or(0, |s| s.blocks() * s.fragment_size()),
            inodes_free: stat.map_or(0, |s| s.files_available()),
            inodes: stat.map_or(0, |s| s.files()),
            pids_available: pids_max.saturating_sub(threads),
            pids_max,
        }
    }
}

fn disk(of: &Path) -> (u64, u64) {
    nix::sys::statvfs::statvfs(of)
        .map(|s| (s.blocks() * s.fragment_size(), s.blocks_available() * s.fragment_size()))
        .unwrap_or_default()
}

fn trimmed(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn cpus() -> u64 {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().filter(|line| line.starts_with("processor")).count().max(1) as u64
}

pub(crate) fn meminfo_bytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn os_image(os_release: &str) -> String {
    let pretty = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    pretty.map_or("Linux".into(), |name| name.trim_matches('"').to_owned())
}

fn hugepages(dir: &Path) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(kib) = name.strip_prefix("hugepages-").and_then(|n| n.strip_suffix("kB")?.parse::<u64>().ok()) else {
            continue;
        };
        let pages: u64 =
            fs::read_to_string(entry.path().join("nr_hugepages")).ok().and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        let size = match kib {
            kib if kib % (1 << 20) == 0 => format!("{}Gi", kib >> 20),
            kib if kib % (1 << 10) == 0 => format!("{}Mi", kib >> 10),
            kib => format!("{kib}Ki"),
        };
        sizes.insert(size, pages * kib * 1024);
    }
    sizes
}
