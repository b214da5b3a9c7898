//! Taking everything away again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Config;
use super::process::{Found, Process};
use crate::types::SandboxFilter;
use crate::{Error, Result, Runtime};

/// Removes every pod of a runtime, containers, network and all. Goes on past errors and returns the first.
pub async fn remove_all_pods(runtime: &dyn Runtime) -> Result<()> {
    let mut first = Ok(());
    for sandbox in runtime.list_sandboxes(&SandboxFilter::default()).await? {
        let stopped = runtime.stop_sandbox(&sandbox.id).await;
        let removed = runtime.remove_sandbox(&sandbox.id).await;
        first = first.and(stopped).and(removed);
    }
    first
}

/// Takes a containerd of ours off the machine: process, shims with their containers, mounts, and its root, state and configuration. Pods should
/// have been removed before with [`remove_all_pods`], so that the network plugins could clean up. Goes on past errors and returns the first.
pub async fn reset(config: &Config) -> Result<()> {
    if let Some(Found::Current(mut process) | Found::Outdated(mut process)) =
        Process::find(config, Path::new("containerd"))
    {
        process.stop(Duration::from_secs(10)).await;
    }
    kill_shims(config).await;
    let mut first = Ok(());
    for dir in [&config.state, &config.root] {
        unmount_below(dir);
    }
    let socket = config.socket.as_os_str().to_owned();
    for suffix in ["", ".ttrpc"] {
        let mut path = socket.clone();
        path.push(suffix);
        let _ = std::fs::remove_file(path);
    }
    for dir in [&config.state, &config.root, &config.config_dir] {
        first = first.and(match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", dir)(error)),
            _ => Ok(()),
        });
    }
    first
}

/// Kills the shims that serve our socket, and the processes they started, which are in their care as children.
async fn kill_shims(config: &Config) {
    let socket = config.socket.as_os_str().as_encoded_bytes();
    let shims: Vec<i32> = processes()
        .filter(|pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0);
            let is_shim = arguments.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
            is_shim && arguments.any(|argument| argument == socket)
        })
        .collect();
    let tasks: Vec<i32> =
        processes().filter(|pid| parent(*pid).is_some_and(|parent| shims.contains(&parent))).collect();
    // Tasks first: they would be inherited by process 1 and run on.
    for pid in tasks.iter().chain(&shims) {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    for _ in 0..500 {
        if shims.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// Unmounts everything at and below a directory, the innermost first.
fn unmount_below(dir: &Path) {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return };
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)));
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(dir)).collect();
    points.reverse();
    for point in points {
        if let Err(error) = umount2(&point, MntFlags::MNT_DETACH) {
            tracing::debug!(mount = %point.display(), %error, "cannot unmount");
        }
    }
}

/// mountinfo writes white space and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte.into());
                plain.push_str(&part[3..]);
            }
            None => plain.extend(["\\", part]),
        }
    }
    plain
}
