//! The loop: takes over changes, schedules, binds.

use std::sync::Arc;
use std::time::Instant;

use api::{Object, Operation, Patch, Status, WriteOptions, resource};
use client::events::{EventType, Recorder, Reference};
use client::{Client, kinds};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use watch_cache::{Cache, Change, ChangeKind, Subscription};

use crate::cluster::Cluster;
use crate::node::NodeSpec;
use crate::pod::Pod;
use crate::queue::Queue;
use crate::{DEFAULT_SCHEDULER, algorithm};

/// Bindings under way at once. Each waits for a disk; together they share its syncs.
const BINDINGS: usize = 512;
/// Decisions between two looks at what changed.
const BATCH: usize = 64;

pub(crate) struct Driver {
    client: Client,
    recorder: Recorder,
    cluster: Cluster,
    queue: Queue,
    /// Where the search for nodes goes on.
    start: usize,
    bindings: Arc<Semaphore>,
    outcomes: (mpsc::UnboundedSender<Failed>, mpsc::UnboundedReceiver<Failed>),
}

/// A binding that did not come about.
struct Failed {
    pod: Arc<Pod>,
    status: Status,
}

impl Driver {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            recorder: Recorder::start(client.clone(), DEFAULT_SCHEDULER, ""),
            client,
            cluster: Cluster::default(),
            queue: Queue::default(),
            start: 0,
            bindings: Arc::new(Semaphore::new(BINDINGS)),
            outcomes: mpsc::unbounded_channel(),
        }
    }

    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let (nodes, pods) = (self.client.cache(&kinds::nodes()), self.client.cache(&kinds::pods()));
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = async { nodes.synced().await; pods.synced().await } => {}
        }
        let (mut node_changes, mut pod_changes) = self.fill(&nodes, &pods);
        loop {
            let more = self.schedule_some();
            let due = self.queue.next_due().map(tokio::time::Instant::from_std);
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changes = node_changes.next() => match changes {
                    Ok(changes) => changes.iter().for_each(|change| self.node_changed(change)),
                    Err(_) => (node_changes, pod_changes) = self.fill(&nodes, &pods),
                },
                changes = pod_changes.next() => match changes {
                    Ok(changes) => changes.iter().for_each(|change| self.pod_changed(change)),
                    Err(_) => (node_changes, pod_changes) = self.fill(&nodes, &pods),
                },
                Some(failed) = self.outcomes.1.recv() => self.binding_failed(failed),
                () = tokio::task::yield_now(), if more => {}
                () = timer, if !more => {}
            }
        }
    }

    /// Starts from the caches' present state: at the beginning, and when the loop fell behind.
    fn fill(&mut self, nodes: &Arc<Cache>, pods: &Arc<Cache>) -> (Subscription, Subscription) {
        self.cluster.clear();
        self.queue = Queue::default();
        let (snapshot, node_changes) = nodes.subscribe();
        for node in snapshot.range("", None) {
            self.put_node(node);
        }
        let (snapshot, pod_changes) = pods.subscribe();
        for pod in snapshot.range("", None) {
            self.put_pod(pod, None);
        }
        (node_changes, pod_changes)
    }

    fn node_changed(&mut self, change: &Change) {
        match change.kind {
            ChangeKind::Deleted => self.cluster.remove_node(&change.object.meta.name),
            _ => self.put_node(&change.object),
        }
    }

    fn put_node(&mut self, object: &Object) {
        match NodeSpec::read(object) {
            Ok(spec) => {
                if self.cluster.put_node(spec) {
                    self.queue.something_changed(Instant::now());
                }
            }
            Err(error) => tracing::warn!(node = &*object.meta.name, %error, "node cannot be read"),
        }
    }

    fn pod_changed(&mut self, change: &Change) {
        if change.kind == ChangeKind::Deleted {
            let key = change.object.meta.key();
            self.queue.remove(&key);
            if self.cluster.remove_pod(&key) {
                self.queue.something_changed(Instant::now());
            }
        } else {
            self.put_pod(&change.object, change.previous.as_ref());
        }
    }

    fn put_pod(&mut self, object: &Arc<Object>, previous: Option<&Arc<Object>>) {
        let key = object.meta.key();
        let node = field(object, "spec.nodeName");
        if matches!(field(object, "status.phase"), "Succeeded" | "Failed") {
            self.queue.remove(&key);
            if self.cluster.remove_pod(&key) {
                self.queue.something_changed(Instant::now());
            }
            return;
        }
        // Status updates of a placed pod are most of what happens to pods, and change nothing here.
        let same_spec =
            previous.is_some_and(|p| p.meta.generation == object.meta.generation && p.meta.uid == object.meta.uid);
        if !node.is_empty() && same_spec && self.cluster.node_of(&key) == Some(node) {
            return;
        }
        let pod = match Pod::read(object) {
            Ok(pod) => Arc::new(pod),
            Err(error) => return tracing::warn!(pod = key, %error, "pod cannot be read"),
        };
        if !node.is_empty() {
            self.queue.remove(&key);
            let node = node.to_owned();
            self.cluster.place(pod, &node);
        } else if field(object, "spec.schedulerName") == DEFAULT_SCHEDULER && !object.meta.is_deleting() {
            if self.cluster.node_of(&key).is_some() {
                // Our binding is under way; its outcome will tell.
                return;
            }
            if pod.gated {
                self.queue.remove(&key);
            } else {
                self.queue.put(pod);
            }
        } else {
            self.queue.remove(&key);
        }
    }

    /// Decides for some pods; whether more are ready.
    fn schedule_some(&mut self) -> bool {
        for _ in 0..BATCH {
            let Some(pod) = self.queue.take(Instant::now()) else { return false };
            match algorithm::choose(&pod, self.cluster.nodes(), &mut self.start) {
                Ok(at) => {
                    let node: Box<str> = self.cluster.nodes()[at].spec.name.clone();
                    self.cluster.place(pod.clone(), &node);
                    self.bind(pod, node);
                }
                Err(objections) => {
                    self.queue.set_aside(&pod.key, Instant::now());
                    self.report(pod, objections.message());
                }
            }
        }
        true
    }

    fn bind(&mut self, pod: Arc<Pod>, node: Box<str>) {
        let (client, recorder) = (self.client.clone(), self.recorder.clone());
        let (bindings, outcomes) = (self.bindings.clone(), self.outcomes.0.clone());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = bindings.acquire_owned().await;
            let meta = &pod.object.meta;
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            });
            let create = Operation::Create(binding, WriteOptions::default());
            let outcome = client.call(&kinds::pods(), &meta.namespace, &meta.name, "binding", create).await;
            match outcome {
                Ok(_) => {
                    let message = format!("Successfully assigned {}/{} to {node}", meta.namespace, meta.name);
                    recorder.event(reference(&pod), EventType::Normal, "Scheduled", message);
                }
                Err(status) => {
                    // The loop may be gone at shutdown; then nobody needs to know.
                    let _ = outcomes.send(Failed { pod, status });
                }
            }
        });
    }

    fn binding_failed(&mut self, Failed { pod, status }: Failed) {
        self.cluster.remove_pod(&pod.key);
        // Gone, or bound by another: the cache says so, too. Anything else is tried again.
        if !status.is_not_found() {
            tracing::warn!(pod = &*pod.key, error = %status, "binding failed");
            self.queue.back_off(&pod.key, Instant::now());
        }
    }

    /// Tells the pod's owner why it waits: an event, and the condition `PodScheduled`.
    fn report(&self, pod: Arc<Pod>, message: String) {
        tracing::debug!(pod = &*pod.key, message, "no node for the pod");
        self.recorder.event(reference(&pod), EventType::Warning, "FailedScheduling", message.clone());
        let client = self.client.clone();
        tokio::spawn(async move {
            let meta = &pod.object.meta;
            let condition = json!({
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                "lastProbeTime": null, "lastTransitionTime": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "observedGeneration": meta.generation,
            });
            let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
            let patched =
                client.patch(&kinds::pods(), &meta.namespace, &meta.name, "status", Patch::Strategic(patch)).await;
            if let Err(status) = patched.as_ref()
                && !status.is_not_found()
                && !status.is_conflict()
            {
                tracing::warn!(pod = &*pod.key, error = %status, "cannot say why the pod waits");
            }
        });
    }
}

fn reference(pod: &Pod) -> Reference {
    Reference::to(&kinds::pods(), &pod.object)
}

/// A selectable field of a pod, already parsed.
fn field<'a>(object: &'a Object, path: &str) -> &'a str {
    let at = resource::find("", "v1", "pods").and_then(|row| row.field(path));
    at.and_then(|at| object.meta.fields.get(at)).map_or("", |value| value)
}
