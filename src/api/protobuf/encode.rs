//! From values to bytes: fields by ascending number, everything that is no pointer always there, maps sorted. This is
//! what Go's generated code writes, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::wire::Writer;
use super::{MAGIC, ProtobufError};
use crate::schema::{Field, Message, Type, Wire};
use crate::time;

/// The magic and `runtime.Unknown` around what `content` writes.
pub(super) fn envelope(api_version: &str, kind: &str, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    // Content type and encoding: empty, and written all the same.
    writer.bytes_field(4, b"");
    writer.bytes_field(3, b"");
    let start = writer.len();
    content(&mut writer);
    writer.close(2, writer.len() - start);
    let start = writer.len();
    writer.bytes_field(2, kind.as_bytes());
    writer.bytes_field(1, api_version.as_bytes());
    writer.close(1, writer.len() - start);
    writer.raw(MAGIC);
    writer.finish()
}

/// A `WatchEvent` with its length before it.
pub(super) fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes_field(1, object);
    writer.close(2, writer.len());
    writer.bytes_field(1, event.as_bytes());
    let length = writer.len() as u32;
    writer.raw(&length.to_be_bytes());
    writer.finish()
}

/// A message without an envelope.
pub(super) fn message(object: &Value, message: &Message) -> Result<Vec<u8>, ProtobufError> {
    let mut writer = Writer::default();
    message_content(&mut writer, Some(object), message)?;
    Ok(writer.finish())
}

fn message_content(writer: &mut Writer, object: Option<&Value>, message: &Message) -> Result<(), ProtobufError> {
    let map = match object {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => Some(map),
        Some(_) => return Err(ProtobufError::Type(message.name.to_string())),
    };
    fields(writer, map, message, &message.wire)
}

fn fields(
    writer: &mut Writer,
    map: Option<&Map<String, Value>>,
    message: &Message,
    wires: &[Wire],
) -> Result<(), ProtobufError> {
    for wire in wires.iter().rev() {
        match wire {
            Wire::Field(number, at) => {
                let field = &message.fields[usize::from(*at)];
                let value = map.and_then(|map| map.get(&*field.name)).filter(|value| !value.is_null());
                write_field(writer, *number, value, field)?;
            }
            Wire::Inline(number, wires) => {
                let start = writer.len();
                fields(writer, map, message, wires)?;
                writer.close(*number, writer.len() - start);
            }
        }
    }
    Ok(())
}

fn write_field(writer: &mut Writer, number: u32, value: Option<&Value>, field: &Field) -> Result<(), ProtobufError> {
    let wrong = || ProtobufError::Type(field.name.to_string());
    match (field.ty.resolved(), value) {
        (Type::List(_) | Type::Map(_) | Type::Bytes, None) => Ok(()),
        (_, None) if field.pointer => Ok(()),
        (Type::List(element), Some(Value::Array(list))) if !field.wrapped => {
            list.iter().rev().try_for_each(|value| write_value(writer, number, Some(value), element, &wrong))
        }
        (Type::Map(element), Some(Value::Object(map))) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in entries.into_iter().rev() {
                let start = writer.len();
                write_value(writer, 2, Some(value), element, &wrong)?;
                writer.bytes_field(1, key.as_bytes());
                writer.close(number, writer.len() - start);
            }
            Ok(())
        }
        (Type::Map(_), _) => Err(wrong()),
        (ty, value) => write_value(writer, number, value, ty, &wrong),
    }
}

/// One value under one number; an absent one is written as its zero.
fn write_value(
    writer: &mut Writer,
    number: u32,
    value: Option<&Value>,
    ty: &Type,
    wrong: &impl Fn() -> ProtobufError,
) -> Result<(), ProtobufError> {
    let value = value.filter(|value| !value.is_null());
    let start = writer.len();
    match (ty.resolved(), value) {
        (Type::Bool, value) => {
            let value = value.map_or(Some(false), Value::as_bool).ok_or_else(wrong)?;
            writer.varint_field(number, value.into());
            return Ok(());
        }
        (Type::Int32 | Type::Int64, value) => {
            // Negative numbers are written in ten bytes, in 32-bit fields too.
            let value = value.map_or(Some(0), Value::as_i64).ok_or_else(wrong)?;
            writer.varint_field(number, value as u64);
            return Ok(());
        }
        (Type::Float64, value) => {
            let value = value.map_or(Some(0.0), Value::as_f64).ok_or_else(wrong)?;
            writer.fixed64_field(number, value.to_bits());
            return Ok(());
        }
        (Type::String, value) => {
            let value = value.map_or(Some(""), Value::as_str).ok_or_else(wrong)?;
            writer.raw(value.as_bytes());
        }
        (Type::Bytes, value) => {
            let value = value.map_or(Some(""), Value::as_str).ok_or_else(wrong)?;
            writer.raw(&STANDARD.decode(value).map_err(|_| wrong())?);
        }
        (Type::Quantity, value) => {
            let value = value.map_or(Some("0"), Value::as_str).ok_or_else(wrong)?;
            writer.bytes_field(1, value.as_bytes());
        }
        (Type::Time, Some(value)) => {
            let time = value.as_str().and_then(|text| time::parse(text).ok()).ok_or_else(wrong)?;
            timestamp(writer, time, 0);
        }
        (Type::MicroTime, Some(value)) => {
            let time = value.as_str().and_then(|text| time::parse_micro(text).ok()).ok_or_else(wrong)?;
            timestamp(writer, time, time.as_nanosecond().rem_euclid(1_000_000_000) as u64 / 1000 * 1000);
        }
        (Type::IntOrString, value) => {
            let (is_string, int, text) = match value {
                None => (0, 0, ""),
                Some(Value::String(text)) => (1, 0, text.as_str()),
                Some(value) => (0, value.as_i64().ok_or_else(wrong)?, ""),
            };
            writer.bytes_field(3, text.as_bytes());
            writer.varint_field(2, int as u64);
            writer.varint_field(1, is_string);
        }
        (Type::RawExtension | Type::FieldsV1 | Type::Json, Some(value)) => {
            writer.bytes_field(1, value.to_string().as_bytes());
        }
        (Type::Time | Type::MicroTime | Type::RawExtension | Type::FieldsV1 | Type::Json, None) => {}
        (Type::Message(of), value) => message_content(writer, value, of)?,
        (Type::List(element), value) => {
            let list = value.map_or(Some(&[] as &[Value]), |value| value.as_array().map(Vec::as_slice));
            for value in list.ok_or_else(wrong)?.iter().rev() {
                write_value(writer, 1, Some(value), element, wrong)?;
            }
        }
        (Type::SchemaOrBool(schema), value) => {
            if value.is_some_and(Value::is_object) {
                write_schema(writer, 2, value, schema)?;
            }
            // A schema allows what it allows.
            let allows = value.is_some_and(|value| value.as_bool().unwrap_or(true));
            writer.varint_field(1, allows.into());
        }
        (Type::SchemaOrArray(schema), Some(Value::Array(list))) => {
            list.iter().rev().try_for_each(|value| write_schema(writer, 2, Some(value), schema))?;
        }
        (Type::SchemaOrStrings(_), Some(Value::Array(list))) => {
            for value in list.iter().rev() {
                writer.bytes_field(2, value.as_str().ok_or_else(wrong)?.as_bytes());
            }
        }
        (Type::SchemaOrArray(schema) | Type::SchemaOrStrings(schema), Some(value)) => {
            write_schema(writer, 1, Some(value), schema)?;
        }
        (Type::SchemaOrArray(_) | Type::SchemaOrStrings(_), None) => {}
        (Type::Map(_) | Type::Alias(_), _) => return Err(wrong()),
    }
    writer.close(number, writer.len() - start);
    Ok(())
}

fn write_schema(
    writer: &mut Writer,
    number: u32,
    value: Option<&Value>,
    schema: &Message,
) -> Result<(), ProtobufError> {
    let start = writer.len();
    message_content(writer, value, schema)?;
    writer.close(number, writer.len() - start);
    Ok(())
}

/// Seconds and nanoseconds; Go's zero time is an empty message.
fn timestamp(writer: &mut Writer, time: Timestamp, nanos: u64) {
    if !time::is_zero(time) {
        let seconds = time.as_nanosecond().div_euclid(1_000_000_000) as i64;
        writer.varint_field(2, nanos);
        writer.varint_field(1, seconds as u64);
    }
}
