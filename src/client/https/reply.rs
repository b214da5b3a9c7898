//! Answers: objects, lists, `Status`, and watches as lines of JSON.

use std::sync::Arc;

use api::{List, Object, Reply, Request, Resource, Status, WatchEvent, WatchStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use tower::BoxError;

/// No answer may be larger. Lists come in pages far below it.
const MAX_BODY: usize = 512 << 20;
/// No event of a watch may be larger; objects are bounded to a few MiB by the server.
const MAX_EVENT: usize = 16 << 20;

/// What an answer that is no watch says.
pub async fn reply<B>(response: Response<B>, request: &Request) -> Result<Reply, Status>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Status::too_large(MAX_BODY);
        }
        Status::unavailable(format!("the connection to the API server broke: {error}"))
    })?;
    let body = body.to_bytes();
    if !head.status.is_success() {
        return Err(failure(head.status, &body));
    }
    let kind: KindOnly = serde_json::from_slice(&body).map_err(not_json)?;
    if kind.kind == "Status" {
        return Ok(Reply::Status(Box::new(serde_json::from_slice(&body).map_err(not_json)?)));
    }
    match request.operation {
        api::Operation::List(_) | api::Operation::DeleteCollection(..) => {
            list(&body, &request.resource).map(Reply::List)
        }
        _ => {
            let warnings = head.headers.get_all(http::header::WARNING).iter();
            let warnings = warnings.filter_map(|w| w.to_str().ok()).map(warning_text).collect();
            let object = Object::received(body, &request.resource).map_err(not_json)?;
            Ok(Reply::Object { object: Arc::new(object), created: head.status == StatusCode::CREATED, warnings })
        }
    }
}

/// `299 - "text"` without what surrounds the text.
fn warning_text(header: &str) -> String {
    let text = header.split_once('"').map_or(header, |(_, text)| text);
    text.trim_end_matches('"').replace("\\\"", "\"")
}

/// The server's `Status`, or one made of the bare HTTP status where a proxy answered.
fn failure(code: StatusCode, body: &[u8]) -> Status {
    if let Ok(status) = serde_json::from_slice::<Status>(body)
        && status.kind == "Status"
    {
        return status;
    }
    let reason = match code.as_u16() {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        409 => "Conflict",
        410 => "Gone",
        415 => "UnsupportedMediaType",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
    Status::failure(code.as_u16(), reason, format!("the server answered {code}: {text}"))
}

fn not_json(error: impl std::fmt::Display) -> Status {
    Status::internal(format_args!("the server's answer does not parse: {error}"))
}

#[derive(Deserialize)]
struct KindOnly {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct WireList<'a> {
    #[serde(default)]
    metadata: WireListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    continue_token: String,
    remaining_item_count: Option<u64>,
}

fn list(body: &[u8], resource: &Resource) -> Result<List, Status> {
    let wire: WireList<'_> = serde_json::from_slice(body).map_err(not_json)?;
    let items = wire.items.unwrap_or_default().into_iter().map(|item| received(item, resource));
    Ok(List {
        items: items.collect::<Result<_, _>>()?,
        revision: wire.metadata.resource_version.parse().unwrap_or_default(),
        continue_token: wire.metadata.continue_token,
        remaining: wire.metadata.remaining_item_count,
    })
}

/// Copies the object's bytes: a slice would keep the whole page in memory as long as any of its objects.
fn received(raw: &RawValue, resource: &Resource) -> Result<Arc<Object>, Status> {
    Object::received(Bytes::copy_from_slice(raw.get().as_bytes()), resource).map(Arc::new).map_err(not_json)
}

/// The events of a watch. It ends where the server ended it, or where the connection broke. The lane, whatever the answer
/// came by, is held as long.
pub fn watch<B>(response: Response<B>, resource: Arc<Resource>, lane: impl Send + 'static) -> WatchStream
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display + Send,
{
    let frames = Box::pin(response.into_body().into_data_stream());
    let state = (frames, BytesMut::new(), resource, lane, false);
    Box::pin(futures::stream::unfold(state, |(mut frames, mut buffer, resource, lane, over)| async move {
        if over {
            return None;
        }
        let mut searched = 0;
        loop {
            if let Some(end) = buffer[searched..].iter().position(|b| *b == b'\n') {
                let line = buffer.split_to(searched + end + 1);
                searched = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let (event, over) = match event(&line, &resource) {
                    Ok(event) => (event, false),
                    Err(status) => (WatchEvent::Error(Box::new(status)), true),
                };
                return Some((event, (frames, buffer, resource, lane, over)));
            }
            searched = buffer.len();
            if searched > MAX_EVENT {
                let status = Box::new(Status::too_large(MAX_EVENT));
                return Some((WatchEvent::Error(status), (frames, buffer, resource, lane, true)));
            }
            match frames.next().await {
                Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    tracing::debug!(kind = %resource.kind, %error, "watch broke");
                    return None;
                }
                None => return None,
            }
        }
    }))
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn event(line: &[u8], resource: &Resource) -> Result<WatchEvent, Status> {
    let wire: WireEvent<'_> = serde_json::from_slice(line).map_err(not_json)?;
    Ok(match wire.kind {
        "ADDED" => WatchEvent::Added(received(wire.object, resource)?),
        "MODIFIED" => WatchEvent::Modified(received(wire.object, resource)?),
        "DELETED" => WatchEvent::Deleted(received(wire.object, resource)?),
        "BOOKMARK" => bookmark(wire.object)?,
        _ => WatchEvent::Error(Box::new(serde_json::from_str(wire.object.get()).map_err(not_json)?)),
    })
}

fn bookmark(raw: &RawValue) -> Result<WatchEvent, Status> {
    #[derive(Deserialize)]
    struct Bookmark {
        metadata: BookmarkMeta,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct BookmarkMeta {
        resource_version: String,
        #[serde(default)]
        annotations: Option<std::collections::BTreeMap<String, String>>,
    }
    let bookmark: Bookmark = serde_json::from_str(raw.get()).map_err(not_json)?;
    let annotations = bookmark.metadata.annotations.unwrap_or_default();
    Ok(WatchEvent::Bookmark {
        revision: bookmark.metadata.resource_version.parse().unwrap_or_default(),
        initial_events_end: annotations.get("k8s.io/initial-events-end").is_some_and(|v| v == "true"),
    })
}
