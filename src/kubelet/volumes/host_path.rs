//! hostPath types: what must be there, and what is made.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result, invalid};

/// Checks a path of the node against the type the volume asks for.
pub(super) fn check(path: &Path, kind: &str) -> Result<()> {
    if !path.is_absolute() || path.components().any(|c| c == std::path::Component::ParentDir) {
        return invalid(format!("hostPath {} must be an absolute path without '..'", path.display()));
    }
    let found = fs::metadata(path);
    match kind {
        "DirectoryOrCreate" if found.is_err() => return super::make_dir(path, 0o755),
        "FileOrCreate" if found.is_err() => {
            let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
            return made.map(drop).map_err(Error::io("make file", path));
        }
        _ => {}
    }
    let is = |what: &str, is: fn(&fs::Metadata) -> bool| match &found {
        Ok(metadata) if is(metadata) => Ok(()),
        _ => invalid(format!("hostPath type check failed: {} is not {what}", path.display())),
    };
    match kind {
        // Without a type containerd makes a missing directory, as upstream's runtimes do.
        "" => Ok(()),
        "Directory" | "DirectoryOrCreate" => is("a directory", fs::Metadata::is_dir),
        "File" | "FileOrCreate" => is("a file", fs::Metadata::is_file),
        "Socket" => is("a socket file", |m| m.file_type().is_socket()),
        "CharDevice" => is("a character device", |m| m.file_type().is_char_device()),
        "BlockDevice" => is("a block device", |m| m.file_type().is_block_device()),
        other => invalid(format!("{other} is an invalid volume type")),
    }
}
