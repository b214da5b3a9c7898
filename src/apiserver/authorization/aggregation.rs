//! Writes into aggregated cluster roles what they add up to, so that clients which read them see it. Authorization itself
//! does not wait for it: the compiled index adds up on its own.

use std::sync::Arc;
use std::time::Duration;

use api::{Operation, Patch, WriteOptions};
use serde_json::json;

use super::bootstrap;
use super::rbac::Rbac;
use crate::Registry;

/// Runs until it is dropped.
pub(crate) async fn run(registry: Arc<Registry>, rbac: Arc<Rbac>) {
    let Some(row) = api::resource::find("rbac.authorization.k8s.io", "v1", "clusterroles").cloned() else { return };
    let cache = registry.cache(&row);
    loop {
        let (_, mut changes) = cache.subscribe();
        let mut failed = false;
        for (name, rules) in &rbac.compiled_now().stale {
            let Some(role) = cache.get("", name) else { continue };
            // With the uid, so that a role that is deleted in between is not made anew.
            let applied = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": name, "uid": &*role.meta.uid},
                "rules": &**rules,
            });
            let patch = Operation::Patch(Patch::Apply(applied), options());
            match bootstrap::write(&registry, &row, "", name, patch).await {
                Ok(_) => tracing::info!(role = name, "an aggregated cluster role was brought up to date"),
                Err(status) if status.is_not_found() || status.is_conflict() => {}
                Err(status) => {
                    tracing::warn!(role = name, %status, "an aggregated cluster role cannot be written, will try again");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(Duration::from_secs(5)).await;
        } else {
            // Our own writes wake us once more, and then there is nothing to do. Falling behind is a reason to look, too.
            let _ = changes.next().await;
            // Bursts, such as an operator's installation, are added up once.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn options() -> WriteOptions {
    let field_manager = "clusterrole-aggregation-controller".into();
    WriteOptions { field_manager, force: true, ..WriteOptions::default() }
}
