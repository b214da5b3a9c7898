//! What differs between two states of an object.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::elements::{elements, grouped};
use crate::fields::{Set, Step, same};
use crate::prune::{filled, is_unset};
use crate::schema::{Field, ListType, Message};
use crate::shape::{Form, List, MapForm};

/// What differs between two states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Fields that were added or changed.
    pub changed: Set,
    /// Fields that are gone.
    pub removed: Set,
    /// Whether an element of a list that differs could not be told apart from others: it has none of the list's keys.
    pub unkeyed: bool,
}

impl Difference {
    /// Whether the states are the same.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// Compares two states. With `minimal`, values of built-in messages are in the minimal form, and a field that is absent has
/// the value that Go would write for it.
pub fn compare(form: Form<'_>, old: &Value, new: &Value, minimal: bool) -> Difference {
    let mut found = Difference::default();
    let walk = Walk { minimal, room: super::DEPTH - 1 };
    match form {
        // Equal members are found one by one; looking at all of them before would be looking twice.
        Form::Map(map) => {
            walk.map(map, Some(old), Some(new), &mut found);
        }
        form => {
            walk.value(form, Some(old), Some(new), &mut found);
        }
    }
    found
}

/// Whether a step itself was changed or removed; what happened below it is in a [`Difference`].
#[derive(Clone, Copy, Default)]
struct Own {
    changed: bool,
    removed: bool,
}

#[derive(Clone, Copy)]
struct Walk {
    minimal: bool,
    /// Levels that may still be looked into.
    room: usize,
}

impl Walk {
    fn value(self, form: Form<'_>, old: Option<&Value>, new: Option<&Value>, below: &mut Difference) -> Own {
        if let (Some(old), Some(new)) = (old, new)
            && old == new
        {
            return Own::default();
        }
        let mut own = Own { changed: old.is_none(), removed: new.is_none() };
        let inside = Self { room: self.room.saturating_sub(1), ..self };
        own.changed |= match form {
            _ if self.room == 0 => differ(old, new),
            Form::Scalar(_) | Form::Whole => differ(old, new),
            Form::Map(map) => inside.map(map, old, new, below),
            Form::List(list) => inside.list(list, old, new, below),
            Form::Deduced => inside.deduced(old, new, below),
        };
        own
    }

    /// What is not known is compared by what it is; a map that becomes something else loses its members.
    fn deduced(self, old: Option<&Value>, new: Option<&Value>, below: &mut Difference) -> bool {
        let is_map = |value: Option<&Value>| value.is_some_and(Value::is_object);
        let (was, is) = (is_map(old), is_map(new));
        if (was || old.is_none_or(Value::is_null)) && (is || new.is_none_or(Value::is_null)) && (was || is) {
            return self.map(Form::DEDUCED_MAP, old, new, below);
        }
        if was {
            self.map(Form::DEDUCED_MAP, old, None, below);
        }
        if is {
            self.map(Form::DEDUCED_MAP, None, new, below);
        }
        differ(old, new)
    }

    /// Says whether the map itself changed.
    fn map(self, form: MapForm<'_>, old: Option<&Value>, new: Option<&Value>, below: &mut Difference) -> bool {
        let (old_map, new_map) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        let message = form.message().filter(|message| self.minimal && !message.structural);
        let empty = |map: Option<&Map<String, Value>>| {
            map.is_none_or(|map| map.is_empty() && message.is_none_or(|message| !is_filled(message)))
        };
        if form.atomic || empty(old_map) && empty(new_map) {
            return differ(old, new);
        }
        let mut visit = |name: &str, old: Option<&Value>, new: Option<&Value>| {
            // Members that the schema does not have are nobody's.
            let Some(form) = form.member(name) else { return };
            let mut found = Difference::default();
            let own = self.value(form, old, new, &mut found);
            below.changed.push(|| Step::field(name), own.changed, found.changed);
            below.removed.push(|| Step::field(name), own.removed, found.removed);
            below.unkeyed |= found.unkeyed;
        };
        match message {
            Some(message) => {
                for field in &message.fields {
                    let (old, new) = (get_or_filled(old_map, field), get_or_filled(new_map, field));
                    if old.is_some() || new.is_some() {
                        visit(&field.name, old.as_deref(), new.as_deref());
                    }
                }
            }
            None => {
                for (name, new) in new_map.into_iter().flatten() {
                    visit(name, get(old_map, name).as_deref(), Some(new));
                }
                for (name, old) in old_map.into_iter().flatten() {
                    if !new_map.is_some_and(|new| new.contains_key(name)) {
                        visit(name, Some(old), None);
                    }
                }
            }
        }
        below.changed.sort();
        below.removed.sort();
        false
    }

    /// Says whether the list itself changed.
    fn list(self, list: List<'_>, old: Option<&Value>, new: Option<&Value>, below: &mut Difference) -> bool {
        let (was, is) = (elements(old), elements(new));
        if list.how == ListType::Atomic || was.is_empty() && is.is_empty() {
            return differ(old, new);
        }
        let count = was.len() + is.len();
        let (was, is) = (grouped(list, was), grouped(list, is));
        below.unkeyed |= was.iter().chain(&is).map(|(_, group)| group.len()).sum::<usize>() < count;
        let mut steps: Vec<&Step> = was.iter().chain(&is).map(|(step, _)| step).collect();
        steps.sort();
        steps.dedup();
        for step in steps {
            let (was, is) = (group(&was, step), group(&is, step));
            let (first_was, first_is) = (was.first().copied(), is.first().copied());
            let mut found = Difference::default();
            let mut compare = |was, is| match (was, is) {
                (None, None) => Own::default(),
                (was, is) => self.value(list.element(), was, is, &mut found),
            };
            // Elements that come more than once are taken together, as a whole.
            let own = match (was.len(), is.len()) {
                (0 | 1, 0 | 1) => compare(first_was, first_is),
                (2.., 2..) => {
                    let equal = was.len() == is.len() && was.iter().zip(is).all(|(a, b)| same(a, b));
                    Own { changed: !equal, removed: false }
                }
                (2.., _) => Own { removed: true, ..compare(None, first_is) },
                (_, _) => Own { changed: true, ..compare(first_was, None) },
            };
            below.changed.push(|| step.clone(), own.changed, found.changed);
            below.removed.push(|| step.clone(), own.removed, found.removed);
            below.unkeyed |= found.unkeyed;
        }
        false
    }
}

fn get<'v>(map: Option<&'v Map<String, Value>>, name: &str) -> Option<Cow<'v, Value>> {
    map?.get(name).map(Cow::Borrowed)
}

/// A field of a struct, or what Go would write for it.
fn get_or_filled<'v>(map: Option<&'v Map<String, Value>>, field: &Field) -> Option<Cow<'v, Value>> {
    let map = map?;
    let said = get(Some(map), &field.name).filter(|value| !field.omitempty || !is_unset(value, field));
    said.or_else(|| filled(field, false).map(Cow::Owned))
}

/// The elements of a step.
fn group<'g, 'v>(groups: &'g [(Step, Vec<&'v Value>)], step: &Step) -> &'g [&'v Value] {
    groups.binary_search_by(|(other, _)| other.cmp(step)).map_or(&[], |at| &groups[at].1)
}

/// Whether both are there and differ.
fn differ(old: Option<&Value>, new: Option<&Value>) -> bool {
    matches!((old, new), (Some(old), Some(new)) if !same(old, new))
}

/// Whether Go writes anything for a message of which nothing is set.
fn is_filled(message: &Message) -> bool {
    message.fields.iter().any(|field| filled(field, false).is_some())
}
