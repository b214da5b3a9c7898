//! The form in which Go writes an object.

use serde_json::{Map, Value};

use crate::schema::{Field, Message, Type};

/// The packages whose kinds are stored as JSON upstream.
const AS_JSON: [&str; 2] = ["apiextensions/", "apiregistration/"];

/// Brings a decoded object to the form Go's encoder would write: fields in the struct's order, maps sorted, and the
/// fields Go writes even when they are empty (`"resources": {}`, `"status": {}`, `"divisor": "0"`, `"rules": null`).
///
/// Built-in kinds are stored as protobuf upstream, which does not know empty lists and maps from absent ones: where Go always
/// writes the field it reads `null`. Definitions of custom kinds and of API services are stored as JSON, which does.
///
/// Two objects are the same exactly if their canonical forms are the same bytes. Call it last, after defaulting:
/// defaulting asks whether a field is there.
pub fn canonical(object: &mut Value, message: &Message) {
    if let Value::Object(map) = object {
        canonical_map(map, message);
    }
}

/// The value an absent element of a list or map stands for.
pub(super) fn zero(ty: &Type) -> Value {
    match ty.resolved() {
        Type::Bool => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::Float64 | Type::IntOrString => 0.into(),
        Type::String => "".into(),
        Type::Quantity => "0".into(),
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn canonical_map(map: &mut Map<String, Value>, message: &Message) {
    if message.structural {
        for (key, value) in map.iter_mut() {
            if let Some(field) = message.field(key) {
                canonical_value(value, &field.ty);
            }
        }
        return;
    }
    let as_json = AS_JSON.iter().any(|package| message.name.starts_with(package));
    let mut old = std::mem::take(map);
    for field in &message.fields {
        let said = old.swap_remove(&*field.name).filter(|value| !is_nothing(value, field, as_json));
        let value = match said {
            Some(mut value) => {
                canonical_value(&mut value, &field.ty);
                value
            }
            None => match filled(field, true) {
                Some(value) => value,
                None => continue,
            },
        };
        map.insert(field.name.clone().into_owned(), value);
    }
    if message.preserve_unknown {
        map.append(&mut old);
    }
}

/// Whether a list or map is empty where that is the same as none.
fn is_nothing(value: &Value, field: &Field, as_json: bool) -> bool {
    !field.pointer
        && super::is_empty(value)
        && (field.omitempty || !as_json)
        && matches!(field.ty.resolved(), Type::List(_) | Type::Map(_))
}

/// What Go writes for a field that is not set; of a struct only the braces, unless `deep`.
pub(crate) fn filled(field: &Field, deep: bool) -> Option<Value> {
    if field.pointer {
        return (!field.omitempty).then_some(Value::Null);
    }
    match field.ty.resolved() {
        _ if field.omitzero => None,
        // Go has no empty structs: `omitempty` has no effect on them.
        Type::Message(message) => {
            let mut map = Map::new();
            if deep {
                canonical_map(&mut map, message);
            }
            Some(Value::Object(map))
        }
        Type::Time | Type::MicroTime | Type::RawExtension => Some(Value::Null),
        ty @ (Type::Quantity | Type::IntOrString) => Some(zero(ty)),
        _ if field.omitempty => None,
        ty => Some(zero(ty)),
    }
}

fn canonical_value(value: &mut Value, ty: &Type) {
    match (ty.resolved(), value) {
        (Type::Message(message), Value::Object(map)) => canonical_map(map, message),
        (Type::List(element), Value::Array(list)) if may_change(element) => {
            list.iter_mut().for_each(|value| canonical_value(value, element));
        }
        (Type::Map(element), Value::Object(map)) => {
            if !map.keys().is_sorted() {
                map.sort_keys();
            }
            if may_change(element) {
                map.values_mut().for_each(|value| canonical_value(value, element));
            }
        }
        (Type::SchemaOrArray(schema), Value::Array(list)) => {
            list.iter_mut().for_each(|value| canonical(value, schema));
        }
        (Type::SchemaOrArray(schema) | Type::SchemaOrBool(schema) | Type::SchemaOrStrings(schema), value) => {
            canonical(value, schema);
        }
        _ => {}
    }
}

/// Whether values of the type have anything to bring to a form: lists of strings do not.
fn may_change(ty: &Type) -> bool {
    !matches!(ty.resolved(), Type::Bool | Type::Int32 | Type::Int64 | Type::Float64 | Type::String | Type::Bytes)
}
