//! Admission of connections: who watches over writes may also refuse an `exec`, an `attach` or a use of a proxy.

use std::sync::Arc;

use api::{Operation, Request, Resource, Status};
use serde_json::{Map, Value};

use crate::Registry;
use crate::admission::{self, Attributes, Options, Verb};
use crate::chain::Pass;
use crate::discovery::subresource;
use crate::http::path::RequestInfo;
use crate::http::query::Query;

/// Asks admission about a connection. What it changes in the options has no effect.
pub(super) async fn admit(
    registry: &Registry,
    pass: &Pass,
    row: &Arc<Resource>,
    info: &RequestInfo,
    query: &Query,
) -> Result<(), Status> {
    // Logs are read, not connected to.
    let Some((_, version, kind)) = subresource::describe(row, &info.subresource).kind else { return Ok(()) };
    let request = Request {
        user: pass.user.clone(),
        resource: row.clone(),
        namespace: if row.is_namespaced() { info.namespace.clone() } else { String::new() },
        name: info.name.clone(),
        subresource: info.subresource.clone(),
        operation: Operation::Get { resource_version: None },
    };
    let mut attributes = Attributes::new(&request, Verb::Connect, Options::None);
    attributes.object = options(version, kind, info, query);
    admission::mutate(registry, &mut attributes).await?;
    admission::validate(registry, &mut attributes).await
}

/// The query as `PodExecOptions`, `PodProxyOptions` …
fn options(version: &str, kind: &str, info: &RequestInfo, query: &Query) -> Value {
    let mut options = Map::new();
    options.insert("kind".into(), kind.into());
    options.insert("apiVersion".into(), version.into());
    match kind {
        "PodExecOptions" | "PodAttachOptions" => {
            for stream in ["stdin", "stdout", "stderr", "tty"] {
                if query.flag(stream) {
                    options.insert(stream.into(), true.into());
                }
            }
            if let Some(container) = query.text("container") {
                options.insert("container".into(), container.into());
            }
            if kind == "PodExecOptions" {
                options.insert("command".into(), query.all("command").collect::<Vec<_>>().into());
            }
        }
        "PodPortForwardOptions" => {
            let ports =
                query.all("ports").flat_map(|ports| ports.split(',')).filter_map(|port| port.parse::<u16>().ok());
            let ports: Vec<u16> = ports.collect();
            if !ports.is_empty() {
                options.insert("ports".into(), ports.into());
            }
        }
        _ if !info.rest.is_empty() => drop(options.insert("path".into(), info.rest.as_str().into())),
        _ => {}
    }
    Value::Object(options)
}
