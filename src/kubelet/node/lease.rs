//! The node's lease in kube-node-lease: its heartbeat.

use std::time::Duration;

use api::{Patch, Status};
use jiff::Timestamp;
use serde_json::json;
use tracing::warn;

use crate::agent::Agent;
use crate::resources;

const NAMESPACE: &str = "kube-node-lease";
const DURATION_SECONDS: u32 = 40;

/// Renews the lease, making it anew if it is gone.
pub(super) async fn keep(agent: &Agent) {
    let mut failures = 0u32;
    loop {
        let wait = match renew(agent).await {
            Ok(()) => {
                failures = 0;
                agent.config.timing.lease
            }
            Err(error) => {
                failures += 1;
                // The namespace appears a moment after the first server start.
                if failures > 3 {
                    warn!(%error, "could not renew the node's lease, will retry");
                }
                client::jittered(Duration::from_millis(400 * u64::from(failures.min(10))))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn renew(agent: &Agent) -> Result<(), Status> {
    let name = &agent.config.node_name;
    let now = api::time::format_micro(Timestamp::now());
    let patch = json!({"spec": {"renewTime": now, "holderIdentity": name, "leaseDurationSeconds": DURATION_SECONDS}});
    match agent.client.patch(resources::leases(), NAMESPACE, name, "", Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => {
            let node = agent.client.get(resources::nodes(), "", name).await?;
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": name, "uid": &*node.meta.uid},
                ]},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now},
            });
            agent.client.create(resources::leases(), NAMESPACE, lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}
