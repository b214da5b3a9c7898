//! Pods: who runs here, and the task of each.
//!
//! The dispatcher follows three sources (the API, the manifest folder, the runtime's hints) and hands each pod's newest state to its worker. It
//! decides nothing about a pod; what it decides is what is an orphan, and that only after the API has told everything.

pub(crate) mod admission;
pub(crate) mod backoff;
pub(crate) mod hooks;
pub(crate) mod messages;
pub(crate) mod observed;
mod orphans;
pub(crate) mod plan;
pub(crate) mod pod;
pub(crate) mod qos;
pub(crate) mod spec;
mod statics;
pub(crate) mod status;
#[cfg(test)]
mod tests;
pub(crate) mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api::Object;
use futures::StreamExt;
use runtime::types::EventKind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};
use watch_cache::{Cache, ChangeKind};

use crate::agent::Agent;
use crate::resources;
use statics::Static;
use worker::{Desired, Worker};

/// Runs all pods until told to stop; containers go on running then.
pub(crate) async fn run(agent: Arc<Agent>, stop: CancellationToken) {
    let cache = (agent.config.caches)(resources::pods(), "", &format!("spec.nodeName={}", agent.config.node_name));
    let mut dispatcher = Dispatcher {
        agent,
        cache,
        workers: HashMap::new(),
        done: HashSet::new(),
        statics: HashMap::new(),
        tasks: JoinSet::new(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = dispatcher.dispatch() => {}
    }
    // Dropping the tasks stops the work on pods, and leaves their containers alone.
}

struct Dispatcher {
    agent: Arc<Agent>,
    cache: Arc<Cache>,
    workers: HashMap<String, watch::Sender<Desired>>,
    /// Pods whose worker has ended while their source still shows them.
    done: HashSet<String>,
    /// Static pods, by uid.
    statics: HashMap<String, Static>,
    tasks: JoinSet<String>,
}

impl Dispatcher {
    async fn dispatch(&mut self) {
        let mut manifests = statics::watch(self.agent.clone());
        let mut hints = self.agent.runtime.events();
        let mut relist = tokio::time::interval(self.agent.config.timing.relist);
        relist.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Static pods do not wait for the API.
        let synced = self.cache.clone();
        let mut subscription = None;
        loop {
            tokio::select! {
                () = synced.synced(), if subscription.is_none() => {
                    let (snapshot, changes) = self.cache.subscribe();
                    subscription = Some(changes);
                    snapshot.range("", None).for_each(|object| self.take_object(object, false));
                    self.sweep().await;
                }
                changes = next(&mut subscription) => match changes {
                    Some(changes) => changes.iter().for_each(|c| self.take_object(&c.object, c.kind == ChangeKind::Deleted)),
                    None => subscription = Some(self.catch_up()),
                },
                Some(pods) = manifests.recv() => self.take_manifests(pods),
                Some(hint) = hints.next() => match hint.kind {
                    EventKind::Resync => self.agent.wakers.wake_all(),
                    EventKind::Image => {}
                    kind => {
                        if let EventKind::Exited(_) = kind {
                            self.agent.exits.lock().insert(hint.id.clone(), tokio::time::Instant::now());
                        }
                        let owner = self.agent.owners.lock().get(&hint.id).cloned();
                        if let Some(uid) = owner {
                            self.agent.wakers.wake(&uid);
                        }
                    }
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                _ = relist.tick() => {
                    self.agent.wakers.wake_all();
                    if subscription.is_some() {
                        self.sweep().await;
                    }
                }
            }
        }
    }

    /// The history was lost: compare with what is there.
    fn catch_up(&mut self) -> watch_cache::Subscription {
        let (snapshot, changes) = self.cache.subscribe();
        let present: HashSet<&str> = snapshot.range("", None).map(|o| &*o.meta.uid).collect();
        let missing: Vec<Arc<Object>> = self
            .workers
            .iter()
            .filter(|(uid, _)| !present.contains(uid.as_str()) && !self.statics.contains_key(*uid))
            .map(|(_, sender)| sender.borrow().object.clone())
            .collect();
        missing.iter().for_each(|object| self.take_object(object, true));
        snapshot.range("", None).for_each(|object| self.take_object(object, false));
        changes
    }

    fn take_object(&mut self, object: &Arc<Object>, deleted: bool) {
        if let Some(uid) = self.mirrored(object) {
            return self.mirror(&uid, object, deleted);
        }
        let uid = object.meta.uid.to_string();
        if deleted {
            self.done.remove(&uid);
            self.agent.pods.lock().remove(&uid);
        } else {
            self.agent.pods.lock().insert(uid.clone(), object.clone());
        }
        self.hand(uid, Desired { object: object.clone(), mirror: None, gone: deleted });
    }

    fn hand(&mut self, uid: String, desired: Desired) {
        if let Some(sender) = self.workers.get(&uid) {
            sender.send_replace(desired);
            return;
        }
        if desired.gone || self.done.contains(&uid) {
            return;
        }
        debug!(pod = &*desired.object.meta.name, namespace = &*desired.object.meta.namespace, uid, "pod");
        let (sender, receiver) = watch::channel(desired);
        let worker = Worker::new(self.agent.clone(), &uid, receiver);
        self.workers.insert(uid.clone(), sender);
        self.tasks.spawn(async move {
            worker.run().await;
            uid
        });
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                let still_there = self.workers.remove(&uid).is_some_and(|sender| !sender.borrow().gone);
                if still_there {
                    self.done.insert(uid.clone());
                }
                // A manifest that came back while its old pod ended gets a new one.
                if let Some(pod) = self.statics.get(&uid) {
                    let desired = Desired { object: pod.object.clone(), mirror: pod.mirror.clone(), gone: false };
                    self.done.remove(&uid);
                    self.hand(uid, desired);
                } else if !still_there {
                    self.agent.pods.lock().remove(&uid);
                }
            }
            Err(failure) => {
                // The panic ended with the task; which pod it was follows from the channel nobody listens to.
                error!(%failure, "a pod's worker failed, it is started anew");
                let dead: Vec<String> =
                    self.workers.iter().filter(|(_, s)| s.is_closed()).map(|(uid, _)| uid.clone()).collect();
                for uid in dead {
                    if let Some(sender) = self.workers.remove(&uid) {
                        let desired = sender.borrow().clone();
                        self.hand(uid, desired);
                    }
                }
            }
        }
    }

    /// Removes what no pod of this node owns.
    async fn sweep(&self) {
        let known =
            |uid: &str| self.workers.contains_key(uid) || self.done.contains(uid) || self.statics.contains_key(uid);
        orphans::sweep(&self.agent, &known).await;
    }
}

/// Waits for changes; None when some were missed. Never resolves without a subscription.
async fn next(subscription: &mut Option<watch_cache::Subscription>) -> Option<Vec<Arc<watch_cache::Change>>> {
    match subscription {
        Some(subscription) => subscription.next().await.ok(),
        None => std::future::pending().await,
    }
}
