//! Watches over HTTP: one JSON document a line, or one WebSocket message an event.
//!
//! Watchers of the same kind share the bytes of a change, encoded by whoever comes first. Nothing is queued for a watcher
//! but its place in the history: a client that does not read costs no memory, and is told when history has passed it by.

use std::sync::Arc;

use api::{Object, Resource, Status};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use watch_cache::ChangeKind;

use super::accept::{Encoding, MetaVersion, Shape, check_stream};
use super::respond::Form;
use super::{protobuf, shape};
use crate::fairness::Permit;
use crate::metrics::LongRunning;
use crate::registry::{Delivery, Verdict, Watch};
use crate::server::Server;

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
    let mut encoder = Encoder { resource: request.resource.clone(), form, columns_sent: false };
    let end = server.draining.clone();
    if super::text(http.headers(), header::UPGRADE).eq_ignore_ascii_case("websocket") {
        // Messages are text.
        encoder.form.accepted.encoding = Encoding::Json;
        let (mut parts, _) = http.into_parts();
        let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
            .await
            .map_err(|refused| Status::bad_request(format!("the WebSocket upgrade was refused: {refused}")))?;
        return Ok(upgrade.on_upgrade(move |socket| over_websocket(socket, watch, encoder, end, counted)));
    }
    let content_type = match encoder.form.accepted.shape {
        _ if encoder.form.accepted.encoding == Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Shape::Whole => "application/json",
        // Each event's object says what it is.
        Shape::Table(_) | Shape::Metadata { .. } => "application/json",
    };
    let state = (watch, encoder, end, counted);
    let lines = futures::stream::unfold(state, move |(mut watch, mut encoder, end, counted)| {
        // Seats are for the present state alone: what comes after it costs those who make the changes.
        if !watch.is_beginning() {
            drop(std::mem::take(&mut permit));
        }
        async move {
            loop {
                let batch = tokio::select! {
                    biased;
                    () = end.cancelled() => return None,
                    batch = watch.next_batch() => batch?,
                };
                if let Some(lines) = encoder.lines(batch) {
                    return Some((Ok::<_, std::convert::Infallible>(lines), (watch, encoder, end, counted)));
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
        for delivery in batch {
            let Some(line) = encoder.line(&delivery) else { continue };
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if socket.send(Message::Text(text.into())).await.is_err() {
                return;
            }
        }
    }
    // The client may have gone first.
    let _ = socket.send(Message::Close(None)).await;
}

/// Turns deliveries into lines of one form.
struct Encoder {
    resource: Arc<Resource>,
    form: Form,
    columns_sent: bool,
}

impl Encoder {
    /// The lines of a batch. One line is passed on as it is shared; several are put together.
    fn lines(&mut self, batch: Vec<Delivery>) -> Option<Bytes> {
        if let [one] = batch.as_slice() {
            return self.line(one);
        }
        let mut out = BytesMut::with_capacity(TOGETHER.min(batch.len() * 2048));
        for delivery in &batch {
            out.extend_from_slice(&self.line(delivery)?);
        }
        (!out.is_empty()).then(|| out.freeze())
    }

    fn line(&mut self, delivery: &Delivery) -> Option<Bytes> {
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
                return Some(self.bookmark(*revision, *initial_events_end));
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
                shape::table_row(&self.resource, object, version, self.form.include, &mut line);
                line.extend_from_slice(b"]}");
            }
        }
        line.extend_from_slice(b"}\n");
        line.into()
    }

    fn bookmark(&self, revision: u64, initial_events_end: bool) -> Bytes {
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
            Shape::Table(version) => format!(
                "{{\"kind\":\"Table\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"}},\"columnDefinitions\":[],\"rows\":[{{\"cells\":[],\"object\":{}}}]}}",
                version.api_version(),
                bare("PartialObjectMetadata", version.api_version())
            ),
        };
        if self.form.accepted.encoding == Encoding::Protobuf {
            return protobuf::watch_frame("BOOKMARK", object.as_bytes());
        }
        format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").into()
    }
}
