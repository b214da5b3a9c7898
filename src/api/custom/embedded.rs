//! Objects inside objects: their type and metadata are validated like everybody's.

use serde_json::{Map, Value};

use super::schema::Schema;
use super::validate::sorted;
use crate::tree::Tree;
use crate::validation::field::{Error, ErrorList, Path};
use crate::validation::{
    dns1035_label, dns1123_label, path_segment_name, prefix, qualified_name, validate_annotations, validate_labels,
};

impl Schema {
    /// Complaints about the type and metadata of embedded objects.
    pub fn validate_embedded(&self, object: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        walk(self, object, None, &mut errors);
        errors
    }
}

fn walk(schema: &Schema, value: &Value, path: Option<&Path>, errors: &mut ErrorList) {
    if !schema.holds.embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            if schema.embedded {
                head(map, path, errors);
            }
            for (name, value) in map {
                let Some(inner) = schema.field(name) else { continue };
                let inside = match (path, schema.property(name)) {
                    (None, _) => Path::root(name),
                    (Some(path), Some(_)) => path.child(name),
                    (Some(path), None) => path.key(name),
                };
                walk(inner, value, Some(&inside), errors);
            }
        }
        Value::Array(list) => {
            let (Some(items), Some(path)) = (&schema.items, path) else { return };
            for (index, element) in list.iter().enumerate() {
                walk(items, element, Some(&path.index(index)), errors);
            }
        }
        _ => {}
    }
}

fn head(map: &Map<String, Value>, path: Option<&Path>, errors: &mut ErrorList) {
    let child = |name: &str| path.map_or_else(|| Path::root(name), |path| path.child(name));
    for name in ["apiVersion", "kind"] {
        let path = child(name);
        match map.get(name) {
            None => errors.push(Error::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(Error::invalid(&path, "", "must not be empty"));
            }
            Some(Value::String(text)) if name == "kind" => {
                let complaints = dns1035_label(&text.to_lowercase());
                if !complaints.is_empty() {
                    let why = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
                    errors.push(Error::invalid(&path, text.as_str(), why));
                }
            }
            Some(Value::String(text)) => {
                if text.matches('/').count() > 1 {
                    let why = format!("unexpected GroupVersion string: {text}");
                    errors.push(Error::invalid(&path, text.as_str(), why));
                }
            }
            Some(other) => errors.push(Error::invalid(&path, sorted(other), "must be a string")),
        }
    }
    if let Some(metadata) = map.get("metadata") {
        self::metadata(metadata, &child("metadata"), errors);
    }
}

fn metadata(metadata: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, generate_name) = (metadata.text("name"), metadata.text("generateName"));
    errors.invalid_each(&path.child("generateName"), generate_name, prefix(path_segment_name, generate_name));
    errors.invalid_each(&path.child("name"), name, path_segment_name(name));
    let namespace = metadata.text("namespace");
    if !namespace.is_empty() {
        errors.invalid_each(&path.child("namespace"), namespace, dns1123_label(namespace));
    }
    if metadata.int("generation").is_some_and(|generation| generation < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("generation"), metadata["generation"].clone(), why));
    }
    let pairs = |name| metadata.entries(name).map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    errors.extend(validate_labels(pairs("labels"), &path.child("labels")));
    errors.extend(validate_annotations(pairs("annotations"), &path.child("annotations")));
    for finalizer in metadata.items("finalizers") {
        let finalizer = finalizer.as_str().unwrap_or_default();
        errors.invalid_each(&path.child("finalizers"), finalizer, qualified_name(finalizer));
    }
}
