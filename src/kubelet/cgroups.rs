//! The cgroups of pods: `<root>/kubepods[/burstable|/besteffort]/pod<uid>`.
//!
//! This agent makes and removes them and sets the pod's limits; the runtime puts containers into them. Cgroup v1 (one hierarchy a controller)
//! and v2 work alike.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::PodSpec;

use crate::error::{Error, Result};
use crate::pods::qos::{self, Class};

/// What every container needs.
const NEEDED: &[&str] = &["cpu", "memory", "pids"];
/// Removing waits this often for the kernel to let go of processes that have ended.
const REMOVE_ATTEMPTS: usize = 20;

/// Where cgroups are, and how they are mounted.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    root: String,
    layout: Layout,
}

#[derive(Clone, Debug, PartialEq)]
enum Layout {
    /// One directory a hierarchy, and the controllers on it.
    V1(Vec<(PathBuf, Vec<String>)>),
    V2(PathBuf),
}

impl Cgroups {
    /// Finds the hierarchies of this machine; says which controllers are missing.
    pub(crate) fn find(root: &str) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Error::io("read", "/proc/self/mountinfo"))?;
        Self::from_mounts(root, &mounts)
    }

    /// No hierarchies at all: everything is done at once. For tests of what stands above.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { root: String::new(), layout: Layout::V1(Vec::new()) }
    }

    fn from_mounts(root: &str, mounts: &str) -> Result<Self> {
        let root = format!("/{}", root.trim_matches('/')).trim_end_matches('/').to_owned();
        let layout = layout(mounts);
        let missing: Vec<&str> = match &layout {
            Layout::V1(hierarchies) => {
                let has = |c: &str| hierarchies.iter().any(|(_, controllers)| controllers.iter().any(|x| x == c));
                NEEDED.iter().copied().filter(|c| !has(c)).collect()
            }
            Layout::V2(mount) => {
                let list = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                NEEDED.iter().copied().filter(|c| !list.split_whitespace().any(|x| x == *c)).collect()
            }
        };
        if !missing.is_empty() {
            return Err(Error::Preflight(format!(
                "cgroup controllers missing: {}; containers cannot be limited without them. Enable them in the kernel \
                 (boot with cgroup_enable={}) and mount them below /sys/fs/cgroup",
                missing.join(", "),
                missing.join(" cgroup_enable="),
            )));
        }
        Ok(Self { root, layout })
    }

    /// Whether this is cgroup v2.
    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.layout, Layout::V2(_))
    }

    /// The cgroup of a pod, as the runtime takes it.
    pub(crate) fn pod_path(&self, class: Class, uid: &str) -> String {
        format!("{}{}/pod{uid}", self.root, class_path(class))
    }

    /// Makes the parents of all pods' cgroups.
    pub(crate) fn prepare(&self) -> Result<()> {
        for class in [Class::Guaranteed, Class::Burstable, Class::BestEffort] {
            self.make(&format!("{}{}", self.root, class_path(class)))?;
        }
        self.write(&format!("{}/kubepods/besteffort", self.root), "cpu", &cpu_weight_file(self.is_v2(), 2));
        Ok(())
    }

    /// Makes a pod's cgroup and sets its limits.
    pub(crate) fn make_pod(&self, spec: &PodSpec, uid: &str) -> Result<String> {
        let class = qos::class(spec);
        let path = self.pod_path(class, uid);
        self.make(&path)?;
        let (asked, limit) = qos::pod_amounts(spec);
        let shares = if class == Class::BestEffort { 2 } else { qos::cpu_shares(asked.cpu.unwrap_or(0)) };
        self.write(&path, "cpu", &cpu_weight_file(self.is_v2(), shares));
        if let Some(milli) = limit.cpu.filter(|n| *n > 0) {
            let quota = qos::cpu_quota(milli);
            if self.is_v2() {
                self.write(&path, "cpu", &("cpu.max", format!("{quota} {}", qos::CPU_PERIOD)));
            } else {
                self.write(&path, "cpu", &("cpu.cfs_period_us", qos::CPU_PERIOD.to_string()));
                self.write(&path, "cpu", &("cpu.cfs_quota_us", quota.to_string()));
            }
        }
        if let Some(bytes) = limit.memory.filter(|n| *n > 0) {
            let file = if self.is_v2() { "memory.max" } else { "memory.limit_in_bytes" };
            self.write(&path, "memory", &(file, bytes.to_string()));
        }
        Ok(path)
    }

    /// Removes a pod's cgroup in whichever class it is. What is gone already counts as done.
    pub(crate) async fn remove_pod(&self, uid: &str) -> Result<()> {
        for class in [Class::Guaranteed, Class::Burstable, Class::BestEffort] {
            for dir in self.directories(&self.pod_path(class, uid)) {
                remove(&dir).await?;
            }
        }
        Ok(())
    }

    /// The uids of all pods that have a cgroup.
    pub(crate) fn pods(&self) -> Vec<String> {
        let mut uids = std::collections::BTreeSet::new();
        for class in [Class::Guaranteed, Class::Burstable, Class::BestEffort] {
            for dir in self.directories(&format!("{}{}", self.root, class_path(class))) {
                for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                    if let Some(uid) = entry.file_name().to_string_lossy().strip_prefix("pod") {
                        uids.insert(uid.to_owned());
                    }
                }
            }
        }
        uids.into_iter().collect()
    }

    /// CPU nanoseconds and memory (usage, working set) of a cgroup, for statistics.
    pub(crate) fn usage(&self, path: &str) -> (Option<u64>, Option<(u64, u64)>) {
        let read = |controller: &str, file: &str| {
            let dir = self.directory(controller, path)?;
            fs::read_to_string(dir.join(file)).ok()
        };
        let number = |controller: &str, file: &str| read(controller, file)?.trim().parse::<u64>().ok();
        let stat = |controller: &str, file: &str, key: &str| {
            let text = read(controller, file)?;
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        let (cpu, usage, inactive) = if self.is_v2() {
            let cpu = stat("cpu", "cpu.stat", "usage_usec ").map(|usec| usec * 1000);
            (cpu, number("memory", "memory.current"), stat("memory", "memory.stat", "inactive_file "))
        } else {
            let cpu = number("cpuacct", "cpuacct.usage");
            (cpu, number("memory", "memory.usage_in_bytes"), stat("memory", "memory.stat", "total_inactive_file "))
        };
        (cpu, usage.map(|bytes| (bytes, bytes.saturating_sub(inactive.unwrap_or(0)))))
    }

    fn directory(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let below = path.trim_start_matches('/');
        match &self.layout {
            Layout::V2(mount) => Some(mount.join(below)),
            Layout::V1(all) => {
                all.iter().find(|(_, c)| c.iter().any(|c| c == controller)).map(|(dir, _)| dir.join(below))
            }
        }
    }

    fn directories(&self, path: &str) -> Vec<PathBuf> {
        let below = path.trim_start_matches('/');
        match &self.layout {
            Layout::V2(mount) => vec![mount.join(below)],
            Layout::V1(all) => all.iter().map(|(dir, _)| dir.join(below)).collect(),
        }
    }

    fn make(&self, path: &str) -> Result<()> {
        match &self.layout {
            Layout::V1(all) => {
                for (mount, controllers) in all {
                    let dir = mount.join(path.trim_start_matches('/'));
                    fs::create_dir_all(&dir).map_err(Error::io("make cgroup", &dir))?;
                    // A new cpuset has no CPUs, and takes no process until it has.
                    if controllers.iter().any(|c| c == "cpuset") {
                        inherit_cpuset(mount, path);
                    }
                }
            }
            Layout::V2(mount) => {
                let mut dir = mount.clone();
                for part in path.split('/').filter(|p| !p.is_empty()) {
                    enable_controllers(&dir);
                    dir.push(part);
                    match fs::create_dir(&dir) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                            return Err(Error::io("make cgroup", &dir)(error));
                        }
                        _ => {}
                    }
                }
                // Containers' cgroups below need the controllers, too; the pod's own has no processes.
                enable_controllers(&dir);
            }
        }
        Ok(())
    }

    /// A limit that cannot be set is told and no reason to refuse the pod: the containers' own limits hold.
    fn write(&self, path: &str, controller: &str, (file, value): &(&str, String)) {
        let Some(dir) = self.directory(controller, path) else { return };
        if let Err(error) = fs::write(dir.join(file), value) {
            tracing::warn!(cgroup = path, file, value, %error, "could not set the limit of a cgroup");
        }
    }
}

fn class_path(class: Class) -> &'static str {
    match class {
        Class::Guaranteed => "/kubepods",
        Class::Burstable => "/kubepods/burstable",
        Class::BestEffort => "/kubepods/besteffort",
    }
}

fn cpu_weight_file(v2: bool, shares: i64) -> (&'static str, String) {
    if v2 { ("cpu.weight", qos::cpu_weight(shares).to_string()) } else { ("cpu.shares", shares.to_string()) }
}

/// Reads mountinfo: v2 only where it is mounted at the root of the tree, since on hybrid machines it has no controllers.
fn layout(mountinfo: &str) -> Layout {
    let mut v1 = Vec::new();
    let mut v2 = None;
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(mount) = before.split(' ').nth(4) else { continue };
        let mut words = after.split(' ');
        match words.next() {
            Some("cgroup") => {
                let options = words.next_back().unwrap_or_default();
                let controllers: Vec<String> =
                    options.split(',').filter(|o| !matches!(*o, "rw" | "ro" | "xattr")).map(str::to_owned).collect();
                // A named hierarchy has no controllers, but the runtime uses it, and it wants cleaning up like the others.
                if !v1.iter().any(|(m, _): &(PathBuf, _)| m == Path::new(mount)) {
                    v1.push((PathBuf::from(mount), controllers));
                }
            }
            Some("cgroup2") if v2.is_none() => v2 = Some(PathBuf::from(mount)),
            _ => {}
        }
    }
    match v2 {
        Some(mount) if v1.is_empty() => Layout::V2(mount),
        _ => Layout::V1(v1),
    }
}

fn inherit_cpuset(mount: &Path, path: &str) {
    let mut dir = mount.to_owned();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        let parent = dir.clone();
        dir.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = fs::read_to_string(dir.join(file)).unwrap_or_default();
            if own.trim().is_empty()
                && let Ok(above) = fs::read_to_string(parent.join(file))
            {
                let _ = fs::write(dir.join(file), above.trim());
            }
        }
    }
}

fn enable_controllers(dir: &Path) {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        // Some (rdma, misc) may be refused; what is needed was checked at the start.
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes a cgroup and those below it, children first.
async fn remove(dir: &Path) -> Result<()> {
    for attempt in 0..REMOVE_ATTEMPTS {
        match remove_tree(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if attempt + 1 == REMOVE_ATTEMPTS => return Err(Error::io("remove cgroup", dir)(error)),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}
