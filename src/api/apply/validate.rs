//! Whether a value is what its schema says, in upstream's words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::elements;
use crate::fields::Step;
use crate::quote;
use crate::schema::ListType;
use crate::shape::{Form, List, MapForm, Scalar};

/// Most complaints that are collected.
const MAX_ERRORS: usize = 100;

/// Complaints about a value, as upstream joins them; `Ok` when there are none. With `duplicates`, lists may hold elements of
/// the same keys.
pub fn validate(form: Form<'_>, value: &Value, duplicates: bool) -> Result<(), String> {
    let mut walk = Walk { duplicates, way: String::new(), errors: Vec::new() };
    walk.value(form, value);
    match walk.errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Walk {
    duplicates: bool,
    way: String,
    errors: Vec<String>,
}

impl Walk {
    fn complain(&mut self, why: impl Into<String>) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        let why = why.into();
        self.errors.push(if self.way.is_empty() { why } else { format!("{}: {why}", self.way) });
    }

    fn inside(&mut self, step: &Step, visit: impl FnOnce(&mut Self)) {
        let before = self.way.len();
        self.way.push_str(&step.to_string());
        visit(self);
        self.way.truncate(before);
    }

    fn value(&mut self, form: Form<'_>, value: &Value) {
        match form {
            Form::Whole | Form::Deduced => {}
            Form::Scalar(scalar) => self.scalar(scalar, value),
            Form::List(list) => self.list(list, value),
            Form::Map(map) => self.map(map, value),
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        match (scalar, value) {
            (_, Value::Null)
            | (Scalar::Number, Value::Number(_))
            | (Scalar::String, Value::String(_))
            | (Scalar::Bool, Value::Bool(_))
            | (Scalar::Any, Value::Number(_) | Value::String(_) | Value::Bool(_)) => {}
            (Scalar::Number, other) => {
                self.complain(format!("expected numeric (int or float), got {}", quote::go_type(other)));
            }
            (Scalar::String, other) => {
                self.complain(format!(
                    "expected string, got &value.valueUnstructured{{Value:{}}}",
                    quote::syntax(other)
                ));
            }
            (Scalar::Bool, other) => self.complain(format!("expected boolean, got &{{{}}}", quote::plain(other))),
            (Scalar::Any, other) => self.complain(format!("expected any scalar, got &{{{}}}", quote::plain(other))),
        }
    }

    fn list(&mut self, list: List<'_>, value: &Value) {
        let elements = match value {
            Value::Null => return,
            Value::Array(elements) => elements,
            other => return self.complain(format!("expected list, got &{{{}}}", quote::plain(other))),
        };
        let mut seen = BTreeSet::new();
        for (at, element) in elements.iter().enumerate() {
            let step = match list.how {
                ListType::Atomic => Step::Index(i64::try_from(at).unwrap_or(i64::MAX)),
                _ => match elements::step(list, element) {
                    Ok(step) => step,
                    Err(why) => return self.complain(format!("element {at}: {why}")),
                },
            };
            if list.how != ListType::Atomic && !self.duplicates && seen.contains(&step) {
                self.complain(format!("duplicate entries for key {step}"));
            }
            self.inside(&step, |walk| walk.value(list.element(), element));
            seen.insert(step);
        }
    }

    fn map(&mut self, map: MapForm<'_>, value: &Value) {
        let members = match value {
            Value::Null => return,
            Value::Object(members) => members,
            other => return self.complain(format!("expected map, got &{{{}}}", quote::plain(other))),
        };
        for (name, value) in members {
            let step = Step::field(name);
            match map.member(name) {
                Some(form) => self.inside(&step, |walk| walk.value(form, value)),
                // Upstream looks no further in this map.
                None => return self.inside(&step, |walk| walk.complain("field not declared in schema")),
            }
        }
    }
}
