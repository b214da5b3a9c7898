//! Kubernetes' protobuf: an envelope around a message, driven by the schema table. Bodies are read into trees, which is what
//! becomes of them anyway; objects are written from the JSON they are stored as, in one pass and without a tree. The generic
//! JSON mapping of protobuf does not fit: quantities, times, raw objects and inline structs have forms of their own, and
//! which zero values are written is Go's choice.

use serde_json::Value;

use crate::schema::{self, Message};

mod decode;
mod encode;
mod tape;
#[cfg(test)]
mod tests;
mod wire;

pub use encode::Encoder;

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
    /// What is to be written is no JSON from this byte on.
    #[error("the object is no JSON at byte {0}")]
    Text(usize),
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
        encode::envelope(self.api_version, self.kind, self.raw)
    }

    /// The built-in message of the kind that the envelope names.
    pub fn message(&self) -> Result<&'static Message, ProtobufError> {
        message_of_kind(self.api_version, self.kind)
    }
}

fn message_of_kind(api_version: &str, kind: &str) -> Result<&'static Message, ProtobufError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema::for_kind(group, version, kind)
        .ok_or_else(|| ProtobufError::Kind { api_version: api_version.to_owned(), kind: kind.to_owned() })
}

/// The built-in message of the kind that an object's JSON names. Stored objects name it first, so little is read.
pub fn message_of(json: &[u8]) -> Result<&'static Message, ProtobufError> {
    let [api_version, kind] = tape::leading_texts(json, ["apiVersion", "kind"])?;
    message_of_kind(api_version, kind)
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

/// What comes before the items of a list whose items take `items` bytes, the sum of [`item_len`]: a list can be sent while
/// its items are written. The metadata is JSON.
pub fn list_open(api_version: &str, kind: &str, metadata: &[u8], items: usize) -> Result<Vec<u8>, ProtobufError> {
    let message = schema::message("meta/v1.ListMeta").ok_or(ProtobufError::Wire("no list metadata in the table"))?;
    Ok(encode::list_open(api_version, kind, Encoder::new().message(metadata, message)?, items))
}

/// What comes behind the items of a list.
pub const LIST_CLOSE: &[u8] = encode::ENVELOPE_END;

/// How many bytes a message of `length` bytes takes as an item of a list.
pub fn item_len(length: usize) -> usize {
    1 + wire::varint_len(length as u64) + length
}

/// Appends an item to a list. All lists of the API have their items under the same number.
pub fn list_item(out: &mut Vec<u8>, item: &[u8]) {
    out.push(2 << 3 | 2);
    wire::append_varint(out, item.len() as u64);
    out.extend_from_slice(item);
}
