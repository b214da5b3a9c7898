//! Taking fields out of an object.

use serde_json::{Map, Value};

use super::elements::step;
use crate::fields::{Set, Step};
use crate::schema::ListType;
use crate::shape::{Form, List, MapForm};

/// The value without the fields of the set. What has nothing left becomes null.
pub fn remove(form: Form<'_>, value: &Value, fields: &Set) -> Value {
    match (form, value) {
        (Form::Scalar(_), _) => value.clone(),
        (Form::Map(map), Value::Object(members)) => from_map(map, members, fields),
        (Form::List(list), Value::Array(elements)) => from_list(list, elements, fields),
        (Form::Deduced, Value::Object(members)) => from_map(Form::DEDUCED_MAP, members, fields),
        (Form::Deduced, Value::Array(_)) | (Form::Whole | Form::Map(_) | Form::List(_), _) => Value::Null,
        (Form::Deduced, _) => value.clone(),
    }
}

fn from_map(form: MapForm<'_>, members: &Map<String, Value>, fields: &Set) -> Value {
    if form.atomic {
        return Value::Null;
    }
    let mut kept = Map::new();
    for (name, value) in members {
        let step = Step::field(name);
        if fields.is_member(&step) {
            continue;
        }
        let value = match (fields.below(&step), form.member(name)) {
            (Some(below), Some(form)) => remove(form, value, below),
            _ => value.clone(),
        };
        kept.insert(name.clone(), value);
    }
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

fn from_list(list: List<'_>, elements: &[Value], fields: &Set) -> Value {
    if list.how == ListType::Atomic {
        return Value::Null;
    }
    let mut kept = Vec::with_capacity(elements.len());
    for element in elements {
        let Ok(step) = step(list, element) else {
            kept.push(element.clone());
            continue;
        };
        if fields.is_member(&step) {
            continue;
        }
        kept.push(match fields.below(&step) {
            Some(below) => remove(list.element(), element, below),
            None => element.clone(),
        });
    }
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}
