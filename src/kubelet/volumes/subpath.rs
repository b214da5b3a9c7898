//! A part of a volume, mounted alone. Nothing in the volume can lead out of it: the path is opened by the kernel, beneath the volume, and what
//! was opened is what is mounted.

#[cfg(test)]
mod tests;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

use super::mounts;
use crate::error::{Error, Result, invalid};

/// Bind mounts `volume/subpath` at `target`, making directories that are missing. What was mounted there before goes.
pub(crate) fn mount(volume: &Path, subpath: &str, target: &Path) -> Result<PathBuf> {
    let opened = open_beneath(volume, subpath)?;
    let is_dir = fstat(&opened).map(|s| SFlag::from_bits_truncate(s.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR);
    let is_dir = is_dir.map_err(Error::errno("look at", volume.join(subpath)))?;
    mounts::unmount(target)?;
    if is_dir {
        let _ = fs::remove_file(target);
        super::make_dir(target, 0o750)?;
    } else {
        if let Some(parent) = target.parent() {
            super::make_dir(parent, 0o750)?;
        }
        let _ = fs::remove_dir(target);
        fs::write(target, b"").map_err(Error::io("make file", target))?;
    }
    let source = PathBuf::from(format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd()));
    mounts::bind(&source, target)?;
    Ok(target.to_owned())
}

/// Checks what may stand in `subPath`.
pub(crate) fn check(subpath: &str) -> Result<()> {
    if subpath.starts_with('/') {
        return invalid(format!("subPath \"{subpath}\" must not be an absolute path"));
    }
    if Path::new(subpath).components().any(|c| c == Component::ParentDir) {
        return invalid(format!("subPath \"{subpath}\" must not contain \"..\""));
    }
    Ok(())
}

fn open_beneath(volume: &Path, subpath: &str) -> Result<OwnedFd> {
    check(subpath)?;
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let root = open(volume, flags | OFlag::O_DIRECTORY, Mode::empty()).map_err(Error::errno("open", volume))?;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut at = String::new();
    let mut opened = openat2(&root, ".", how).map_err(Error::errno("open", volume))?;
    for part in Path::new(subpath).components() {
        let Component::Normal(part) = part else { continue };
        let above = opened;
        at = if at.is_empty() {
            part.to_string_lossy().into_owned()
        } else {
            format!("{at}/{}", part.to_string_lossy())
        };
        // Every part is looked up from the volume's root, so that a link within the volume may go up within it.
        opened = match openat2(&root, at.as_str(), how) {
            Err(nix::Error::ENOENT) => {
                match mkdirat(&above, Path::new(part), Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(nix::Error::EEXIST) => {}
                    Err(error) => return Err(Error::errno("make directory", volume.join(&at))(error)),
                }
                openat2(&root, at.as_str(), how).map_err(Error::errno("open", volume.join(&at)))?
            }
            Err(nix::Error::EXDEV | nix::Error::ELOOP) => {
                return invalid(format!("subPath \"{subpath}\" leads out of its volume"));
            }
            other => other.map_err(Error::errno("open", volume.join(&at)))?,
        };
    }
    Ok(opened)
}
