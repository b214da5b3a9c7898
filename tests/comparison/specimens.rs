//! The objects that all cases come from, and a dictionary of what fields hold in them.

use std::collections::{BTreeMap, BTreeSet};

use api::schema::{self, Message, Type};
use api::{Resource, resource};
use serde_json::Value;

const FILES: &[&str] = &[
    include_str!("objects/core.yaml"),
    include_str!("objects/pods.yaml"),
    include_str!("objects/workloads.yaml"),
    include_str!("objects/networking.yaml"),
    include_str!("objects/access.yaml"),
    include_str!("objects/storage.yaml"),
    include_str!("objects/rare.yaml"),
    include_str!("objects/rare-pods.yaml"),
];

/// Valid objects, hand-written.
pub(crate) struct Specimens {
    /// By `apiVersion` and `kind`.
    objects: BTreeMap<(String, String), Vec<Value>>,
    /// What fields of a name and messages of a type hold somewhere.
    seen: BTreeMap<String, Vec<Value>>,
    /// The fields that are there, each as `message.field`.
    fields: BTreeSet<String>,
}

impl Specimens {
    pub(crate) fn read() -> Self {
        let mut all = Self { objects: BTreeMap::new(), seen: BTreeMap::new(), fields: BTreeSet::new() };
        for text in FILES.iter().flat_map(|file| file.split("\n---\n")) {
            let object: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let word = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            let (api_version, kind) = (word("apiVersion"), word("kind"));
            let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
            let message = schema::for_kind(group, version, &kind).unwrap_or_else(|| panic!("no kind: {text}"));
            all.learn(&object, message);
            all.objects.entry((api_version, kind)).or_default().push(object);
        }
        all
    }

    /// The objects of a row.
    pub(crate) fn of(&self, row: &Resource) -> &[Value] {
        self.objects.get(&(row.api_version(), row.kind.to_string())).map_or(&[], Vec::as_slice)
    }

    /// What a field of this name, or a message of this type, holds somewhere.
    pub(crate) fn seen(&self, name: &str) -> &[Value] {
        self.seen.get(name).map_or(&[], Vec::as_slice)
    }

    /// The fields of stored kinds that no object has: what is said of them is not compared.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut reached: BTreeMap<&str, &Message> = BTreeMap::new();
        for row in resource::builtin().iter().filter(|row| row.stored && row.stored_as.is_none()) {
            let message = schema::for_kind(&row.group, &row.version, &row.kind).expect("every row has a schema");
            reach(message, &mut reached);
        }
        let fields = |message: &&Message| -> Vec<String> {
            message.fields.iter().map(|field| format!("{}.{}", message.name, field.name)).collect()
        };
        reached.values().flat_map(fields).filter(|field| !self.fields.contains(field)).collect()
    }

    fn learn(&mut self, value: &Value, message: &Message) {
        self.add(&message.name, value);
        for (key, value) in value.as_object().into_iter().flatten() {
            let Some(field) = message.field(key) else { panic!("{} has no field {key}", message.name) };
            self.fields.insert(format!("{}.{key}", message.name));
            self.learn_typed(key, value, &field.ty);
        }
    }

    fn learn_typed(&mut self, key: &str, value: &Value, ty: &Type) {
        match (ty.resolved(), value) {
            (Type::Message(message), _) => self.learn(value, message),
            (Type::List(element), Value::Array(list)) => {
                list.iter().for_each(|each| self.learn_typed(key, each, element))
            }
            (Type::Map(of), Value::Object(map)) => map.values().for_each(|each| self.learn_typed(key, each, of)),
            _ => self.add(key, value),
        }
    }

    fn add(&mut self, name: &str, value: &Value) {
        let known = self.seen.entry(name.to_owned()).or_default();
        if !known.contains(value) {
            known.push(value.clone());
        }
    }
}

/// The messages that a message can hold. Metadata is everybody's, and has its own tests.
fn reach<'a>(message: &'a Message, reached: &mut BTreeMap<&'a str, &'a Message>) {
    if message.name.starts_with("meta/v1.") && !message.name.contains("Selector")
        || reached.contains_key(&*message.name)
    {
        return;
    }
    reached.insert(&message.name, message);
    for field in &message.fields {
        let mut ty = field.ty.resolved();
        while let Type::List(inner) | Type::Map(inner) = ty {
            ty = inner.resolved();
        }
        if let Type::Message(inside)
        | Type::SchemaOrArray(inside)
        | Type::SchemaOrBool(inside)
        | Type::SchemaOrStrings(inside) = ty
        {
            reach(inside, reached);
        }
    }
}
