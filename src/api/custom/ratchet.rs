//! What stood in a value's place before, found by the schema: fields by their names, elements by their keys.

use serde_json::Value;

use super::schema::{Additional, ListType, Schema};

/// The value that another one replaces, and the schema of both.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    pub(super) old: &'a Value,
    pub(super) schema: &'a Schema,
}

impl<'a> Before<'a> {
    /// A value of the schema.
    pub fn new(old: &'a Value, schema: &'a Schema) -> Self {
        Self { old, schema }
    }

    /// The old value.
    pub fn value(self) -> &'a Value {
        self.old
    }

    /// What stood in a field's place; `new` is the value that replaces this one.
    pub fn key(self, new: &Value, name: &str) -> Option<Before<'a>> {
        let old = self.old.as_object()?.get(name)?;
        new.as_object()?.get(name)?;
        let schema = match (self.schema.property(name), &self.schema.additional) {
            (Some(schema), _) | (None, Additional::Of(schema)) => schema,
            _ => return None,
        };
        Some(Before { old, schema })
    }

    /// What stood in an element's place. Elements without keys cannot be told from each other.
    pub fn index(self, new: &Value, index: usize) -> Option<Before<'a>> {
        if self.schema.list != ListType::Map {
            return None;
        }
        let element = new.as_array()?.get(index)?;
        let same_key = |old: &&Value| self.schema.keys.iter().all(|key| element.get(&**key) == old.get(&**key));
        let old = self.old.as_array()?.iter().find(same_key).filter(|_| element.is_object())?;
        Some(Before { old, schema: self.schema.items.as_ref()? })
    }

    /// Whether the new value is the old one. Elements with keys may have changed places.
    pub fn is_same(self, new: &Value) -> bool {
        match (self.old, new) {
            (Value::Array(old), Value::Array(list)) if self.schema.list == ListType::Map => {
                let same = |index: usize| self.index(new, index).is_some_and(|before| before.is_same(&list[index]));
                old.len() == list.len() && (0..list.len()).all(same)
            }
            (Value::Object(old), Value::Object(map)) => {
                let same = |name: &String| self.key(new, name).is_some_and(|before| before.is_same(&map[name]));
                old.len() == map.len() && map.keys().all(same)
            }
            (old, new) => old == new,
        }
    }
}
