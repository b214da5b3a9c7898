//! What must be true of the machine before anything is made on it: each check says what is wrong and what to do.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

/// Nodes run containers, which takes root.
pub(crate) fn root() -> Result<()> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status: is /proc mounted?")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    if uid != Some("0") {
        bail!("isopod must run as root (try: sudo isopod …); only --disable-agent servers run as another user");
    }
    Ok(())
}

/// A port that something else holds is named before anything is written.
pub(crate) fn port(address: IpAddr, port: u16, flag: &str) -> Result<()> {
    match TcpListener::bind(SocketAddr::new(address, port)) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            bail!(
                "port {port} is taken: stop what listens there (ss -ltnp 'sport = :{port}'), or choose another with {flag}"
            )
        }
        Err(e) => Err(e).with_context(|| format!("cannot listen on {address}:{port}")),
    }
}

/// Containers need these controllers, on cgroup v2 or v1.
pub(crate) fn cgroups() -> Result<()> {
    const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
    let base = Path::new("/sys/fs/cgroup");
    let v2 = base.join("cgroup.controllers");
    let missing: Vec<&str> = if v2.exists() {
        let there = std::fs::read_to_string(&v2).with_context(|| format!("cannot read {}", v2.display()))?;
        NEEDED.into_iter().filter(|name| !there.split_whitespace().any(|have| have == *name)).collect()
    } else {
        NEEDED.into_iter().filter(|name| !base.join(name).join("tasks").exists()).collect()
    };
    if !missing.is_empty() {
        bail!(
            "cgroup controllers are missing: {}. Enable them (on many boards: add \"cgroup_enable=cpuset cgroup_memory=1 \
             cgroup_enable=memory\" to the kernel command line) and see that /sys/fs/cgroup is mounted",
            missing.join(", ")
        );
    }
    let groups = if v2.exists() { vec![base.to_owned()] } else { NEEDED.map(|name| base.join(name)).to_vec() };
    for group in groups {
        access(&group, AccessFlags::W_OK).with_context(|| {
            format!("control groups cannot be made in {}: is it mounted read-only?", group.display())
        })?;
    }
    Ok(())
}

/// Files that containerd copies for every pod. The smallest installations lack one.
pub(crate) fn files() -> Result<()> {
    if !Path::new("/etc/hosts").exists() {
        bail!(
            "there is no /etc/hosts, and containerd copies it for every pod: echo '127.0.0.1 localhost' > /etc/hosts"
        );
    }
    Ok(())
}

/// Programs we start, unless a runtime of the user's is named.
pub(crate) fn programs() -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let missing: Vec<&str> =
        ["containerd", "containerd-shim-runc-v2", "runc"].into_iter().filter(|name| !there(name)).collect();
    if !missing.is_empty() {
        bail!(
            "not found on PATH: {}. Install containerd and runc (Debian: apt-get install containerd runc), \
             or name another runtime's socket with --container-runtime-endpoint",
            missing.join(", ")
        );
    }
    Ok(())
}
