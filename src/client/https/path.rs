//! A request as HTTP: method, path, query, body.

use api::{DeleteOptions, FieldValidation, ListOptions, Operation, Patch, Propagation, Request, Status, WriteOptions};
use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// What is sent for a request.
pub fn http_request(request: &Request) -> Result<http::Request<Bytes>, Status> {
    let Sketch { method, named, query, body } = sketch(&request.operation, &request.subresource);
    let mut uri = path(request, named);
    for (at, (name, value)) in query.0.iter().enumerate() {
        uri.push(if at == 0 { '?' } else { '&' });
        uri.push_str(name);
        uri.push('=');
        encode(&mut uri, value);
    }
    let mut http = http::Request::builder().method(method).uri(uri).header(ACCEPT, JSON);
    let body = match body {
        Some((kind, value)) => {
            http = http.header(CONTENT_TYPE, kind);
            serde_json::to_vec(value.as_ref()).map_err(Status::internal)?.into()
        }
        None => Bytes::new(),
    };
    http.body(body).map_err(|error| Status::bad_request(error.to_string()))
}

/// An operation's part of the request.
struct Sketch<'a> {
    method: Method,
    /// Whether the path goes on to the object's name.
    named: bool,
    query: Query,
    body: Option<(&'static str, std::borrow::Cow<'a, Value>)>,
}

fn sketch<'a>(operation: &'a Operation, subresource: &str) -> Sketch<'a> {
    use std::borrow::Cow::{Borrowed, Owned};
    let mut query = Query::default();
    let (method, named, body) = match operation {
        Operation::Get { resource_version } => {
            query.add("resourceVersion", resource_version.as_deref().unwrap_or_default());
            (Method::GET, true, None)
        }
        Operation::List(options) => {
            query.list(options);
            (Method::GET, false, None)
        }
        Operation::Watch(options) => {
            query.add("watch", "1");
            query.list(&options.list);
            query.flag("allowWatchBookmarks", options.bookmarks);
            if let Some(initial) = options.initial_events {
                query.add("sendInitialEvents", if initial { "true" } else { "false" });
            }
            query.number("timeoutSeconds", options.timeout_seconds.unwrap_or_default());
            (Method::GET, false, None)
        }
        Operation::Create(object, options) => {
            query.write(options);
            // A new object's name stands in the object; a new sub-object's is its parent's, in the path.
            (Method::POST, !subresource.is_empty(), Some((JSON, Borrowed(object))))
        }
        Operation::Update(object, options) => {
            query.write(options);
            (Method::PUT, true, Some((JSON, Borrowed(object))))
        }
        Operation::Patch(patch, options) => {
            query.write(options);
            let (kind, body) = match patch {
                Patch::Json(body) => ("application/json-patch+json", body),
                Patch::Merge(body) => ("application/merge-patch+json", body),
                Patch::Strategic(body) => ("application/strategic-merge-patch+json", body),
                // JSON is YAML.
                Patch::Apply(body) => ("application/apply-patch+yaml", body),
            };
            (Method::PATCH, true, Some((kind, Borrowed(body))))
        }
        Operation::Delete(options) => (Method::DELETE, true, Some((JSON, Owned(delete_options(options))))),
        Operation::DeleteCollection(options, list) => {
            query.list(list);
            (Method::DELETE, false, Some((JSON, Owned(delete_options(options)))))
        }
    };
    Sketch { method, named, query, body }
}

fn path(request: &Request, named: bool) -> String {
    let resource = &request.resource;
    let mut path = String::from(if resource.is_core() { "/api" } else { "/apis" });
    let mut segment = |text: &str| {
        path.push('/');
        encode(&mut path, text);
    };
    if !resource.is_core() {
        segment(&resource.group);
    }
    segment(&resource.version);
    if resource.is_namespaced() && !request.namespace.is_empty() {
        segment("namespaces");
        segment(&request.namespace);
    }
    segment(&resource.plural);
    if named {
        segment(&request.name);
        if !request.subresource.is_empty() {
            segment(&request.subresource);
        }
    }
    path
}

#[derive(Default)]
struct Query(Vec<(&'static str, String)>);

impl Query {
    fn add(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.push((name, value.to_owned()));
        }
    }

    fn flag(&mut self, name: &'static str, on: bool) {
        self.add(name, if on { "true" } else { "" });
    }

    fn number(&mut self, name: &'static str, number: i64) {
        if number != 0 {
            self.0.push((name, number.to_string()));
        }
    }

    fn list(&mut self, options: &ListOptions) {
        self.add("labelSelector", &options.label_selector);
        self.add("fieldSelector", &options.field_selector);
        self.number("limit", options.limit as i64);
        self.add("continue", &options.continue_token);
        self.add("resourceVersion", options.resource_version.as_deref().unwrap_or_default());
        self.add("resourceVersionMatch", &options.resource_version_match);
    }

    fn write(&mut self, options: &WriteOptions) {
        self.add("dryRun", if options.dry_run { "All" } else { "" });
        self.add("fieldManager", &options.field_manager);
        let validation = match options.field_validation {
            FieldValidation::Warn => "",
            FieldValidation::Ignore => "Ignore",
            FieldValidation::Strict => "Strict",
        };
        self.add("fieldValidation", validation);
        self.flag("force", options.force);
    }
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut body = json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
    if let Some(seconds) = options.grace_period_seconds {
        body["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(propagation) = options.propagation {
        body["propagationPolicy"] = match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
        .into();
    }
    if let Some(uid) = &options.uid {
        body["preconditions"]["uid"] = uid.as_str().into();
    }
    if let Some(version) = &options.resource_version {
        body["preconditions"]["resourceVersion"] = version.as_str().into();
    }
    if options.dry_run {
        body["dryRun"] = json!(["All"]);
    }
    body
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(out: &mut String, text: &str) {
    use std::fmt::Write;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
