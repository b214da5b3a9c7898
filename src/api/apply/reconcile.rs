//! Sets of fields written under an older schema: what was taken apart and is taken as a whole now.

use crate::fields::{Path, Set, Step};
use crate::schema::ListType;
use crate::shape::Form;

/// The set as the schema of today would have it, if that is another one. Who owned part of what is a whole now owns the
/// whole. The other way round nothing changes: upstream treats it as if it had always been taken apart.
pub(super) fn reconcile(form: Form<'_>, set: &Set) -> Option<Set> {
    let mut whole = Vec::new();
    walk(form, Some(set), false, &mut Vec::new(), &mut whole);
    if whole.is_empty() {
        return None;
    }
    let whole = Set::of(whole);
    Some(set.recursive_difference(&whole).union(&whole))
}

/// `leaf` says that the set has the value itself and nothing below it.
fn walk(form: Form<'_>, below: Option<&Set>, leaf: bool, way: &mut Path, whole: &mut Vec<Path>) {
    match form {
        Form::Scalar(_) | Form::Whole | Form::Deduced => {}
        Form::List(list) if list.how == ListType::Atomic => {
            if !leaf {
                whole.push(way.clone());
            }
        }
        Form::List(list) => descend(below, way, whole, |_| Some(list.element())),
        Form::Map(map) if map.is_deduced() => {}
        Form::Map(map) if map.atomic => {
            if !leaf && below.is_some_and(|below| !below.is_empty()) {
                whole.push(way.clone());
            }
        }
        Form::Map(map) => descend(below, way, whole, |step| match step {
            Step::Field(name) => map.member(name),
            _ => None,
        }),
    }
}

fn descend<'a>(below: Option<&Set>, way: &mut Path, whole: &mut Vec<Path>, form: impl Fn(&Step) -> Option<Form<'a>>) {
    for node in below.into_iter().flat_map(|set| &set.0) {
        let Some(form) = form(&node.step) else { continue };
        way.push(node.step.clone());
        let leaf = node.member && node.below.is_empty();
        walk(form, Some(&node.below), leaf, way, whole);
        way.pop();
    }
}
