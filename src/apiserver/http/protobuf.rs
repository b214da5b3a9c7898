//! The protobuf form of built-in kinds.

use api::{List, Resource, Status};
use bytes::Bytes;
use serde_json::Value;

/// Whether a kind has a protobuf form.
pub(crate) fn serves(_resource: &Resource) -> bool {
    false
}

/// The JSON of an object, as protobuf.
pub(crate) fn encode(_resource: &Resource, _json: &[u8]) -> Result<Bytes, Status> {
    Err(Status::not_acceptable("application/json, application/yaml"))
}

/// A page of a collection, as protobuf.
pub(crate) fn encode_list(_resource: &Resource, _list: &List) -> Result<Bytes, Status> {
    Err(Status::not_acceptable("application/json, application/yaml"))
}

/// The protobuf form of an object, as a tree.
pub(crate) fn decode(_bytes: &[u8]) -> Result<Value, Status> {
    Err(Status::unsupported_media_type("application/json, application/yaml"))
}
