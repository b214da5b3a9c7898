//! What is left of pods this node no longer has: sandboxes, directories, cgroups, logs.
//!
//! Called only when the API has told all pods of this node: before, everything would look like an orphan.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::types::{ContainerFilter, SandboxFilter};
use tracing::{info, warn};

use super::observed::POD_UID;
use crate::agent::Agent;
use crate::volumes;

/// Removes everything whose uid is not known.
pub(super) async fn sweep(agent: &Agent, known: &(dyn Fn(&str) -> bool + Sync)) {
    let filter = SandboxFilter::default();
    let Ok(sandboxes) = agent.runtime.list_sandboxes(&filter).await else { return };
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(POD_UID).filter(|uid| !known(uid)) else { continue };
        info!(
            pod = sandbox.metadata.name,
            namespace = sandbox.metadata.namespace,
            uid,
            "removing the containers of a pod that is gone"
        );
        let mut labels = BTreeMap::new();
        labels.insert(POD_UID.to_owned(), uid.clone());
        let filter = ContainerFilter { labels, ..ContainerFilter::default() };
        for container in agent.runtime.list_containers(&filter).await.unwrap_or_default() {
            if let Err(error) = agent.runtime.stop_container(&container.id, Duration::from_secs(2)).await {
                warn!(%error, container = container.metadata.name, "could not stop an orphaned container");
            }
        }
        let removed = async {
            agent.runtime.stop_sandbox(&sandbox.id).await?;
            agent.runtime.remove_sandbox(&sandbox.id).await
        };
        if let Err(error) = removed.await {
            warn!(%error, sandbox = sandbox.id, "could not remove an orphaned sandbox, will retry");
        }
    }
    for uid in names(&agent.config.root_dir.join("pods")).into_iter().filter(|uid| !known(uid)) {
        if let Err(error) = volumes::clean_up(&agent.config.pod_dir(&uid)) {
            warn!(%error, uid, "could not remove the directory of a pod that is gone, will retry");
        }
    }
    for uid in agent.cgroups.pods().into_iter().filter(|uid| !known(uid)) {
        if let Err(error) = agent.cgroups.remove_pod(&uid).await {
            warn!(%error, uid, "could not remove the cgroup of a pod that is gone, will retry");
        }
    }
    for name in names(&agent.config.log_dir) {
        // Only directories of the form this agent makes are its own.
        let mut parts = name.splitn(3, '_');
        let uid = parts.nth(2);
        if uid.is_some_and(|uid| !known(uid)) {
            let _ = std::fs::remove_dir_all(agent.config.log_dir.join(&name));
        }
    }
    if let Some(dir) = &agent.config.log_links {
        for name in names(dir) {
            let link = dir.join(&name);
            if std::fs::symlink_metadata(&link).is_ok_and(|m| m.is_symlink()) && !link.exists() {
                let _ = std::fs::remove_file(link);
            }
        }
    }
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
