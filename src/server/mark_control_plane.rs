//! The label by which people, charts and `kubectl get nodes` know the machines of the control plane: kubeadm's phase of this
//! name. A node may not give it to itself, so the server does. No taint: one machine is a whole cluster.

use std::time::Duration;

use api::Patch;
use client::{Client, kinds};
use serde_json::json;

const LABEL: &str = "node-role.kubernetes.io/control-plane";
const AGAIN: Duration = Duration::from_secs(5);

/// Labels the node when it is there, and whenever it comes anew. Who takes the label off gets his way until then.
pub(super) async fn run(client: Client, node: String) {
    let nodes = client.cache(&kinds::nodes());
    nodes.synced().await;
    let (_, mut changes) = nodes.subscribe();
    let mut marked = String::new();
    loop {
        if let Some(found) = nodes.get("", &node).filter(|found| *found.meta.uid != *marked) {
            let known = found.meta.labels.iter().any(|(key, _)| key == LABEL);
            match if known { Ok(()) } else { mark(&client, &node, &found.meta.uid).await } {
                Ok(()) => marked = found.meta.uid.to_string(),
                Err(error) => {
                    tracing::warn!(node, %error, "the node is not marked as one of the control plane");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            }
        }
        if changes.next().await.is_err() {
            // Fell behind the history; what is there now is looked at next.
            changes = nodes.subscribe().1;
        }
    }
}

async fn mark(client: &Client, node: &str, uid: &str) -> Result<(), api::Status> {
    let patch = json!({ "metadata": { "uid": uid, "labels": { LABEL: "" } } });
    client.patch(&kinds::nodes(), "", node, "", Patch::Merge(patch)).await.map(drop)
}
