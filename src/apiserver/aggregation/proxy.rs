//! Requests that another API server answers.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use axum::body::Body;
use futures::StreamExt;
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Remote, identity};
use crate::chain::Pass;
use crate::endpoints::PortRef;
use crate::http::Incoming;
use crate::http::respond;
use crate::metrics::requests::LongRunning;
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
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable"));
    }
    let connections = match &remote.link {
        Ok(connections) => connections.clone(),
        Err(why) => return Ok(text(StatusCode::INTERNAL_SERVER_ERROR, why)),
    };
    let port = PortRef::Number(remote.port);
    let authority = match aggregator.endpoints.pick(&remote.namespace, &remote.service, port) {
        Ok(authority) => authority,
        Err(error) => {
            tracing::debug!(%error, name = remote.name, "an aggregated API server cannot be found");
            return Ok(text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable"));
        }
    };
    let path = incoming.request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let target = Target {
        authority,
        link: Link::Kept(connections),
        path,
        below: String::new(),
        headers: identity::headers(&pass.user),
    };
    let is_discovery = !incoming.info.is_resource;
    let passed_on = forward::forward(&target, incoming.request, None, counted);
    let answer = match is_discovery {
        false => passed_on.await,
        true => {
            let late = |_| Err(Status::unavailable("error trying to reach service: context deadline exceeded"));
            tokio::time::timeout(DISCOVERY_TIME, passed_on).await.unwrap_or_else(late)
        }
    };
    // Whoever is not reached is told of as upstream does.
    answer.or_else(|status| match status.code {
        503 => Ok(text(StatusCode::SERVICE_UNAVAILABLE, &status.message)),
        _ => Err(status),
    })
}

/// An answer that breaks off when its time is over: another server sends it, as slowly as it likes.
pub(crate) fn until(end: Instant, answer: Response<Body>) -> Response<Body> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return answer;
    }
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

/// A document of OpenAPI version 3 that another server has about what it serves: `path` is below `/openapi/v3`.
pub(crate) async fn document(
    server: &Server,
    path: &str,
    query: Option<&str>,
    accept: &str,
) -> Option<Result<Response<Body>, Status>> {
    let remote = server.aggregator.claiming(path)?;
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let answer = server.aggregator.fetch(&remote, false, &format!("/openapi/v3{path}{query}"), accept).await;
    Some(answer.map(|answer| answer.map(Body::from)).map_err(Status::unavailable))
}

/// Go's plain errors: clients make their own of the code.
fn text(code: StatusCode, why: &str) -> Response<Body> {
    respond::whole(code.as_u16(), "text/plain; charset=utf-8", format!("{why}\n").into())
}
