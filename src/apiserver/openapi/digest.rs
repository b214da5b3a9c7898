//! What a schema says, in a word: to tell whether another server means the same by a name.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

const KINDS: &str = "x-kubernetes-group-version-kind";

/// The same for schemas that say the same, whatever the order of their members and the kinds that they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64);

pub(super) fn digest(schema: &Value) -> Digest {
    let mut hasher = DefaultHasher::new();
    walk(schema, true, &mut hasher);
    Digest(hasher.finish())
}

fn walk(value: &Value, top: bool, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(hasher),
        Value::Number(number) => number.to_string().hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(elements) => {
            elements.len().hash(hasher);
            elements.iter().for_each(|element| walk(element, false, hasher));
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(name, _)| !(top && *name == KINDS)).collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            members.len().hash(hasher);
            for (name, value) in members {
                name.hash(hasher);
                walk(value, false, hasher);
            }
        }
    }
}
