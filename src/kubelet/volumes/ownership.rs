//! fsGroup: which group files of a volume belong to.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use crate::error::{Error, Result};
use crate::pods::pod::Pod;

/// Who files of a pod's volumes belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ownership {
    /// `fsGroup`.
    pub(crate) group: Option<u32>,
    /// The user all containers run as, if it is one: owner of service account tokens.
    pub(crate) user: Option<u32>,
    /// `fsGroupChangePolicy: OnRootMismatch`.
    pub(crate) only_on_mismatch: bool,
}

impl Ownership {
    pub(crate) fn of(pod: &Pod) -> Self {
        let shared = pod.spec.security_context.clone().unwrap_or_default();
        let own = |c: &k8s_openapi::api::core::v1::Container| {
            c.security_context.as_ref().and_then(|s| s.run_as_user).or(shared.run_as_user)
        };
        let mut users = pod.init_containers().iter().chain(&pod.spec.containers).map(own);
        let first = users.next().flatten();
        let user = first.filter(|user| users.all(|other| other == Some(*user)));
        Self {
            group: shared.fs_group.and_then(|g| u32::try_from(g).ok()),
            user: user.and_then(|u| u32::try_from(u).ok()),
            only_on_mismatch: shared.fs_group_change_policy.as_deref() == Some("OnRootMismatch"),
        }
    }

    /// Gives a volume to the group: everything in it readable (and writable) by the group, directories passing the group on.
    pub(crate) fn apply(&self, root: &Path, read_only: bool) -> Result<()> {
        let Some(group) = self.group else { return Ok(()) };
        if self.only_on_mismatch
            && let Ok(metadata) = fs::symlink_metadata(root)
            && metadata.gid() == group
            && metadata.mode() & 0o2070 == 0o2070
        {
            return Ok(());
        }
        apply(root, group, read_only)
    }
}

impl Ownership {
    /// Gives only the volume's own directory to the group, which then owns what is made in it.
    pub(super) fn apply_to_root(&self, root: &Path) -> Result<()> {
        let Some(group) = self.group else { return Ok(()) };
        let metadata = fs::metadata(root).map_err(Error::io("look at", root))?;
        if metadata.gid() == group && metadata.mode() & 0o2000 != 0 {
            return Ok(());
        }
        lchown(root, None, Some(group)).map_err(Error::io("give to its group", root))?;
        let mode = metadata.mode() & 0o7777 | 0o2000;
        fs::set_permissions(root, fs::Permissions::from_mode(mode)).map_err(Error::io("set permissions of", root))
    }
}

fn apply(path: &Path, group: u32, read_only: bool) -> Result<()> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    lchown(path, None, Some(group)).map_err(Error::io("give to its group", path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mut mode = metadata.mode() & 0o7777 | if read_only { 0o440 } else { 0o660 };
    if metadata.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set permissions of", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
            apply(&entry.map_err(Error::io("list", path))?.path(), group, read_only)?;
        }
    }
    Ok(())
}
