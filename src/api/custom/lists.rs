//! Lists that are sets or maps hold nothing twice.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema::{Additional, ListType, Schema};
use super::validate::sorted;
use crate::validation::field::{Error, ErrorList, Path};

impl Schema {
    /// Complaints about what stands more than once in a set, or under one key in a map.
    pub fn validate_lists(&self, object: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        walk(self, object, None, &mut errors);
        errors
    }
}

fn walk(schema: &Schema, value: &Value, path: Option<&Path>, errors: &mut ErrorList) {
    if !schema.holds.unique_lists {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(schema) = schema.property(name) {
                    let path = path.map_or_else(|| Path::root(name), |path| path.child(name));
                    walk(schema, value, Some(&path), errors);
                } else if let Additional::Of(schema) = &schema.additional {
                    let path = path.map_or_else(|| Path::root(&format!("[{name}]")), |path| path.key(name));
                    walk(schema, value, Some(&path), errors);
                }
            }
        }
        Value::Array(list) => {
            let root = Path::root("<nil>");
            let path = path.unwrap_or(&root);
            match schema.list {
                ListType::Atomic => {}
                ListType::Set => {
                    let repeated = repeated(list);
                    errors.extend(repeated.into_iter().map(|at| Error::duplicate(&path.index(at), sorted(&list[at]))));
                }
                ListType::Map => keyed(schema, list, path, errors),
            }
            let Some(items) = &schema.items else { return };
            for (index, element) in list.iter().enumerate() {
                walk(items, element, Some(&path.index(index)), errors);
            }
        }
        _ => {}
    }
}

fn keyed(schema: &Schema, list: &[Value], path: &Path, errors: &mut ErrorList) {
    if let Some(at) = list.iter().position(|element| !element.is_null() && !element.is_object()) {
        let why = "must be an object for an array of list-type map";
        errors.push(Error::invalid(&path.index(at), sorted(&list[at]), why));
        return;
    }
    let key = |element: &Value| -> Value {
        let of = |key: &str| Some((key.to_owned(), element.get(key)?.clone()));
        Value::Object(schema.keys.iter().filter_map(|key| of(key)).collect::<Map<_, _>>())
    };
    let keys: Vec<Value> = list.iter().map(key).collect();
    let repeated = repeated(&keys);
    errors.extend(repeated.into_iter().map(|at| Error::duplicate(&path.index(at), sorted(&keys[at]))));
}

/// The places of second appearances; third ones are no news.
fn repeated(values: &[Value]) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut repeated = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let times = seen.entry(sorted(value).to_string()).or_default();
        *times += 1;
        if *times == 2 {
            repeated.push(at);
        }
    }
    repeated
}
