//! Reading JSON from the network: bounded in size and depth, and aware of fields that come twice.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

mod gos;
mod repair;
mod syntax;
#[cfg(test)]
mod tests;
mod write;

pub use gos::normalize_numbers;
pub(crate) use write::write;

/// What a reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Objects and lists inside each other; above 127 the parser's own limit comes first.
    pub depth: usize,
}

/// Upstream's limit for a request body, and a depth that no API type reaches.
impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 3 * 1024 * 1024, depth: 127 }
    }
}

/// What a text held.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The value. Of a field that comes twice, the last one counts.
    pub value: Value,
    /// The paths of fields that come twice (`spec.containers[0].name`), in the order they were found, each once.
    pub duplicates: Vec<String>,
}

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More bytes than the limit, which is named.
    #[error("limit is {0}")]
    TooLarge(usize),
    /// No JSON, or too deep; in Go's words where Go's parser has any.
    #[error("{0}")]
    Syntax(String),
}

/// Most paths reported: enough for people, bounded for the server.
const MAX_DUPLICATES: usize = 100;
/// Most bytes of paths that are made for that: below a key of a megabyte every path is as long.
const MAX_PATHS: usize = 16 << 20;

/// Fields that came twice.
#[derive(Default)]
struct Duplicates {
    paths: Vec<String>,
    /// Bytes of all paths that were made, also of those that were known already.
    made: usize,
}

impl Duplicates {
    fn add(&mut self, step: &Step<'_>) {
        // The first one is reported however long it is: that there are any must not go unnoticed.
        if self.paths.len() == MAX_DUPLICATES || self.made > MAX_PATHS {
            return;
        }
        let path = step.to_string();
        self.made += path.len();
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
    }
}

/// Reads one JSON value in one pass.
pub fn read(text: &[u8], limits: Limits) -> Result<Document, ReadError> {
    if text.len() > limits.bytes {
        return Err(ReadError::TooLarge(limits.bytes));
    }
    read_once(text, limits).or_else(|error| match syntax::complaint(text) {
        Some(why) => Err(ReadError::Syntax(why)),
        // Go's parser puts up with characters that are none.
        None => match repair::characters(text) {
            Some(repaired) => read_once(&repaired, limits),
            None => Err(error),
        }
        .map_err(|error| ReadError::Syntax(error.to_string())),
    })
}

fn read_once(text: &[u8], limits: Limits) -> Result<Document, serde_json::Error> {
    let duplicates = RefCell::default();
    let mut parser = serde_json::Deserializer::from_slice(text);
    let seed = Seed { duplicates: &duplicates, path: None, room: limits.depth };
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(Document { value, duplicates: duplicates.into_inner().paths })
}

/// Reads one value from another format's parser (YAML), with the same care. The parser bounds the size.
pub fn read_from<'de, D: Deserializer<'de>>(from: D, depth: usize) -> Result<Document, D::Error> {
    let duplicates = RefCell::default();
    let value = Seed { duplicates: &duplicates, path: None, room: depth }.deserialize(from)?;
    Ok(Document { value, duplicates: duplicates.into_inner().paths })
}

/// A step on the way to a value. The steps live on the stack and become text only when a duplicate is found.
struct Step<'a> {
    parent: Option<&'a Step<'a>>,
    place: Place<'a>,
}

enum Place<'a> {
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match (&self.place, self.parent) {
            (Place::Index(index), _) => write!(f, "[{index}]"),
            (Place::Key(key), None) => f.write_str(key),
            (Place::Key(key), Some(_)) => write!(f, ".{key}"),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    duplicates: &'a RefCell<Duplicates>,
    path: Option<&'a Step<'a>>,
    /// Levels that may still open.
    room: usize,
}

impl<'a> Seed<'a> {
    fn inside<E: serde::de::Error>(self) -> Result<Seed<'a>, E> {
        let room = self.room.checked_sub(1).ok_or_else(|| E::custom("exceeded max depth"))?;
        Ok(Seed { room, ..self })
    }

    fn at<'b>(self, step: &'b Step<'b>) -> Seed<'b>
    where
        'a: 'b,
    {
        Seed { duplicates: self.duplicates, path: Some(step), room: self.room }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.inside::<A::Error>()?;
        let mut list = Vec::new();
        loop {
            let step = Step { parent: self.path, place: Place::Index(list.len()) };
            match access.next_element_seed(seed.at(&step))? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.inside::<A::Error>()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<Cow<'de, str>>()? {
            let key = key.into_owned();
            let step = Step { parent: self.path, place: Place::Key(&key) };
            let value = access.next_value_seed(seed.at(&step))?;
            if map.contains_key(&key) {
                self.duplicates.borrow_mut().add(&step);
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
