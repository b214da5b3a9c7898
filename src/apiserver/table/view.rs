//! Narrow views of objects: structs that name the fields a table shows, and nothing else.

use api::{Object, ObjectError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Declares views. Every field may be absent or null, which reads as empty.
macro_rules! view {
    ($($name:ident { $($(#[$meta:meta])* $field:ident : $ty:ty),* $(,)? })*) => {$(
        #[derive(serde::Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct $name {
            $($(#[$meta])* #[serde(deserialize_with = "api::meta::or_default")] $field: $ty,)*
        }
    )*};
}
pub(super) use view;

/// Reads a view of what stands beside the metadata.
pub(super) fn read<T: DeserializeOwned>(object: &Object) -> Result<T, ObjectError> {
    object.view_beside_metadata()
}

/// Reads a view that shows something of the metadata as well. Tables never show the resource version, so the stored bytes will
/// do as they are.
pub(super) fn read_whole<T: DeserializeOwned>(object: &Object) -> Result<T, ObjectError> {
    Ok(serde_json::from_slice(object.stored_bytes())?)
}

/// How many elements a list has, or members an object, whatever they are.
#[derive(Default)]
pub(super) struct Count(pub(super) usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> serde::de::Visitor<'de> for Counter {
    type Value = Count;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        let mut count = 0;
        while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Count(count))
    }
}
