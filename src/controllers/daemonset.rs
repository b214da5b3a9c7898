//! daemonset-controller: a pod on every node that should run one.
//!
//! Watches: daemon sets, nodes, pods and controller revisions they own or could own.
//! Writes: pods (create, delete, owner references), controller revisions, the sets' status, events.
//! Invariant: a node that should run the set's pod has one, and at most one more while a rolling update surges onto it.
//! Pods are bound by the scheduler: they carry a required affinity to their node's name.

mod place;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::selector::LabelSelector;
use api::{Object, Patch, Status};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, controlled_by, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::ownership::{Owner, claim, possible_owners, selector_of};
use crate::pod_control::{PodControl, is_namespace_terminating, pod_from_template};
use crate::revisions::{self, Established, HASH_LABEL, History};
use place::{Node, Placement};
use plan::{Changes, Daemon, DaemonPod, Ended};

/// At most so many pods are created or deleted in one go.
const BURST: usize = 250;
/// How long a node's failed pod stays: doubled with each failure that follows, up to the second figure.
const FAILED_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15 * 60));

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<DaemonSets> {
    let kind = kinds::daemon_sets();
    let events = setup.events();
    let state = DaemonSets {
        client: setup.client.clone(),
        pods: PodControl::new(&setup.client, &events),
        events,
        sets: setup.client.cache(&kind),
        nodes: setup.client.cache(&kinds::nodes()),
        revisions: setup.client.cache(&kinds::controller_revisions()),
        failures: Mutex::default(),
    };
    let (owned, owned_too) = (controlled_by(&kind), controlled_by(&kind));
    Controller::new("daemonset-controller", Arc::new(state), reconcile)
        .workers(2)
        .watch(&kind, itself)
        .watch(&kinds::nodes(), when_a_node_matters)
        .watch(&kinds::pods(), move |state: &DaemonSets, change: &Change, keys: &mut Keys<'_>| {
            owned(state, change, keys);
            possible_owners(&state.sets, &change.object).into_iter().for_each(|key| keys.add(key));
        })
        .watch(&kinds::controller_revisions(), move |state: &DaemonSets, change: &Change, keys: &mut Keys<'_>| {
            owned_too(state, change, keys);
            possible_owners(&state.sets, &change.object).into_iter().for_each(|key| keys.add(key));
        })
}

/// What the loop works with.
pub(crate) struct DaemonSets {
    client: Client,
    events: Recorder,
    pods: PodControl,
    sets: Arc<Cache>,
    nodes: Arc<Cache>,
    revisions: Arc<Cache>,
    /// Until when the failed pods of a set's node stay, and for how long that was.
    failures: Mutex<HashMap<(String, String), Failure>>,
}

struct Failure {
    since: Instant,
    delay: Duration,
}

/// Heartbeats change nodes all the time: only what decides about daemon pods brings the sets back.
fn when_a_node_matters(state: &DaemonSets, change: &Change, keys: &mut Keys<'_>) {
    if change.kind == ChangeKind::Modified
        && let (Some(before), Ok(after)) = (&change.previous, Node::of(&change.object))
        && Node::of(before).is_ok_and(|before| before == after)
    {
        return;
    }
    state.sets.list("").iter().for_each(|set| keys.object(set));
}

async fn reconcile(state: Arc<DaemonSets>, key: Key) -> Result {
    let Some(object) = state.sets.get_key(&key) else {
        let gone: &str = &key;
        state.failures.lock().retain(|(set, _), _| set != gone);
        return Ok(Outcome::Done);
    };
    let value = object.to_value()?;
    let selector = selector_of(&value).map_err(|error| Error::Other(error.to_string()))?;
    if selector.is_everything() {
        let why = "This daemon set is selecting all pods. A non-empty selector is required.";
        state.event(&object, EventType::Warning, "SelectingAll", why.to_owned());
        return Ok(Outcome::Done);
    }
    if object.meta.is_deleting() {
        return Ok(Outcome::Done);
    }
    let daemon: Daemon = object.view()?;
    let kind = kinds::daemon_sets();
    let owner = Owner { resource: &kind, object: &object };
    let collisions = daemon.status.collision_count.unwrap_or(0);
    let established = History::establish(&state.client, &state.revisions, owner, &value, &selector, collisions).await?;
    let Established::History(history) = established else {
        state.write_status(&object, json!({ "collisionCount": collisions + 1 })).await?;
        return Ok(Outcome::After(Duration::ZERO));
    };
    let turn = Turn { state: &state, owner, value, daemon, selector, history: *history };
    turn.run().await
}

/// One daemon set with its history, as of this turn.
struct Turn<'a> {
    state: &'a DaemonSets,
    owner: Owner<'a>,
    value: Value,
    daemon: Daemon,
    selector: LabelSelector,
    history: History,
}

impl Turn<'_> {
    async fn run(&self) -> Result {
        self.fold_duplicates().await?;
        let nodes = self.nodes()?;
        // What is written in one step shows in the cache when the next one looks.
        let mut pods = self.pods().await?;
        let acted = self.act(&nodes, &mut pods).await;
        let (failure, again) = match acted {
            Ok(again) => (None, again),
            Err(error) => (Some(error), None),
        };
        pods = self.pods().await?;
        if failure.is_none() {
            let live = |hash: &str| pods.iter().any(|pod| pod.object.meta.labels.get(HASH_LABEL) == Some(hash));
            self.history.clean_up(&self.state.client, &self.state.revisions, self.daemon.history_limit(), live).await?;
        }
        let counts = plan::count(&nodes, &pods, self.history.current.hash());
        let observed = if failure.is_none() { self.owner.object.meta.generation } else { 0 };
        if let Some(status) = plan::status(&self.daemon.status, counts, observed) {
            self.state.write_status(self.owner.object, status).await?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let available = pods.iter().filter_map(|pod| pod.available_in).filter(|wait| !wait.is_zero()).min();
        Ok(again.into_iter().chain(available).min().map_or(Outcome::Done, Outcome::After))
    }

    async fn act(
        &self,
        nodes: &[(Node, Placement)],
        pods: &mut Vec<DaemonPod>,
    ) -> std::result::Result<Option<Duration>, Error> {
        let hash = self.history.current.hash();
        let surges = self.daemon.surges();
        let mut again: Option<Duration> = None;
        let set = self.owner.object.meta.key();
        let changes = plan::manage(nodes, pods, hash, surges, |node| {
            let waits = self.state.failed_pod_stays(&set, node);
            again = again.into_iter().chain(waits).min();
            waits.is_none()
        });
        self.announce(&changes, pods);
        if !changes.is_empty() {
            self.apply(&changes, pods).await?;
            *pods = self.pods().await?;
        }
        if self.daemon.rolls() {
            let changes = plan::roll(&self.daemon, nodes, pods, hash);
            if !changes.is_empty() {
                self.apply(&changes, pods).await?;
            }
        }
        Ok(again)
    }

    async fn apply(&self, changes: &Changes, pods: &[DaemonPod]) -> std::result::Result<(), Error> {
        let nodes = &changes.create[..changes.create.len().min(BURST)];
        let (template, hash) = (&self.value["spec"]["template"], self.history.current.hash());
        tracing::debug!(create = nodes.len(), delete = changes.delete.len(), "changing daemon pods");
        let make = |at: usize| place::pod_for(pod_from_template(self.owner, template), &nodes[at], hash);
        let (_, refused) = self.state.pods.create_many(self.owner, nodes.len(), make).await;
        let doomed = changes.delete.iter().take(BURST).map(|at| pods[*at].object.clone()).collect::<Vec<_>>();
        let deleted = self.state.pods.delete_many(self.owner, &doomed).await;
        match refused.filter(|status| !is_namespace_terminating(status)) {
            Some(status) => Err(status.into()),
            None => Ok(deleted?),
        }
    }

    fn announce(&self, changes: &Changes, pods: &[DaemonPod]) {
        for (at, ended) in &changes.ended {
            let (pod, node) = (&pods[*at].object, &pods[*at].node);
            let key = pod.meta.key();
            let (kind, reason, message) = match ended {
                Ended::Failed => (
                    EventType::Warning,
                    "FailedDaemonPod",
                    format!("Found failed daemon pod {key} on node {node}, will try to kill it"),
                ),
                Ended::Succeeded => (
                    EventType::Normal,
                    "SucceededDaemonPod",
                    format!("Found succeeded daemon pod {key} on node {node}, will try to delete it"),
                ),
            };
            self.state.event(self.owner.object, kind, reason, message);
        }
    }

    fn nodes(&self) -> std::result::Result<Vec<(Node, Placement)>, Error> {
        let nodes = self.state.nodes.list("");
        let placed = nodes.iter().map(|node| {
            let node = Node::of(node)?;
            let placement = self.daemon.placement(&node);
            Ok((node, placement))
        });
        placed.collect()
    }

    /// The set's pods; those on their way out whose containers have ended count no more.
    async fn pods(&self) -> std::result::Result<Vec<DaemonPod>, Error> {
        let cache = self.state.pods.pods();
        let candidates = self.owner.candidates(cache);
        let claimed = claim(&self.state.client, self.owner, cache, &self.selector, candidates).await?;
        let (ready_seconds, now) = (self.daemon.min_ready_seconds(), Timestamp::now());
        let mut pods = Vec::with_capacity(claimed.len());
        for pod in &claimed {
            if pod.meta.is_deleting() && crate::pods::is_terminated(pod) {
                continue;
            }
            pods.extend(DaemonPod::read(pod, ready_seconds, now)?);
        }
        Ok(pods)
    }

    /// Pods of a second revision with the same template are relabelled, and the revision goes.
    async fn fold_duplicates(&self) -> std::result::Result<(), Error> {
        for duplicate in &self.history.duplicates {
            for pod in self.owner.children(self.state.pods.pods()) {
                if pod.meta.labels.get(HASH_LABEL) == Some(duplicate.hash()) {
                    let labels = json!({ HASH_LABEL: self.history.current.hash() });
                    let patch = json!({ "metadata": { "uid": pod.meta.uid, "labels": labels } });
                    self.state.pods.patch(&pod, "", Patch::Merge(patch)).await?;
                }
            }
            revisions::delete(&self.state.client, &self.state.revisions, duplicate).await?;
        }
        Ok(())
    }
}

impl DaemonSets {
    /// How long a failed pod of a node has to stay; `None` when it may go now, which makes the next one stay longer.
    fn failed_pod_stays(&self, set: &str, node: &str) -> Option<Duration> {
        let now = Instant::now();
        let mut failures = self.failures.lock();
        let (first, most) = FAILED_DELAY;
        match failures.get_mut(&(set.to_owned(), node.to_owned())) {
            Some(failure) if now < failure.since + failure.delay => Some(failure.since + failure.delay - now),
            // As upstream: who did well for twice the longest delay starts anew.
            Some(failure) => {
                let anew = now.duration_since(failure.since) > most * 2;
                failure.delay = if anew { first } else { (failure.delay * 2).min(most) };
                failure.since = now;
                None
            }
            None => {
                failures.insert((set.to_owned(), node.to_owned()), Failure { since: now, delay: first });
                None
            }
        }
    }

    async fn write_status(&self, set: &Object, status: Value) -> std::result::Result<(), Status> {
        let patch = Patch::Merge(json!({ "metadata": { "uid": set.meta.uid }, "status": status }));
        let written =
            self.client.patch(self.sets.resource(), &set.meta.namespace, &set.meta.name, "status", patch).await?;
        crate::expectations::seen(&self.sets, &written).await;
        Ok(())
    }

    fn event(&self, set: &Object, kind: EventType, reason: &str, message: String) {
        self.events.event(Reference::to(&kinds::daemon_sets(), set), kind, reason, message);
    }
}
