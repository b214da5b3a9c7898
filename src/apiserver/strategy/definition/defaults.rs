//! Defaults in a schema: each has to be what the schema would let a client write.

use api::custom::Schema;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::tree::Tree;

/// Complaints about the defaults of a schema and of what is in it. `root` says that it is that of an object.
pub(super) fn validate(schema: &Value, root: bool, path: &Path, errors: &mut ErrorList) {
    if let Some(default) = schema.at("default").filter(|_| !root) {
        one(schema, default, &path.child("default"), errors);
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        validate(items, false, &path.child("items"), errors);
    }
    let has_meta = root || schema.truth("x-kubernetes-embedded-resource");
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        // Of these, the object's own may have none, and an embedded one's are held against everybody's metadata.
        if has_meta && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            continue;
        }
        validate(field, false, &path.child("properties").key(name), errors);
    }
}

fn one(schema: &Value, default: &Value, path: &Path, errors: &mut ErrorList) {
    let schema = Schema::compile(schema);
    let mut pruned = default.clone();
    match schema.prune_value(&mut pruned) {
        Ok(unknown) if unknown.is_empty() => {}
        _ => errors.push(Error::invalid(path, default.clone(), "must not have unknown fields")),
    }
    let embedded = schema.validate_embedded(default);
    match embedded.is_empty() {
        true => errors.extend(schema.validate(default, path.as_str())),
        false => {
            errors.extend(embedded.into_iter().map(|error| Error { field: format!("{path}.{}", error.field), ..error }))
        }
    }
}
