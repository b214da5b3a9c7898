//! Requests that another API server answers.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use axum::body::Body;
use http::{Response, StatusCode};

use super::{Remote, identity};
use crate::chain::Pass;
use crate::endpoints::PortRef;
use crate::http::Incoming;
use crate::http::respond;
use crate::metrics::LongRunning;
use crate::proxy::{Target, forward};
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
    let tls = match &remote.tls {
        Ok(tls) => tls.clone(),
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
        tls: Some(tls),
        server_name: Some(remote.server_name()),
        path,
        below: String::new(),
        headers: identity::headers(&pass.user),
    };
    let is_discovery = !incoming.info.is_resource;
    let passed_on = forward::forward(&target, incoming.request, None, counted);
    if !is_discovery {
        return passed_on.await;
    }
    let late = |_| Err(Status::unavailable("error trying to reach service: context deadline exceeded"));
    tokio::time::timeout(DISCOVERY_TIME, passed_on).await.unwrap_or_else(late)
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
