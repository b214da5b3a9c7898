//! Log rotation: 10 MiB a file, five files a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use runtime::types::{ContainerFilter, ContainerState};
use tracing::{debug, warn};

use crate::agent::Agent;

const LARGEST: u64 = 10 << 20;
const FILES: usize = 5;

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
    // The folder tells which logs are large without a call to the runtime.
    if !any_large(&agent.config.log_dir) {
        return Ok(());
    }
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..Default::default() };
    for container in agent.runtime.list_containers(&filter).await? {
        let status = match agent.runtime.container_status(&container.id).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        };
        let log = status.log_path;
        if fs::metadata(&log).map_or(0, |m| m.len()) < LARGEST {
            continue;
        }
        let rotated = rename(&log);
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

fn any_large(dir: &Path) -> bool {
    let list =
        |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<PathBuf>>();
    let containers = list(dir).into_iter().flat_map(|pod| list(&pod));
    containers.flat_map(|dir| list(&dir)).any(|file| {
        file.extension().is_some_and(|e| e == "log") && fs::metadata(&file).is_ok_and(|m| m.len() >= LARGEST)
    })
}

/// Moves a log aside and removes the oldest of those moved before.
pub(super) fn rename(log: &Path) -> std::io::Result<PathBuf> {
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stamp = jiff::fmt::strtime::format("%Y%m%d-%H%M%S", Timestamp::now()).unwrap_or_default();
    let rotated = log.with_file_name(format!("{name}.{stamp}"));
    fs::rename(log, &rotated)?;
    for old in super::read::rotated(log).into_iter().rev().skip(FILES - 1) {
        let _ = fs::remove_file(old);
    }
    Ok(rotated)
}
