//! Bringing an object to the form its schema gives it: unknown fields are dropped, so are nulls that say nothing, and what
//! is absent gets its default.

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};
use crate::prune::DecodeError;
use crate::quote::quote;

/// What every object has, said by its schema or not.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Most unknown fields reported, as upstream.
const MAX_UNKNOWN: usize = 100;

/// Why an object cannot be of its kind: an embedded object's type or metadata are not what they must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormError(String);

impl From<FormError> for DecodeError {
    fn from(error: FormError) -> Self {
        DecodeError::new(error.0)
    }
}

impl Schema {
    /// Drops from a whole object what the schema does not know, and nulls where none may be. Returns the paths of unknown
    /// fields. The object's own metadata is left to others.
    pub fn prune(&self, object: &mut Value) -> Result<Vec<String>, FormError> {
        self.prune_as(object, true)
    }

    /// As [`Schema::prune`], for a value inside an object.
    pub fn prune_value(&self, value: &mut Value) -> Result<Vec<String>, FormError> {
        self.prune_as(value, self.embedded)
    }

    fn prune_as(&self, object: &mut Value, root: bool) -> Result<Vec<String>, FormError> {
        let mut walker = Walker::default();
        walker.prune(object, Some(self), root);
        drop_nulls(object, Some(self));
        walker.unknown.sort_unstable();
        if self.holds.embedded {
            let mut inner = Walker::default();
            inner.embedded(object, self)?;
            inner.unknown.sort_unstable();
            walker.unknown.append(&mut inner.unknown);
        }
        walker.unknown.truncate(MAX_UNKNOWN);
        Ok(walker.unknown)
    }

    /// Fills in what is absent.
    pub fn fill_in(&self, value: &mut Value) {
        if !self.holds.defaults {
            return;
        }
        match value {
            Value::Object(map) => self.fill_in_map(map),
            Value::Array(list) => {
                let Some(items) = &self.items else { return };
                for element in list {
                    if element.is_null() && !items.nullable {
                        *element = items.default.as_deref().cloned().unwrap_or_default();
                    }
                    items.fill_in(element);
                }
            }
            _ => {}
        }
    }

    fn fill_in_map(&self, map: &mut Map<String, Value>) {
        for (name, schema) in self.properties.iter().filter(|(_, schema)| schema.holds.defaults) {
            let Some(default) = &schema.default else { continue };
            if map.get(&**name).is_none_or(|value| value.is_null() && !schema.nullable) {
                map.insert(name.to_string(), (**default).clone());
            }
        }
        for (name, value) in map.iter_mut() {
            if let Some(schema) = self.property(name) {
                schema.fill_in(value);
            } else if let Additional::Of(schema) = &self.additional {
                if value.is_null() && !schema.nullable {
                    *value = schema.default.as_deref().cloned().unwrap_or_default();
                }
                schema.fill_in(value);
            }
        }
    }
}

/// Removes nulls that are neither allowed nor to become a default.
fn drop_nulls(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            let schema = schema.and_then(|schema| schema.field(name)).map(|schema| &**schema);
            let says_nothing = |schema: &Schema| value.is_null() && !schema.nullable && schema.default.is_none();
            if schema.is_some_and(says_nothing) {
                return false;
            }
            if schema.is_some() {
                drop_nulls(value, schema);
            }
            true
        }),
        Value::Array(list) => {
            let items = schema.and_then(Schema::items).map(|schema| &**schema);
            list.iter_mut().for_each(|element| drop_nulls(element, items));
        }
        _ => {}
    }
}

/// A walk down an object, which knows where it is.
#[derive(Default)]
struct Walker {
    path: String,
    unknown: Vec<String>,
}

impl Walker {
    fn at<T>(&mut self, key: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let result = walk(self);
        self.path.truncate(before);
        result
    }

    fn at_index<T>(&mut self, index: usize, walk: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = walk(self);
        self.path.truncate(before);
        result
    }

    fn report(&mut self, key: &str) {
        if self.unknown.len() < MAX_UNKNOWN {
            let path = self.at(key, |walker| walker.path.clone());
            self.unknown.push(path);
        }
    }

    /// `None` is the schema of what is allowed and not described: of its own it has no fields.
    fn prune(&mut self, value: &mut Value, schema: Option<&Schema>, embedded: bool) {
        let embedded = embedded || schema.is_some_and(|schema| schema.embedded);
        let preserve = schema.is_some_and(|schema| schema.preserve);
        match value {
            Value::Object(map) => map.retain(|name, value| {
                if embedded && META.contains(&name.as_str()) {
                    return true;
                }
                let schema = schema.map(|schema| (schema.property(name), &schema.additional));
                match schema {
                    Some((Some(schema), _)) | Some((None, Additional::Of(schema))) => {
                        self.at(name, |walker| walker.prune(value, Some(schema), false));
                    }
                    Some((None, Additional::Allowed(_))) => {
                        self.at(name, |walker| walker.prune(value, None, false));
                    }
                    _ if preserve => {}
                    _ => {
                        if !META.contains(&name.as_str()) || !self.path.is_empty() {
                            self.report(name);
                        }
                        return false;
                    }
                }
                true
            }),
            Value::Array(list) => {
                let items = schema.and_then(Schema::items);
                if preserve && items.is_none() {
                    return;
                }
                for (index, element) in list.iter_mut().enumerate() {
                    let items = items.map(|schema| &**schema);
                    self.at_index(index, |walker| match preserve {
                        true => walker.prune_inside(element, items),
                        false => walker.prune(element, items, false),
                    });
                }
            }
            _ => {}
        }
    }

    /// Elements of a list that keeps what it does not know keep it too.
    fn prune_inside(&mut self, value: &mut Value, schema: Option<&Schema>) {
        let Some(schema) = schema else { return };
        match value {
            Value::Object(map) => {
                for (name, value) in
                    map.iter_mut().filter(|(name, _)| !schema.embedded || !META.contains(&name.as_str()))
                {
                    match (schema.property(name), &schema.additional) {
                        (Some(schema), _) | (None, Additional::Of(schema)) => {
                            self.at(name, |walker| walker.prune(value, Some(schema), false));
                        }
                        (None, Additional::Allowed(_)) => self.at(name, |walker| walker.prune(value, None, false)),
                        (None, Additional::Unsaid) => {}
                    }
                }
            }
            Value::Array(list) => {
                for (index, element) in list.iter_mut().enumerate() {
                    let items = schema.items.as_deref();
                    self.at_index(index, |walker| walker.prune_inside(element, items));
                }
            }
            _ => {}
        }
    }

    /// Reads the metadata of embedded objects as everybody's is read.
    fn embedded(&mut self, value: &mut Value, schema: &Schema) -> Result<(), FormError> {
        if !schema.holds.embedded {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                if schema.embedded {
                    self.embedded_head(map)?;
                }
                for (name, value) in map.iter_mut() {
                    if let Some(schema) = schema.field(name) {
                        self.at(name, |walker| walker.embedded(value, schema))?;
                    }
                }
            }
            Value::Array(list) => {
                let Some(items) = &schema.items else { return Ok(()) };
                for (index, element) in list.iter_mut().enumerate() {
                    self.at_index(index, |walker| walker.embedded(element, items))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn embedded_head(&mut self, map: &mut Map<String, Value>) -> Result<(), FormError> {
        for name in ["apiVersion", "kind"] {
            if let Some(value) = map.get(name).filter(|value| !value.is_string()) {
                let path = self.at(name, |walker| walker.path.clone());
                return Err(FormError(format!("{path}: Invalid value: {}: must be a string", shown(value))));
            }
        }
        let (Some(metadata), Some(message)) = (map.get_mut("metadata"), crate::schema::message("meta/v1.ObjectMeta"))
        else {
            return Ok(());
        };
        let path = self.at("metadata", |walker| walker.path.clone());
        let before = metadata.clone();
        let dropped = crate::prune::decode(metadata, message)
            .map_err(|error| FormError(format!("{path}: Invalid value: {}: {error}", shown(&before))))?;
        self.unknown.extend(dropped.into_iter().map(|field| format!("{path}.{field}")));
        Ok(())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}
