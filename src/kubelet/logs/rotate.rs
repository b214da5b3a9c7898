//! Log rotation: a file a container that grows too large is moved aside, and the oldest of those go.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use runtime::types::{ContainerFilter, ContainerState};
use tracing::{debug, warn};

use crate::agent::Agent;

/// Looks at the logs of running containers again and again until dropped.
pub(crate) async fn keep(agent: Arc<Agent>) {
    loop {
        tokio::time::sleep(agent.config.timing.housekeeping).await;
        if let Err(error) = rotate_all(&agent).await {
            debug!(%error, "log rotation could not ask the runtime");
        }
    }
}

async fn rotate_all(agent: &Agent) -> crate::Result<()> {
    let crate::Limits { log_size, log_files, .. } = agent.config.limits;
    // The folder tells which logs are large without a call to the runtime.
    if !any_large(&agent.config.log_dir, log_size) {
        return Ok(());
    }
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    for container in agent.runtime.list_containers(&filter).await? {
        let status = match agent.runtime.container_status(&container.id).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        };
        let log = status.log_path;
        if fs::metadata(&log).map_or(0, |m| m.len()) < log_size {
            continue;
        }
        let rotated = rename(&log, log_files);
        match rotated {
            Ok(rotated) => {
                if let Err(error) = agent.runtime.reopen_log(&container.id).await {
                    warn!(container = container.metadata.name, %error, "could not reopen a log after rotation");
                    let _ = fs::rename(&rotated, &log);
                }
            }
            Err(error) => warn!(log = %log.display(), %error, "could not rotate a log"),
        }
    }
    Ok(())
}

fn any_large(dir: &Path, size: u64) -> bool {
    let list =
        |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<PathBuf>>();
    let containers = list(dir).into_iter().flat_map(|pod| list(&pod));
    containers
        .flat_map(|dir| list(&dir))
        .any(|file| file.extension().is_some_and(|e| e == "log") && fs::metadata(&file).is_ok_and(|m| m.len() >= size))
}

/// Moves a log aside and removes the oldest of those moved before, so that `files` with the next one are left.
pub(super) fn rename(log: &Path, files: usize) -> std::io::Result<PathBuf> {
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stamp = jiff::fmt::strtime::format("%Y%m%d-%H%M%S", Timestamp::now()).unwrap_or_default();
    let rotated = log.with_file_name(format!("{name}.{stamp}"));
    fs::rename(log, &rotated)?;
    for old in super::read::rotated(log).into_iter().rev().skip(files - 1) {
        let _ = fs::remove_file(old);
    }
    Ok(rotated)
}
