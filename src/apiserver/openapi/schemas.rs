//! The schemas of built-in types, out of the schema table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::schema::{self, Field, ListType, Message, Type};
use serde_json::{Map, Value, json};

use super::descriptions::Descriptions;
use super::document::{Document, Version};
use super::enumerations;

/// A group, a version and a kind.
pub(super) type Kind = (String, String, String);

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// A type with a schema of its own in the documents.
enum Named {
    Message(&'static Message),
    /// One of those that are written by hand.
    Special(&'static str),
}

/// The types that a set of messages leads to, by their OpenAPI names.
pub(super) struct Types(BTreeMap<String, Named>);

impl Types {
    /// Everything that messages of these names lead to. Names that are no messages are left out.
    pub(super) fn from<'a>(roots: impl IntoIterator<Item = &'a str>) -> Self {
        let mut types = Self(BTreeMap::new());
        for message in roots.into_iter().filter_map(schema::message) {
            types.add_message(message);
        }
        types
    }

    fn add_message(&mut self, message: &'static Message) {
        if self.0.insert(message.openapi_name(), Named::Message(message)).is_none() {
            for field in &message.fields {
                self.add(&field.ty);
            }
        }
    }

    fn add(&mut self, ty: &Type) {
        match ty.resolved() {
            Type::Message(message) => {
                // References of the built-in table lead to messages of the built-in table.
                if let Some(message) = schema::message(&message.name) {
                    self.add_message(message);
                }
            }
            Type::List(element) | Type::Map(element) => self.add(element),
            Type::SchemaOrArray(message) | Type::SchemaOrBool(message) | Type::SchemaOrStrings(message) => {
                self.add(&Type::Message(message.clone()));
                self.add_special(ty);
            }
            other => self.add_special(other),
        }
    }

    fn add_special(&mut self, ty: &Type) {
        if let Some(name) = special(ty) {
            self.0.insert(name.to_owned(), Named::Special(name));
        }
    }

    /// Writes every type's schema that is not among those written before.
    pub(super) fn write(
        &self,
        descriptions: &Descriptions,
        kinds: &Kinds,
        written: &mut BTreeSet<String>,
        document: &mut Document,
    ) {
        let writer = Writer { version: document.version, descriptions, kinds };
        for (name, named) in &self.0 {
            if !written.insert(name.clone()) {
                continue;
            }
            let schema = match named {
                Named::Message(message) => writer.message(name, message),
                Named::Special(name) => writer.special(name),
            };
            document.schema(name, &schema);
        }
    }
}

/// Which kinds messages are.
pub(super) struct Kinds {
    /// The group of a package of the schema table.
    groups: HashMap<String, String>,
    /// Every group and version there ever was: the options and events of the API machinery belong to all.
    all: BTreeSet<(String, String)>,
}

/// Packages whose messages are no kinds of a group's.
const NO_GROUPS: &[&str] = &["meta", "apidiscovery"];
/// What upstream knows beside the versions in the table.
const OLD_VERSIONS: [(&str, &str); 2] = [("apiextensions.k8s.io", "v1beta1"), ("apiregistration.k8s.io", "v1beta1")];

impl Kinds {
    pub(super) fn new() -> Self {
        let groups: HashMap<String, String> = api::resource::builtin()
            .iter()
            .filter_map(|row| {
                let message = schema::for_kind(&row.group, &row.version, &row.kind)?;
                Some((message.name.split('/').next()?.to_owned(), row.group.to_string()))
            })
            .collect();
        let versions = schema::message_names().filter_map(|name| name.split('.').next()?.split_once('/'));
        let versions = versions.filter(|(package, _)| !NO_GROUPS.contains(package)).map(|(package, version)| {
            let group = groups.get(package).cloned().unwrap_or_else(|| group_of(package));
            (group, version.to_owned())
        });
        let old = OLD_VERSIONS.map(|(group, version)| (group.to_owned(), version.to_owned()));
        let all = versions.chain(old).collect();
        Self { groups, all }
    }

    fn of(&self, message: &Message) -> Vec<Kind> {
        let kind = message.go_name().to_owned();
        match &*message.name {
            "meta/v1.DeleteOptions" | "meta/v1.WatchEvent" => {
                self.all.iter().map(|(group, version)| (group.clone(), version.clone(), kind.clone())).collect()
            }
            _ if !message.is_kind => Vec::new(),
            name => {
                let Some((package, version)) = name.split_once('/') else { return Vec::new() };
                let version = version.split('.').next().unwrap_or_default().to_owned();
                let group = if package == "meta" {
                    String::new()
                } else {
                    self.groups.get(package).cloned().unwrap_or_default()
                };
                vec![(group, version, kind)]
            }
        }
    }
}

/// The group of a package of which no kind is served.
fn group_of(package: &str) -> String {
    match package {
        "apiserverinternal" => "internal.apiserver.k8s.io".to_owned(),
        "extensions" => package.to_owned(),
        _ => format!("{package}.k8s.io"),
    }
}

/// A kind as the documents name it.
pub(super) fn kind_value((group, version, kind): &Kind) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

/// Messages of which one field counts, by another that tells which: the message, the one that tells, and the others with what
/// it says of them.
type Union = (&'static str, &'static str, &'static [(&'static str, &'static str)]);
const UNIONS: &[Union] = &[
    ("core/v1.AppArmorProfile", "type", &[("localhostProfile", "LocalhostProfile")]),
    ("core/v1.SeccompProfile", "type", &[("localhostProfile", "LocalhostProfile")]),
    ("flowcontrol/v1.LimitResponse", "type", &[("queuing", "Queuing")]),
    ("flowcontrol/v1.PriorityLevelConfigurationSpec", "type", &[("exempt", "Exempt"), ("limited", "Limited")]),
    ("flowcontrol/v1.Subject", "kind", &[("group", "Group"), ("serviceAccount", "ServiceAccount"), ("user", "User")]),
];

struct Writer<'a> {
    version: Version,
    descriptions: &'a Descriptions,
    kinds: &'a Kinds,
}

impl Writer<'_> {
    fn message(&self, name: &str, message: &Message) -> Value {
        let mut schema = Map::new();
        if let Some(description) = self.descriptions.of_type(name) {
            schema.insert("description".into(), description.into());
        } else if let Some(kind) = message.go_name().strip_suffix("List") {
            schema.insert("description".into(), format!("{kind}List is a list of {kind} objects.").into());
        }
        schema.insert("type".into(), "object".into());
        if !message.fields.is_empty() {
            let fields = message.fields.iter();
            let properties =
                fields.map(|field| (field.name.to_string(), self.field(name, field))).collect::<Map<_, _>>();
            schema.insert("properties".into(), properties.into());
        }
        let required: Vec<Value> =
            message.fields.iter().filter(|f| f.required).map(|f| Value::from(&*f.name)).collect();
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        let kinds: Vec<Value> = self.kinds.of(message).iter().map(kind_value).collect();
        if !kinds.is_empty() {
            schema.insert("x-kubernetes-group-version-kind".into(), kinds.into());
        }
        if message.is_atomic() {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if let Some((_, discriminator, members)) = UNIONS.iter().find(|(name, ..)| *name == &*message.name) {
            let members: Map<String, Value> =
                members.iter().map(|(field, member)| ((*field).to_owned(), Value::from(*member))).collect();
            let union = json!([{ "discriminator": discriminator, "fields-to-discriminateBy": members }]);
            schema.insert("x-kubernetes-unions".into(), union);
        }
        schema.into()
    }

    fn field(&self, of: &str, field: &Field) -> Value {
        let mut schema = self.of_type(&field.ty);
        if let Some(description) = self.descriptions.of_field(of, &field.name) {
            schema.insert("description".into(), description.into());
        }
        if self.version == Version::V3
            && let Some(default) = field.documented_default()
        {
            schema.insert("default".into(), default);
        }
        if let Some(list) = field.list {
            let list = match list {
                ListType::Atomic => "atomic",
                ListType::Set => "set",
                ListType::Map => "map",
            };
            schema.insert("x-kubernetes-list-type".into(), list.into());
        }
        if !field.list_keys.is_empty() {
            schema.insert("x-kubernetes-list-map-keys".into(), json!(field.list_keys));
        }
        for (is, word) in [(field.atomic, "atomic"), (field.granular, "granular")] {
            if is {
                schema.insert("x-kubernetes-map-type".into(), word.into());
            }
        }
        if let Some(key) = &field.merge_key {
            schema.insert("x-kubernetes-patch-merge-key".into(), Value::from(&**key));
        }
        let marks =
            [(field.patch.merge, "merge"), (field.patch.replace, "replace"), (field.patch.retain_keys, "retainKeys")];
        let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        if !marks.is_empty() {
            schema.insert("x-kubernetes-patch-strategy".into(), marks.join(",").into());
        }
        unwrapped(schema)
    }

    fn of_type(&self, ty: &Type) -> Map<String, Value> {
        if let Some(name) = special(ty.resolved()) {
            return self.reference(name);
        }
        let schema = match ty.resolved() {
            Type::Message(message) => return self.reference(&message.openapi_name()),
            Type::Bool => json!({ "type": "boolean" }),
            Type::Int32 => json!({ "type": "integer", "format": "int32" }),
            Type::Int64 => json!({ "type": "integer", "format": "int64" }),
            Type::Float64 => json!({ "type": "number", "format": "double" }),
            Type::Bytes => json!({ "type": "string", "format": "byte" }),
            Type::List(element) => json!({ "type": "array", "items": self.element(element) }),
            Type::Map(value) => json!({ "type": "object", "additionalProperties": self.element(value) }),
            _ => match enumerations::values(ty) {
                Some(values) => json!({ "type": "string", "enum": values }),
                None => json!({ "type": "string" }),
            },
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }

    /// An element of a list, or a value of a map.
    fn element(&self, ty: &Type) -> Value {
        let mut schema = self.of_type(ty);
        if self.version == Version::V3
            && let Some(zero) = ty.zero()
        {
            schema.insert("default".into(), zero);
        }
        unwrapped(schema)
    }

    /// In version 3 nothing may stand beside a reference.
    fn reference(&self, name: &str) -> Map<String, Value> {
        let reference = Value::Object([("$ref".to_owned(), self.version.reference(name))].into_iter().collect());
        match (self.version, reference) {
            (Version::V2, Value::Object(reference)) => reference,
            (_, reference) => [("allOf".to_owned(), json!([reference]))].into_iter().collect(),
        }
    }

    fn special(&self, name: &str) -> Value {
        let is_v3 = self.version == Version::V3;
        let mut schema = match name.rsplit('.').next().unwrap_or_default() {
            "Quantity" if is_v3 => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            "Quantity" => json!({ "type": "string" }),
            "IntOrString" if is_v3 => {
                json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
            }
            "IntOrString" => json!({ "type": "string", "format": "int-or-string" }),
            "Time" | "MicroTime" => json!({ "type": "string", "format": "date-time" }),
            "RawExtension" | "FieldsV1" => json!({ "type": "object" }),
            // Anything.
            _ => json!({}),
        };
        if let Some(description) = self.descriptions.of_type(name) {
            schema["description"] = description.into();
        }
        schema
    }
}

/// A reference by itself, if nothing came to stand beside it.
fn unwrapped(mut schema: Map<String, Value>) -> Value {
    match schema.get_mut("allOf").and_then(|all| all.get_mut(0)).map(Value::take) {
        Some(reference) if schema.len() == 1 => reference,
        Some(reference) => {
            schema.insert("allOf".into(), json!([reference]));
            schema.into()
        }
        None => schema.into(),
    }
}

/// The name of a type that is written by hand.
fn special(ty: &Type) -> Option<&'static str> {
    Some(match ty {
        Type::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity",
        Type::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        Type::Time => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        Type::MicroTime => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        Type::FieldsV1 => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        Type::RawExtension => "io.k8s.apimachinery.pkg.runtime.RawExtension",
        Type::Json => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        Type::SchemaOrArray(_) => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        Type::SchemaOrBool(_) => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        Type::SchemaOrStrings(_) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
        }
        _ => return None,
    })
}

/// The OpenAPI name of a type of the API machinery.
pub(super) fn meta(name: &str) -> String {
    format!("{META}.{name}")
}
