//! What is checked before containerd is started.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Config, Snapshotter};
use crate::{Error, Result};

/// What this machine has to offer: the programs containerd needs, and what it may do.
pub(super) struct Programs {
    pub(super) containerd: PathBuf,
    pub(super) runc: PathBuf,
    /// Processes may be protected from the out-of-memory killer; in many containers and small virtual machines even root may not.
    pub(super) may_lower_oom_score: bool,
}

/// Looks the programs up; the error names all that are missing.
pub(super) fn programs(path: &str) -> Result<Programs> {
    let [containerd, shim, runc] =
        ["containerd", "containerd-shim-runc-v2", "runc"].map(|name| find(name, path).ok_or(name));
    match (containerd, shim, runc) {
        (Ok(containerd), Ok(_), Ok(runc)) => {
            Ok(Programs { containerd, runc, may_lower_oom_score: may_lower_oom_score() })
        }
        (containerd, shim, runc) => {
            let missing = [containerd, shim, runc].into_iter().filter_map(Result::err).map(str::to_owned).collect();
            Err(Error::MissingPrograms { missing, path: path.to_owned() })
        }
    }
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

/// Tries it on ourselves, for one moment.
fn may_lower_oom_score() -> bool {
    const FILE: &str = "/proc/self/oom_score_adj";
    let Some(now) = std::fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<i32>().ok()) else {
        return false;
    };
    let lowered = now <= -1000 || std::fs::write(FILE, (now - 1).to_string()).is_ok();
    let _ = std::fs::write(FILE, now.to_string());
    lowered
}

/// The snapshotter's name in containerd.
pub(super) fn snapshotter(config: &Config) -> Result<&str> {
    Ok(match &config.snapshotter {
        Snapshotter::Overlayfs => "overlayfs",
        Snapshotter::Native => "native",
        Snapshotter::Other(name) => name,
        Snapshotter::Auto => match try_overlay(&config.root) {
            Ok(()) => "overlayfs",
            Err(error) => {
                tracing::warn!(
                    root = %config.root.display(),
                    %error,
                    "overlayfs does not work here; images are copied instead, which is slow and takes much space"
                );
                "native"
            }
        },
    })
}

/// Mounts a small overlay below `root` and takes it away again.
fn try_overlay(root: &Path) -> nix::Result<()> {
    struct Trial(PathBuf);
    impl Drop for Trial {
        fn drop(&mut self) {
            let _ = umount2(&self.0.join("merged"), MntFlags::MNT_DETACH);
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
    let trial = Trial(root.join(".overlay-trial"));
    let _ = umount2(&trial.0.join("merged"), MntFlags::MNT_DETACH);
    let _ = std::fs::remove_dir_all(&trial.0);
    for part in ["lower1", "lower2", "upper", "work", "merged"] {
        std::fs::create_dir_all(trial.0.join(part))
            .map_err(|error| nix::Error::from_raw(error.raw_os_error().unwrap_or(0)))?;
    }
    let at = |part: &str| trial.0.join(part).display().to_string();
    let options = format!("lowerdir={}:{},upperdir={},workdir={}", at("lower2"), at("lower1"), at("upper"), at("work"));
    mount(Some("overlay"), &trial.0.join("merged"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
}
