//! Watches over HTTP: one JSON document a line, or one WebSocket message an event.
//!
//! Watchers of the same kind share the bytes of a change, encoded by whoever comes first. Nothing is queued for a watcher
//! but its place in the history: a client that does not read costs no memory, and is told when history has passed it by.

use std::sync::Arc;

use api::{Object, Resource, Status};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use watch_cache::ChangeKind;

use super::accept::{Encoding, MetaVersion, Shape, check_stream};
use super::respond::Form;
use super::{protobuf, shape};
use crate::authentication::strip_browser_token;
use crate::fairness::Permit;
use crate::metrics::requests::LongRunning;
use crate::metrics::watches::Sent;
use crate::registry::{Delivery, Verdict, Watch};
use crate::server::Server;

/// Who watches over a WebSocket has nothing to say: what is longer ends the watch.
const SAID_MAX: usize = 4096;
/// Events that are there at once travel together, up to this size.
const TOGETHER: usize = 64 * 1024;

pub(super) async fn serve(
    server: &Arc<Server>,
    request: api::Request,
    form: Form,
    http: Request<Body>,
    (mut permit, counted): (Permit, Option<LongRunning>),
) -> Result<Response<Body>, Status> {
    check_stream(&form.accepted)?;
    let watch = server.chain.registry.watch(&request).await?;
    let sent = server.chain.metrics.watches.of(&request.resource);
    let mut encoder = Encoder { resource: request.resource.clone(), form, columns_sent: false, sent };
    let end = server.draining.clone();
    if super::text(http.headers(), header::UPGRADE).eq_ignore_ascii_case("websocket") {
        // Messages are text.
        encoder.form.accepted.encoding = Encoding::Json;
        let (mut parts, _) = http.into_parts();
        strip_browser_token(&mut parts.headers);
        let protocol =
            super::text(&parts.headers, header::SEC_WEBSOCKET_PROTOCOL).split(',').next().unwrap_or_default();
        let protocol = HeaderValue::from_str(protocol.trim()).ok().filter(|protocol| !protocol.is_empty());
        let mut upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
            .await
            .map_err(|refused| Status::bad_request(format!("the WebSocket upgrade was refused: {refused}")))?;
        // Messages are the same in every protocol. A browser that asks for one and is given none hangs up.
        if let Some(protocol) = protocol {
            upgrade.set_selected_protocol(protocol);
        }
        let upgrade = upgrade.max_message_size(SAID_MAX).max_frame_size(SAID_MAX);
        return Ok(upgrade.on_upgrade(move |socket| over_websocket(socket, watch, encoder, end, counted)));
    }
    let content_type = match encoder.form.accepted.shape {
        _ if encoder.form.accepted.encoding == Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Shape::Whole => "application/json",
        // Each event's object says what it is.
        Shape::Table(_) | Shape::Metadata { .. } => "application/json",
    };
    let state = (watch, encoder, end, counted, Vec::new().into_iter());
    let lines = futures::stream::unfold(state, move |(mut watch, mut encoder, end, counted, mut told)| {
        // Seats are for the present state alone: what comes after it costs those who make the changes.
        if !watch.is_beginning() {
            drop(std::mem::take(&mut permit));
        }
        async move {
            loop {
                if told.as_slice().is_empty() {
                    let batch = tokio::select! {
                        biased;
                        () = end.cancelled() => return None,
                        batch = watch.next_batch() => batch?,
                    };
                    if encoder.shows_nothing(&batch) {
                        return None;
                    }
                    told = batch.into_iter();
                }
                if let Some(lines) = encoder.lines(&mut told) {
                    return Some((Ok::<_, std::convert::Infallible>(lines), (watch, encoder, end, counted, told)));
                }
            }
        }
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

async fn over_websocket(
    mut socket: WebSocket,
    mut watch: Watch,
    mut encoder: Encoder,
    end: tokio_util::sync::CancellationToken,
    _counted: Option<LongRunning>,
) {
    loop {
        let batch = tokio::select! {
            biased;
            () = end.cancelled() => break,
            said = socket.recv() => match said {
                // Clients have nothing to say but good-bye.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            batch = watch.next_batch() => match batch {
                Some(batch) => batch,
                None => break,
            },
        };
        if encoder.shows_nothing(&batch) {
            break;
        }
        for delivery in batch {
            let Some(line) = encoder.line(&delivery) else { continue };
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if socket.send(Message::Text(text.into())).await.is_err() {
                return;
            }
        }
    }
    // The client may have gone first.
    let _ = socket.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))).await;
}

/// Turns deliveries into lines of one form.
struct Encoder {
    resource: Arc<Resource>,
    form: Form,
    columns_sent: bool,
    sent: Arc<Sent>,
}

impl Encoder {
    /// Whether events are to be shown as lists, which none is: the watch ends with the first of them, as upstream's does.
    fn shows_nothing(&self, batch: &[Delivery]) -> bool {
        let as_list = matches!(self.form.accepted.shape, Shape::Metadata { list: true, .. });
        as_list && batch.iter().any(|delivery| !matches!(delivery, Delivery::Error(_)))
    }

    /// The next lines of a batch, as many as travel together: what a client does not read is not made. One line is passed on as it
    /// is shared; several are put together.
    fn lines(&mut self, batch: &mut std::vec::IntoIter<Delivery>) -> Option<Bytes> {
        let first = self.line(&batch.next()?)?;
        if batch.as_slice().is_empty() || first.len() >= TOGETHER {
            return Some(first);
        }
        let mut out = BytesMut::with_capacity(TOGETHER.min(first.len() + batch.len() * 2048));
        out.extend_from_slice(&first);
        while out.len() < TOGETHER
            && let Some(delivery) = batch.next()
            && let Some(line) = self.line(&delivery)
        {
            out.extend_from_slice(&line);
        }
        Some(out.freeze())
    }

    fn line(&mut self, delivery: &Delivery) -> Option<Bytes> {
        if matches!(delivery, Delivery::Initial(_)) {
            self.sent.initial();
        }
        let line = self.encoded(delivery);
        if let Some(line) = &line {
            self.sent.event(line.len());
        }
        line
    }

    fn encoded(&mut self, delivery: &Delivery) -> Option<Bytes> {
        if let (Some(form), Some(change)) = (self.shared_form(), delivery.shared()) {
            let encode = || {
                let kind = match change.kind {
                    ChangeKind::Added => "ADDED",
                    ChangeKind::Modified => "MODIFIED",
                    ChangeKind::Deleted => "DELETED",
                };
                self.event(kind, &change.object, false)
            };
            return Some(change.frames.get_or_make(form, encode));
        }
        let columns = !self.columns_sent;
        let line = match delivery {
            Delivery::Initial(object) => self.event("ADDED", object, columns),
            Delivery::Change { change, verdict } => match verdict {
                Verdict::Added => self.event("ADDED", &change.object, columns),
                Verdict::Modified => self.event("MODIFIED", &change.object, columns),
                Verdict::Deleted => self.event("DELETED", &change.object, columns),
                Verdict::Left => {
                    let last = change.previous.as_ref().unwrap_or(&change.object);
                    self.event("DELETED", &Arc::new(last.at_revision(change.revision)), columns)
                }
            },
            Delivery::Bookmark { revision, initial_events_end } => {
                self.bookmark(*revision, *initial_events_end, columns)
            }
            Delivery::Error(status) => {
                if self.form.accepted.encoding == Encoding::Protobuf {
                    let status = serde_json::to_vec(&**status).unwrap_or_default();
                    return Some(protobuf::watch_frame("ERROR", &status));
                }
                let mut line = b"{\"type\":\"ERROR\",\"object\":".to_vec();
                // A Status can always be written.
                let _ = serde_json::to_writer(&mut line, &**status);
                line.extend_from_slice(b"}\n");
                return Some(line.into());
            }
        };
        self.columns_sent = true;
        Some(line)
    }

    /// The form of the frames that all watchers like this one send; none while theirs differ.
    fn shared_form(&self) -> Option<watch_cache::Form> {
        let steady = |number| Some(watch_cache::Form { number, second: 0 });
        match (&self.form.accepted.shape, self.form.accepted.encoding) {
            // Hardly anybody asks for the old version.
            (Shape::Metadata { version: MetaVersion::V1beta1, .. } | Shape::Table(MetaVersion::V1beta1), _) => None,
            (Shape::Metadata { .. }, Encoding::Protobuf) => steady(6),
            (_, Encoding::Protobuf) => steady(0),
            (Shape::Whole, _) => steady(1),
            (Shape::Metadata { .. }, _) => steady(2),
            // The first event shows the columns. Cells tell ages, and those of custom kinds are up to the definition.
            (Shape::Table(_), _) if !self.columns_sent || !self.resource.builtin => None,
            (Shape::Table(_), _) => {
                let number = match self.form.include {
                    shape::Include::None => 3,
                    shape::Include::Metadata => 4,
                    shape::Include::Object => 5,
                };
                Some(watch_cache::Form { number, second: jiff::Timestamp::now().as_second() })
            }
        }
    }

    fn event(&self, kind: &str, object: &Arc<Object>, columns: bool) -> Bytes {
        if self.form.accepted.encoding == Encoding::Protobuf {
            let mut json = Vec::new();
            protobuf::json(object, &self.form.accepted.shape, &mut json);
            return protobuf::watch_frame(kind, &json);
        }
        let mut line = Vec::with_capacity(object.json_len() + 64);
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(kind.as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        match self.form.accepted.shape {
            Shape::Whole => object.write_json(&mut line),
            Shape::Metadata { version, .. } => shape::metadata(object, version, &mut line),
            Shape::Table(version) => {
                let head = shape::ListHead { revision: object.meta.resource_version, ..shape::ListHead::default() };
                shape::table_open(&self.resource, version, &head, columns, &mut line);
                // Who wants no objects wants to know all the same how far they have come.
                let include = match self.form.include {
                    shape::Include::None if kind == "BOOKMARK" => shape::Include::Metadata,
                    include => include,
                };
                shape::table_row(&self.resource, object, version, include, &mut line);
                line.extend_from_slice(b"]}");
            }
        }
        line.extend_from_slice(b"}\n");
        line.into()
    }

    fn bookmark(&self, revision: u64, initial_events_end: bool, columns: bool) -> Bytes {
        let annotations =
            if initial_events_end { ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" } else { "" };
        let bare = |kind: &str, version: &str| {
            format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}}}"
            )
        };
        let object = match self.form.accepted.shape {
            Shape::Whole => bare(&self.resource.kind, &self.resource.api_version()),
            Shape::Metadata { version, .. } => bare("PartialObjectMetadata", version.api_version()),
            Shape::Table(_) => {
                // The row of an object of which nothing is known: it says what the columns are, if no event has.
                let bare = bare(&self.resource.kind, &self.resource.api_version());
                return match Object::received(bare.into(), &self.resource) {
                    Ok(object) => self.event("BOOKMARK", &Arc::new(object), columns),
                    Err(error) => {
                        tracing::error!(%error, "a bookmark cannot be written");
                        Bytes::new()
                    }
                };
            }
        };
        if self.form.accepted.encoding == Encoding::Protobuf {
            return protobuf::watch_frame("BOOKMARK", object.as_bytes());
        }
        format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::watches::Watches;

    fn encoder(form: Form) -> Encoder {
        let row = api::resource::find("", "v1", "configmaps").cloned().unwrap();
        let sent = Watches::default().of(&row);
        Encoder { resource: row, form, columns_sent: false, sent }
    }

    #[test]
    fn a_bookmark_shows_the_columns_if_nothing_has() {
        let mut form = Form::PLAIN;
        form.accepted.shape = Shape::Table(MetaVersion::V1);
        let mut encoder = encoder(form);
        let bookmark = Delivery::Bookmark { revision: 7, initial_events_end: true };
        let mut told = || serde_json::from_slice::<serde_json::Value>(&encoder.line(&bookmark).unwrap()).unwrap();
        let (first, second) = (told(), told());
        let names = first["object"]["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]);
        assert_eq!(names.collect::<Vec<_>>(), ["Name", "Data", "Age"]);
        assert_eq!(second["object"]["columnDefinitions"], json!(null));
        let row = &second["object"]["rows"][0];
        assert_eq!(row["cells"], json!(["", 0, "<unknown>"]));
        let metadata = json!({"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}});
        assert_eq!((&row["object"]["kind"], &row["object"]["metadata"]), (&json!("PartialObjectMetadata"), &metadata));
    }

    /// A watch may begin with many large objects, and its client may never read.
    #[test]
    fn lines_are_made_a_piece_at_a_time() {
        let row = api::resource::find("", "v1", "configmaps").cloned().unwrap();
        let object = |size: usize| {
            let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "x".repeat(size)}});
            Delivery::Initial(Arc::new(Object::encode(&value, 1, &row).unwrap()))
        };
        let check = |sizes: &[usize], expect: &[usize]| {
            let mut encoder = encoder(Form::PLAIN);
            let mut batch = sizes.iter().map(|size| object(*size)).collect::<Vec<_>>().into_iter();
            let count = |lines: Bytes| lines.iter().filter(|byte| **byte == b'\n').count();
            let pieces: Vec<usize> = std::iter::from_fn(|| encoder.lines(&mut batch).map(count)).collect();
            assert_eq!(pieces, expect, "{sizes:?}");
        };
        check(&[], &[]);
        check(&[10, 10, 10], &[3]);
        check(&[40_000, 40_000, 40_000], &[2, 1]);
        check(&[100_000, 100_000, 10], &[1, 1, 1]);
        check(&[10, 100_000, 10], &[2, 1]);
    }
}
