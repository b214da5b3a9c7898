//! Text that a schema or an expression reads as something else, and values as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Map, Text, Value, print};
use crate::error::Error;
use crate::library::time;
use crate::schema::{DeclKind, DeclType};
use crate::work::Work;

/// Text as its declaration reads it; as it is, when it does not read so.
pub(super) fn declared_text<'a>(text: &'a str, decl: Option<&'a DeclType>) -> Value<'a> {
    let read = match decl.map(|decl| &decl.kind) {
        Some(DeclKind::Timestamp) => time::timestamp(text).map(Value::Timestamp),
        Some(DeclKind::Date) => date(text).map(Value::Timestamp),
        Some(DeclKind::Duration) => time::duration(text).map(Value::Duration),
        Some(DeclKind::Bytes) => STANDARD.decode(text).ok().map(|bytes| Value::Bytes(bytes.into())),
        _ => None,
    };
    read.unwrap_or(Value::String(Text::Borrowed(text)))
}

/// A full date, at its midnight.
fn date(text: &str) -> Option<Timestamp> {
    let date: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

impl Value<'_> {
    /// The value as JSON: times and lengths of time as text, bytes in base64. What has no JSON is an error, and so is what is larger
    /// than any request.
    pub fn to_json(&self) -> Result<Json, Error> {
        self.json_within(&Work::new(LARGEST))
    }

    fn json_within(&self, work: &Work) -> Result<Json, Error> {
        work.take(1)?;
        Ok(match self {
            Value::Null | Value::Optional(None) => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Uint(value) => Json::from(*value),
            Value::Double(value) => match serde_json::Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => return Err(Error::new("unsupported conversion of a double that is not finite")),
            },
            Value::String(text) => {
                work.take_text(text)?;
                Json::String(text.to_string())
            }
            Value::Bytes(bytes) => {
                work.take(bytes.len() / 32)?;
                Json::String(STANDARD.encode(bytes))
            }
            Value::Duration(_) | Value::Timestamp(_) => Json::String(print::text(self)),
            Value::Quantity(quantity) => Json::String(quantity.to_string()),
            Value::Ip(ip) => Json::String(ip.to_string()),
            Value::Cidr(cidr) => Json::String(cidr.to_string()),
            Value::Optional(Some(value)) => value.json_within(work)?,
            Value::List(super::List::Json(elements, _)) => {
                elements.iter().try_for_each(|element| walk(element, work))?;
                Json::Array(elements.to_vec())
            }
            Value::List(list) => {
                Json::Array(list.iter().map(|element| element.json_within(work)).collect::<Result<_, _>>()?)
            }
            Value::Map(Map::Json(fields, _)) => {
                fields.values().try_for_each(|value| walk(value, work))?;
                Json::Object((*fields).clone())
            }
            Value::Map(map) => {
                let entry = |(key, value): (Value<'_>, Value<'_>)| match key.as_str() {
                    Some(key) => Ok((key.to_owned(), value.json_within(work)?)),
                    None => Err(Error::new(format!("unsupported key type '{}' of an object", key.type_name()))),
                };
                Json::Object(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Value::Struct(object) => {
                let fields = object.fields.iter();
                Json::Object(
                    fields.map(|(k, v)| Ok((k.to_string(), v.json_within(work)?))).collect::<Result<_, Error>>()?,
                )
            }
            other => {
                let name = other.type_name();
                return Err(Error::new(format!("unsupported conversion of a value of type '{name}'")));
            }
        })
    }
}

/// The values of JSON that becomes the most of an object: the longest request has hardly more than a million.
const LARGEST: u64 = 2_000_000;

/// Counts what a copy of the value will take.
fn walk(json: &Json, work: &Work) -> Result<(), Error> {
    work.take(1)?;
    match json {
        Json::String(text) => work.take_text(text),
        Json::Array(elements) => elements.iter().try_for_each(|element| walk(element, work)),
        Json::Object(fields) => fields.values().try_for_each(|value| walk(value, work)),
        _ => Ok(()),
    }
}
