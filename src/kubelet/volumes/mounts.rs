//! Mounting and unmounting, idempotent, by the kernel's own table.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Error, Result};

/// Every mount point, in the order they were made.
pub(crate) fn table() -> Vec<PathBuf> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

pub(super) fn parse(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| PathBuf::from(unescape(path))).collect()
}

/// Blanks and the like are octal in the kernel's tables.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(digits) => {
                bytes.push(digits.iter().fold(0u8, |n, d| n.wrapping_mul(8).wrapping_add(d - b'0')));
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether something is mounted exactly there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    table().iter().any(|mounted| mounted == path)
}

/// A tmpfs at this path, unless there is one.
pub(crate) fn tmpfs(path: &Path, size: Option<i64>) -> Result<()> {
    if is_mounted(path) {
        return Ok(());
    }
    super::make_dir(path, 0o777)?;
    let options = size.map_or("mode=0777".to_owned(), |size| format!("mode=0777,size={size}"));
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(Error::errno("mount tmpfs at", path))
}

/// Shows `from` at `to`, which must exist.
pub(crate) fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(Error::errno("bind mount at", to))
}

/// Unmounts one mount point; nothing there is fine.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        // Something still looks at it: take it out of sight, the kernel drops it with the last user.
        Err(nix::Error::EBUSY) => match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
            Err(error) => Err(Error::errno("unmount", path)(error)),
        },
        Err(error) => Err(Error::errno("unmount", path)(error)),
    }
}

/// Unmounts everything at and below a directory, the latest first.
pub(crate) fn unmount_below(dir: &Path) -> Result<()> {
    for path in table().iter().rev().filter(|path| path.starts_with(dir)) {
        unmount(path)?;
    }
    Ok(())
}
