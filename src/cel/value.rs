//! Values: scalars, and views of JSON that copy nothing. `'a` is how long the data of the evaluation lives.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::authorizer::{Check, Decision};
use crate::error::Error;
use crate::library::format::Format;
use crate::library::network::{Cidr, Ip};
use crate::library::semver::Semver;
use crate::library::url::Url;
use crate::schema::{DeclKind, DeclType};
use crate::types::LibraryType;
use crate::work::Work;

mod compare;
mod convert;
mod json;
pub(crate) mod print;

pub use json::{List, Map};

/// One value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// A list.
    List(List<'a>),
    /// A map, or an object with declared fields.
    Map(Map<'a>),
    /// A type, by its name.
    Type(Text<'a>),
    /// An optional value.
    Optional(Option<Arc<Value<'a>>>),
    /// A quantity.
    Quantity(Arc<api::quantity::Quantity>),
    /// A URL.
    Url(Arc<Url>),
    /// An IP address.
    Ip(Ip),
    /// A network.
    Cidr(Cidr),
    /// A semantic version.
    Semver(Arc<Semver>),
    /// A named format.
    Format(&'static Format),
    /// A request to the authorizer, as far as it is built; [`LibraryType::Authorizer`] at the beginning.
    Check(Arc<Check>),
    /// What the authorizer decided.
    Decision(Arc<Decision>),
    /// An object made by an expression: `Object{…}`, `JSONPatch{…}`.
    Struct(Arc<Struct<'a>>),
}

/// An object made by an expression.
#[derive(Clone, Debug)]
pub struct Struct<'a> {
    /// The type's name: `Object.spec`, `JSONPatch`.
    pub name: Arc<str>,
    /// The fields that were set.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
    /// How deep it is.
    depth: u16,
}

impl<'a> Struct<'a> {
    pub(crate) fn new(name: Arc<str>, fields: BTreeMap<Arc<str>, Value<'a>>) -> Struct<'a> {
        let depth = json::deepest(fields.values());
        Struct { name, fields, depth }
    }
}

/// How many values names are looked at in: more do not become an object, because [`Value::to_json`] goes no further either.
const NAMED: u64 = 1_000_000;

impl Struct<'_> {
    /// What is wrong with the names of the types within: each says by which fields it is reached from the root object.
    pub fn misnamed(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        // Of what is too much the rest is not looked at.
        let _ = self.collect_misnamed(&self.name, &mut wrong, &Work::new(NAMED));
        wrong
    }

    fn collect_misnamed(&self, path: &str, wrong: &mut Vec<String>, work: &Work) -> Result<(), Error> {
        work.take(1)?;
        if *self.name != *path {
            let (name, path) = (api::quote::quote(&self.name), api::quote::quote(path));
            wrong.push(format!(
                "unexpected type name {name}, expected {path}, which matches field name path from root Object type"
            ));
        }
        for (field, value) in &self.fields {
            misnamed_within(value, &format!("{path}.{field}"), wrong, work)?;
        }
        Ok(())
    }
}

fn misnamed_within(value: &Value<'_>, path: &str, wrong: &mut Vec<String>, work: &Work) -> Result<(), Error> {
    work.take(1)?;
    match value {
        Value::Struct(object) => object.collect_misnamed(path, wrong, work),
        Value::List(list @ List::Owned(..)) => {
            list.iter().try_for_each(|element| misnamed_within(&element, path, wrong, work))
        }
        Value::Map(map @ Map::Owned(..)) => {
            map.iter().try_for_each(|(_, value)| misnamed_within(&value, path, wrong, work))
        }
        _ => Ok(()),
    }
}

/// Text that is borrowed from the data, or made by the expression.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Part of the data.
    Borrowed(&'a str),
    /// Made on the way.
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text::Shared(text.into())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text::Borrowed(text)
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Text::Borrowed(text),
            Cow::Owned(text) => Text::from(text),
        }
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Text::from(text))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Text::Borrowed(text))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Double(value)
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(elements: Vec<Value<'a>>) -> Self {
        Value::List(List::of(elements))
    }
}

/// A view of JSON without a schema: integers are ints, other numbers doubles.
impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        Value::json(json, None)
    }
}

impl<'a> Value<'a> {
    /// A view of JSON, read as its declaration says: text of format `date-time` is a timestamp, and so on.
    pub fn json(json: &'a Json, decl: Option<&'a DeclType>) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(value) if !decl.is_some_and(|decl| matches!(decl.kind, DeclKind::Double)) => Value::Int(value),
                _ => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => convert::declared_text(text, decl),
            Json::Array(elements) => Value::List(List::Json(elements, decl)),
            Json::Object(fields) => Value::Map(Map::Json(fields, decl)),
        }
    }

    /// An optional with a value.
    pub(crate) fn some(value: Value<'a>) -> Value<'a> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// How many values made by the expression stand within each other here. Data counts for nothing: its reader has bounded its depth.
    pub(crate) fn depth(&self) -> u16 {
        match self {
            Value::List(List::Owned(_, depth)) | Value::Map(Map::Owned(_, depth)) => *depth,
            Value::Struct(object) => object.depth,
            Value::Optional(Some(value)) => value.depth().saturating_add(1),
            _ => 0,
        }
    }

    /// Whether the value is `true`.
    pub fn is_true(&self) -> bool {
        matches!(self, Value::Bool(true))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The name of the value's type.
    pub fn type_name(&self) -> Text<'a> {
        Text::Borrowed(match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::List(_) => "list",
            Value::Map(map) => return map.type_name(),
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Quantity(_) => LibraryType::Quantity.name(),
            Value::Url(_) => LibraryType::Url.name(),
            Value::Ip(_) => LibraryType::Ip.name(),
            Value::Cidr(_) => LibraryType::Cidr.name(),
            Value::Semver(_) => LibraryType::Semver.name(),
            Value::Format(_) => LibraryType::Format.name(),
            Value::Check(check) => check.kind().name(),
            Value::Decision(_) => LibraryType::Decision.name(),
            Value::Struct(object) => return Text::Shared(object.name.clone()),
        })
    }

    /// What `size()` says, which costs are counted by: characters, bytes, elements. One for all else.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::String(text) => text.chars().count() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Optional(Some(value)) => value.size(),
            Value::Ip(ip) => ip.size(),
            Value::Cidr(cidr) => cidr.size(),
            _ => 1,
        }
    }

    /// Whether the value is what its type begins with: `0`, `""`, `[]`.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null | Value::Optional(None) => true,
            Value::Bool(value) => !value,
            Value::Int(value) | Value::Duration(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::Timestamp(time) => api::time::is_zero(*time),
            Value::Struct(object) => object.fields.is_empty(),
            Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => self.size() == 0,
            _ => false,
        }
    }

    /// A field of an object, or a map's value under the key; `None` when it is not there.
    pub(crate) fn field(&self, name: &str) -> Result<Option<Value<'a>>, Error> {
        match self {
            Value::Map(map) => Ok(map.get_str(name)),
            Value::Struct(object) => Ok(object.fields.get(name).cloned()),
            Value::Optional(Some(value)) => value.field(name),
            Value::Optional(None) => Ok(None),
            _ => Err(Error::no_overload()),
        }
    }

    /// The element at an index or the value under a key; `None` when it is not there.
    pub(crate) fn index(&self, key: &Value<'_>) -> Result<Option<Value<'a>>, Error> {
        match self {
            Value::List(list) => {
                let at = match key {
                    Value::Int(at) => usize::try_from(*at).ok(),
                    Value::Uint(at) => usize::try_from(*at).ok(),
                    Value::Double(at) if at.fract() == 0.0 && *at >= 0.0 => Some(*at as usize),
                    Value::Double(at) => return Err(Error::new(format!("unsupported index value {at} in list"))),
                    other => {
                        let name = other.type_name();
                        return Err(Error::new(format!("unsupported index type '{name}' in list")));
                    }
                };
                Ok(at.and_then(|at| list.get(at)))
            }
            Value::Map(map) => Ok(map.get(key)),
            Value::Struct(object) => Ok(key.as_str().and_then(|key| object.fields.get(key).cloned())),
            Value::Optional(Some(value)) => value.index(key),
            Value::Optional(None) => Ok(None),
            _ => Err(Error::no_overload()),
        }
    }
}

/// A key of a map. Numbers are the same key whatever their type is.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A boolean.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Text.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    /// The value as a key; doubles only when they are whole numbers.
    pub(crate) fn of(value: &Value<'a>) -> Option<Key<'a>> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Int(*value),
            Value::Uint(value) => Key::Uint(*value),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.2e18 => Key::Int(*value as i64),
            Value::String(text) => Key::String(text.clone()),
            _ => return None,
        })
    }

    pub(crate) fn value(&self) -> Value<'a> {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(text) => Value::String(text.clone()),
        }
    }

    fn rank(&self) -> (u8, i128) {
        match self {
            Key::Bool(value) => (0, i128::from(*value)),
            Key::Int(value) => (1, i128::from(*value)),
            Key::Uint(value) => (1, i128::from(*value)),
            Key::String(_) => (2, 0),
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::String(a), Key::String(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key<'_> {}
