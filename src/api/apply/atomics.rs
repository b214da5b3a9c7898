//! What an applied value holds that is taken as a whole.

use serde_json::Value;

use crate::fields::Step;
use crate::schema::ListType;
use crate::shape::Form;

/// The paths of lists, maps and structs within the value that would replace what is there as a whole.
pub fn atomics(form: Form<'_>, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(form, value, &mut String::new(), &mut found);
    found
}

fn walk(form: Form<'_>, value: &Value, way: &mut String, found: &mut Vec<String>) {
    let before = way.len();
    match (form, value) {
        (Form::Map(map), Value::Object(members)) => {
            if map.atomic {
                found.push(way.clone());
            }
            // Only the fields of structs are looked into: the keys of a map are not named by the schema.
            for (name, value) in members.iter().filter(|(name, _)| map.names(name)) {
                if let Some(member) = map.member(name) {
                    way.push_str(&Step::Field(name.as_str().into()).to_string());
                    walk(member, value, way, found);
                    way.truncate(before);
                }
            }
        }
        (Form::List(list), Value::Array(elements)) => {
            if list.how == ListType::Atomic {
                found.push(way.clone());
            }
            for (at, element) in elements.iter().enumerate() {
                way.push_str(&Step::Index(i64::try_from(at).unwrap_or(i64::MAX)).to_string());
                walk(list.element(), element, way, found);
                way.truncate(before);
            }
        }
        _ => {}
    }
}
