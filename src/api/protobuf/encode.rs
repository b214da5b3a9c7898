//! From an object's JSON to bytes: fields by ascending number, everything that is no pointer always there, maps sorted. This
//! is what Go's generated code writes, byte for byte.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::tape::{ABSENT, Kind, Node, Tape};
use super::wire::Writer;
use super::{MAGIC, ProtobufError};
use crate::schema::{Field, Message, Type, Wire};
use crate::time;

/// Writes objects as protobuf, one after the other, from the JSON they are stored as. No tree is built, and the memory of
/// one object serves the next.
#[derive(Debug, Default)]
pub struct Encoder {
    tape: Tape,
    writer: Writer,
}

impl Encoder {
    /// An encoder; it has no memory yet.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// An object without an envelope: an item of a list.
    pub fn message(&mut self, json: &[u8], message: &Message) -> Result<&[u8], ProtobufError> {
        self.writer.clear();
        let root = self.tape.read(json, message)?;
        self.content(json, root, message)?;
        Ok(self.writer.written())
    }

    /// An object with its envelope, which takes `apiVersion` and `kind` from the object.
    pub fn object(&mut self, json: &[u8], message: &Message) -> Result<&[u8], ProtobufError> {
        self.writer.clear();
        self.writer.raw(ENVELOPE_END);
        let start = self.writer.len();
        let root = self.tape.read(json, message)?;
        self.content(json, root, message)?;
        self.writer.close(2, self.writer.len() - start);
        let source = Source { text: json, tape: &self.tape };
        let text = |name: &str| {
            let field = message.position(name).filter(|_| root.kind == Kind::Message);
            field.and_then(|at| source.string(self.tape.fields(root)[at])).unwrap_or_default()
        };
        begin_envelope(&mut self.writer, &text("apiVersion"), &text("kind"));
        Ok(self.writer.written())
    }

    /// An event of a watch: a length of four bytes, big-endian, and a bare `WatchEvent` around an object with its envelope.
    pub fn watch_frame(&mut self, event: &str, json: &[u8], message: &Message) -> Result<&[u8], ProtobufError> {
        let length = self.object(json, message)?.len();
        self.writer.close(1, length);
        self.writer.close(2, self.writer.len());
        self.writer.bytes_field(1, event.as_bytes());
        let length = self.writer.len() as u32;
        self.writer.raw(&length.to_be_bytes());
        Ok(self.writer.written())
    }

    fn content(&mut self, json: &[u8], root: Node, message: &Message) -> Result<(), ProtobufError> {
        let source = Source { text: json, tape: &self.tape };
        source.message(&mut self.writer, root, message, &|| ProtobufError::Type(message.name.to_string()))
    }
}

/// Content type and encoding end the envelope: empty, and written all the same.
pub(super) const ENVELOPE_END: &[u8] = b"\x1a\x00\x22\x00";

/// What comes before the message in `runtime.Unknown`, the magic included.
fn begin_envelope(writer: &mut Writer, api_version: &[u8], kind: &[u8]) {
    let start = writer.len();
    writer.bytes_field(2, kind);
    writer.bytes_field(1, api_version);
    writer.close(1, writer.len() - start);
    writer.raw(MAGIC);
}

/// An envelope around a message.
pub(super) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(ENVELOPE_END);
    writer.bytes_field(2, raw);
    begin_envelope(&mut writer, api_version.as_bytes(), kind.as_bytes());
    writer.written().to_vec()
}

/// A list with its envelope, up to its items, which take `items` bytes.
pub(super) fn list_open(api_version: &str, kind: &str, metadata: &[u8], items: usize) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes_field(1, metadata);
    writer.close(2, writer.len() + items);
    begin_envelope(&mut writer, api_version.as_bytes(), kind.as_bytes());
    writer.written().to_vec()
}

/// An object's text, and where everything stands in it.
struct Source<'a> {
    text: &'a [u8],
    tape: &'a Tape,
}

impl<'a> Source<'a> {
    fn raw(&self, node: Node) -> &'a [u8] {
        &self.text[node.start as usize..node.end as usize]
    }

    /// A string; none where something else stands.
    fn string(&self, at: u32) -> Option<Cow<'a, [u8]>> {
        let node = self.tape.node(at);
        match node.kind {
            Kind::Text => Some(Cow::Borrowed(self.raw(node))),
            Kind::Escaped => {
                let quoted = &self.text[node.start as usize - 1..node.end as usize + 1];
                serde_json::from_slice::<String>(quoted).ok().map(|text| Cow::Owned(text.into_bytes()))
            }
            _ => None,
        }
    }

    /// A string that is to be read as text.
    fn text(&self, at: u32) -> Option<Cow<'a, str>> {
        Some(match self.string(at)? {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
        })
    }

    fn integer(&self, at: u32) -> Option<i64> {
        let node = self.tape.node(at);
        let digits = (node.kind == Kind::Number).then(|| self.raw(node))?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn float(&self, at: u32) -> Option<f64> {
        let node = self.tape.node(at);
        let digits = (node.kind == Kind::Number).then(|| self.raw(node))?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    fn is_null(&self, at: u32) -> bool {
        self.tape.node(at).kind == Kind::Null
    }

    fn message(
        &self,
        writer: &mut Writer,
        node: Node,
        message: &Message,
        wrong: &dyn Fn() -> ProtobufError,
    ) -> Result<(), ProtobufError> {
        match node.kind {
            Kind::Null => self.fields(writer, None, message, &message.wire),
            Kind::Message => self.fields(writer, Some(self.tape.fields(node)), message, &message.wire),
            _ => Err(wrong()),
        }
    }

    fn fields(
        &self,
        writer: &mut Writer,
        fields: Option<&[u32]>,
        message: &Message,
        wires: &[Wire],
    ) -> Result<(), ProtobufError> {
        for wire in wires.iter().rev() {
            match wire {
                Wire::Field(number, at) => {
                    let node = fields.map_or(ABSENT, |fields| fields[usize::from(*at)]);
                    self.field(writer, *number, node, &message.fields[usize::from(*at)])?;
                }
                Wire::Inline(number, wires) => {
                    let start = writer.len();
                    self.fields(writer, fields, message, wires)?;
                    writer.close(*number, writer.len() - start);
                }
            }
        }
        Ok(())
    }

    fn field(&self, writer: &mut Writer, number: u32, at: u32, field: &Field) -> Result<(), ProtobufError> {
        let absent = at == ABSENT || self.is_null(at);
        if absent && field.pointer {
            return Ok(());
        }
        let wrong = || ProtobufError::Type(field.name.to_string());
        match field.ty.resolved() {
            Type::List(_) | Type::Map(_) | Type::Bytes if absent => Ok(()),
            Type::List(element) if !field.wrapped => self.list(writer, number, at, element, &wrong),
            Type::Map(element) => self.map(writer, number, at, element, &wrong),
            ty => self.value(writer, number, at, ty, &wrong),
        }
    }

    fn list(
        &self,
        writer: &mut Writer,
        number: u32,
        at: u32,
        element: &Type,
        wrong: &dyn Fn() -> ProtobufError,
    ) -> Result<(), ProtobufError> {
        let list = self.tape.node(at);
        if list.kind != Kind::List {
            return Err(wrong());
        }
        let mut at = list.end;
        while at != ABSENT {
            self.value(writer, number, at, element, wrong)?;
            at = self.tape.node(at).previous;
        }
        Ok(())
    }

    fn map(
        &self,
        writer: &mut Writer,
        number: u32,
        at: u32,
        element: &Type,
        wrong: &dyn Fn() -> ProtobufError,
    ) -> Result<(), ProtobufError> {
        let map = self.tape.node(at);
        let keys = std::iter::successors(Some(map.end), |key| Some(self.tape.node(*key).previous));
        let keys = keys.take_while(|key| *key != ABSENT);
        match map.kind {
            Kind::Map => {
                for key in keys {
                    self.entry(writer, number, self.raw(self.tape.node(key)), key, element, wrong)?;
                }
            }
            Kind::UnsortedMap => {
                let decoded = keys.map(|key| Some((self.string(key)?, key)));
                let mut entries = decoded.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
                // Of a key that comes twice the last one counts, which is the first one here.
                entries.sort_by(|(a, _), (b, _)| b.cmp(a));
                entries.dedup_by(|(a, _), (b, _)| a == b);
                for (text, key) in &entries {
                    self.entry(writer, number, text, *key, element, wrong)?;
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// An entry of a map, whose value stands behind its key.
    fn entry(
        &self,
        writer: &mut Writer,
        number: u32,
        text: &[u8],
        key: u32,
        element: &Type,
        wrong: &dyn Fn() -> ProtobufError,
    ) -> Result<(), ProtobufError> {
        let start = writer.len();
        self.value(writer, 2, key + 1, element, wrong)?;
        writer.bytes_field(1, text);
        writer.close(number, writer.len() - start);
        Ok(())
    }

    /// One value under one number; an absent one is written as its zero.
    fn value(
        &self,
        writer: &mut Writer,
        number: u32,
        at: u32,
        ty: &Type,
        wrong: &dyn Fn() -> ProtobufError,
    ) -> Result<(), ProtobufError> {
        let node = self.tape.node(at);
        let absent = node.kind == Kind::Null;
        let start = writer.len();
        match ty.resolved() {
            Type::Bool => {
                let value = match node.kind {
                    Kind::Null => false,
                    Kind::Bool(value) => value,
                    _ => return Err(wrong()),
                };
                writer.varint_field(number, value.into());
                return Ok(());
            }
            Type::Int32 | Type::Int64 => {
                // Negative numbers are written in ten bytes, in 32-bit fields too.
                let value = if absent { 0 } else { self.integer(at).ok_or_else(wrong)? };
                writer.varint_field(number, value as u64);
                return Ok(());
            }
            Type::Float64 => {
                let value = if absent { 0.0 } else { self.float(at).ok_or_else(wrong)? };
                writer.fixed64_field(number, value.to_bits());
                return Ok(());
            }
            Type::String if absent => {}
            Type::String => writer.raw(&self.string(at).ok_or_else(wrong)?),
            Type::Bytes if absent => {}
            Type::Bytes => writer.raw(&STANDARD.decode(self.string(at).ok_or_else(wrong)?).map_err(|_| wrong())?),
            Type::Quantity if absent => writer.bytes_field(1, b"0"),
            Type::Quantity => writer.bytes_field(1, &self.string(at).ok_or_else(wrong)?),
            Type::Time | Type::MicroTime | Type::RawExtension | Type::FieldsV1 | Type::Json if absent => {}
            Type::Time => {
                let time = self.text(at).and_then(|text| time::parse(&text).ok()).ok_or_else(wrong)?;
                timestamp(writer, time, 0);
            }
            Type::MicroTime => {
                let time = self.text(at).and_then(|text| time::parse_micro(&text).ok()).ok_or_else(wrong)?;
                timestamp(writer, time, time.as_nanosecond().rem_euclid(1_000_000_000) as u64 / 1000 * 1000);
            }
            Type::IntOrString => {
                let (is_string, int, text) = match node.kind {
                    Kind::Null => (0, 0, Cow::default()),
                    Kind::Number => (0, self.integer(at).ok_or_else(wrong)?, Cow::default()),
                    _ => (1, 0, self.string(at).ok_or_else(wrong)?),
                };
                writer.bytes_field(3, &text);
                writer.varint_field(2, int as u64);
                writer.varint_field(1, is_string);
            }
            Type::RawExtension | Type::FieldsV1 | Type::Json => writer.bytes_field(1, self.raw(node)),
            Type::Message(of) => self.message(writer, node, of, wrong)?,
            Type::List(_) if absent => {}
            Type::List(element) => self.list(writer, 1, at, element, wrong)?,
            Type::SchemaOrBool(schema) => {
                // A schema allows what it allows.
                let allows = match node.kind {
                    Kind::Null => false,
                    Kind::Bool(allows) => allows,
                    _ => {
                        self.value(writer, 2, at, &Type::Message(schema.clone()), wrong)?;
                        true
                    }
                };
                writer.varint_field(1, allows.into());
            }
            Type::SchemaOrArray(_) | Type::SchemaOrStrings(_) if absent => {}
            Type::SchemaOrArray(schema) if node.kind == Kind::List => {
                self.list(writer, 2, at, &Type::Message(schema.clone()), wrong)?;
            }
            Type::SchemaOrStrings(_) if node.kind == Kind::List => self.list(writer, 2, at, &Type::String, wrong)?,
            Type::SchemaOrArray(schema) | Type::SchemaOrStrings(schema) => {
                self.value(writer, 1, at, &Type::Message(schema.clone()), wrong)?;
            }
            Type::Map(_) | Type::Alias(_) => return Err(wrong()),
        }
        writer.close(number, writer.len() - start);
        Ok(())
    }
}

/// Seconds and nanoseconds; Go's zero time is an empty message.
fn timestamp(writer: &mut Writer, time: Timestamp, nanos: u64) {
    if !time::is_zero(time) {
        let seconds = time.as_nanosecond().div_euclid(1_000_000_000) as i64;
        writer.varint_field(2, nanos);
        writer.varint_field(1, seconds as u64);
    }
}
