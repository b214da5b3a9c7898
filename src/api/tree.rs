//! Reading and changing objects as trees, by dotted path (`spec.template.spec`). Keys that hold dots themselves, such as
//! annotations, are reached through their map.

use serde_json::{Map, Value};

/// Paths into a tree. A path that leads nowhere reads as absent; writing makes the way.
pub trait Tree {
    /// The value at the path, unless it is absent or null.
    fn at(&self, path: &str) -> Option<&Value>;
    /// The value at the path, to change.
    fn at_mut(&mut self, path: &str) -> Option<&mut Value>;
    /// A string; empty when absent.
    fn text(&self, path: &str) -> &str;
    /// A number.
    fn int(&self, path: &str) -> Option<i64>;
    /// A boolean; false when absent.
    fn truth(&self, path: &str) -> bool;
    /// A list; empty when absent.
    fn items(&self, path: &str) -> &[Value];
    /// A list, to change, if it is there.
    fn items_mut(&mut self, path: &str) -> &mut [Value];
    /// A map's entries; none when absent.
    fn entries(&self, path: &str) -> impl Iterator<Item = (&String, &Value)>;
    /// The map at the path, made if it is not there (or is no map).
    fn map_mut(&mut self, path: &str) -> &mut Map<String, Value>;
    /// Sets the value at the path, making the way.
    fn put(&mut self, path: &str, value: impl Into<Value>);
    /// Sets the value at the path or, when it is `None`, removes what is there.
    fn put_or_remove(&mut self, path: &str, value: Option<Value>);
    /// Removes the value at the path.
    fn cut(&mut self, path: &str) -> Option<Value>;
    /// Sets the value at the path if there is none (making the way).
    fn default_to(&mut self, path: &str, value: impl Into<Value>);
}

impl Tree for Value {
    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    fn at_mut(&mut self, path: &str) -> Option<&mut Value> {
        path.split('.').try_fold(self, |value, key| value.get_mut(key)).filter(|value| !value.is_null())
    }

    fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn int(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    fn truth(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    fn items(&self, path: &str) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn items_mut(&mut self, path: &str) -> &mut [Value] {
        self.at_mut(path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
    }

    fn entries(&self, path: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.at(path).and_then(Value::as_object).into_iter().flatten()
    }

    fn map_mut(&mut self, path: &str) -> &mut Map<String, Value> {
        let mut map = force_map(self);
        for key in path.split('.').filter(|key| !key.is_empty()) {
            map = force_map(map.entry(key).or_insert(Value::Null));
        }
        map
    }

    fn put(&mut self, path: &str, value: impl Into<Value>) {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.map_mut(parent).insert(key.to_owned(), value.into());
    }

    fn put_or_remove(&mut self, path: &str, value: Option<Value>) {
        match value {
            Some(value) => self.put(path, value),
            None => drop(self.cut(path)),
        }
    }

    fn cut(&mut self, path: &str) -> Option<Value> {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = if parent.is_empty() { self } else { self.at_mut(parent)? };
        parent.as_object_mut()?.shift_remove(key)
    }

    fn default_to(&mut self, path: &str, value: impl Into<Value>) {
        if self.at(path).is_none() {
            self.put(path, value);
        }
    }
}

fn force_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made a map above"),
    }
}
