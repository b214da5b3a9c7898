//! The fields that an applied object speaks about.

use serde_json::Value;

use super::elements::{elements, grouped};
use crate::fields::{Node, Set, Step};
use crate::schema::ListType;
use crate::shape::{Form, List, MapForm};

/// The fields in a value: its scalars, what is taken as a whole, the elements of lists and the keys of maps. The fields of
/// structs that only lead to others are not among them.
pub fn owned(form: Form<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    walk(form, value, &mut set, super::DEPTH);
    set
}

/// Says whether the value itself is a leaf.
fn walk(form: Form<'_>, value: &Value, below: &mut Set, room: usize) -> bool {
    let Some(room) = room.checked_sub(1) else { return true };
    match form {
        Form::Scalar(_) | Form::Whole => true,
        Form::Map(map) => map.atomic || members(map, value, below, room),
        Form::List(list) => list.how == ListType::Atomic || listed(list, value, below, room),
        Form::Deduced => match value {
            Value::Object(_) => members(Form::DEDUCED_MAP, value, below, room),
            _ => true,
        },
    }
}

fn members(map: MapForm<'_>, value: &Value, below: &mut Set, room: usize) -> bool {
    for (name, value) in value.as_object().into_iter().flatten() {
        let Some(form) = map.member(name) else { continue };
        let mut found = Set::default();
        let leaf = walk(form, value, &mut found, room);
        let empty = value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
        below.push(|| Step::field(name), leaf || empty || !map.names(name), found);
    }
    below.sort();
    false
}

fn listed(list: List<'_>, value: &Value, below: &mut Set, room: usize) -> bool {
    for (step, elements) in grouped(list, elements(Some(value))) {
        let mut found = Set::default();
        // Of an element that comes more than once, only that it is there can be owned.
        if let [element] = elements.as_slice() {
            walk(list.element(), element, &mut found, room);
        }
        below.push(|| step, true, found);
    }
    below.sort();
    false
}

/// The set with the fields of structs that lead to fields of it, without keys of maps and elements of lists.
pub(super) fn named(form: Option<Form<'_>>, set: &Set) -> Set {
    let nodes = set.0.iter().map(|node| {
        let (is_named, inner) = match (form, &node.step) {
            (Some(Form::Map(map)), Step::Field(name)) => (map.names(name), map.member(name)),
            (Some(Form::Deduced), Step::Field(_)) => (false, Some(Form::Deduced)),
            (Some(Form::List(list)), Step::Key(_)) => (false, Some(list.element())),
            _ => (false, None),
        };
        Node {
            step: node.step.clone(),
            member: node.member || is_named && !node.below.is_empty(),
            below: named(inner, &node.below),
        }
    });
    Set(nodes.collect())
}
