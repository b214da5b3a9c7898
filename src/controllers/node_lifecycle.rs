//! node-lifecycle-controller: tells living nodes from silent ones, by taints that scheduler and taint-eviction act on.
//!
//! Watches: nodes, leases of `kube-node-lease`.
//! Writes: conditions of silent nodes (Unknown), taints that mirror conditions, readiness of pods on nodes that are not
//! ready, events.
//! Invariant: a node that neither renewed its lease nor posted its status for 40 s is Unknown; NoSchedule taints say what
//! the conditions say; NoExecute taints come at a bounded rate, and not at all while no node is healthy: then it is more
//! likely that the network, or this server, is at fault.

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Patch};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::expectations::seen;
use crate::nodes::NodeView;
use crate::pods::{self, PodView};
use plan::{Evict, Pace, ZoneHealth};

/// A node that never posted a status may take so long to start.
const STARTUP_GRACE: Duration = Duration::from_secs(60);
const LEASES: &str = "kube-node-lease";

pub(crate) fn controller(setup: &Setup) -> Controller<Lifecycle> {
    let client = setup.client.clone();
    let state = Lifecycle {
        nodes: client.cache(&kinds::nodes()),
        pods: client.cache(&kinds::pods()),
        events: setup.events_as("node-controller"),
        grace: setup.options.node_monitor_grace,
        health: Mutex::default(),
        client,
    };
    Controller::new("node-lifecycle-controller", Arc::new(state), reconcile)
        .workers(8)
        .watch(&kinds::nodes(), itself)
        .watch(&kinds::leases(), of_lease)
        .needs(&kinds::pods())
}

pub(crate) struct Lifecycle {
    client: Client,
    nodes: Arc<Cache>,
    pods: Arc<Cache>,
    events: Recorder,
    grace: Duration,
    health: Mutex<Healths>,
}

#[derive(Default)]
struct Healths {
    nodes: HashMap<String, Health>,
    /// When a node of a zone was last given a NoExecute taint.
    tainted: HashMap<String, Instant>,
}

/// What was observed of one node. Times are this process's own: clocks of nodes are not trusted.
struct Health {
    seen: Instant,
    heartbeat: Option<Timestamp>,
    zone: String,
    ready: bool,
    /// Whether it was silent for too long when last looked at.
    stale: bool,
}

/// A renewed lease is noted here and makes no work, unless the node counted as silent.
fn of_lease(state: &Lifecycle, change: &Change, keys: &mut Keys<'_>) {
    let meta = &change.object.meta;
    if &*meta.namespace != LEASES || change.kind == ChangeKind::Deleted {
        return;
    }
    if let Some(health) = state.health.lock().nodes.get_mut(&*meta.name) {
        health.seen = Instant::now();
        if std::mem::take(&mut health.stale) {
            keys.named("", &meta.name);
        }
    }
}

async fn reconcile(state: Arc<Lifecycle>, name: Key) -> Result {
    let Some(mut node) = state.nodes.get_key(&name) else {
        if state.health.lock().nodes.remove(&*name).is_some() {
            let about = Reference {
                kind: "Node".into(),
                api_version: "v1".into(),
                name: name.to_string(),
                ..Default::default()
            };
            let message = format!("Node {name} event: Removing Node {name} from Controller");
            state.events.event(about, EventType::Normal, "RemovingNode", message);
        }
        return Ok(Outcome::Done);
    };
    let mut view: NodeView = node.view()?;
    let was_ready = view.ready() == Some("True");
    let Observed { silent, first, ready_before } = state.observe(&node, &view);
    if first {
        let message = format!("Node {name} event: Registered Node {name} in Controller");
        state.event(&node, "RegisteredNode", message);
    }
    let grace = if view.ready().is_none() { STARTUP_GRACE } else { state.grace };
    let stale = silent > grace;
    if stale && let Some(conditions) = plan::unknown(&view, node.meta.creation_timestamp, Timestamp::now()) {
        let patch =
            Patch::Strategic(json!({ "metadata": { "uid": node.meta.uid }, "status": { "conditions": conditions } }));
        node = state.client.patch(state.nodes.resource(), "", &name, "status", patch).await?;
        tracing::warn!(node = &*name, silent = silent.as_secs(), "node is silent and counts as unknown");
        seen(&state.nodes, &node).await;
        view = node.view()?;
    }
    let pace = state.note(&name, &view, stale);
    let pace = state.taint(&node, &view, pace).await?;
    let ready = view.ready() == Some("True");
    if !ready && (was_ready || ready_before) {
        state.event(&node, "NodeNotReady", format!("Node {name} status is now: NodeNotReady"));
    }
    // A silent kubelet cannot say so itself; one that lives may, so that is only done when it turns.
    if view.ready() == Some("Unknown") || !ready && (was_ready || ready_before) {
        state.mark_pods(&name).await?;
    }
    // Leases make no work, so this is what notices their absence. An unready node is looked at again for its taint's turn.
    let again = if stale { grace } else { grace.saturating_sub(silent) + Duration::from_millis(100) };
    Ok(Outcome::After(pace.map_or(again, |pace| pace.min(again))))
}

struct Observed {
    silent: Duration,
    first: bool,
    ready_before: bool,
}

impl Lifecycle {
    /// Takes the node's heartbeat, and tells how long it has been silent.
    fn observe(&self, node: &Object, view: &NodeView) -> Observed {
        let heartbeat = view.condition("Ready").and_then(|ready| ready.last_heartbeat_time);
        let mut healths = self.health.lock();
        let first = !healths.nodes.contains_key(&*node.meta.name);
        let health = healths.nodes.entry(node.meta.name.to_string()).or_insert_with(|| Health {
            seen: Instant::now(),
            heartbeat,
            zone: String::new(),
            ready: false,
            stale: false,
        });
        if health.heartbeat != heartbeat {
            health.heartbeat = heartbeat;
            health.seen = Instant::now();
        }
        Observed { silent: health.seen.elapsed(), first, ready_before: health.ready }
    }

    /// Notes the node's readiness, and tells how fast nodes of its zone may be given NoExecute taints.
    fn note(&self, name: &str, view: &NodeView, stale: bool) -> Pace {
        let node = self.nodes.get("", name);
        let label = |key: &str| node.as_ref().and_then(|node| node.meta.labels.get(key)).unwrap_or_default().to_owned();
        let zone = format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
        let mut healths = self.health.lock();
        if let Some(health) = healths.nodes.get_mut(name) {
            health.ready = view.ready() == Some("True");
            health.stale = stale;
            health.zone = zone.clone();
        }
        let count = |in_zone: &dyn Fn(&Health) -> bool| {
            let nodes = healths.nodes.values().filter(|health| in_zone(health));
            nodes.fold(ZoneHealth::default(), |sum, health| sum.with(health.ready))
        };
        plan::pace(count(&|health| health.zone == zone), count(&|_| true))
    }

    /// Brings the node's taints in line with its conditions. Returns when to come again for a taint that had to wait.
    async fn taint(&self, node: &Object, view: &NodeView, pace: Pace) -> std::result::Result<Option<Duration>, Error> {
        let zone = self.health.lock().nodes.get(&*node.meta.name).map(|health| health.zone.clone()).unwrap_or_default();
        let wait = match pace {
            Pace::Stop => None,
            Pace::Every(period) => {
                let last = self.health.lock().tainted.get(&zone).copied();
                Some(last.map_or(Duration::ZERO, |last| period.saturating_sub(last.elapsed())))
            }
        };
        let evict = match (pace, wait) {
            (Pace::Stop, _) => Evict::Never,
            (_, Some(wait)) if wait.is_zero() => Evict::Now,
            _ => Evict::Later,
        };
        let (taints, added) = plan::taints(view, evict, Timestamp::now());
        if let Some(taints) = taints {
            // The list is written whole: it must be the version it was made from.
            let metadata = json!({ "resourceVersion": node.meta.resource_version.to_string() });
            let patch = Patch::Merge(json!({ "metadata": metadata, "spec": { "taints": taints } }));
            let written = self.client.patch(self.nodes.resource(), "", &node.meta.name, "", patch).await?;
            if added {
                self.health.lock().tainted.insert(zone, Instant::now());
            }
            seen(&self.nodes, &written).await;
        }
        Ok(wait.filter(|wait| !wait.is_zero() && view.ready() != Some("True")))
    }

    /// Says of the pods of a node that they are not ready.
    async fn mark_pods(&self, node: &str) -> std::result::Result<(), Error> {
        for pod in self.pods.list("").into_iter().filter(|pod| pods::node_name(pod) == node) {
            if !PodView::of(&pod)?.is_ready() {
                continue;
            }
            let now = api::time::format(Timestamp::now());
            let condition = json!({ "type": "Ready", "status": "False", "lastTransitionTime": now });
            let patch = Patch::Strategic(
                json!({ "metadata": { "uid": pod.meta.uid }, "status": { "conditions": [condition] } }),
            );
            match self.client.patch(self.pods.resource(), &pod.meta.namespace, &pod.meta.name, "status", patch).await {
                Ok(_) => {
                    let about = Reference::to(self.pods.resource(), &pod);
                    self.events.event(about, EventType::Warning, "NodeNotReady", "Node is not ready");
                }
                Err(status) if status.is_not_found() || status.is_conflict() => {}
                Err(status) => return Err(status.into()),
            }
        }
        Ok(())
    }

    fn event(&self, node: &Object, reason: &str, message: String) {
        self.events.event(Reference::to(self.nodes.resource(), node), EventType::Normal, reason, message);
    }
}
