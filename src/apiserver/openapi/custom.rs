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
pub(super) struct CustomResource {
    /// The row; its definition holds the schema, which is read when a document is made.
    pub(super) resource: Arc<Resource>,
}

/// The custom resources that documents are about, by group, version and plural.
#[derive(Debug, Default)]
pub(super) struct Published(Vec<CustomResource>);

impl Published {
    pub(super) fn new(rows: impl Iterator<Item = Arc<Resource>>) -> Self {
        let mut all: Vec<CustomResource> = rows.map(|resource| CustomResource { resource }).collect();
        all.sort_unstable_by(|a, b| {
            (a.group_version(), &a.resource.plural).cmp(&(b.group_version(), &b.resource.plural))
        });
        Self(all)
    }

    /// Those of a group at a version.
    pub(super) fn of(&self, group: &str, version: &str) -> &[CustomResource] {
        let here = (group, version);
        let start = self.0.partition_point(|custom| custom.group_version() < here);
        let end = self.0.partition_point(|custom| custom.group_version() <= here);
        &self.0[start..end]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CustomResource> {
        self.0.iter()
    }
}

impl CustomResource {
    fn group_version(&self) -> (&str, &str) {
        (&self.resource.group, &self.resource.version)
    }

    /// `com.example.stable.v1.CronTab`.
    pub(super) fn names(&self) -> Names {
        let row = &self.resource;
        let package: Vec<&str> = row.group.rsplit('.').chain([&*row.version]).collect();
        let package = package.join(".");
        Names { object: format!("{package}.{}", row.kind), list: format!("{package}.{}", row.list_kind) }
    }

    /// `openAPIV3Schema` of the version, as the definition has it.
    fn schema(&self) -> Value {
        let custom = self.resource.custom.as_ref();
        custom.map(|custom| custom.definition.schema_text(&custom.version().name)).unwrap_or_default()
    }

    /// What tells a state of the resource from others: the definition's, and the names it goes by.
    pub(super) fn fingerprint(&self) -> String {
        let row = &self.resource;
        let meta = row.custom.as_ref().map(|custom| &custom.definition.object().meta);
        let (uid, generation) = meta.map_or(("", 0), |meta| (&*meta.uid, meta.generation));
        format!("{uid}/{generation}/{}/{}/{}/{};", row.version, row.plural, row.kind, row.list_kind)
    }

    /// Writes the schemas of the kind and of its list.
    pub(super) fn write(&self, descriptions: &Descriptions, document: &mut Document) {
        let (version, names, row) = (document.version, self.names(), &self.resource);
        let kind = |kind: &str| json!([{ "group": row.group, "version": row.version, "kind": kind }]);
        let mut schema = self.schema();
        let whole = version == Version::V3 || !is(&schema, "x-kubernetes-preserve-unknown-fields");
        publish(&mut schema, version);
        if version == Version::V2 {
            simplify(&mut schema);
        }
        let head = |metadata| head(version, metadata, descriptions);
        let mut schema = match schema {
            Value::Object(_) if whole => {
                embed(&mut schema, version, &head("ObjectMeta"));
                add(&mut schema, head("ObjectMeta"));
                schema.as_object().cloned().unwrap_or_default()
            }
            // Clients of version 2 would refuse whatever is not among the properties, if there were any.
            _ => Map::new(),
        };
        schema.insert("type".into(), "object".into());
        schema.insert("x-kubernetes-group-version-kind".into(), kind(&row.kind));
        schema.extend(self.selectable());
        document.schema(&names.object, &schema.into());

        let mut properties = head("ListMeta");
        let items = json!({ "type": "array", "items": { "$ref": version.reference(&names.object) } });
        properties.insert("items".into(), items);
        let mut list = json!({
            "description": format!("{} is a list of {}", row.list_kind, row.kind),
            "type": "object",
            "required": ["items"],
            "properties": properties,
            "x-kubernetes-group-version-kind": kind(&row.list_kind),
        });
        if let Some((name, fields)) = self.selectable() {
            list[name] = fields;
        }
        document.schema(&names.list, &list);
    }

    /// The fields by which objects are selected, as both schemas say them.
    fn selectable(&self) -> Option<(String, Value)> {
        let fields = &self.resource.custom.as_ref()?.version().selectable;
        let fields: Vec<Value> = fields.iter().map(|path| json!({ "fieldPath": path })).collect();
        (!fields.is_empty()).then(|| ("x-kubernetes-selectable-fields".to_owned(), fields.into()))
    }
}

/// What every kind has.
fn head(version: Version, metadata: &str, descriptions: &Descriptions) -> Map<String, Value> {
    let status = meta("Status");
    let text = |field| json!({ "type": "string", "description": descriptions.of_field(&status, field) });
    let reference = version.reference(&meta(metadata));
    // Lists and objects speak of their metadata in different words.
    let speaker = if metadata == "ListMeta" { status.clone() } else { Descriptions::AN_OBJECT.to_owned() };
    let mut metadata = match version {
        Version::V2 => json!({ "$ref": reference }),
        Version::V3 => json!({ "allOf": [{ "$ref": reference }] }),
    };
    metadata["description"] = descriptions.of_field(&speaker, "metadata").into();
    Map::from_iter([
        ("apiVersion".to_owned(), text("apiVersion")),
        ("kind".to_owned(), text("kind")),
        ("metadata".to_owned(), metadata),
    ])
}

fn add(schema: &mut Value, properties: Map<String, Value>) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    if let Some(all) = schema["properties"].as_object_mut() {
        all.extend(properties);
    }
}

/// Gives embedded resources what every kind has.
fn embed(schema: &mut Value, version: Version, head: &Map<String, Value>) {
    if !schema.is_object() {
        return;
    }
    inner(schema).for_each(|inner| embed(inner, version, head));
    let open = version == Version::V2 && is(schema, "x-kubernetes-preserve-unknown-fields");
    if open || !is(schema, "x-kubernetes-embedded-resource") {
        return;
    }
    add(schema, head.clone());
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    for field in ["kind", "apiVersion"] {
        if !required.iter().any(|name| name == field) {
            required.push(field.into());
        }
    }
    schema["required"] = required.into();
}

/// Takes away what version 2 cannot say, and what old clients stumble over there.
fn simplify(schema: &mut Value) {
    if !schema.is_object() {
        return;
    }
    let nullable = |schema: &Value| is(schema, "nullable");
    let (absent, open) = (nullable(schema), is(schema, "x-kubernetes-preserve-unknown-fields"));
    let optional: Vec<String> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, property)| nullable(property))
        .map(|(name, _)| name.clone())
        .collect();
    let null_values = schema.get("additionalProperties").is_some_and(nullable);
    let Some(members) = schema.as_object_mut() else { return };
    for key in ["allOf", "oneOf", "anyOf", "not", "nullable", "default"] {
        members.shift_remove(key);
    }
    if absent || open {
        members.shift_remove("items");
        members.shift_remove("properties");
    }
    let ty = members.get("type").and_then(Value::as_str).unwrap_or_default();
    if absent || (ty == "array" && !members.contains_key("items")) || (open && ty == "object") {
        members.shift_remove("type");
    }
    if let Some(Value::Array(required)) = members.get_mut("required") {
        required.retain(|name| !null_values && !optional.iter().any(|optional| name == optional));
        if required.is_empty() {
            members.shift_remove("required");
        }
    }
    inner(schema).for_each(simplify);
}

/// Takes away what upstream does not keep of a schema, and says what an integer or a string is where only the extension does.
fn publish(schema: &mut Value, version: Version) {
    let Some(members) = schema.as_object_mut() else { return };
    for key in ["example", "externalDocs"] {
        members.shift_remove(key);
    }
    let either = members.get("x-kubernetes-int-or-string").and_then(Value::as_bool).unwrap_or_default();
    if either && version == Version::V3 && !["anyOf", "allOf"].iter().any(|key| members.contains_key(*key)) {
        members.insert("anyOf".into(), json!([{ "type": "integer" }, { "type": "string" }]));
    }
    inner(schema).for_each(|inner| publish(inner, version));
}

fn is(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// The schemas of elements, values and fields.
fn inner(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    let members = schema.as_object_mut().into_iter().flatten();
    members.flat_map(|(key, value)| -> Box<dyn Iterator<Item = &mut Value>> {
        match &**key {
            "items" | "additionalProperties" => Box::new(std::iter::once(value)),
            "properties" => Box::new(value.as_object_mut().into_iter().flat_map(|all| all.values_mut())),
            _ => Box::new(std::iter::empty()),
        }
    })
}
