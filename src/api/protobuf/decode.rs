//! From bytes to values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::wire::{Data, Reader};
use super::{Envelope, MAGIC, ProtobufError};
use crate::json::{self, Limits};
use crate::prune::is_unset;
use crate::quantity;
use crate::schema::{Message, MessageRef, Type, Wire};
use crate::time;

/// The fields of `runtime.Unknown`. What is inside is never compressed, so its encoding is not looked at.
pub(super) fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        match number {
            1 => {
                let mut meta = Reader::new(data.bytes()?);
                while let Some((number, data)) = meta.next()? {
                    match number {
                        1 => envelope.api_version = data.text()?,
                        2 => envelope.kind = data.text()?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = data.bytes()?,
            _ => {}
        }
    }
    Ok(envelope)
}

/// An object with its envelope.
pub(super) fn body(bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let envelope = Envelope::parse(bytes)?;
    let message_of_kind = envelope.message()?;
    let mut value = message(envelope.raw, message_of_kind, depth)?;
    if let (Value::Object(map), true) = (&mut value, message_of_kind.is_kind) {
        // Kind and version travel in the envelope; Go writes them first.
        let mut first = Map::new();
        first.insert("kind".to_owned(), envelope.kind.into());
        first.insert("apiVersion".to_owned(), envelope.api_version.into());
        first.append(map);
        *map = first;
    }
    Ok(value)
}

/// A message, as the object it is in JSON.
pub(super) fn message(bytes: &[u8], message: &Message, depth: usize) -> Result<Value, ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Depth)?;
    let mut values: Vec<Option<Value>> = Vec::new();
    values.resize_with(message.fields.len(), || None);
    fields(bytes, message, &message.wire, &mut values, depth)?;
    let mut map = Map::new();
    for (field, value) in message.fields.iter().zip(values) {
        if let Some(value) = value.filter(|value| !is_unset(value, field)) {
            map.insert(field.name.clone().into_owned(), value);
        }
    }
    Ok(Value::Object(map))
}

/// Reads fields into their places; inline structs put theirs beside the others.
fn fields(
    bytes: &[u8],
    message: &Message,
    wires: &[Wire],
    values: &mut [Option<Value>],
    depth: usize,
) -> Result<(), ProtobufError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        // Unknown numbers are fields of a newer version.
        let Ok(at) = wires.binary_search_by_key(&number, Wire::number) else { continue };
        let at = match &wires[at] {
            Wire::Inline(_, wires) => {
                let depth = depth.checked_sub(1).ok_or(ProtobufError::Depth)?;
                fields(data.bytes()?, message, wires, values, depth)?;
                continue;
            }
            Wire::Field(_, at) => usize::from(*at),
        };
        let field = &message.fields[at];
        let old = &mut values[at];
        match field.ty.resolved() {
            Type::List(element) if field.wrapped => *old = Some(wrapped(data.bytes()?, element, depth)?),
            Type::List(element) => {
                let value = value(data, element, depth)?;
                match old {
                    Some(Value::Array(list)) => list.push(value),
                    _ => *old = Some(Value::Array(vec![value])),
                }
            }
            Type::Map(element) => {
                let (key, value) = entry(data.bytes()?, element, depth)?;
                match old {
                    Some(Value::Object(map)) => drop(map.insert(key, value)),
                    _ => *old = Some(Value::Object(Map::from_iter([(key, value)]))),
                }
            }
            ty => *old = Some(value(data, ty, depth)?),
        }
    }
    Ok(())
}

/// One entry of a map: a message of key and value, either of which may be missing.
fn entry(bytes: &[u8], element: &Type, depth: usize) -> Result<(String, Value), ProtobufError> {
    let mut key = String::new();
    let mut content = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        match number {
            1 => data.text()?.clone_into(&mut key),
            2 => content = Some(value(data, element, depth)?),
            _ => {}
        }
    }
    let content = content.map_or_else(|| empty(element, depth), Ok)?;
    Ok((key, content))
}

/// The value of a map's entry that carries none.
fn empty(element: &Type, depth: usize) -> Result<Value, ProtobufError> {
    match element.resolved() {
        Type::Bool | Type::Int32 | Type::Int64 | Type::Float64 => value(Data::Number(0), element, depth),
        _ => value(Data::Bytes(&[]), element, depth),
    }
}

/// A value that is not spread over several fields.
fn value(data: Data<'_>, ty: &Type, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match ty.resolved() {
        Type::Bool => Value::Bool(data.number()? != 0),
        // Go reads numbers of the wrong width by cutting them off.
        Type::Int32 => (data.number()? as i32).into(),
        Type::Int64 => (data.number()? as i64).into(),
        Type::Float64 => Number::from_f64(f64::from_bits(data.number()?)).map_or(Value::Null, Value::Number),
        Type::String => data.text()?.into(),
        Type::Bytes => STANDARD.encode(data.bytes()?).into(),
        Type::Quantity => {
            let text = only_field(data.bytes()?)?.map_or(Ok("0"), Data::text)?;
            let text = if text.is_empty() { "0" } else { text };
            let canonical = quantity::normalize(text).map_err(|error| ProtobufError::Raw(error.to_string()))?;
            canonical.into()
        }
        Type::Time => timestamp(data.bytes()?, time::format, false)?,
        Type::MicroTime => timestamp(data.bytes()?, time::format_micro, true)?,
        Type::IntOrString => int_or_string(data.bytes()?)?,
        Type::RawExtension => match only_field(data.bytes()?)?.map_or(Ok(&[] as &[u8]), Data::bytes)? {
            raw if raw.starts_with(MAGIC) => body(raw, depth.checked_sub(1).ok_or(ProtobufError::Depth)?)?,
            raw => raw_json(raw)?,
        },
        Type::FieldsV1 | Type::Json => raw_json(only_field(data.bytes()?)?.map_or(Ok(&[] as &[u8]), Data::bytes)?)?,
        Type::Message(of) => message(data.bytes()?, of, depth)?,
        Type::List(element) => wrapped(data.bytes()?, element, depth)?,
        Type::SchemaOrArray(schema) => schema_or(data.bytes()?, schema, depth, Or::Array)?,
        Type::SchemaOrBool(schema) => schema_or(data.bytes()?, schema, depth, Or::Bool)?,
        Type::SchemaOrStrings(schema) => schema_or(data.bytes()?, schema, depth, Or::Strings)?,
        Type::Map(_) | Type::Alias(_) => return Err(ProtobufError::Wire("a map inside a map or list")),
    })
}

/// A named list travels as a message around it wherever a plain field would repeat.
fn wrapped(bytes: &[u8], element: &Type, depth: usize) -> Result<Value, ProtobufError> {
    let mut list = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        if number == 1 {
            list.push(value(data, element, depth)?);
        }
    }
    Ok(Value::Array(list))
}

/// Field 1 of a message that has no other.
fn only_field(bytes: &[u8]) -> Result<Option<Data<'_>>, ProtobufError> {
    let mut found = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        if number == 1 {
            found = Some(data);
        }
    }
    Ok(found)
}

fn timestamp(bytes: &[u8], format: fn(Timestamp) -> String, micros: bool) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        match number {
            1 => seconds = data.number()? as i64,
            2 => nanos = data.number()? as i32,
            _ => {}
        }
    }
    // JSON clients never see finer parts, so they are not taken from protobuf clients either.
    let nanos = if micros { nanos } else { 0 };
    let time = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Wire("time out of range"))?;
    Ok(if time::is_zero(time) { Value::Null } else { format(time).into() })
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_string, mut number_value, mut text) = (false, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        match number {
            1 => is_string = data.number()? != 0,
            2 => number_value = data.number()? as i32,
            3 => text = data.text()?,
            _ => {}
        }
    }
    Ok(if is_string { text.into() } else { number_value.into() })
}

fn raw_json(raw: &[u8]) -> Result<Value, ProtobufError> {
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    json::read(raw, limits).map(|document| document.value).map_err(|error| ProtobufError::Raw(error.to_string()))
}

enum Or {
    Array,
    Bool,
    Strings,
}

/// The unions of JSON schemas: a schema, or a boolean, or a list.
fn schema_or(bytes: &[u8], schema: &MessageRef, depth: usize, or: Or) -> Result<Value, ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Depth)?;
    let mut one = None;
    let mut list = Vec::new();
    let mut allows = false;
    let mut reader = Reader::new(bytes);
    while let Some((number, data)) = reader.next()? {
        match (&or, number) {
            (Or::Bool, 1) => allows = data.number()? != 0,
            (Or::Bool, 2) | (Or::Array | Or::Strings, 1) => one = Some(message(data.bytes()?, schema, depth)?),
            (Or::Array, 2) => list.push(message(data.bytes()?, schema, depth)?),
            (Or::Strings, 2) => list.push(data.text()?.into()),
            _ => {}
        }
    }
    Ok(match (or, one) {
        (Or::Bool, None) => Value::Bool(allows),
        (Or::Bool, Some(one)) => one,
        (_, one) if list.is_empty() => one.unwrap_or_default(),
        _ => Value::Array(list),
    })
}
