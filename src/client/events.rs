//! Events: what `kubectl describe` shows about an object. Recording never blocks and never fails its caller.
//!
//! A bounded queue leads to one task. An event that repeats (same object, type, reason, message) becomes a higher count on
//! the first one, by patch. Events that differ only in their message fall together after ten of them. One object may cause
//! 25 events at once and one more every five minutes; the rest are dropped, as upstream's spam filter does.

mod correlate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{Object, Patch, Resource, Status};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Client;
use correlate::{Correlator, Verdict};

/// How many events may wait to be written.
const WAITING: usize = 1000;

/// Upstream's two types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// The way things should go.
    Normal,
    /// Something a person may want to look at.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an event is about: `involvedObject`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for objects of the cluster, whose events live in `default`.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// The version the event speaks of; empty when unknown.
    pub resource_version: String,
    /// A part of the object, such as `spec.containers{web}`; empty for all of it.
    pub field_path: String,
}

impl Reference {
    /// An object at hand.
    pub fn to(resource: &Resource, object: &Object) -> Self {
        Self {
            api_version: resource.api_version(),
            kind: resource.kind.to_string(),
            namespace: object.meta.namespace.to_string(),
            name: object.meta.name.to_string(),
            uid: object.meta.uid.to_string(),
            resource_version: object.meta.resource_version.to_string(),
            field_path: String::new(),
        }
    }

    /// A part of it.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>) -> Self {
        self.field_path = path.into();
        self
    }
}

/// Records the events of one component. Cheap to clone; the writing task ends when the last clone is dropped.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    about: Reference,
    kind: EventType,
    reason: String,
    message: String,
}

impl Recorder {
    /// Starts a recorder that writes with `client`. `component` is what `kubectl describe` shows under "From"; `host` is
    /// the node for node agents, else empty.
    pub fn start(client: Client, component: &str, host: &str) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(Writer::new(client, component, host).run(waiting));
        Self { queue }
    }

    /// Records an event. When too many wait, it is dropped.
    pub fn event(&self, about: Reference, kind: EventType, reason: &str, message: impl Into<String>) {
        let recorded = Recorded { about, kind, reason: reason.to_owned(), message: message.into() };
        if let Err(mpsc::error::TrySendError::Full(lost)) = self.queue.try_send(recorded) {
            tracing::warn!(object = lost.about.name, lost.reason, "too many events wait, one was dropped");
        }
    }
}

struct Writer {
    client: Client,
    events: Arc<Resource>,
    component: String,
    host: String,
    correlator: Correlator,
}

impl Writer {
    fn new(client: Client, component: &str, host: &str) -> Self {
        Self {
            client,
            events: crate::kinds::events(),
            component: component.to_owned(),
            host: host.to_owned(),
            correlator: Correlator::default(),
        }
    }

    async fn run(mut self, mut waiting: mpsc::Receiver<Recorded>) {
        while let Some(recorded) = waiting.recv().await {
            if let Err(error) = self.write(&recorded).await {
                tracing::debug!(%error, object = recorded.about.name, recorded.reason, "event was not recorded");
            }
        }
    }

    async fn write(&mut self, recorded: &Recorded) -> Result<(), Status> {
        let now = jiff::Timestamp::now();
        let namespace = if recorded.about.namespace.is_empty() { "default" } else { &recorded.about.namespace };
        match self.correlator.judge(recorded, Instant::now()) {
            Verdict::Drop => Ok(()),
            Verdict::Again { key, name, count, message } => {
                let patch = json!({
                    "message": message, "count": count, "lastTimestamp": api::time::format(now),
                });
                match self.client.patch(&self.events, namespace, &name, "", Patch::Merge(patch)).await {
                    // The event has expired meanwhile.
                    Err(status) if status.is_not_found() => self
                        .create(recorded, namespace, &message, now)
                        .await
                        .map(|name| self.correlator.wrote(key, name, 1)),
                    other => other.map(drop),
                }
            }
            Verdict::New { key, message } => {
                let name = self.create(recorded, namespace, &message, now).await?;
                self.correlator.wrote(key, name, 1);
                Ok(())
            }
        }
    }

    async fn create(
        &self,
        recorded: &Recorded,
        namespace: &str,
        message: &str,
        now: jiff::Timestamp,
    ) -> Result<String, Status> {
        let about = &recorded.about;
        let name = format!("{}.{:x}", about.name, now.as_nanosecond());
        let time = api::time::format(now);
        let mut source = json!({ "component": self.component });
        if !self.host.is_empty() {
            source["host"] = self.host.as_str().into();
        }
        let event = json!({
            "kind": "Event", "apiVersion": "v1",
            "metadata": { "name": name, "namespace": namespace },
            "involvedObject": involved(about),
            "reason": recorded.reason, "message": message, "type": recorded.kind.as_str(),
            "source": source, "firstTimestamp": time, "lastTimestamp": time, "count": 1,
            "eventTime": null,
            "reportingComponent": self.component, "reportingInstance": self.host,
        });
        self.client.create(&self.events, namespace, event).await.map(|_| name)
    }
}

fn involved(about: &Reference) -> Value {
    let fields = [
        ("kind", &about.kind),
        ("namespace", &about.namespace),
        ("name", &about.name),
        ("uid", &about.uid),
        ("apiVersion", &about.api_version),
        ("resourceVersion", &about.resource_version),
        ("fieldPath", &about.field_path),
    ];
    fields.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), Value::from(v.as_str()))).collect()
}
