//! The protobuf form of OpenAPI documents, as gnostic's `OpenAPIv2.proto` and `OpenAPIv3.proto` lay it out: the one form
//! in which client-go reads `/openapi/v2`.
//!
//! A document is made as JSON; the tables here say under which numbers its members travel. What JSON calls one thing is
//! often a message in a message there (a type is a list of types, a schema a choice between a schema and a reference), so
//! every table entry may name the fields to go through.

pub(super) mod v2;
pub(super) mod v3;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::Value;

/// Chooses the message of a JSON value, and the fields to go through before it.
type Choice = fn(&Value) -> (&'static [u32], &'static Message);

/// How a member of a JSON object travels.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A string as the only one of a list in a message of its own.
    TypeName,
    Texts,
    Flag,
    Integer,
    Number,
    /// Any JSON, as YAML.
    Any,
    Anys,
    /// A string, number or boolean; other defaults cannot be said.
    Default,
    One(Choice),
    Many(Choice),
    /// A schema, or whether there may be any.
    SchemaOrFlag(Choice),
}

/// The members of one kind of JSON object.
pub(super) struct Message {
    members: &'static [(&'static str, u32, Kind)],
    /// The number of members that no table can name: the keys of a map.
    entries: Option<(u32, Choice)>,
    /// The number of `x-…` members; 0 for none.
    extensions: u32,
}

/// Appends the fields of a message.
pub(super) fn encode(message: &Message, value: &Value, out: &mut Vec<u8>) {
    let Value::Object(members) = value else { return };
    for (key, value) in members {
        if let Some((_, number, kind)) = message.members.iter().find(|(name, ..)| name == key) {
            member(*kind, *number, value, out);
        } else if key.starts_with("x-") && message.extensions > 0 {
            named(message.extensions, key, out, |out| any(2, value, out));
        } else if let Some((number, choice)) = message.entries {
            entry(number, key, choice, value, out);
        }
    }
}

/// Appends one entry of a map: its name, and its value as the choice has it.
pub(super) fn entry(number: u32, name: &str, choice: Choice, value: &Value, out: &mut Vec<u8>) {
    named(number, name, out, |out| chosen(2, choice, value, out));
}

/// Appends a field of bytes or text.
pub(super) fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn member(kind: Kind, number: u32, value: &Value, out: &mut Vec<u8>) {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    match kind {
        Kind::Text => text(number, value, out),
        Kind::TypeName => within(number, out, |out| text(1, value, out)),
        Kind::Texts => list.iter().for_each(|value| text(number, value, out)),
        Kind::Flag => flag(number, value.as_bool().unwrap_or_default(), out),
        Kind::Integer => {
            encode_key(number, WireType::Varint, out);
            encode_varint(value.as_i64().unwrap_or_default() as u64, out);
        }
        Kind::Number => double(number, value, out),
        Kind::Any => within(number, out, |out| any_value(value, out)),
        Kind::Anys => list.iter().for_each(|value| within(number, out, |out| any_value(value, out))),
        Kind::Default => match value {
            Value::Number(_) => within(number, out, |out| double(1, value, out)),
            Value::Bool(value) => within(number, out, |out| flag(2, *value, out)),
            Value::String(_) => within(number, out, |out| text(3, value, out)),
            _ => {}
        },
        Kind::One(choice) => chosen(number, choice, value, out),
        Kind::Many(choice) => list.iter().for_each(|value| chosen(number, choice, value, out)),
        Kind::SchemaOrFlag(choice) => within(number, out, |out| match value {
            Value::Bool(value) => flag(2, *value, out),
            value => chosen(1, choice, value, out),
        }),
    }
}

fn chosen(number: u32, choice: Choice, value: &Value, out: &mut Vec<u8>) {
    let (path, message) = choice(value);
    through(number, path, out, &|out| encode(message, value, out));
}

/// A message in a message in a message, for each number of the path.
fn through(number: u32, path: &[u32], out: &mut Vec<u8>, body: &dyn Fn(&mut Vec<u8>)) {
    within(number, out, |out| match path {
        [] => body(out),
        [next, rest @ ..] => through(*next, rest, out, body),
    });
}

/// A field that holds a message. Its length is known only after its body, and goes in before it then.
fn within(number: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    encode_key(number, WireType::LengthDelimited, out);
    let start = out.len();
    body(out);
    let mut length = Vec::with_capacity(5);
    encode_varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}

fn named(number: u32, name: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    within(number, out, |out| {
        bytes(1, name.as_bytes(), out);
        value(out);
    });
}

fn any(number: u32, value: &Value, out: &mut Vec<u8>) {
    within(number, out, |out| any_value(value, out));
}

/// JSON is YAML.
fn any_value(value: &Value, out: &mut Vec<u8>) {
    bytes(2, format!("{value}\n").as_bytes(), out);
}

fn text(number: u32, value: &Value, out: &mut Vec<u8>) {
    bytes(number, value.as_str().unwrap_or_default().as_bytes(), out);
}

fn flag(number: u32, value: bool, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(u64::from(value), out);
}

fn double(number: u32, value: &Value, out: &mut Vec<u8>) {
    encode_key(number, WireType::SixtyFourBit, out);
    out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
}

const fn message(members: &'static [(&'static str, u32, Kind)], extensions: u32) -> Message {
    Message { members, entries: None, extensions }
}

const fn map(number: u32, choice: Choice) -> Message {
    Message { members: &[], entries: Some((number, choice)), extensions: 0 }
}
