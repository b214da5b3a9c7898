//! Files that change all at once: a directory of one version, and a link `..data` that is moved from one version to the next.
//!
//! `key → ..data/key`, `..data → ..2026_01_02_03_04_05.000000006`. Readers see one version or the other, never a mixture.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Component, Path};

use jiff::Timestamp;

use super::Ownership;
use crate::error::{Error, Result, invalid};

/// One projected file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    /// Owner other than root.
    pub(crate) user: Option<u32>,
}

/// Files by path relative to the volume.
pub(crate) type Files = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Brings a volume to this content; says whether anything changed.
pub(super) fn write(root: &Path, files: &Files, owner: &Ownership) -> Result<bool> {
    for path in files.keys() {
        check_path(path)?;
    }
    let old = fs::read_link(root.join(DATA)).ok().map(|name| root.join(name));
    if let Some(old) = &old
        && is_same(old, files)
    {
        link_names(root, files)?;
        return Ok(false);
    }
    let now = Timestamp::now();
    let name = jiff::fmt::strtime::format("..%Y_%m_%d_%H_%M_%S", now).unwrap_or_else(|_| "..version".into());
    let name = format!("{name}.{:09}", now.subsec_nanosecond());
    let version = root.join(&name);
    let result = write_version(root, &version, files, owner).and_then(|()| {
        let new = root.join(DATA_NEW);
        remove(&new)?;
        symlink(&name, &new).map_err(Error::io("link", &new))?;
        fs::rename(&new, root.join(DATA)).map_err(Error::io("rename", &new))
    });
    if let Err(error) = result {
        let _ = fs::remove_dir_all(&version);
        return Err(error);
    }
    link_names(root, files)?;
    // Older versions, those of an interrupted write included.
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
        if is_dir && other.to_string_lossy().starts_with("..") && other.to_string_lossy() != name.as_str() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(true)
}

fn check_path(path: &str) -> Result<()> {
    let bad = path.is_empty()
        || path.len() > 4096
        || path.starts_with("..")
        || Path::new(path).components().any(|c| !matches!(c, Component::Normal(name) if name.len() <= 255));
    if bad {
        invalid(format!("invalid path: must be relative, without '..' and not start with it: {path}"))
    } else {
        Ok(())
    }
}

fn is_same(version: &Path, files: &Files) -> bool {
    let mut there = BTreeSet::new();
    collect(version, "", &mut there);
    there.len() == files.len()
        && files.iter().all(|(path, file)| {
            let full = version.join(path);
            there.contains(path)
                && fs::metadata(&full).is_ok_and(|m| m.permissions().mode() & 0o700 == file.mode & 0o700)
                && fs::read(&full).is_ok_and(|content| content == file.content)
        })
}

fn collect(dir: &Path, prefix: &str, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), &format!("{name}/"), into),
            _ => {
                into.insert(name);
            }
        }
    }
}

fn write_version(root: &Path, version: &Path, files: &Files, owner: &Ownership) -> Result<()> {
    let make = |dir: &Path| {
        fs::create_dir_all(dir).map_err(Error::io("make directory", dir))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Error::io("set permissions of", dir))
    };
    make(version)?;
    for (path, file) in files {
        let full = version.join(path);
        let mut parent = full.parent().unwrap_or(root);
        let mut parents = Vec::new();
        while parent != version && parent != root {
            parents.push(parent);
            parent = parent.parent().unwrap_or(root);
        }
        parents.iter().rev().try_for_each(|dir| make(dir))?;
        fs::write(&full, &file.content).map_err(Error::io("write", &full))?;
        if file.user.is_some() {
            chown(&full, file.user, None).map_err(Error::io("give to its user", &full))?;
        }
        fs::set_permissions(&full, fs::Permissions::from_mode(file.mode & 0o777))
            .map_err(Error::io("set permissions of", &full))?;
    }
    // The group can read what it is given; nobody writes into projected files.
    Ownership { only_on_mismatch: false, ..*owner }.apply(version, true)
}

/// Links every first part of a path, and removes links to what is no longer there.
fn link_names(root: &Path, files: &Files) -> Result<()> {
    let wanted: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = root.join(name);
        let target = Path::new(DATA).join(name);
        match fs::read_link(&link) {
            Ok(present) if present == target => {}
            _ => {
                remove(&link)?;
                symlink(&target, &link).map_err(Error::io("link", &link))?;
            }
        }
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
        if is_link && !name.starts_with("..") && !wanted.contains(name.as_str()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
