//! Text that a schema or an expression reads as something else, and values as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::{Map, Text, Value, print};
use crate::error::Error;
use crate::library::time;
use crate::schema::{DeclKind, DeclType};

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
    /// The value as JSON: times and lengths of time as text, bytes in base64. What has no JSON is an error.
    pub fn to_json(&self) -> Result<Json, Error> {
        Ok(match self {
            Value::Null | Value::Optional(None) => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Uint(value) => Json::from(*value),
            Value::Double(value) => match serde_json::Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => return Err(Error::new("unsupported conversion of a double that is not finite")),
            },
            Value::String(text) => Json::String(text.to_string()),
            Value::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
            Value::Duration(_) | Value::Timestamp(_) => Json::String(print::text(self)),
            Value::Quantity(quantity) => Json::String(quantity.to_string()),
            Value::Ip(ip) => Json::String(ip.to_string()),
            Value::Cidr(cidr) => Json::String(cidr.to_string()),
            Value::Optional(Some(value)) => value.to_json()?,
            Value::List(super::List::Json(elements, _)) => Json::Array(elements.to_vec()),
            Value::List(list) => Json::Array(list.iter().map(|element| element.to_json()).collect::<Result<_, _>>()?),
            Value::Map(Map::Json(fields, _)) => Json::Object((*fields).clone()),
            Value::Map(map) => {
                let entry = |(key, value): (Value<'_>, Value<'_>)| match key.as_str() {
                    Some(key) => Ok((key.to_owned(), value.to_json()?)),
                    None => Err(Error::new(format!("unsupported key type '{}' of an object", key.type_name()))),
                };
                Json::Object(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Value::Struct(object) => {
                let fields = object.fields.iter();
                Json::Object(fields.map(|(k, v)| Ok((k.to_string(), v.to_json()?))).collect::<Result<_, Error>>()?)
            }
            other => {
                let name = other.type_name();
                return Err(Error::new(format!("unsupported conversion of a value of type '{name}'")));
            }
        })
    }
}
