//! Requests that another API server answers.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use tokio::time::Instant;

use super::{Remote, identity};
use crate::chain::Pass;
use crate::endpoints::PortRef;
use crate::http::{Incoming, canonical, respond};
use crate::metrics::requests::LongRunning;
use crate::proxy::dial::UNREACHED;
use crate::proxy::{Link, Target, forward};
use crate::server::Server;

/// Discovery is asked by everybody, and one slow server must not make all of them wait.
const DISCOVERY_TIME: Duration = Duration::from_secs(5);

/// Passes a request on: as it came, but for the user, whose name takes the place of what the client proved itself with.
/// Upgrades and watches go through.
pub(crate) async fn serve(
    server: &Arc<Server>,
    pass: &Pass,
    remote: &Remote,
    incoming: Incoming<'_>,
    counted: Option<LongRunning>,
) -> Result<Response<Body>, Status> {
    let aggregator = &server.aggregator;
    if !remote.available {
        return Ok(respond::plainly(503, "service unavailable"));
    }
    let connections = match &remote.link {
        Ok(connections) => connections.clone(),
        Err(why) => return Ok(respond::plainly(500, why)),
    };
    let port = PortRef::Number(remote.port);
    let authority = match aggregator.endpoints.pick(&remote.namespace, &remote.service, port) {
        Ok(authority) => authority,
        Err(error) => {
            tracing::debug!(%error, name = remote.name, "an aggregated API server cannot be found");
            return Ok(respond::plainly(503, "service unavailable"));
        }
    };
    let upgrades = forward::is_upgrade(incoming.request.headers());
    let uri = incoming.request.uri();
    let path = canonical::path(uri.path());
    let query = uri.query().map(canonical::query).filter(|query| !query.is_empty());
    let headers = headers(pass, &incoming, &path, &authority, upgrades);
    let path = query.map_or(path.clone(), |query| format!("{path}?{query}"));
    let target = Target { authority, link: Link::Kept(connections), path, below: String::new(), headers };
    let is_discovery = !incoming.info.is_resource && incoming.info.path.trim_matches('/').split('/').count() == 3;
    let passed_on = forward::forward(&target, incoming.request, incoming.from, counted);
    let answer = match is_discovery {
        false => passed_on.await,
        true => {
            let late = |_| Err(Status::unavailable("error trying to reach service: context deadline exceeded"));
            tokio::time::timeout(DISCOVERY_TIME, passed_on).await.unwrap_or_else(late)
        }
    };
    match answer {
        Ok(answer) if upgrades => Ok(upgraded(answer)),
        Ok(answer) => Ok(here(answer, &target.authority).await),
        // Whoever is not reached is told of as upstream does.
        Err(Status { code: 503, message, .. }) => {
            let why = message.strip_prefix(UNREACHED).filter(|_| upgrades);
            let why = why.map_or_else(|| message.clone(), |why| format!("error dialing backend: {why}"));
            Ok(respond::plainly(503, &why))
        }
        Err(status) => Err(status),
    }
}

/// What is told beside the client's own headers: who asks, and what for.
fn headers(pass: &Pass, incoming: &Incoming<'_>, path: &str, authority: &str, upgrades: bool) -> HeaderMap {
    let mut headers = identity::headers(&pass.user);
    let mut tell = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    tell("audit-id", incoming.audit_id);
    if !upgrades {
        tell("x-forwarded-host", authority);
        tell("x-forwarded-proto", "https");
        tell("x-forwarded-uri", &canonical::clean(path));
    }
    headers
}

/// An answer as clients of this server may have it: another server does not lead them to places of its choice, with what they
/// prove themselves with to this one.
async fn here(answer: Response<Body>, authority: &str) -> Response<Body> {
    if answer.status().is_redirection() && answer.headers().get(header::LOCATION).is_some_and(|place| !place.is_empty())
    {
        let why = "the backend attempted to redirect this request, which is not permitted";
        return respond::whole(502, "text/plain; charset=utf-8", why.into());
    }
    let (mut head, body) = answer.into_parts();
    let body = forward::keep_below(&mut head.headers, body, &format!("https://{authority}"), authority, "").await;
    Response::from_parts(head, body)
}

/// An answer to who asked for another protocol: that, or a failure.
fn upgraded(answer: Response<Body>) -> Response<Body> {
    match answer.status() {
        code if code != StatusCode::SWITCHING_PROTOCOLS && code.as_u16() < 400 => {
            respond::plainly(503, &format!("invalid upgrade response: status code {}", code.as_u16()))
        }
        _ => answer,
    }
}

/// An answer that breaks off when its time is over: another server sends it, as slowly as it likes.
pub(crate) fn until(end: Instant, answer: Response<Body>) -> Response<Body> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    let answer = Response::from_parts(head, body);
    answer.map(|body| {
        let frames = futures::stream::unfold(Some(body.into_data_stream()), move |frames| async move {
            let mut frames = frames?;
            match tokio::time::timeout_at(end, frames.next()).await {
                Ok(None) => None,
                Ok(Some(frame)) => Some((frame.map_err(std::io::Error::other), Some(frames))),
                Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
            }
        });
        Body::from_stream(frames)
    })
}
