//! One pass over an object's JSON for its metadata and the row's selectable fields; everything else is skipped unread.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::meta::WireMeta;
use crate::{Meta, Resource};

/// The metadata of the object in `bytes`, with `fields` filled by the row.
pub(super) fn meta(bytes: &[u8], resource: &Resource) -> Result<Meta, serde_json::Error> {
    let mut meta = None;
    let mut fields: Box<[Box<str>]> = resource.fields.iter().map(|_| Box::from("")).collect();
    let mut from = serde_json::Deserializer::from_slice(bytes);
    Top { paths: &resource.fields, meta: &mut meta, fields: &mut fields }.deserialize(&mut from)?;
    from.end()?;
    let mut meta: Meta = meta.unwrap_or_default().into();
    meta.fields = fields;
    Ok(meta)
}

/// The values at some paths; empty where absent, and where the bytes are no object.
pub(super) fn fields(bytes: &[u8], paths: &[Box<str>]) -> Box<[Box<str>]> {
    let mut fields: Box<[Box<str>]> = paths.iter().map(|_| Box::from("")).collect();
    let mut from = serde_json::Deserializer::from_slice(bytes);
    // What was read before an error stands.
    let _ = Top { paths, meta: &mut None, fields: &mut fields }.deserialize(&mut from);
    fields
}

/// The metadata of an object, as it stands there.
pub(super) fn metadata(bytes: &[u8]) -> Result<&str, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Outline<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    Ok(serde_json::from_slice::<Outline<'_>>(bytes)?.metadata.get())
}

/// The value that a text begins with; what follows is not read.
pub(super) fn leading(bytes: &[u8]) -> Result<&str, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    Ok(<&RawValue as serde::Deserialize>::deserialize(&mut from)?.get())
}

struct Top<'a> {
    paths: &'a [Box<str>],
    meta: &'a mut Option<WireMeta>,
    fields: &'a mut [Box<str>],
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an API object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "metadata" {
                *self.meta = map.next_value::<Option<WireMeta>>()?;
            } else {
                map.next_value_seed(Field { paths: self.paths, prefix: &key, fields: self.fields })?;
            }
        }
        Ok(())
    }
}

/// The value at `prefix`: a leaf some path names, a map some path leads into, or nothing anyone asked for.
struct Field<'a> {
    paths: &'a [Box<str>],
    prefix: &'a str,
    fields: &'a mut [Box<str>],
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let wanted = self
            .paths
            .iter()
            .any(|path| path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        if wanted { from.deserialize_any(self) } else { from.deserialize_ignored_any(IgnoredAny).map(drop) }
    }
}

impl Field<'_> {
    fn set(self, value: String) {
        if let Some(at) = self.paths.iter().position(|path| **path == *self.prefix) {
            self.fields[at] = value.into();
        }
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("a field")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let prefix = format!("{}.{key}", self.prefix);
            map.next_value_seed(Field { paths: self.paths, prefix: &prefix, fields: self.fields })?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.set(value.to_owned());
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.set(value.to_string());
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.set(value.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.set(value.to_string());
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.set(value.to_string());
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The object in `bytes` as a tree, and its managed fields apart from it, unread.
pub(super) fn split(bytes: &[u8]) -> Result<(Value, Option<Box<str>>), serde_json::Error> {
    let mut managed = None;
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let object = Split { inside: "metadata", managed: &mut managed }.deserialize(&mut from)?;
    from.end()?;
    Ok((object, managed))
}

/// A map whose member `inside` leads to the managed fields.
struct Split<'a> {
    inside: &'static str,
    managed: &'a mut Option<Box<str>>,
}

impl<'de> DeserializeSeed<'de> for Split<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Split<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an API object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if key != self.inside {
                members.insert(key, map.next_value()?);
            } else if key == "metadata" {
                let metadata = map.next_value_seed(Split { inside: "managedFields", managed: &mut *self.managed })?;
                members.insert(key, metadata);
            } else {
                let text = map.next_value::<&'de RawValue>()?.get();
                *self.managed = (text != "null").then(|| text.into());
            }
        }
        Ok(Value::Object(members))
    }
}
