//! Kernel switches under `/proc/sys`, which belong to the calling thread's network namespace.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::{Doing, Result};

/// Sets a switch such as `net/ipv4/ip_forward`, if it does not have the value. Returns whether the kernel has it.
pub(crate) fn set(name: &str, value: &str) -> Result<bool> {
    let path = path(name);
    match fs::read_to_string(&path) {
        Ok(current) if current.trim() == value => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).doing(|| format!("reading {}", path.display())),
    }
    fs::write(&path, value).doing(|| format!("writing {value} to {}", path.display()))?;
    tracing::info!(name, value, "kernel switch set");
    Ok(true)
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// Forwarding, and bridged packets through the IPv4 hooks. Returns whether the kernel does the latter: without it,
/// answers between two pods on one bridge would bypass the translation back, and such traffic must be masqueraded.
pub(crate) fn prepare_node() -> Result<bool> {
    set("net/ipv4/ip_forward", "1")?;
    set("net/bridge/bridge-nf-call-iptables", "1")
}
