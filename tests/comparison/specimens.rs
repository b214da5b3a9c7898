//! The objects that all cases come from, and a dictionary of what fields hold in them.

use std::collections::BTreeMap;

use api::Resource;
use api::schema::{self, Message, Type};
use serde_json::Value;

const FILES: &[&str] = &[
    include_str!("objects/core.yaml"),
    include_str!("objects/pods.yaml"),
    include_str!("objects/workloads.yaml"),
    include_str!("objects/networking.yaml"),
    include_str!("objects/access.yaml"),
    include_str!("objects/storage.yaml"),
];

/// Valid objects, hand-written.
pub(crate) struct Specimens {
    /// By `apiVersion` and `kind`.
    objects: BTreeMap<(String, String), Vec<Value>>,
    /// What fields of a name and messages of a type hold somewhere.
    seen: BTreeMap<String, Vec<Value>>,
}

impl Specimens {
    pub(crate) fn read() -> Self {
        let mut all = Self { objects: BTreeMap::new(), seen: BTreeMap::new() };
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

    fn learn(&mut self, value: &Value, message: &Message) {
        self.add(&message.name, value);
        for (key, value) in value.as_object().into_iter().flatten() {
            let Some(field) = message.field(key) else { panic!("{} has no field {key}", message.name) };
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
