//! Custom resources in the documents: the schema a CustomResourceDefinition gives, as clients of either version read it.

use std::sync::Arc;

use api::Resource;
use serde_json::{Map, Value, json};

use super::descriptions::Descriptions;
use super::document::{Document, Version};
use super::paths::Names;
use super::schemas::meta;

/// A custom resource at one version, and its schema.
#[derive(Clone, Debug)]
pub struct CustomResource {
    /// The row.
    pub resource: Arc<Resource>,
    /// `openAPIV3Schema` of the version, as the definition has it.
    pub schema: Arc<Value>,
}

impl CustomResource {
    /// `com.example.stable.v1.CronTab`.
    pub(super) fn names(&self) -> Names {
        let row = &self.resource;
        let package: Vec<&str> = row.group.rsplit('.').chain([&*row.version]).collect();
        let package = package.join(".");
        Names { object: format!("{package}.{}", row.kind), list: format!("{package}.{}", row.list_kind) }
    }

    /// Writes the schemas of the kind and of its list.
    pub(super) fn write(&self, descriptions: &Descriptions, document: &mut Document) {
        let (version, names, row) = (document.version, self.names(), &self.resource);
        let kind = |kind: &str| json!([{ "group": row.group, "version": row.version, "kind": kind }]);
        let mut schema = (*self.schema).clone();
        if version == Version::V2 {
            simplify(&mut schema, 0);
        }
        let mut schema = match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        };
        schema.insert("type".into(), "object".into());
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.extend(head(version, "ObjectMeta", descriptions));
        }
        schema.insert("x-kubernetes-group-version-kind".into(), kind(&row.kind));
        document.schema(&names.object, &schema.into());

        let mut properties = head(version, "ListMeta", descriptions);
        let items = json!({ "type": "array", "items": { "$ref": version.reference(&names.object) } });
        properties.insert("items".into(), items);
        let list = json!({
            "description": format!("{} is a list of {}", row.list_kind, row.kind),
            "type": "object",
            "required": ["items"],
            "properties": properties,
            "x-kubernetes-group-version-kind": kind(&row.list_kind),
        });
        document.schema(&names.list, &list);
    }
}

/// What every kind has.
fn head(version: Version, metadata: &str, descriptions: &Descriptions) -> Map<String, Value> {
    let status = meta("Status");
    let text = |field| json!({ "type": "string", "description": descriptions.of_field(&status, field) });
    let reference = version.reference(&meta(metadata));
    let mut metadata = match version {
        Version::V2 => json!({ "$ref": reference }),
        Version::V3 => json!({ "allOf": [{ "$ref": reference }] }),
    };
    metadata["description"] = descriptions.of_field(&status, "metadata").into();
    Map::from_iter([
        ("apiVersion".to_owned(), text("apiVersion")),
        ("kind".to_owned(), text("kind")),
        ("metadata".to_owned(), metadata),
    ])
}

/// Takes away what version 2 cannot say, in such a way that old clients accept at least as much as the server does.
fn simplify(schema: &mut Value, depth: usize) {
    let Value::Object(members) = schema else { return };
    let is = |members: &Map<String, Value>, key: &str| members.get(key).and_then(Value::as_bool).unwrap_or_default();
    for key in ["oneOf", "anyOf", "not", "x-kubernetes-validations"] {
        members.shift_remove(key);
    }
    if depth > 0 {
        members.shift_remove("allOf");
    }
    let nullable = is(members, "nullable");
    if nullable || is(members, "x-kubernetes-int-or-string") {
        members.shift_remove("type");
    }
    if nullable || is(members, "x-kubernetes-preserve-unknown-fields") {
        for key in ["nullable", "items", "properties", "additionalProperties"] {
            members.shift_remove(key);
        }
    }
    members.shift_remove("nullable");
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(key) {
            simplify(inner, depth + 1);
        }
    }
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.values_mut().for_each(|property| simplify(property, depth + 1));
    }
}
