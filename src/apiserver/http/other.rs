//! Paths that are no resources: discovery, health, metrics, version, keys, and the index of all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::Status;
use axum::body::Body;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};

use super::respond::Form;
use super::{Incoming, plain_form, respond};
use crate::fairness::DEBUG_PREFIX;
use crate::metrics::kinds::Kinds;
use crate::metrics::{self, Now, exposition};
use crate::server::Server;
use crate::{discovery, health};

/// What the version says of itself: the API is that of Kubernetes 1.35.
pub(crate) const MAJOR: &str = "1";
pub(crate) const MINOR: &str = "35";

pub(super) async fn serve(server: &Arc<Server>, incoming: Incoming<'_>) -> Result<Response<Body>, Status> {
    let (path, query) = (&*incoming.info.path, incoming.query);
    // Upstream's other pages do not look at the method.
    if *incoming.request.method() != Method::GET && is_route(server, path) {
        return Err(Status::method_not_allowed());
    }
    let headers = incoming.request.headers();
    let form = plain_form(headers, query);
    if let Some(answer) = health::answer(&server.checks, path, query) {
        return Ok(answer);
    }
    let keys = &server.chain.authenticator.service_accounts;
    // Whoever asks for these gets them as people read them.
    let readable = Form { pretty: true, ..form.clone() };
    let answer = match without_slash(path) {
        "/" | "/index.html" => respond::value(200, &json!({ "paths": paths(server) }), &readable),
        "/version" => respond::value(200, &version(), &readable),
        "/metrics" => {
            let text = server.chain.metrics.text(now(server));
            respond::whole(200, exposition::CONTENT_TYPE, text.into())
        }
        "/metrics/slis" => {
            let text = metrics::checks(health::outcomes(&server.checks));
            respond::whole(200, exposition::CONTENT_TYPE, text.into())
        }
        "/.well-known/openid-configuration" => {
            let document = json!({
                "issuer": keys.issuer(),
                "jwks_uri": server.jwks_uri,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": keys.keys.algorithms(),
            });
            public(respond::whole(200, "application/json", document.to_string().into()))
        }
        "/openid/v1/jwks" => {
            let keys = keys.keys.jwks().to_string();
            public(respond::whole(200, "application/jwk-set+json", keys.into()))
        }
        path if path.starts_with(DEBUG_PREFIX) => {
            let details = query.text("includeRequestDetails").is_some();
            let table = path.strip_prefix(DEBUG_PREFIX).and_then(|table| server.chain.fairness.dump(table, details));
            let table = table.ok_or_else(Status::no_such_path)?;
            respond::whole(200, "text/plain; charset=utf-8", table.into())
        }
        path if path.starts_with("/openapi/") => {
            let third = path.strip_prefix("/openapi/v3").filter(|below| below.is_empty() || below.starts_with('/'));
            let answer = match path.ends_with('/') {
                true => Err(Status::no_such_path()),
                false => server.openapi.answer(path, query.get("hash"), headers).await,
            };
            return match answer {
                Err(status) if third.is_some() && status.is_no_such_path() => Ok(respond::nothing(404)),
                answer => answer,
            };
        }
        path => {
            let catalog = server.chain.registry.catalog();
            let answer = server.discovery.answer(catalog, &server.aggregator, path, headers, &form);
            return answer.ok_or_else(Status::no_such_path)?;
        }
    };
    Ok(answer)
}

/// What is counted when somebody asks.
fn now(server: &Server) -> Now {
    let registry = &server.chain.registry;
    // One version of each kind; further ones show the same objects.
    let mut seen = BTreeSet::new();
    let rows = registry.catalog().all().into_iter().filter(|row| row.stored && row.stored_as.is_none());
    let rows: Vec<_> = rows.filter(|row| seen.insert((row.group.clone(), row.plural.clone()))).collect();
    let kinds = Kinds(rows.iter().map(|row| registry.cache(row)).collect());
    Now { in_flight: server.chain.fairness.in_flight(), kinds, services: server.aggregator.unavailable() }
}

/// What `/version` tells.
pub(crate) fn version() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "34",
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+isopod"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

/// Anyone may keep the keys for an hour.
fn public(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// The path without a slash at its end, where it says nothing: below what upstream routes, and nowhere else.
fn without_slash(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    let roots = ["/version", "/api", "/apis", "/.well-known", "/openid"];
    let routed =
        |root: &&str| trimmed.strip_prefix(root).is_some_and(|below| below.is_empty() || below.starts_with('/'));
    if roots.iter().any(routed) { trimmed } else { path }
}

/// Whether a path is one of those that upstream routes by their methods.
fn is_route(server: &Server, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let fixed = ["/version", "/api", "/.well-known/openid-configuration", "/openid/v1/jwks"];
    let is_version = |rest: &str| {
        let rows = server.chain.registry.catalog().all();
        let split = rest.split_once('/');
        split.is_some_and(|(group, version)| {
            rows.iter().any(|row| row.builtin && *row.group == *group && *row.version == *version)
        })
    };
    fixed.contains(&path) || path == "/api/v1" || path.strip_prefix("/apis/").is_some_and(is_version)
}

/// The index of `/`.
fn paths(server: &Server) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/apis/",
        "/metrics",
        "/metrics/slis",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/openid/v1/jwks",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    for root in ["/healthz", "/livez", "/readyz"] {
        paths.push(root.to_owned());
        let asked = server.checks.iter().filter(|check| check.live || root == "/readyz");
        paths.extend(asked.map(|check| format!("{root}/{}", check.name)));
    }
    let others = server.aggregator.discovered();
    let groups = discovery::grouped(server.chain.registry.catalog().all(), &others.versions);
    for group in groups.iter().filter(|group| !group.name.is_empty()) {
        paths.push(format!("/apis/{}", group.name));
        paths.extend(group.versions.iter().map(|(version, _)| format!("/apis/{}/{version}", group.name)));
    }
    paths.sort_unstable();
    paths
}
