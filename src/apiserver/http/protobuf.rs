//! The protobuf form of built-in kinds, made on demand: the stored form is JSON.

use api::protobuf::{Envelope, ProtobufError};
use api::schema::{self, Message};
use api::{List, Object, Resource, Status};
use bytes::Bytes;
use serde_json::{Value, json};

/// Whether a kind has a protobuf form.
pub(crate) fn serves(resource: &Resource) -> bool {
    resource.builtin && message(resource).is_ok()
}

fn message(resource: &Resource) -> Result<&'static Message, Status> {
    schema::for_kind(&resource.group, &resource.version, &resource.kind)
        .ok_or_else(|| Status::not_acceptable("application/json, application/yaml"))
}

/// An object with its envelope. What a subresource answers says of itself of which kind it is.
pub(crate) fn encode(object: &Object) -> Result<Bytes, Status> {
    let value = object.to_value().map_err(Status::internal)?;
    encode_value(&value)
}

/// What a kind's metadata is without the rest.
const METADATA: (&str, &str) = ("meta.k8s.io/v1", "PartialObjectMetadata");

/// An object's metadata with an envelope of its own: custom kinds have it as well.
pub(crate) fn encode_metadata(object: &Object) -> Result<Bytes, Status> {
    encode_value(&metadata(object)?)
}

fn metadata(object: &Object) -> Result<Value, Status> {
    let mut json = Vec::new();
    super::shape::metadata(object, &mut json);
    serde_json::from_slice(&json).map_err(Status::internal)
}

/// A page of a collection, of each object the metadata alone.
pub(crate) fn encode_metadata_list(list: &List) -> Result<Bytes, Status> {
    let (version, kind) = METADATA;
    let envelope = Envelope { api_version: version, kind, raw: b"" };
    let message = envelope.message().map_err(|error| unwritable(&error))?;
    encode_items(version, "PartialObjectMetadataList", list, |object| {
        api::protobuf::encode_message(&metadata(object)?, message).map_err(|error| unwritable(&error))
    })
}

/// Any object of a built-in kind with its envelope.
pub(crate) fn encode_value(value: &Value) -> Result<Bytes, Status> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let envelope = Envelope { api_version: text("apiVersion"), kind: text("kind"), raw: b"" };
    let message = envelope.message().map_err(|_| Status::not_acceptable("application/json, application/yaml"))?;
    api::protobuf::encode(value, message).map(Into::into).map_err(|error| unwritable(&error))
}

/// A page of a collection.
pub(crate) fn encode_list(resource: &Resource, list: &List) -> Result<Bytes, Status> {
    let message = message(resource)?;
    encode_items(&resource.api_version(), &resource.list_kind, list, |object| {
        let value = object.to_value().map_err(Status::internal)?;
        api::protobuf::encode_message(&value, message).map_err(|error| unwritable(&error))
    })
}

fn encode_items(
    api_version: &str,
    kind: &str,
    list: &List,
    encode: impl Fn(&Object) -> Result<Vec<u8>, Status>,
) -> Result<Bytes, Status> {
    let items: Vec<Vec<u8>> = list.items.iter().map(|object| encode(object)).collect::<Result<_, Status>>()?;
    let mut metadata = json!({ "resourceVersion": list.revision.to_string() });
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
    }
    if let Some(remaining) = list.remaining.filter(|remaining| *remaining > 0) {
        metadata["remainingItemCount"] = json!(remaining);
    }
    api::protobuf::encode_list(api_version, kind, &metadata, &items).map(Into::into).map_err(|error| unwritable(&error))
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
