//! Kubernetes' protobuf: an envelope around a message, both ways between bytes and JSON values, driven by the schema
//! table. The generic JSON mapping of protobuf does not fit: quantities, times, raw objects and inline structs have
//! forms of their own, and which zero values are written is Go's choice.

use serde_json::Value;

use crate::schema::{self, Message};

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod wire;

/// What every protobuf body starts with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Messages inside each other; no type of the API comes near except JSON schemas.
const MAX_DEPTH: usize = 120;

/// Why bytes are no object, or an object has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The body is something else.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// The bytes break off or break the rules of the format.
    #[error("proto: {0}")]
    Wire(&'static str),
    /// Messages nest too deep.
    #[error("proto: exceeded max depth")]
    Depth,
    /// The envelope names a kind without a protobuf form, custom resources among them.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    Kind {
        /// `apiVersion` of the envelope.
        api_version: String,
        /// `kind` of the envelope.
        kind: String,
    },
    /// A raw object inside the message is not readable.
    #[error("proto: {0}")]
    Raw(String),
    /// A value does not have the type its field asks for: decode objects against their schema first.
    #[error("proto: field {0} holds a value of another type")]
    Type(String),
}

/// The envelope, upstream's `runtime.Unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// `apiVersion` of what is inside; may be empty.
    pub api_version: &'a str,
    /// `kind` of what is inside; may be empty.
    pub kind: &'a str,
    /// The message.
    pub raw: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads the envelope and leaves the message alone.
    pub fn parse(body: &'a [u8]) -> Result<Envelope<'a>, ProtobufError> {
        decode::envelope(body.strip_prefix(MAGIC).ok_or(ProtobufError::Prefix)?)
    }

    /// Writes the envelope around the message.
    pub fn write(&self) -> Vec<u8> {
        encode::envelope(self.api_version, self.kind, |writer| writer.raw(self.raw))
    }

    /// The built-in message of the kind that the envelope names.
    pub fn message(&self) -> Result<&'static Message, ProtobufError> {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", self.api_version));
        schema::for_kind(group, version, self.kind)
            .ok_or_else(|| ProtobufError::Kind { api_version: self.api_version.to_owned(), kind: self.kind.to_owned() })
    }
}

/// Reads a body of a kind the table knows, in the form [`crate::prune::decode`] gives an object: what Go would leave out
/// is left out, and the rest is canonical.
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    decode::body(body, MAX_DEPTH)
}

/// Reads a message without an envelope.
pub fn decode_message(raw: &[u8], message: &Message) -> Result<Value, ProtobufError> {
    decode::message(raw, message, MAX_DEPTH)
}

/// Writes an object with its envelope, which takes `apiVersion` and `kind` from the object.
pub fn encode(object: &Value, message: &Message) -> Result<Vec<u8>, ProtobufError> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let raw = encode_message(object, message)?;
    Ok(Envelope { api_version: text("apiVersion"), kind: text("kind"), raw: &raw }.write())
}

/// Writes an object without an envelope: an item of [`encode_list`].
pub fn encode_message(object: &Value, message: &Message) -> Result<Vec<u8>, ProtobufError> {
    encode::message(object, message)
}

/// Writes a list with its envelope from its metadata and the encoded items: items can be encoded one by one, and kept.
pub fn encode_list<I: AsRef<[u8]>>(
    api_version: &str,
    kind: &str,
    metadata: &Value,
    items: &[I],
) -> Result<Vec<u8>, ProtobufError> {
    let message = schema::message("meta/v1.ListMeta").ok_or(ProtobufError::Wire("no list metadata in the table"))?;
    let metadata = encode_message(metadata, message)?;
    Ok(encode::envelope(api_version, kind, |writer| {
        // All lists of the API have their metadata and items under the same numbers.
        for item in items.iter().rev() {
            writer.bytes_field(2, item.as_ref());
        }
        writer.bytes_field(1, &metadata);
    }))
}

/// One frame of a watch in protobuf: a length of four bytes, big-endian, and a bare `WatchEvent` around an object with its
/// envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    encode::watch_frame(event, object)
}
