//! Container logs: reading, following, rotating.

pub(crate) mod entry;
pub(crate) mod read;
mod rotate;
#[cfg(test)]
mod tests;

use std::path::Path;

pub(crate) use rotate::keep;

/// Removes the log of one container instance, rotated parts included.
pub(crate) fn remove(dir: &Path, attempt: u32) {
    let prefix = format!("{attempt}.log");
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
