//! Requests for resources: which row, which verb, what body; then the chain, then the answer in the form accepted.

use std::sync::Arc;

use api::{Operation, Reply, Resource, Status};
use axum::body::Body;
use http::{Method, Response, header};
use serde_json::Value;

use super::accept::{Offer, Route, Shape};
use super::kept::Kept;
use super::kind::Expected;
use super::respond::{self, Form};
use super::{Incoming, body, failure_form, form, protobuf, warn, watch};
use crate::chain::Pass;
use crate::discovery::subresource;
use crate::metrics::requests::LongRunning;
use crate::server::Server;
use crate::{notes, proxy, registry, table};

pub(super) async fn serve(
    server: &Arc<Server>,
    pass: Pass,
    incoming: Incoming<'_>,
    counted: Option<LongRunning>,
) -> Result<Response<Body>, Status> {
    let info = incoming.info;
    let found = server.chain.registry.catalog().get(&info.group, &info.version, &info.resource);
    let Some(row) = found else { return Err(Status::no_such_path()) };
    check_path(&row, &incoming)?;
    if info.named {
        check_name(&info.name)?;
    }
    if let Some(words) = deprecated(&row) {
        notes::warn(words);
        server.chain.metrics.deprecated(&row, &info.subresource);
    }
    if !info.subresource.is_empty() && subresource::is_connect(&row, &info.subresource) {
        return proxy::serve(server, &pass, &row, incoming, counted).await;
    }
    let shown = Shown::of(&row, &info.subresource);
    let collection = info.subresource.is_empty() && !info.named;
    let route = if collection { Route::Collection } else { Route::Objects };
    let offer = Offer {
        protobuf: protobuf::serves(&row),
        table: shown.has_table(),
        metadata: true,
        route: row.builtin.then_some(route),
    };
    let form = form(incoming.request.headers(), incoming.query, offer)?;
    let namespace = if row.is_namespaced() { info.namespace.clone() } else { String::new() };
    let mut request = api::Request {
        user: pass.user.clone(),
        resource: row.clone(),
        namespace,
        // A name that a selector left is the selector's to find.
        name: if info.named { info.name.clone() } else { String::new() },
        subresource: info.subresource.clone(),
        operation: Operation::Get { resource_version: None },
    };
    if info.verb == "watch" {
        request.operation = Operation::Watch(watch_options(&incoming)?);
        return watch::serve(server, request, form, incoming.request, (pass.permit, counted)).await;
    }
    let plain = failure_form(incoming.request.headers(), incoming.query);
    let trail = incoming.trail;
    request.operation = operation(&row, incoming).await?;
    if let Some(trail) = trail {
        trail.request(&request, &server.chain.registry);
    }
    if let (Operation::Create(value, _), true) = (&request.operation, request.name.is_empty()) {
        request.name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let creates = matches!(request.operation, Operation::Create(..));
    let reply = server.chain.act(&request).await?;
    if let Some(trail) = trail {
        trail.reply(&reply, || respond::recorded(shown.row(), &reply, &form));
    }
    shown.check_number(&reply, &form)?;
    Ok(answer(shown.row(), reply, creates, (&form, &plain), &server.kept).await)
}

/// What the answers about a row's subresource show.
struct Shown<'a> {
    row: &'a Arc<Resource>,
    /// Group, version and kind, where they are not the row's.
    other: Option<(&'static str, &'static str, &'static str)>,
}

impl<'a> Shown<'a> {
    fn of(row: &'a Arc<Resource>, subresource: &str) -> Self {
        let other = (!subresource.is_empty()).then(|| subresource::describe(row, subresource).kind).flatten();
        Self { row, other }
    }

    fn is_scale(&self) -> bool {
        self.other.is_some_and(|(_, _, kind)| kind == "Scale")
    }

    /// A subresource that shows the object itself is shown as the object is, and scales have rows of their own.
    fn has_table(&self) -> bool {
        (self.other.is_none() || self.is_scale()) && self.row.verbs.contains(&"get")
    }

    /// The row that tells how tables show it.
    fn row(&self) -> &Arc<Resource> {
        if self.is_scale() { table::scale() } else { self.row }
    }

    /// As what upstream's server has it.
    fn go_type(&self) -> String {
        let own = || Some((&*self.row.group, &*self.row.kind)).filter(|_| self.row.builtin);
        match self.other {
            Some((_, version, kind)) if !self.row.builtin => format!("{version}.{kind}"),
            other => match other.map(|(group, _, kind)| (group, kind)).or_else(own) {
                Some((group, kind)) => format!("{}.{kind}", registry::package_of(group)),
                None => "unstructured.Unstructured".to_owned(),
            },
        }
    }

    /// 406 for metadata of one where there are many, or of many where there is one. What was asked for is done by then.
    fn check_number(&self, reply: &Reply, form: &Form) -> Result<(), Status> {
        let why = match (reply, form.accepted.shape) {
            (Reply::Object { .. }, Shape::Metadata { list: true, .. }) => {
                format!("PartialObjectMetadataList, but the requested object is not a list (*{})", self.go_type())
            }
            (Reply::List(_), Shape::Metadata { list: false, .. }) => {
                format!("PartialObjectMetadata, but the requested object is a list (*{}List)", self.go_type())
            }
            _ => return Ok(()),
        };
        Err(Status::failure(406, "NotAcceptable", format!("you requested {why}")))
    }
}

/// What is said with every answer about a kind that has been replaced.
fn deprecated(row: &Resource) -> Option<&str> {
    if let Some(custom) = &row.custom {
        return custom.version().deprecation.as_deref();
    }
    match (&*row.group, &*row.kind) {
        ("", "Endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        ("", "ComponentStatus") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

async fn answer(
    row: &Arc<Resource>,
    reply: Reply,
    creates: bool,
    (form, plain): (&Form, &Form),
    kept: &Kept,
) -> Response<Body> {
    match reply {
        Reply::Object { object, created, warnings } => {
            let code = if created { 201 } else { 200 };
            let mut response = respond::object(code, row, &object, form);
            warn(response.headers_mut(), &warnings);
            response
        }
        Reply::List(list) => respond::list(row, list, form, kept).await,
        Reply::Status(status) => {
            let code = match status.code {
                0 if creates => 201,
                0 => 200,
                code => code,
            };
            match serde_json::to_value(&*status) {
                Ok(value) => respond::value(code, &value, plain),
                Err(_) => respond::status(&status),
            }
        }
        // Watches are answered before.
        Reply::Watch(_) => respond::status(&Status::internal("a watch where none was asked for")),
    }
}

/// Whether the path has the form of the row's paths: 404 and 405 as upstream's routes have them.
fn check_path(row: &Resource, incoming: &Incoming<'_>) -> Result<(), Status> {
    let info = incoming.info;
    if !info.rest.is_empty() && !subresource::is_connect(row, &info.subresource) {
        return Err(Status::no_such_path());
    }
    let in_namespace = !info.namespace.is_empty() && (!row.is_core() || &*row.plural != "namespaces");
    let everywhere = row.is_namespaced() && !in_namespace;
    if (in_namespace && !row.is_namespaced()) || (everywhere && info.named) {
        return Err(Status::no_such_path());
    }
    if info.named && info.name.is_empty() {
        return Err(Status::no_such_path());
    }
    // The routes of built-in kinds know no heads of answers.
    if *incoming.request.method() == Method::HEAD && row.builtin && info.subresource != "proxy" {
        return Err(Status::method_not_allowed());
    }
    if info.verb == "watch" && *incoming.request.method() != Method::GET && row.builtin {
        return Err(Status::method_not_allowed());
    }
    let verb = match &*info.verb {
        // No verb of ours, but what is proxied may know the method.
        "" if info.subresource == "proxy" && incoming.request.method() == Method::OPTIONS => "get",
        "" => return Err(Status::method_not_allowed()),
        verb => verb,
    };
    if everywhere && !matches!(verb, "list" | "watch") && row.stored {
        return Err(Status::method_not_allowed());
    }
    if everywhere && !row.verbs.contains(&"list") {
        return Err(Status::no_such_path());
    }
    if info.subresource.is_empty() {
        let collection = matches!(verb, "create" | "list" | "deletecollection");
        let fits = if info.named { !collection } else { collection || verb == "watch" };
        let served = row.verbs.contains(&verb);
        return if fits && served { Ok(()) } else { Err(Status::method_not_allowed()) };
    }
    if !row.has_subresource(&info.subresource) {
        // Custom kinds have no routes of their own: what a version of theirs has not is an object that is not there.
        let custom = !row.builtin && info.named;
        let missing = || Status::not_found(&row.group, &row.plural, &info.name);
        return Err(if custom { missing() } else { Status::no_such_path() });
    }
    if subresource::describe(row, &info.subresource).verbs.contains(&verb) {
        Ok(())
    } else {
        Err(Status::method_not_allowed())
    }
}

/// 400 for a name that cannot stand in a path.
fn check_name(name: &str) -> Result<(), Status> {
    let wrong = match name {
        "." | ".." => format!("may not be '{name}'"),
        name if name.contains('%') => "may not contain '%'".to_owned(),
        _ => return Ok(()),
    };
    Err(Status::bad_request(format!("Name parameter invalid: {}: {wrong}", api::quote::quote(name))))
}

fn watch_options(incoming: &Incoming<'_>) -> Result<api::WatchOptions, Status> {
    let mut options = incoming.query.watch()?;
    if incoming.info.named {
        // `/api/v1/watch/namespaces/a/pods/x`
        let one = format!("metadata.name={}", incoming.info.name);
        options.list.field_selector =
            if options.list.field_selector.is_empty() { one } else { format!("{},{one}", options.list.field_selector) };
    }
    Ok(options)
}

async fn operation(row: &Resource, incoming: Incoming<'_>) -> Result<Operation, Status> {
    let Incoming { info, query, request, trail, .. } = incoming;
    let (head, content) = request.into_parts();
    let expected = Expected::new(row, &info.subresource);
    let header = |name| super::text(&head.headers, name).to_owned();
    let (agent, content_type) = (header(header::USER_AGENT), header(header::CONTENT_TYPE).to_ascii_lowercase());
    Ok(match &*info.verb {
        "get" => Operation::Get { resource_version: query.text("resourceVersion").map(str::to_owned) },
        "list" => Operation::List(query.list()?),
        "create" | "update" => {
            let kind = if info.verb == "create" { "CreateOptions" } else { "UpdateOptions" };
            let mut options = query.write(kind, &agent, false)?;
            let bytes = body::read(content).await?;
            let decode = |bytes: &[u8]| protobuf::decode(bytes, expected.triple());
            let document = body::object(&bytes, &content_type, decode).map_err(|status| match &*status.message {
                why if body::is_syntax(why) => expected.unrecognized(why, &bytes),
                _ => status,
            })?;
            tell_duplicates(&mut options, document.duplicates, &content_type);
            let value = expected.check(document.value, &bytes)?;
            if info.verb == "create" { Operation::Create(value, options) } else { Operation::Update(value, options) }
        }
        "patch" => {
            let apply = body::is_apply(&content_type);
            let mut options = query.write("PatchOptions", &agent, apply)?;
            let bytes = body::read(content).await?;
            let (patch, duplicates) = body::patch(&bytes, &content_type, row.builtin)?;
            tell_duplicates(&mut options, duplicates, &content_type);
            Operation::Patch(patch, options)
        }
        verb @ ("delete" | "deletecollection") => {
            let bytes = body::read(content).await?;
            let document = match bytes.is_empty() {
                true => None,
                false => {
                    let decode = |bytes: &[u8]| protobuf::decode(bytes, ("", "v1", "DeleteOptions"));
                    Some(delete_options(body::object(&bytes, &content_type, decode)?.value)?)
                }
            };
            let options = query.delete(document.as_ref())?;
            if let (Some(trail), Some(document)) = (trail, &document) {
                trail.delete_options(document);
            }
            if verb == "delete" {
                Operation::Delete(options)
            } else {
                Operation::DeleteCollection(options, query.list()?)
            }
        }
        _ => return Err(Status::method_not_allowed()),
    })
}

/// The body of a delete says that it is `DeleteOptions` of some group, or nothing.
fn delete_options(body: Value) -> Result<Value, Status> {
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
    match (&body, text("kind")) {
        (Value::Null, _) => Ok(Value::Object(serde_json::Map::new())),
        (Value::Object(_), "" | "DeleteOptions") => Ok(body),
        (Value::Object(_), kind) => {
            let version = Some(text("apiVersion")).filter(|version| !version.is_empty()).unwrap_or("meta.k8s.io/v1");
            let (kind, version) = (api::quote::quote(kind), api::quote::quote(version));
            let why =
                format!("no kind {kind} is registered for version {version} in scheme \"pkg/runtime/scheme.go:111\"");
            Err(Status::bad_request(why))
        }
        _ => Err(Status::bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value",
        )),
    }
}

fn tell_duplicates(options: &mut api::WriteOptions, duplicates: Vec<String>, content_type: &str) {
    if body::is_yaml(content_type) {
        options.duplicate_keys = duplicates;
    } else {
        options.duplicate_fields = duplicates;
    }
}
