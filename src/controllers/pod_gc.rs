//! pod-garbage-collector-controller: deletes pods that nobody will ever end.
//!
//! Watches: pods, nodes.
//! Writes: marks pods failed, and deletes them without grace.
//! Invariant: no pod stays bound to a node that is gone (for 40 s, and by the server's own word); no terminating pod
//! waits for a node it never had, or for one that is out of service; terminated pods past the threshold go, oldest first.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Status};
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result};
use client::kinds;
use client::queue::Key;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::eviction::{Disruption, force_delete};
use crate::nodes::NodeView;
use crate::pods;

/// How long a node may be missing before its pods are given up: it may only be unknown yet.
const QUARANTINE: Duration = Duration::from_secs(40);
/// How often terminated pods are counted, at most.
const COUNT_EVERY: Duration = Duration::from_secs(20);

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The one key of the count; the others are `pod:namespace/name` and `node:name`.
const TERMINATED: &str = "terminated";

pub(crate) fn controller(setup: &Setup) -> Controller<PodGc> {
    let client = setup.client.clone();
    let state = PodGc {
        pods: client.cache(&kinds::pods()),
        nodes: client.cache(&kinds::nodes()),
        threshold: setup.options.terminated_pod_threshold,
        client,
    };
    Controller::new("pod-garbage-collector-controller", Arc::new(state), reconcile)
        .watch(&kinds::pods(), of_pod)
        .watch(&kinds::nodes(), of_node)
}

pub(crate) struct PodGc {
    client: Client,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    threshold: usize,
}

fn of_pod(state: &PodGc, change: &Change, keys: &mut Keys<'_>) {
    let pod = &change.object;
    if change.kind == ChangeKind::Deleted {
        return;
    }
    let node = pods::node_name(pod);
    if node.is_empty() {
        if pod.meta.is_deleting() {
            keys.add(format!("pod:{}", pod.meta.key()));
        }
    } else if state.nodes.get("", node).is_none() {
        keys.add_after(format!("node:{node}"), QUARANTINE);
    } else if pod.meta.is_deleting() {
        keys.add_after(format!("node:{node}"), COUNT_EVERY);
    }
    if state.threshold > 0 && pods::is_terminated(pod) {
        keys.add_after(TERMINATED, COUNT_EVERY);
    }
}

fn of_node(_: &PodGc, change: &Change, keys: &mut Keys<'_>) {
    let key = format!("node:{}", change.object.meta.name);
    match change.kind {
        ChangeKind::Deleted => keys.add_after(key, QUARANTINE),
        _ if mentions(&change.object, OUT_OF_SERVICE) => keys.add(key),
        _ => {}
    }
}

/// Whether an object's JSON contains a text: a look that spares decoding every node.
fn mentions(object: &Object, text: &str) -> bool {
    object.stored_bytes().windows(text.len()).any(|window| window == text.as_bytes())
}

async fn reconcile(state: Arc<PodGc>, key: Key) -> Result {
    match key.split_once(':') {
        Some(("pod", pod)) => state.unscheduled(pod).await?,
        Some((_, node)) => state.node(node).await?,
        None => state.terminated().await?,
    }
    Ok(Outcome::Done)
}

impl PodGc {
    async fn unscheduled(&self, key: &str) -> std::result::Result<(), Status> {
        match self.pods.get_key(key) {
            Some(pod) if pod.meta.is_deleting() && pods::node_name(&pod).is_empty() => {
                tracing::info!(pod = key, "deleting a terminating pod that no node has");
                force_delete(&self.client, &pod, None).await
            }
            _ => Ok(()),
        }
    }

    async fn node(&self, name: &str) -> std::result::Result<(), client::controller::Error> {
        let bound = |pod: &Arc<Object>| pods::node_name(pod) == name;
        if let Some(node) = self.nodes.get("", name) {
            let view: NodeView = node.view()?;
            if view.ready() != Some("True") && view.taints().iter().any(|taint| taint.key == OUT_OF_SERVICE) {
                for pod in self.pods.list("").iter().filter(|pod| bound(pod) && pod.meta.is_deleting()) {
                    tracing::info!(
                        pod = pod.meta.key(),
                        node = name,
                        "deleting a terminating pod of a node out of service"
                    );
                    force_delete(&self.client, pod, None).await?;
                }
            }
            return Ok(());
        }
        let orphans: Vec<Arc<Object>> = self.pods.list("").into_iter().filter(bound).collect();
        if orphans.is_empty() {
            return Ok(());
        }
        match self.client.get(self.nodes.resource(), "", name).await {
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status.into()),
            Ok(_) => return Ok(()),
        }
        for pod in orphans {
            tracing::info!(pod = pod.meta.key(), node = name, "deleting a pod of a node that is gone");
            let why = Disruption { reason: "DeletionByPodGC", message: "PodGC: node no longer exists" };
            force_delete(&self.client, &pod, Some(why)).await?;
        }
        Ok(())
    }

    async fn terminated(&self) -> std::result::Result<(), client::controller::Error> {
        let ended: Vec<Arc<Object>> = self.pods.list("").into_iter().filter(|pod| pods::is_terminated(pod)).collect();
        for pod in surplus(ended, self.threshold) {
            force_delete(&self.client, &pod, None).await?;
        }
        Ok(())
    }
}

/// Those of the terminated pods that are too many: evicted ones first, then the oldest.
fn surplus(mut ended: Vec<Arc<Object>>, threshold: usize) -> Vec<Arc<Object>> {
    let count = ended.len().saturating_sub(threshold);
    if count > 0 {
        let evicted = |pod: &Object| pod.to_value().is_ok_and(|pod| pod["status"]["reason"] == "Evicted");
        ended.sort_by_cached_key(|pod| (!evicted(pod), pod.meta.creation_timestamp, pod.meta.name.clone()));
    }
    ended.truncate(count);
    ended
}
