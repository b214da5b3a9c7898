//! Answers: objects, lists, statuses, in the form the client accepted. Lists are written from the stored bytes as the
//! client reads them; no object is decoded for it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use api::{List, Object, Reply, Resource, Status};
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use serde_json::Value;

use super::accept::{Accepted, Encoding, Shape};
use super::kept::Kept;
use super::pieces::{ItemWriter, Pieces, room};
use super::pretty::Indenter;
use super::shape;
use crate::table;

/// Upstream compresses what is at least this large.
const GZIP_MIN: usize = 128 * 1024;

/// The form of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub accepted: Accepted,
    /// Indented, for people.
    pub pretty: bool,
    /// The client accepts gzip.
    pub gzip: bool,
    /// How much of each object a Table carries.
    pub include: shape::Include,
}

impl Form {
    /// What is said where nothing was negotiated.
    pub(crate) const PLAIN: Self =
        Self { accepted: Accepted::JSON, pretty: false, gzip: false, include: shape::Include::Metadata };
}

/// A status as the whole answer.
pub(crate) fn status(status: &Status) -> Response<Body> {
    failure(status, &Form::PLAIN)
}

/// What is said of a path that nobody knows anything of.
pub(crate) fn no_such_page() -> Response<Body> {
    plainly(404, "404 page not found")
}

/// Go's plain errors: clients make their own of the code.
pub(crate) fn plainly(code: u16, why: &str) -> Response<Body> {
    let mut response = whole(code, "text/plain; charset=utf-8", format!("{why}\n").into());
    nosniff(&mut response);
    response
}

/// What upstream's filter says when a request is taking too long that is passed on: a Status that does not say what it is.
pub(crate) fn late(status: &Status) -> Response<Body> {
    let mut said = serde_json::to_value(status).unwrap_or_default();
    for field in ["kind", "apiVersion"] {
        said.as_object_mut().map(|said| said.shift_remove(field));
    }
    whole(status.code, "text/plain; charset=utf-8", format!("{said}\n").into())
}

/// A code, and nothing else.
pub(crate) fn nothing(code: u16) -> Response<Body> {
    let mut response = whole(code, "", Bytes::new());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// An answer to HEAD: what GET would have been told, without its body. Over HTTP/2 nothing but us leaves it out, and clients take
/// one for a broken protocol.
pub(crate) fn head(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    Response::from_parts(parts, Body::empty())
}

/// What is said of a path with escapes that are none, whoever asks.
pub(crate) fn broken_path() -> Response<Body> {
    let mut response = whole(400, "text/plain; charset=utf-8", Bytes::from_static(b"400 Bad Request"));
    response.headers_mut().remove(header::CACHE_CONTROL);
    response
}

/// As [`status`], in the form a client accepts.
pub(crate) fn failure(status: &Status, plain: &Form) -> Response<Body> {
    let code = match (status.code, &*status.status) {
        (0, "Failure") => 500,
        (0, _) => 200,
        (code, _) => code,
    };
    // Who accepts nothing there is gets what people read.
    let form = match code {
        406 if plain.accepted.encoding == Encoding::Json => Form { pretty: true, ..Form::PLAIN },
        _ => plain.clone(),
    };
    let mut response = value(code, &serde_json::to_value(status).unwrap_or_default(), &form);
    let headers = response.headers_mut();
    if let Some(seconds) = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Keeps browsers from making more of an answer than it says it is.
pub(crate) fn nosniff(response: &mut Response<Body>) {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// Says something in front of what a far end has said of the same: clients look at the first.
pub(crate) fn say_first(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let said: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
    headers.insert(name.clone(), value);
    for value in said {
        headers.append(name.clone(), value);
    }
}

/// Bytes of a type as the whole answer.
pub(crate) fn whole(code: u16, content_type: &str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    response
}

/// One object.
pub(crate) fn object(code: u16, resource: &Resource, object: &Arc<Object>, form: &Form) -> Response<Body> {
    if form.accepted.encoding == Encoding::Protobuf {
        let mut json = Vec::new();
        super::protobuf::json(object, &form.accepted.shape, &mut json);
        return match super::protobuf::encode(&json) {
            Ok(bytes) => whole(code, form.accepted.encoding.content_type(), bytes),
            Err(failure) => status(&failure),
        };
    }
    whole_json(code, object_json(resource, object, form), form)
}

/// The JSON of one object in the shape accepted.
fn object_json(resource: &Resource, object: &Object, form: &Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.json_len());
    match form.accepted.shape {
        Shape::Whole => object.write_json(&mut out),
        Shape::Metadata { version, .. } => shape::metadata(object, version, &mut out),
        Shape::Table(version) => {
            let head = shape::ListHead { revision: object.meta.resource_version, ..shape::ListHead::default() };
            shape::table_open(resource, version, &head, true, &mut out);
            shape::table_row(resource, object, version, form.include, &mut out);
            out.extend_from_slice(b"]}");
        }
    }
    out
}

/// An answer as the audit log shows it: JSON, in the shape accepted. Empty where there is no object.
pub(crate) fn recorded(resource: &Resource, reply: &Reply, form: &Form) -> Vec<u8> {
    match reply {
        Reply::Object { object, .. } => object_json(resource, object, form),
        Reply::List(list) => {
            let mut out = Vec::new();
            shape::begin(resource, &form.accepted.shape, &shape::ListHead::of(list), &mut out);
            for (place, object) in list.items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                shape::item(resource, object, form, &mut out);
            }
            out.extend_from_slice(b"]}");
            out
        }
        Reply::Status(_) | Reply::Watch(_) => Vec::new(),
    }
}

/// A page of a collection. No part of it is made before the client takes it; what was sent is let go of.
pub(crate) async fn list(resource: &Arc<Resource>, mut list: List, form: &Form, kept: &Kept) -> Response<Body> {
    if matches!(form.accepted.shape, Shape::Table(_)) {
        table::arrange(resource, &mut list.items);
    }
    match form.accepted.encoding {
        Encoding::Protobuf => match super::protobuf::list(resource, list, &form.accepted.shape, kept).await {
            Ok(chunks) => pieces(form, chunks),
            Err(failure) => status(&failure),
        },
        Encoding::Yaml => match super::yaml::list(resource, list, form) {
            Ok(chunks) => pieces(form, chunks),
            Err(_) => status(&not_yaml()),
        },
        Encoding::Json => {
            // Who does not compress need not look at all of them for that.
            let size = || list.items.iter().map(|object| object.json_len()).sum::<usize>();
            let form = Form { gzip: form.gzip && size() >= GZIP_MIN, ..form.clone() };
            let mut head = room();
            shape::begin(resource, &form.accepted.shape, &shape::ListHead::of(&list), &mut head);
            let items = JsonItems { resource: resource.clone(), form: form.clone() };
            let chunks = Pieces::new(head, list.items.into_iter(), items);
            render(200, chunks.map(|Ok(chunk)| chunk), &form)
        }
    }
}

/// An answer in pieces. What fits into one goes out with its length known.
fn pieces(form: &Form, chunks: impl Iterator<Item = io::Result<Vec<u8>>> + Send + 'static) -> Response<Body> {
    let content_type = form.accepted.encoding.content_type();
    let mut chunks = chunks.peekable();
    match chunks.next() {
        Some(Ok(only)) if chunks.peek().is_none() => whole(200, content_type, only.into()),
        first => whole(200, content_type, Bytes::new()).map(|_| stream(first.into_iter().chain(chunks))),
    }
}

/// A tree as the whole answer, in the form accepted.
pub(crate) fn value(code: u16, value: &Value, form: &Form) -> Response<Body> {
    if form.accepted.encoding == Encoding::Protobuf
        && let Ok(bytes) = super::protobuf::encode(value.to_string().as_bytes())
    {
        return whole(code, form.accepted.encoding.content_type(), bytes);
    }
    whole_json(code, serde_json::to_vec(value).unwrap_or_default(), form)
}

/// JSON that is there already, in the form accepted: compressed if that is worth it.
fn whole_json(code: u16, json: Vec<u8>, form: &Form) -> Response<Body> {
    let form = Form { gzip: form.gzip && json.len() >= GZIP_MIN, ..form.clone() };
    render(code, std::iter::once(json), &form)
}

/// Items as JSON.
struct JsonItems {
    resource: Arc<Resource>,
    form: Form,
}

impl ItemWriter for JsonItems {
    type Error = Infallible;

    fn item(&mut self, object: &Arc<Object>, last: bool, out: &mut Vec<u8>) -> Result<(), Infallible> {
        shape::item(&self.resource, object, &self.form, out);
        if !last {
            out.push(b',');
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Infallible> {
        out.extend_from_slice(b"]}");
        Ok(())
    }
}

/// Writes chunks of JSON in the form accepted: as they are, indented, compressed, or turned into YAML.
fn render(code: u16, chunks: impl Iterator<Item = Vec<u8>> + Send + 'static, form: &Form) -> Response<Body> {
    if form.accepted.encoding == Encoding::Yaml {
        let json = chunks.flatten().collect::<Vec<u8>>();
        return match super::yaml::text(serde_json::from_slice(&json).unwrap_or_default()) {
            Ok(text) => whole(code, "application/yaml", text.into()),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as YAML");
                status(&not_yaml())
            }
        };
    }
    let ended = chunks.map(Some).chain(std::iter::once(None));
    // What is indented for people ends without a newline, as upstream's does.
    let end: &[u8] = if form.pretty { b"" } else { b"\n" };
    let mut indenter = form.pretty.then(Indenter::default);
    let mut indented = ended.map(move |chunk| {
        let Some(chunk) = chunk else { return (end.to_vec(), true) };
        let Some(indenter) = &mut indenter else { return (chunk, false) };
        let mut out = Vec::with_capacity(chunk.len() * 2);
        indenter.write(&chunk, &mut out);
        (out, false)
    });
    let mut response = if form.gzip {
        let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::new(1)));
        let compressed = indented.map_while(move |(chunk, last)| {
            // Writing to a Vec cannot fail.
            let mut gzip = encoder.take()?;
            gzip.write_all(&chunk).ok()?;
            if last {
                return gzip.finish().ok();
            }
            let out = std::mem::take(gzip.get_mut());
            encoder = Some(gzip);
            Some(out)
        });
        let full = compressed.filter(|chunk| !chunk.is_empty());
        whole(code, "application/json", Bytes::new()).map(|_| stream(full.map(Ok)))
    } else {
        // What fits into one chunk goes out with its length known.
        match (indented.next(), indented.next()) {
            (Some((mut only, _)), Some((end, true))) => {
                only.extend_from_slice(&end);
                whole(code, "application/json", only.into())
            }
            (Some((first, _)), Some((second, _))) => {
                let rest = [first, second].into_iter().chain(indented.map(|(chunk, _)| chunk));
                whole(code, "application/json", Bytes::new()).map(|_| stream(rest.map(Ok)))
            }
            _ => whole(code, "application/json", Bytes::new()),
        }
    };
    if form.gzip {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

fn not_yaml() -> Status {
    Status::internal("the answer cannot be written as YAML")
}

fn stream(chunks: impl Iterator<Item = io::Result<Vec<u8>>> + Send + 'static) -> Body {
    Body::from_stream(futures::stream::iter(chunks.map(|chunk| chunk.map(Bytes::from))))
}
