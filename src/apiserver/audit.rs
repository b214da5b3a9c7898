//! Audit: a record of who did what, as a policy asks for it.
//!
//! A request that the policy names has a [`Trail`], which everybody adds to who learns something: authentication,
//! impersonation, authorization, the codec; what admission notes ([`crate::notes`]) goes into it. Its stages are written to the backends as they are reached; the last
//! one when the trail is dropped, which is when the answer has been given and, for long-running requests, has come to its
//! end. Without a policy there is no trail, and nobody adds anything.

mod event;
mod log;
mod policy;
#[cfg(test)]
mod tests;
mod truncation;
mod webhook;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::{Operation, Patch, Reply, Request, Status, User};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Registry;
use crate::authentication::x509::Peer;
use crate::authorization::{self, Attributes};
use event::{Event, ObjectRef, UserInfo};
use policy::{Decision, Level, Policy, Stage};

pub use log::LogOptions;
pub use truncation::Truncation;
pub use webhook::WebhookOptions;

/// Admission may add so many annotations to a record, each at most so long.
const ANNOTATIONS_MAX: usize = 64;
const ANNOTATION_MAX: usize = 16 << 10;
/// Of the addresses that a request claims to have passed.
const ADDRESSES_MAX: usize = 16;

/// Why requests cannot be recorded as asked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy is none.
    #[error("loading audit policy: {0}")]
    Policy(String),
    /// The log cannot be written.
    #[error("cannot open the audit log {path}", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The webhook's certificates are of no use.
    #[error("the audit webhook cannot be called")]
    Webhook(#[from] crate::webhook::TrustError),
}

/// What is recorded, and where.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// The text of the policy file; without one nothing is recorded.
    pub policy: Option<String>,
    /// A file.
    pub log: Option<LogOptions>,
    /// A webhook.
    pub webhook: Option<WebhookOptions>,
}

/// When a backend has taken an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// At once: it is written later. What does not fit into the buffer is lost.
    Batch,
    /// When it is written; failures are complained of.
    #[default]
    Blocking,
    /// As `Blocking`, and a request whose arrival cannot be recorded is refused.
    BlockingStrict,
}

/// The policy and the backends.
#[derive(Debug)]
pub(crate) struct Audit {
    policy: Policy,
    log: Option<log::Log>,
    webhook: Option<webhook::Sender>,
    counters: Counters,
}

/// What `/metrics` tells of audit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    events: Counter,
    errors: Counter,
    rejected: Counter,
}

impl Counters {
    /// Adds them to what `/metrics` shows.
    pub(crate) fn register(&self, to: &mut prometheus_client::registry::Registry) {
        to.register("apiserver_audit_event", "Audit events generated", self.events.clone());
        to.register("apiserver_audit_error", "Audit events that could not be recorded", self.errors.clone());
        to.register(
            "apiserver_audit_requests_rejected",
            "Requests rejected because they could not be recorded",
            self.rejected.clone(),
        );
    }
}

/// How a request came, as far as the record tells it.
pub(crate) struct Origin {
    pub(crate) audit_id: String,
    pub(crate) uri: String,
    pub(crate) agent: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) long_running: bool,
}

impl Origin {
    /// A request from this process, told as the request over HTTP that it stands for.
    pub(crate) fn in_process(request: &Request) -> Self {
        let resource = &request.resource;
        let mut uri = match &*resource.group {
            "" => format!("/api/{}", resource.version),
            group => format!("/apis/{group}/{}", resource.version),
        };
        let is_namespace = resource.is_core() && &*resource.plural == "namespaces";
        if !request.namespace.is_empty() && !is_namespace {
            uri = format!("{uri}/namespaces/{}", request.namespace);
        }
        let collection = matches!(request.operation, Operation::Create(..)) && request.subresource.is_empty();
        let name = if collection { "" } else { &request.name };
        for word in [&resource.plural, name, &request.subresource] {
            if !word.is_empty() {
                uri.push('/');
                uri.push_str(word);
            }
        }
        Self {
            audit_id: uuid::Uuid::new_v4().to_string(),
            uri,
            agent: concat!("isopod/", env!("CARGO_PKG_VERSION")).to_owned(),
            addresses: vec!["127.0.0.1".to_owned()],
            long_running: matches!(request.operation, Operation::Watch(_)),
        }
    }

    /// A request over HTTP.
    pub(crate) fn wire(
        audit_id: &str,
        peer: &Peer,
        head: &http::Request<axum::body::Body>,
        what: &Attributes<'_>,
    ) -> Self {
        let text = |name: &str| head.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let uri = head.uri().path_and_query().map_or("/", |uri| uri.as_str());
        Self {
            audit_id: audit_id.to_owned(),
            uri: uri.to_owned(),
            agent: text("user-agent").to_owned(),
            addresses: addresses(text("x-forwarded-for"), text("x-real-ip"), peer.address.map(|address| address.ip())),
            long_running: crate::fairness::is_long_running(what),
        }
    }
}

/// Where a request came from, as far as its proxies say, and last who has the connection.
fn addresses(forwarded: &str, real: &str, peer: Option<IpAddr>) -> Vec<String> {
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok();
    let mut all: Vec<IpAddr> = forwarded.split(',').filter_map(parse).take(ADDRESSES_MAX).collect();
    for next in [parse(real), peer].into_iter().flatten() {
        if all.last() != Some(&next) {
            all.push(next);
        }
    }
    all.iter().map(ToString::to_string).collect()
}

impl Audit {
    /// `None` where nothing is to be recorded. Needs a Tokio runtime.
    pub(crate) fn start(
        options: AuditOptions,
        webhooks: &crate::webhook::Client,
        counters: Counters,
    ) -> Result<Option<Arc<Self>>, AuditError> {
        let Some(policy) = options.policy else { return Ok(None) };
        let policy = Policy::parse(&policy)?;
        let log = options.log.map(|log| log::Log::open(log, counters.errors.clone())).transpose()?;
        let webhook = match options.webhook {
            Some(options) => {
                let target = webhooks.target(&options.access)?;
                Some(webhook::Sender::start(target, options, counters.errors.clone()))
            }
            None => None,
        };
        Ok(Some(Arc::new(Self { policy, log, webhook, counters })))
    }

    /// The trail of a request that has come; nothing is decided before it is known who asks.
    pub(crate) fn trail(self: &Arc<Self>, origin: Origin, what: &Attributes<'_>) -> Arc<Trail> {
        let object_ref = what.is_resource.then(|| ObjectRef {
            resource: what.resource.to_owned(),
            namespace: what.namespace.to_owned(),
            name: what.name.to_owned(),
            api_group: what.group.to_owned(),
            api_version: what.version.to_owned(),
            subresource: what.subresource.to_owned(),
            ..ObjectRef::default()
        });
        let received = event::micro_time(Timestamp::now());
        let event = Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: Level::None,
            audit_id: origin.audit_id,
            stage: Stage::RequestReceived,
            request_uri: origin.uri,
            verb: what.verb.to_owned(),
            user: UserInfo::default(),
            impersonated_user: None,
            source_ips: origin.addresses,
            user_agent: event::agent(&origin.agent),
            object_ref,
            response_status: None,
            request_object: None,
            response_object: None,
            stage_timestamp: received.clone(),
            request_received_timestamp: received,
            annotations: BTreeMap::new(),
        };
        let state = State { event, decision: None, done: false };
        Arc::new(Trail { audit: self.clone(), long_running: origin.long_running, state: Mutex::new(state) })
    }

    /// Hands an event to the backends. `Err` where one that is strict has not taken it.
    fn record(&self, event: &mut Event, stage: Stage) -> Result<(), ()> {
        event.stage = stage;
        event.stage_timestamp = event::micro_time(Timestamp::now());
        let Ok(line) = serde_json::to_vec(&event) else { return Err(()) };
        self.counters.events.inc();
        if let Some(webhook) = &self.webhook
            && let Some(fitting) = self.fitting(webhook.truncation(), event, &line)
        {
            webhook.send(fitting.into_owned());
        }
        match &self.log {
            Some(log) => match self.fitting(log.truncation(), event, &line) {
                Some(Cow::Owned(less)) => log.write(less),
                Some(Cow::Borrowed(_)) => log.write(line),
                // As upstream: what is too large is lost, and refuses nothing.
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn fitting<'l>(&self, truncation: Truncation, event: &mut Event, line: &'l [u8]) -> Option<Cow<'l, [u8]>> {
        let fitting = truncation.fit(event, line);
        if fitting.is_none() {
            self.counters.errors.inc();
            tracing::error!(audit_id = event.audit_id, "an audit event is too large even after truncating");
        }
        fitting
    }
}

/// The record of one request in the making.
pub(crate) struct Trail {
    audit: Arc<Audit>,
    long_running: bool,
    state: Mutex<State>,
}

struct State {
    event: Event,
    /// `None` until it is known who asks.
    decision: Option<Decision>,
    /// The last stage is recorded.
    done: bool,
}

impl Trail {
    /// It is known who asks: the policy decides, and the request's arrival is recorded.
    pub(crate) fn authenticated(&self, user: &User, what: &Attributes<'_>) -> Result<(), Status> {
        let decision = self.audit.policy.decide(user, what);
        let mut state = self.state.lock();
        state.event.level = decision.level;
        state.event.user = user.into();
        let records = decision.records(Stage::RequestReceived);
        state.decision = Some(decision);
        if records && self.audit.record(&mut state.event, Stage::RequestReceived).is_err() {
            state.done = true;
            self.audit.counters.rejected.inc();
            return Err(Status::internal("failed to store audit event"));
        }
        Ok(())
    }

    /// Nobody could be found behind the credentials.
    pub(crate) fn unauthenticated(&self, what: &Attributes<'_>, refusal: &Status) {
        let nobody = User::default();
        let decision = self.audit.policy.decide(&nobody, what);
        let mut state = self.state.lock();
        state.event.level = decision.level;
        state.done = true;
        if decision.records(Stage::ResponseStarted) {
            state.event.response_status = Some(event::status(refusal));
            if state.event.level == Level::RequestResponse {
                state.event.response_object = serde_json::value::to_raw_value(refusal).ok();
            }
            // There is nobody to refuse it to any more.
            let _ = self.audit.record(&mut state.event, Stage::ResponseStarted);
        }
    }

    /// The request is made in another's name.
    pub(crate) fn impersonated(&self, user: &User) {
        self.add(Level::Metadata, |event| event.impersonated_user = Some(user.into()));
    }

    /// Authorization has decided.
    pub(crate) fn authorized(&self, decision: &authorization::Decision) {
        let (word, reason) = match decision {
            authorization::Decision::Allow(reason) => ("allow", reason.to_string()),
            authorization::Decision::NoOpinion(reason) | authorization::Decision::Deny(reason) => {
                ("forbid", reason.clone())
            }
            authorization::Decision::Failed { .. } => ("forbid", "internal error".to_owned()),
        };
        self.annotate("authorization.k8s.io/decision", word);
        self.annotate("authorization.k8s.io/reason", &reason);
    }

    /// What was asked for. Patches are recorded as they came, objects as they were read: what cannot be read is not recorded.
    pub(crate) fn request(&self, request: &Request, registry: &Registry) {
        let (body, whole) = match &request.operation {
            Operation::Create(body, _) | Operation::Update(body, _) => (body, true),
            Operation::Patch(
                Patch::Json(body) | Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body),
                _,
            ) => (body, false),
            _ => return,
        };
        if whole {
            self.add(Level::Metadata, |event| {
                if let Some(reference) = event.object_ref.as_mut() {
                    reference.complete(body);
                }
            });
        }
        if self.level() < Level::Request {
            return;
        }
        let read = if whole { registry.as_read(request, body.clone()) } else { Some(body.clone()) };
        let object = read.and_then(|read| raw(read, self.omits_managed_fields()));
        self.add(Level::Request, |event| event.request_object = object);
    }

    /// What was sent along with a delete.
    pub(crate) fn delete_options(&self, sent: &Value) {
        self.add(Level::Request, |event| {
            let mut sent = sent.clone();
            if let Some(fields) = sent.as_object_mut() {
                fields.entry("kind").or_insert_with(|| "DeleteOptions".into());
                fields.entry("apiVersion").or_insert_with(|| "meta.k8s.io/v1".into());
            }
            event.request_object = raw(sent, false);
        });
    }

    /// What is answered, if that is an object; `json` writes it in the shape in which the client gets it.
    pub(crate) fn reply(&self, reply: &Reply, json: impl FnOnce() -> Vec<u8>) {
        // A status is told of with the metadata.
        if let Reply::Status(status) = reply {
            self.add(Level::Metadata, |event| event.response_status = Some(event::status(status)));
        }
        if self.level() < Level::RequestResponse || matches!(reply, Reply::Watch(_)) {
            return;
        }
        let object = match reply {
            Reply::Status(status) => serde_json::value::to_raw_value(&**status).ok(),
            _ if self.omits_managed_fields() => serde_json::from_slice(&json()).ok().and_then(|value| raw(value, true)),
            _ => String::from_utf8(json()).ok().and_then(|json| RawValue::from_string(json).ok()),
        };
        self.add(Level::RequestResponse, |event| event.response_object = object);
    }

    /// The answer's head is on its way; `failure` is what it says if it is one.
    pub(crate) fn answered(&self, code: u16, failure: Option<&Status>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.done {
            return;
        }
        // Of what nothing is found to answer with no more is told than the code.
        let failure = failure.filter(|status| !is_of_no_object(status));
        match failure {
            Some(status) => state.event.response_status = Some(event::status(status)),
            None => {
                let status = state.event.response_status.get_or_insert_with(|| serde_json::json!({"metadata": {}}));
                status["code"] = code.into();
            }
        }
        if let (Some(status), Level::RequestResponse) = (failure, state.event.level) {
            state.event.response_object = serde_json::value::to_raw_value(status).ok();
        }
        let recorded = state.decision.as_ref().is_some_and(|decision| decision.records(Stage::ResponseStarted));
        if self.long_running && recorded {
            // The request is under way: it is too late to refuse it.
            let _ = self.audit.record(&mut state.event, Stage::ResponseStarted);
        }
    }

    /// What was noted while the request was carried out. The first value of a key stays.
    pub(crate) fn annotations(&self, notes: &[(String, String)]) {
        notes.iter().for_each(|(key, value)| self.annotate(key, value));
    }

    /// The request ended in a panic.
    pub(crate) fn panicked(&self) {
        let status = Status::internal("APIServer panic'd");
        self.finish(Stage::Panic, Some(event::status(&status)));
    }

    fn annotate(&self, key: &str, value: &str) {
        self.add(Level::Metadata, |event| {
            if event.annotations.len() < ANNOTATIONS_MAX && value.len() <= ANNOTATION_MAX {
                event.annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
            } else {
                tracing::warn!(
                    key,
                    bytes = value.len(),
                    "an audit annotation is left out: there are too many, or it is too long"
                );
            }
        });
    }

    fn level(&self) -> Level {
        let state = self.state.lock();
        if state.done { Level::None } else { state.event.level }
    }

    fn omits_managed_fields(&self) -> bool {
        self.state.lock().decision.as_ref().is_some_and(|decision| decision.omit_managed_fields)
    }

    fn add(&self, from: Level, change: impl FnOnce(&mut Event)) {
        let mut state = self.state.lock();
        if state.event.level >= from && !state.done {
            change(&mut state.event);
        }
    }

    fn finish(&self, stage: Stage, status: Option<Value>) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if std::mem::replace(&mut state.done, true) || !state.decision.as_ref().is_some_and(|d| d.records(stage)) {
            return;
        }
        if let Some(status) = status {
            state.event.response_status = Some(status);
        }
        let early = || serde_json::json!({"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200});
        state.event.response_status.get_or_insert_with(early);
        // The request is over.
        let _ = self.audit.record(&mut state.event, stage);
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.finish(Stage::ResponseComplete, None);
    }
}

/// Whether a request was refused because nobody serves what it asks for, or in a form that it accepts.
fn is_of_no_object(status: &Status) -> bool {
    let nameless = status.details.as_ref().is_none_or(|details| details.kind.is_empty());
    status.code == 406 || (status.code == 404 && nameless)
}

impl ObjectRef {
    /// Takes from the body what the path does not say.
    fn complete(&mut self, body: &Value) {
        let meta = |field: &str| body["metadata"][field].as_str().unwrap_or_default().to_owned();
        for (own, field) in [
            (&mut self.namespace, "namespace"),
            (&mut self.name, "name"),
            (&mut self.uid, "uid"),
            (&mut self.resource_version, "resourceVersion"),
        ] {
            if own.is_empty() {
                *own = meta(field);
            }
        }
    }
}

fn raw(mut value: Value, omit_managed_fields: bool) -> Option<Box<RawValue>> {
    let cut = |object: &mut Value| {
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.remove("managedFields");
        }
    };
    if omit_managed_fields {
        cut(&mut value);
        value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(cut);
    }
    serde_json::value::to_raw_value(&value).ok()
}
