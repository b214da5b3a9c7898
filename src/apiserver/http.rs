//! The HTTP side: from bytes to [`api::Request`] and back. Paths, queries, bodies and forms of answers are known here and
//! nowhere else.

pub(crate) mod accept;
pub(crate) mod body;
#[cfg(test)]
mod bounds;
pub(crate) mod canonical;
mod gather;
pub(crate) mod kept;
mod kind;
pub(crate) mod listen;
pub(crate) mod other;
pub(crate) mod path;
mod pieces;
mod pretty;
pub(crate) mod protobuf;
pub(crate) mod query;
mod resource;
pub(crate) mod respond;
mod shape;
mod stall;
pub(crate) mod tls;
mod watch;
pub(crate) mod yaml;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Status;
use axum::body::Body;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::ServiceExt;
use tracing::Instrument;

use crate::aggregation;
use crate::audit::{Origin, Trail};
use crate::authentication::x509::Peer;
use crate::authorization::Attributes;
use crate::chain::{Asking, Caller, Pass};
use crate::fairness::{Asked, FlowHeaders};
use crate::metrics::requests::labels;
use crate::notes;
use crate::server::Server;

use path::RequestInfo;
use query::Query;
use respond::Form;

/// How long a request may take that is no watch, log or connection.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(60);
const TOO_LATE: &str = "Timeout: request did not complete within the allotted timeout";
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// An answer, and what it says where it is a failure.
struct Answered {
    response: Response<Body>,
    failure: Option<Status>,
}

/// A request, taken apart.
pub(crate) struct Incoming<'a> {
    pub(crate) info: &'a RequestInfo,
    pub(crate) query: &'a Query,
    /// Its record, where one is kept.
    pub(crate) trail: Option<&'a Arc<Trail>>,
    /// What it is called in records, here and where it is passed on to.
    pub(crate) audit_id: &'a str,
    /// Where it comes from, if that is outside of this process.
    pub(crate) from: Option<IpAddr>,
    /// Head and body as they came; handlers that pass a request on need all of it.
    pub(crate) request: Request<Body>,
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Answers one request; never fails.
pub(crate) async fn handle(server: Arc<Server>, peer: Arc<Peer>, request: Request<Body>) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let response = answer(server, peer, request).await;
    if head { respond::head(response) } else { response }
}

async fn answer(server: Arc<Server>, peer: Arc<Peer>, request: Request<Body>) -> Response<Body> {
    if let Some(extra) = server.extra.as_ref().filter(|extra| extra.takes(request.uri().path())) {
        // These routes know for themselves whom they answer. They are told who has shown a certificate of ours.
        let mut request = request;
        if let Some(user) = peer.client() {
            request.extensions_mut().insert(user.clone());
        }
        if let Some(address) = peer.address {
            request.extensions_mut().insert(axum::extract::ConnectInfo(address));
        }
        return extra.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    }
    if !query::unbroken(request.uri().path()) {
        return respond::broken_path();
    }
    let started = Instant::now();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let info = RequestInfo::read(request.method(), request.uri().path(), &query);
    let audit_id = audit_id(request.headers());
    let plain = failure_form(request.headers(), &query);
    let span = tracing::info_span!(
        "request", %audit_id, user = tracing::field::Empty, verb = %info.verb, resource = %info.resource,
        namespace = %info.namespace, name = %info.name,
    );
    let what = attributes(&info, &query);
    let audit = server.chain.audit.as_ref();
    let trail = audit.map(|audit| audit.trail(Origin::wire(&audit_id, &peer, &request, &what), &what));
    let apply = info.verb == "patch" && body::is_apply(text(request.headers(), header::CONTENT_TYPE));
    let from = peer.address.map(|address| address.ip());
    let incoming = Incoming { info: &info, query: &query, trail: trail.as_ref(), audit_id: &audit_id, from, request };
    let work = server.chain.guard(trail.as_deref(), serve(&server, &peer, &what, incoming));
    let (answered, notes) = notes::of(Box::pin(work).instrument(span.clone())).await;
    if let Some(trail) = &trail {
        trail.annotations(&notes.annotations);
        match &answered {
            Ok(answer) => trail.answered(answer.response.status().as_u16(), answer.failure.as_ref()),
            Err(status) => trail.answered(status.code, Some(status)),
        }
    }
    let mut response = match answered {
        Ok(answer) => answer.response,
        Err(status) => respond::failure(&status, &plain),
    };
    warn(response.headers_mut(), &notes.warnings);
    let code = response.status().as_u16();
    // A connection that is taken over carries what the far end says, and nothing of ours.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if let Ok(value) = HeaderValue::from_str(&audit_id) {
            respond::say_first(response.headers_mut(), AUDIT_ID, value);
        }
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    }
    let kind = (crate::fairness::is_long_running(&what), query.get("dryRun").is_some());
    let response = match labels(&what, info.scope(), is_known(&server, &info), apply) {
        Some(labels) => server.chain.metrics.request(labels, kind, response, started.elapsed()),
        None => response,
    };
    span.in_scope(|| tracing::debug!(code, path = %info.path, took = ?started.elapsed(), "answered"));
    response
}

async fn serve(
    server: &Arc<Server>,
    peer: &Peer,
    what: &Attributes<'_>,
    incoming: Incoming<'_>,
) -> Result<Answered, Status> {
    let caller = Caller::Wire(peer, incoming.request.headers());
    let trail = incoming.trail.map(|trail| &**trail);
    let time = if crate::fairness::is_long_running(what) { REQUEST_TIME } else { time_allowed(incoming.query)? };
    let asking = Asking { what, asked: Asked::Query(incoming.query), time, trail };
    let plain = failure_form(incoming.request.headers(), incoming.query);
    let mut flow = None;
    let entered = server.chain.enter(caller, asking, &mut flow).await;
    let is_refused = entered.is_err();
    let answered = match entered {
        Ok(pass) => carry_out(server, pass, asking, incoming).await,
        Err(status) => Err(status),
    };
    let (mut response, failure) = match answered {
        Ok(response) => (response, None),
        Err(status) if status.is_no_such_path() && is_nowhere(server, what.path) => {
            (respond::no_such_page(), Some(status))
        }
        Err(status) => (respond::failure(&status, &plain), Some(status)),
    };
    // Upstream's filters say so, and what is behind them does not.
    if is_refused && response.status() == StatusCode::FORBIDDEN {
        respond::nosniff(&mut response);
    }
    if let Some(FlowHeaders { schema, level }) = flow.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
        respond::say_first(response.headers_mut(), FLOW_SCHEMA, schema);
        respond::say_first(response.headers_mut(), PRIORITY_LEVEL, level);
    }
    Ok(Answered { response, failure })
}

async fn carry_out(
    server: &Arc<Server>,
    pass: Pass,
    Asking { what, time, .. }: Asking<'_>,
    incoming: Incoming<'_>,
) -> Result<Response<Body>, Status> {
    if incoming.info.path.starts_with("//") {
        return Err(Status::no_such_path());
    }
    let metrics = &server.chain.metrics;
    // The record of a long-running request ends when the request does.
    let trail = incoming.trail.cloned();
    if let Some(remote) = server.aggregator.claiming(&incoming.info.path) {
        if crate::fairness::is_long_running(what) {
            let labels = labels(what, incoming.info.scope(), false, false);
            let counted = metrics.requests.long_running(labels, trail);
            return aggregation::serve(server, &pass, &remote, incoming, Some(counted)).await;
        }
        let end = tokio::time::Instant::now() + time;
        let answer = aggregation::serve(server, &pass, &remote, incoming, None);
        return match tokio::time::timeout_at(end, answer).await {
            Ok(answer) => Ok(aggregation::until(end, answer?)),
            Err(_) => Ok(respond::late(&Status::timeout(TOO_LATE, 0))),
        };
    }
    if incoming.info.verb == "proxy" {
        // This server itself has no such way to anything.
        return Err(Status::no_such_path());
    }
    if !incoming.info.is_resource {
        return timed(time, other::serve(server, incoming)).await;
    }
    if crate::fairness::is_long_running(what) {
        let known = is_known(server, incoming.info);
        let labels = labels(what, incoming.info.scope(), known, false);
        let counted = metrics.requests.long_running(labels, trail);
        return resource::serve(server, pass, incoming, Some(counted)).await;
    }
    timed(time, async { resource::serve(server, pass, incoming, None).await }).await
}

/// Whether metrics may name what a request is about: a client can ask for anything, and metrics are kept for good.
fn is_known(server: &Server, info: &RequestInfo) -> bool {
    let row = || server.chain.registry.catalog().get(&info.group, &info.version, &info.resource);
    let serves = |row: &api::Resource| info.subresource.is_empty() || row.has_subresource(&info.subresource);
    !info.is_resource || row().is_some_and(|row| serves(&row))
}

/// Whether a path lies outside of what the server has its own words for: the built-in groups.
fn is_nowhere(server: &Server, path: &str) -> bool {
    let mut parts = path.strip_prefix('/').unwrap_or(path).trim_end_matches('/').split('/');
    match (parts.next(), parts.next()) {
        (Some("api"), _) | (Some("version"), Some(_)) => false,
        (Some("apis"), Some(group)) => {
            !server.chain.registry.catalog().all().iter().any(|row| row.builtin && *row.group == *group)
        }
        _ => true,
    }
}

/// Ends what takes too long. No `async fn`, which would hold the work twice: as what it is given, and where it is waited for.
fn timed<T>(time: Duration, work: impl Future<Output = Result<T, Status>>) -> impl Future<Output = Result<T, Status>> {
    tokio::time::timeout(time, work).map(move |outcome| outcome.unwrap_or_else(|_| Err(Status::timeout(TOO_LATE, 0))))
}

/// How long a request may take: as long as it says itself, a minute at most.
fn time_allowed(query: &Query) -> Result<Duration, Status> {
    let Some(text) = query.text("timeout") else { return Ok(REQUEST_TIME) };
    let nanoseconds = api::duration::nanoseconds(text)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    // Upstream's deadline in the past keeps nothing from being done.
    let asked = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    Ok(if asked.is_zero() { REQUEST_TIME } else { asked.min(REQUEST_TIME) })
}

fn attributes<'a>(info: &'a RequestInfo, query: &'a Query) -> Attributes<'a> {
    // Opening a session is a creation, whichever method the client's protocol makes it use.
    let connects = info.verb == "get"
        && info.resource == "pods"
        && matches!(&*info.subresource, "attach" | "exec" | "portforward");
    // Selectors of requests for one object say nothing.
    let selects = matches!(&*info.verb, "list" | "watch" | "deletecollection");
    let selector = |name: &str| query.get(name).filter(|_| selects).unwrap_or_default();
    Attributes {
        verb: if connects { "create" } else { &info.verb },
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        is_resource: info.is_resource,
        path: &info.path,
        field_selector: selector("fieldSelector"),
        label_selector: selector("labelSelector"),
    }
}

/// The form of answers that one request asks for.
pub(crate) fn form(headers: &HeaderMap, query: &Query, offer: accept::Offer) -> Result<Form, Status> {
    let accepted = accept::negotiate(text(headers, header::ACCEPT), offer)?;
    let include = match query.get("includeObject").unwrap_or_default() {
        "None" => shape::Include::None,
        "Object" => shape::Include::Object,
        "" | "Metadata" => shape::Include::Metadata,
        other if matches!(accepted.shape, accept::Shape::Table(_)) => {
            let quoted = api::quote::quote(other);
            let why = format!("includeObject: Invalid value: {quoted}: must be 'Metadata', 'Object', 'None', or empty");
            return Err(Status::bad_request(format!("Unable to convert to Table as requested: {why}")));
        }
        _ => shape::Include::Metadata,
    };
    let plain = plain_form(headers, query);
    Ok(Form { pretty: plain.pretty || accepted.pretty, accepted, include, ..plain })
}

/// The form of a failure: what is accepted is followed as far as it can be.
fn failure_form(headers: &HeaderMap, query: &Query) -> Form {
    let encoding = accept::encoding(text(headers, header::ACCEPT));
    Form { accepted: accept::Accepted { encoding, ..accept::Accepted::JSON }, ..plain_form(headers, query) }
}

/// As [`form`], without negotiation.
pub(crate) fn plain_form(headers: &HeaderMap, query: &Query) -> Form {
    let agent = text(headers, header::USER_AGENT);
    let person = ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix));
    let pretty = match query.text("pretty") {
        // What Go reads as true.
        Some(said) => matches!(said, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => person,
    };
    let gzip = text(headers, header::ACCEPT_ENCODING)
        .split(',')
        .any(|e| e.split(';').next().unwrap_or_default().trim() == "gzip");
    Form { pretty, gzip, ..Form::PLAIN }
}

/// The client's own id for the request where it sends a sane one, else a new one.
fn audit_id(headers: &HeaderMap) -> String {
    let sent = text(headers, AUDIT_ID);
    let sane =
        !sent.is_empty() && sent.len() <= 64 && sent.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if sane { sent.to_owned() } else { uuid::Uuid::new_v4().to_string() }
}

/// `Warning` headers, as RFC 7234 writes them.
pub(crate) fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    // Headers have an end: what does not fit is left out, as upstream does it.
    let mut room = 4096_usize;
    for warning in warnings {
        let escaped: String = warning
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .take(256)
            .collect();
        if escaped.len() > room {
            return;
        }
        room -= escaped.len();
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()) {
            headers.append(header::WARNING, value);
        }
    }
}

/// The routes a binary adds.
pub(crate) struct Extra {
    pub(crate) prefixes: Vec<String>,
    pub(crate) router: axum::Router,
}

impl Extra {
    fn takes(&self, path: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}
