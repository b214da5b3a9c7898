//! taint-eviction-controller: ends pods that do not tolerate their node's NoExecute taints.
//!
//! Watches: nodes, pods.
//! Writes: the DisruptionTarget condition of pods, deletes them, events.
//! Invariant: no bound pod outlives its tolerations. The clock of a limited toleration starts when this controller first
//! sees pod and taint together, and stops when the taint goes.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Object;
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::eviction::{Disruption, evict};
use crate::expectations::seen_deleted;
use crate::nodes::{NodeView, Taint, Toleration};
use crate::pods;

const WHY: Disruption =
    Disruption { reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint" };

pub(crate) fn controller(setup: &Setup) -> Controller<Eviction> {
    let client = setup.client.clone();
    let state = Eviction {
        pods: client.cache(&kinds::pods()),
        events: setup.events(),
        tainted: Mutex::default(),
        clocks: Mutex::default(),
        client,
    };
    Controller::new("taint-eviction-controller", Arc::new(state), reconcile)
        .workers(8)
        .watch(&kinds::nodes(), of_node)
        .watch(&kinds::pods(), of_pod)
}

pub(crate) struct Eviction {
    client: Client,
    pods: Arc<Cache>,
    events: Recorder,
    /// The NoExecute taints of nodes that have some.
    tainted: Mutex<HashMap<String, Arc<[Taint]>>>,
    /// Since when pods (by uid) sit beside a taint they tolerate for a while.
    clocks: Mutex<HashMap<Box<str>, Instant>>,
}

fn of_node(state: &Eviction, change: &Change, keys: &mut Keys<'_>) {
    let name = &*change.object.meta.name;
    let taints = if change.kind == ChangeKind::Deleted { Vec::new() } else { no_execute(&change.object) };
    let mut tainted = state.tainted.lock();
    if tainted.get(name).map_or(taints.is_empty(), |old| **old == *taints) {
        return;
    }
    if taints.is_empty() {
        tainted.remove(name);
    } else {
        tainted.insert(name.to_owned(), taints.into());
    }
    drop(tainted);
    for pod in state.pods.list("").iter().filter(|pod| pods::node_name(pod) == name) {
        keys.object(pod);
    }
}

/// The node's NoExecute taints. Few nodes have any, so most are not decoded.
fn no_execute(node: &Object) -> Vec<Taint> {
    const EFFECT: &[u8] = b"\"NoExecute\"";
    if !node.stored_bytes().windows(EFFECT.len()).any(|window| window == EFFECT) {
        return Vec::new();
    }
    // A node that does not decode is left alone; its next version brings it here again.
    let view: NodeView = node.view().unwrap_or_default();
    view.taints().iter().filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

fn of_pod(state: &Eviction, change: &Change, keys: &mut Keys<'_>) {
    let pod = &change.object;
    if change.kind == ChangeKind::Deleted {
        state.clocks.lock().remove(&pod.meta.uid);
    } else if state.tainted.lock().contains_key(pods::node_name(pod)) {
        keys.object(pod);
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    tolerations: Option<Vec<Toleration>>,
}

async fn reconcile(state: Arc<Eviction>, key: Key) -> Result {
    let Some(pod) = state.pods.get_key(&key) else { return Ok(Outcome::Done) };
    if pod.meta.is_deleting() {
        state.clocks.lock().remove(&pod.meta.uid);
        return Ok(Outcome::Done);
    }
    let taints = state.tainted.lock().get(pods::node_name(&pod)).cloned();
    let view: View = pod.view()?;
    let about = || Reference::to(state.pods.resource(), &pod);
    match stay(taints.as_deref().unwrap_or_default(), view.spec.tolerations.as_deref().unwrap_or_default()) {
        Stay::Forever => {
            if state.clocks.lock().remove(&pod.meta.uid).is_some() {
                let message = format!("Cancelling deletion of Pod {key}");
                state.events.event(about(), EventType::Normal, "TaintManagerEviction", message);
            }
            Ok(Outcome::Done)
        }
        Stay::For(limit) => {
            let since = *state.clocks.lock().entry(pod.meta.uid.clone()).or_insert_with(Instant::now);
            let left = limit.saturating_sub(since.elapsed());
            if !left.is_zero() {
                return Ok(Outcome::After(left));
            }
            tracing::info!(
                pod = &*key,
                node = pods::node_name(&pod),
                "evicting a pod that does not tolerate its node's taints"
            );
            let message = format!("Marking for deletion Pod {key}");
            state.events.event(about(), EventType::Normal, "TaintManagerEviction", message);
            evict(&state.client, &pod, WHY).await?;
            seen_deleted(&state.pods, &pod).await;
            state.clocks.lock().remove(&pod.meta.uid);
            Ok(Outcome::Done)
        }
    }
}

/// How long a pod may stay on its node.
#[derive(Debug, PartialEq, Eq)]
enum Stay {
    Forever,
    For(Duration),
}

/// A taint without a toleration ends a pod at once; of the tolerations that apply the shortest counts.
fn stay(taints: &[Taint], tolerations: &[Toleration]) -> Stay {
    let mut limit = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            return Stay::For(Duration::ZERO);
        };
        if let Some(seconds) = toleration.toleration_seconds {
            let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            limit = Some(limit.map_or(seconds, |limit: Duration| limit.min(seconds)));
        }
    }
    limit.map_or(Stay::Forever, Stay::For)
}
