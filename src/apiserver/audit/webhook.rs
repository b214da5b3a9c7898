//! The webhook: events are sent in batches, and kept for a while where they cannot be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Truncation;
use crate::webhook::{Access, CallError, Target};

/// Upstream's defaults: what waits, what travels together, how long the first of a batch waits for others.
const BUFFER: usize = 10_000;
const BATCH: usize = 400;
const BATCH_WAIT: Duration = Duration::from_secs(30);
/// Batches are at least so far apart (ten a second).
const APART: Duration = Duration::from_millis(100);
const CALL_TIME: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 5;

/// How events are sent: kube-apiserver's `--audit-webhook-*`.
#[derive(Clone)]
pub struct WebhookOptions {
    /// The webhook.
    pub access: Access,
    /// How many events wait at most.
    pub buffer: usize,
    /// How many travel together at most.
    pub batch: usize,
    /// How long the first of a batch waits for others.
    pub wait: Duration,
    /// The pause before the second try; each further one is half as long again.
    pub backoff: Duration,
    /// How large events and batches may be.
    pub truncation: Truncation,
}

impl WebhookOptions {
    /// Upstream's defaults for a webhook.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            buffer: BUFFER,
            batch: BATCH,
            wait: BATCH_WAIT,
            backoff: Duration::from_secs(10),
            truncation: Truncation::default(),
        }
    }
}

impl std::fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookOptions").finish_non_exhaustive()
    }
}

/// Sends what it is given, later. Its task ends with it.
#[derive(Debug)]
pub(super) struct Sender {
    queue: mpsc::Sender<Vec<u8>>,
    truncation: Truncation,
    errors: Counter,
    task: AbortHandle,
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sender {
    pub(super) fn start(target: Arc<Target>, options: WebhookOptions, errors: Counter) -> Self {
        let (queue, events) = mpsc::channel(options.buffer.max(1));
        let truncation = options.truncation;
        let task = tokio::spawn(run(target, options, events, errors.clone())).abort_handle();
        Self { queue, truncation, errors, task }
    }

    pub(super) fn truncation(&self) -> Truncation {
        self.truncation
    }

    /// Takes an event; it is lost when too many wait.
    pub(super) fn send(&self, event: Vec<u8>) {
        if self.queue.try_send(event).is_err() {
            self.errors.inc();
            tracing::error!("the audit webhook does not keep up: an event is lost");
        }
    }
}

async fn run(target: Arc<Target>, options: WebhookOptions, mut events: mpsc::Receiver<Vec<u8>>, errors: Counter) {
    let mut batch = Vec::new();
    while let Some(first) = events.recv().await {
        batch.push(first);
        let end = Instant::now() + options.wait;
        while batch.len() < options.batch {
            match tokio::time::timeout_at(end, events.recv()).await {
                Ok(Some(event)) => batch.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        while !batch.is_empty() {
            let mut together = split(&mut batch, options.truncation);
            let lost = together.len() as u64;
            if let Err(error) = deliver(&target, &options, list(&mut together)).await {
                errors.inc_by(lost);
                tracing::error!(%error, lost, "audit events cannot be sent");
            }
        }
        tokio::time::sleep(APART).await;
    }
}

/// The first events of a batch, as many as may be sent together; one at least.
fn split(batch: &mut Vec<Vec<u8>>, truncation: Truncation) -> Vec<Vec<u8>> {
    let mut size = 0;
    let fitting = batch.iter().take_while(|event| {
        let fits = truncation.has_room(size, event.len());
        size += event.len() + 1;
        fits
    });
    let count = fitting.count();
    batch.drain(..count).collect()
}

async fn deliver(target: &Target, options: &WebhookOptions, body: Bytes) -> Result<(), CallError> {
    let mut pause = options.backoff;
    for _ in 1..ATTEMPTS {
        match target.post(body.clone(), CALL_TIME).await {
            Ok(_) => return Ok(()),
            Err(error) => tracing::warn!(%error, "audit events cannot be sent, will try again"),
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.5);
    }
    target.post(body, CALL_TIME).await.map(drop)
}

/// An EventList of the events, which are taken.
fn list(events: &mut Vec<Vec<u8>>) -> Bytes {
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    for (at, event) in events.drain(..).enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event);
    }
    body.extend_from_slice(b"]}");
    body.into()
}
