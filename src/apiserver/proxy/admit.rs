//! Admission of connections: who watches over writes may also refuse an `exec`, an `attach` or a use of a proxy.

use std::sync::Arc;

use api::{Operation, Request, Resource, Status};

use super::options::ConnectOptions;
use crate::Registry;
use crate::admission::{self, Attributes, Options, Verb};
use crate::chain::Pass;
use crate::discovery::subresource;
use crate::http::path::RequestInfo;

/// Asks admission about a connection. What it changes in the options has no effect.
pub(super) async fn admit(
    registry: &Registry,
    pass: &Pass,
    row: &Arc<Resource>,
    info: &RequestInfo,
    options: &ConnectOptions,
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
    attributes.object = options.to_value(version, kind, info);
    admission::mutate(registry, &mut attributes).await?;
    admission::validate(registry, &mut attributes).await
}
