//! The form of sets in JSON: `{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{}}}}}`.
//!
//! A step that has nothing below it is in the set, and so is one with a dot below it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{Node, Set, Step};
use crate::quote;

/// Why a text is no set of fields.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WireError(#[from] serde_json::Error);

impl Set {
    /// Reads a set. Steps of a kind that is not known are skipped: a later version may know them.
    pub fn parse(text: &[u8]) -> Result<Self, WireError> {
        let mut from = serde_json::Deserializer::from_slice(text);
        let (set, _) = Reader.deserialize(&mut from)?;
        from.end()?;
        Ok(set)
    }

    /// How many fields of this set are in the set that `text` is; that set is not built.
    pub fn count_in(&self, text: &[u8]) -> Result<usize, WireError> {
        if self.is_empty() {
            return Ok(0);
        }
        let mut from = serde_json::Deserializer::from_slice(text);
        let (count, _) = Counter(self).deserialize(&mut from)?;
        from.end()?;
        Ok(count)
    }

    /// Appends the set as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.write(out, false);
    }

    fn write(&self, out: &mut Vec<u8>, dot: bool) {
        out.push(b'{');
        let mut first = true;
        if dot && !self.is_empty() {
            out.extend_from_slice(b"\".\":{}");
            first = false;
        }
        for node in &self.0 {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            match &node.step {
                // Most steps are names without anything to escape.
                Step::Field(name) if name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) => {
                    out.extend_from_slice(b"\"f:");
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'"');
                }
                step => write_text(out, &step.wire()),
            }
            out.push(b':');
            node.below.write(out, node.member);
        }
        out.push(b'}');
    }

    /// The node of a step in its wire form.
    fn find(&self, key: &str) -> Result<Found<'_>, String> {
        if let Some(name) = key.strip_prefix("f:") {
            let at = self.0.binary_search_by(|node| match &node.step {
                Step::Field(field) => (**field).cmp(name),
                _ => std::cmp::Ordering::Greater,
            });
            return Ok(at.map_or(Found::Nothing, |at| Found::Node(&self.0[at])));
        }
        let Some(step) = Step::parse(key)? else { return Ok(Found::Unknown) };
        Ok(self.search(&step).map_or(Found::Nothing, |at| Found::Node(&self.0[at])))
    }
}

enum Found<'a> {
    Node(&'a Node),
    Nothing,
    Unknown,
}

/// Appends a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory does not fail.
    drop(serde_json::to_writer(out, text));
}

impl Step {
    /// `f:name`, `k:{…}`, `v:…` or `i:3`.
    pub(crate) fn wire(&self) -> Cow<'_, str> {
        match self {
            Self::Field(name) => format!("f:{name}").into(),
            Self::Key(keys) => {
                let mut text = b"k:{".to_vec();
                for (at, (name, value)) in keys.iter().enumerate() {
                    if at > 0 {
                        text.push(b',');
                    }
                    write_text(&mut text, name);
                    text.push(b':');
                    text.extend_from_slice(quote::json(value).as_bytes());
                }
                text.push(b'}');
                String::from_utf8_lossy(&text).into_owned().into()
            }
            Self::Value(value) => format!("v:{}", quote::json(value)).into(),
            Self::Index(at) => format!("i:{at}").into(),
        }
    }

    /// The inverse of [`Step::wire`]; `None` for a kind of step that is not known.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let Some((kind, rest)) = text.split_at_checked(2) else {
            return Err("key must be 2 characters long:".to_owned());
        };
        let wrong = |error: serde_json::Error| error.to_string();
        Ok(match kind {
            "f:" => Some(Self::field(rest)),
            "v:" => Some(Self::Value(serde_json::from_str(rest).map_err(wrong)?)),
            "k:" => {
                let keys: serde_json::Map<String, Value> = serde_json::from_str(rest).map_err(wrong)?;
                let mut keys: Vec<_> = keys.into_iter().map(|(name, value)| (name.into_boxed_str(), value)).collect();
                keys.sort_by(|a, b| a.0.cmp(&b.0));
                Some(Self::Key(keys.into()))
            }
            "i:" => Some(Self::Index(rest.parse().map_err(|error: std::num::ParseIntError| error.to_string())?)),
            _ if kind.ends_with(':') => None,
            _ => return Err(format!("missing colon: {text}")),
        })
    }
}

/// Reads one level: what is in it, and whether the step that leads to it is in the set.
struct Reader;

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = (Set, bool);
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = (Set, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut set, mut member) = (Set::default(), false);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "." {
                map.next_value::<IgnoredAny>()?;
                member = true;
                continue;
            }
            let Some(step) = Step::parse(&key).map_err(A::Error::custom)? else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (below, own) = map.next_value_seed(Self)?;
            set.push(|| step, own, below);
        }
        set.sort();
        let member = member || set.is_empty();
        Ok((set, member))
    }
}

/// Counts the fields of a set in one level of another.
struct Counter<'a>(&'a Set);

impl<'de> DeserializeSeed<'de> for Counter<'_> {
    type Value = (usize, bool);
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Counter<'_> {
    type Value = (usize, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut count, mut member, mut bare) = (0, false, true);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "." {
                map.next_value::<IgnoredAny>()?;
                member = true;
                continue;
            }
            let found = self.0.find(&key).map_err(A::Error::custom)?;
            bare &= matches!(found, Found::Unknown);
            let Found::Node(node) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (below, own) = map.next_value_seed(Counter(&node.below))?;
            count += below + usize::from(own && node.member);
        }
        Ok((count, member || bare))
    }
}
