//! The protobuf form of built-in kinds, made on demand: the stored form is JSON.

use std::io;
use std::sync::Arc;

use api::object::LOOKS;
use api::protobuf::{Encoder, Envelope, ProtobufError};
use api::schema::{self, Message};
use api::{List, Object, Resource, Status};
use bytes::Bytes;
use serde_json::Value;

use super::accept::{MetaVersion, Shape};
use super::kept::Kept;
use super::pieces::{ItemWriter, PIECE, Pieces};
use super::shape::{self, ListHead};

/// So many objects are measured before other requests get a turn.
const MEASURED_AT_ONCE: usize = 256;

/// Whether a kind has a protobuf form.
pub(crate) fn serves(resource: &Resource) -> bool {
    resource.builtin && message(resource).is_ok()
}

fn message(resource: &Resource) -> Result<&'static Message, Status> {
    schema::for_kind(&resource.group, &resource.version, &resource.kind).ok_or_else(unacceptable)
}

fn unacceptable() -> Status {
    Status::not_acceptable("application/json, application/yaml")
}

/// The JSON of which an object's protobuf is made: all of it, or its metadata alone, which custom kinds have as well.
pub(crate) fn json(object: &Object, shape: &Shape, out: &mut Vec<u8>) {
    match shape {
        // The old version is not offered in this form.
        Shape::Metadata { .. } => shape::metadata(object, MetaVersion::V1, out),
        Shape::Whole | Shape::Table(_) => object.write_json(out),
    }
}

/// An object's JSON with its envelope. What a subresource answers says of itself of which kind it is.
pub(crate) fn encode(json: &[u8]) -> Result<Bytes, Status> {
    let message = api::protobuf::message_of(json).map_err(|_| unacceptable())?;
    let mut encoder = Encoder::new();
    encoder.object(json, message).map(Bytes::copy_from_slice).map_err(|error| unwritable(&error))
}

/// An event of a watch around an object's JSON; an object that cannot be written ends up as the error it is.
pub(crate) fn watch_frame(event: &str, json: &[u8]) -> Bytes {
    let frame = |event: &str, json: &[u8]| {
        let message = api::protobuf::message_of(json).map_err(|_| unacceptable())?;
        let mut encoder = Encoder::new();
        let frame = encoder.watch_frame(event, json, message);
        frame.map(Bytes::copy_from_slice).map_err(|error| unwritable(&error))
    };
    frame(event, json).unwrap_or_else(|status| {
        let status = serde_json::to_vec(&status).unwrap_or_default();
        frame("ERROR", &status).unwrap_or_default()
    })
}

/// A page of a collection: a body in pieces, each of which is made when the one before it was taken.
///
/// How long the whole is stands before it, so what is behind the first piece is made before it is sent, and kept for the lists
/// to come as far as `kept` has room. For more than that objects remember how long they are, and are written again. The first
/// piece is made at once: a list that fits into it needs neither.
pub(super) async fn list(resource: &Resource, list: List, shape: &Shape, kept: &Kept) -> Result<Pieces<Items>, Status> {
    let (api_version, kind, message) = match shape {
        Shape::Metadata { .. } => {
            let message = schema::for_kind("meta.k8s.io", "v1", "PartialObjectMetadata").ok_or_else(unacceptable)?;
            ("meta.k8s.io/v1".into(), "PartialObjectMetadataList", message)
        }
        Shape::Whole | Shape::Table(_) => (resource.api_version(), &*resource.list_kind, message(resource)?),
    };
    let partial = matches!(shape, Shape::Metadata { .. });
    let mut metadata = Vec::new();
    ListHead::of(&list).write(&mut metadata);
    let mut items = list.items.into_iter();
    let mut encoder = ItemEncoder { message, shape: *shape, encoder: Encoder::new(), json: Vec::new() };
    let mut first = Vec::new();
    while first.len() < PIECE {
        let Some(object) = items.next() else { break };
        let item = encoder.encode(&object).map_err(|error| unwritable(&error))?;
        api::protobuf::list_item(&mut first, item);
    }
    let mut promised = 0;
    for (at, object) in items.as_slice().iter().enumerate() {
        if at % LOOKS == 0 {
            Object::look_at(&items.as_slice()[at..items.len().min(at + LOOKS)]);
        }
        // What is remembered is about the whole.
        let known = object.protobuf_len().filter(|_| !partial);
        let length = match known.filter(|_| kept.is_full() || object.protobuf().is_some()) {
            Some(length) => length,
            None => {
                // Others have something to do as well.
                if at % MEASURED_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
                let form = encoder.encode(object).map_err(|error| unwritable(&error))?;
                if !partial {
                    kept.keep(object, form);
                }
                form.len()
            }
        };
        promised += api::protobuf::item_len(length);
    }
    let open = api::protobuf::list_open(&api_version, kind, &metadata, first.len() + promised);
    let mut next = open.map_err(|error| unwritable(&error))?;
    next.append(&mut first);
    Ok(Pieces::new(next, items, Items { encoder, promised }))
}

/// Writes objects as items, with memory that is kept between them.
struct ItemEncoder {
    message: &'static Message,
    shape: Shape,
    encoder: Encoder,
    json: Vec<u8>,
}

impl ItemEncoder {
    fn encode(&mut self, object: &Object) -> Result<&[u8], ProtobufError> {
        self.json.clear();
        json(object, &self.shape, &mut self.json);
        self.encoder.message(&self.json, self.message)
    }
}

/// Items as protobuf.
pub(super) struct Items {
    encoder: ItemEncoder,
    /// Bytes of items that the head of the list speaks of and that are not written yet.
    promised: usize,
}

impl ItemWriter for Items {
    type Error = io::Error;

    fn item(&mut self, object: &Arc<Object>, _last: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let before = out.len();
        match object.protobuf().filter(|_| !matches!(self.encoder.shape, Shape::Metadata { .. })) {
            Some(form) => api::protobuf::list_item(out, &form),
            None => {
                let item = self.encoder.encode(object).map_err(|error| {
                    unwritable(&error);
                    broken()
                })?;
                api::protobuf::list_item(out, item);
            }
        }
        self.promised = self.promised.checked_sub(out.len() - before).ok_or_else(broken)?;
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.promised > 0 {
            return Err(broken());
        }
        out.extend_from_slice(api::protobuf::LIST_CLOSE);
        Ok(())
    }
}

/// The head of the list said otherwise: the client must not take what it got for the whole.
fn broken() -> io::Error {
    tracing::error!("a list was cut off: an object is not as long as it was when it was measured");
    io::ErrorKind::InvalidData.into()
}

/// A body, as a tree. An envelope may leave out what the path says: then `expect` names group, version and kind.
pub(crate) fn decode(bytes: &[u8], expect: (&str, &str, &str)) -> Result<Value, Status> {
    let refused = |error: ProtobufError| Status::bad_request(error.to_string());
    let envelope = Envelope::parse(bytes).map_err(refused)?;
    if !envelope.kind.is_empty() {
        return api::protobuf::decode(bytes).map_err(refused);
    }
    let (group, version, kind) = expect;
    let message = schema::for_kind(group, version, kind)
        .ok_or_else(|| Status::unsupported_media_type("application/json, application/yaml"))?;
    api::protobuf::decode_message(envelope.raw, message).map_err(refused)
}

fn unwritable(error: &ProtobufError) -> Status {
    tracing::error!(%error, "an object cannot be written as protobuf");
    Status::internal("the object cannot be written as protobuf")
}
