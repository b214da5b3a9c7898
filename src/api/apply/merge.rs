//! Merging what is applied into what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::elements::{elements, step};
use crate::fields::Step;
use crate::schema::ListType;
use crate::shape::{Form, List, MapForm};

/// The live value with the applied one merged into it. Both have to be valid: see [`super::validate`].
pub fn merge(form: Form<'_>, live: &Value, applied: &Value) -> Value {
    value(form, Some(live), Some(applied)).unwrap_or(Value::Null)
}

fn value(form: Form<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    match form {
        Form::Scalar(_) | Form::Whole => leaf(live, applied),
        Form::Map(form) => map(form, live, applied),
        Form::List(form) => list(form, live, applied),
        Form::Deduced => deduced(live, applied),
    }
}

/// What is applied wins.
fn leaf(live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    applied.or(live).cloned()
}

fn deduced(live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let fits = |value: Option<&Value>| value.is_none_or(|value| value.is_object() || value.is_null());
    let is_map = |value: Option<&Value>| value.is_some_and(Value::is_object);
    if fits(live) && fits(applied) && (is_map(live) || is_map(applied)) {
        map(Form::DEDUCED_MAP, live, applied)
    } else {
        leaf(live, applied)
    }
}

fn map(form: MapForm<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let members = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (was, is) = (members(live), members(applied));
    // Nothing is told from null.
    if form.atomic || was.is_empty() && is.is_empty() {
        return leaf(live, applied);
    }
    let mut merged = Map::new();
    for (name, live) in &was {
        let both = match form.member(name) {
            Some(form) => value(form, Some(live), is.get(name)),
            None => leaf(Some(live), is.get(name)),
        };
        merged.extend(both.map(|both| (name.clone(), both)));
    }
    for (name, applied) in is.iter().filter(|(name, _)| !was.contains_key(*name)) {
        let one = match form.member(name) {
            Some(form) => value(form, None, Some(applied)),
            None => Some(applied.clone()),
        };
        merged.extend(one.map(|one| (name.clone(), one)));
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// The elements of one side of a list.
struct Side<'v> {
    /// In the order of the list.
    steps: Vec<(Step, &'v Value)>,
    /// By step; `None` where more than one element has it.
    by_step: BTreeMap<Step, Option<&'v Value>>,
}

impl<'v> Side<'v> {
    fn new(list: List<'_>, value: Option<&'v Value>) -> Self {
        let steps: Vec<(Step, &Value)> =
            elements(value).iter().filter_map(|element| Some((step(list, element).ok()?, element))).collect();
        let mut by_step = BTreeMap::new();
        for (step, element) in &steps {
            by_step.entry(step.clone()).and_modify(|found| *found = None).or_insert(Some(*element));
        }
        Self { steps, by_step }
    }
}

/// Merges two lists element by element. What is applied comes in the order applied; what only the live list has stays where
/// it is relative to the elements that both have.
fn list(list: List<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    if list.how == ListType::Atomic || elements(live).is_empty() && elements(applied).is_empty() {
        return leaf(live, applied);
    }
    let (was, is) = (Side::new(list, live), Side::new(list, applied));
    let both = |step: &Step| {
        // An element that the live list has more than once is replaced.
        let live = was.by_step.get(step).copied().flatten();
        value(list.element(), live, is.by_step.get(step).copied().flatten())
    };
    let mut shared = is.steps.iter().map(|(step, _)| step).filter(|step| was.by_step.contains_key(*step));
    let mut next_shared = shared.next();
    let mut merged = Vec::with_capacity(was.steps.len().max(is.steps.len()));
    let mut done: BTreeSet<&Step> = BTreeSet::new();
    let (mut left, mut right) = (0, 0);
    while left < was.steps.len() || right < is.steps.len() {
        if let (Some((here, _)), Some((there, _))) = (was.steps.get(left), is.steps.get(right)) {
            if here == there {
                done.insert(there);
                merged.extend(both(there));
                left += 1;
                right += 1;
                next_shared = shared.next();
                continue;
            }
            if is.by_step.contains_key(here) && next_shared.is_some_and(|next| next != here) {
                // It is shared, and another shared element comes first.
                left += 1;
                continue;
            }
        }
        if let Some((here, live)) = was.steps.get(left) {
            if !is.by_step.contains_key(here) {
                merged.extend(value(list.element(), Some(live), None));
                left += 1;
                continue;
            }
            if done.contains(here) {
                left += 1;
            }
        }
        if let Some((there, _)) = is.steps.get(right) {
            done.insert(there);
            merged.extend(both(there));
            right += 1;
            if next_shared == Some(there) {
                next_shared = shared.next();
            }
        }
    }
    (!merged.is_empty()).then_some(Value::Array(merged))
}
