//! A value of an object with the place where it stands, so that what is wrong with it can be said; and the checks that
//! many kinds share, as methods and as tables of path and rule.
//!
//! A place is a chain of borrowed steps. Its text is built only when there is something to complain about.

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{self, validate_annotations, validate_label_selector, validate_labels};
use serde_json::Value;

use super::semantic;
use super::upstream_form;
use crate::tree::Tree;

/// A value, perhaps absent, and the way to it. `'p` is the way's lifetime, `'v` the value's.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'p, 'v> {
    value: &'v Value,
    parent: Option<&'p At<'p, 'v>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    /// One or more fields, with dots between them.
    Field(&'p str),
    /// An element of a list.
    Item(&'p str, usize),
    /// An entry of a map.
    Entry(&'p str, &'p str),
}

static ABSENT: Value = Value::Null;

/// A check of a format, by the complaints about a text.
pub(super) type Format = fn(&str) -> Vec<String>;

/// What is asked of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A text (or list, or map) that has to be there.
    Need,
    /// A number that is, if given, zero or more.
    NotNegative,
    /// A text out of these; has to be there.
    OneOf(&'static [&'static str]),
    /// A text out of these, if there is one.
    MaybeOneOf(&'static [&'static str]),
    /// A text of a format, if there is one.
    Name(Format),
    /// A text of a format; has to be there.
    NeedName(Format),
    /// A label selector.
    Selector,
    /// File permissions, if given.
    Mode,
}

impl<'p, 'v> At<'p, 'v> {
    /// The object itself.
    pub(super) fn root(value: &'v Value) -> Self {
        Self { value, parent: None, step: Step::Field("") }
    }

    /// A field, or several steps with dots between them.
    pub(super) fn get<'s>(&'s self, path: &'s str) -> At<'s, 'v> {
        At { value: self.value.at(path).unwrap_or(&ABSENT), parent: Some(self), step: Step::Field(path) }
    }

    /// The same place with another value.
    pub(super) fn with(self, value: &'v Value) -> Self {
        Self { value, ..self }
    }

    /// The same value under another name, where messages call it otherwise than the object does.
    pub(super) fn called(self, name: &'p str) -> Self {
        Self { step: Step::Field(name), ..self }
    }

    /// The elements of a list.
    pub(super) fn each<'s>(&'s self, list: &'s str) -> impl DoubleEndedIterator<Item = At<'s, 'v>> + use<'s, 'p, 'v> {
        let items = self.value.items(list).iter().enumerate();
        items.map(move |(at, value)| At { value, parent: Some(self), step: Step::Item(list, at) })
    }

    /// The entries of a map.
    pub(super) fn entries<'s>(&'s self, map: &'s str) -> impl Iterator<Item = (&'v str, At<'s, 'v>)> + use<'s, 'p, 'v>
    where
        'v: 's,
    {
        let entries = self.value.at(map).and_then(Value::as_object).into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), At { value, parent: Some(self), step: Step::Entry(map, key) }))
    }

    /// The entry of a map, there or not.
    pub(super) fn entry<'s>(&'s self, map: &'s str, key: &'s str) -> At<'s, 'v> {
        let value = self.value.at(map).and_then(|map| map.get(key)).unwrap_or(&ABSENT);
        At { value, parent: Some(self), step: Step::Entry(map, key) }
    }

    /// The value itself.
    pub(super) fn value(&self) -> &'v Value {
        self.value
    }

    /// Whether there is a value.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether a field is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.value.at(path).is_some()
    }

    /// The text itself; empty when absent.
    pub(super) fn str(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// A field's text; empty when absent.
    pub(super) fn text(&self, path: &str) -> &'v str {
        self.value.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field's number.
    pub(super) fn int(&self, path: &str) -> Option<i64> {
        self.value.int(path)
    }

    /// A field's boolean; false when absent.
    pub(super) fn truth(&self, path: &str) -> bool {
        self.value.truth(path)
    }

    /// A field's list; empty when absent.
    pub(super) fn items(&self, path: &str) -> &'v [Value] {
        self.value.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A field's amount, if it is one.
    pub(super) fn quantity(&self, path: &str) -> Option<Quantity> {
        self.value.at(path).and_then(|value| Quantity::from_json(value).ok())
    }

    /// Whether there is nothing: no value, or an empty text, list or map.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }

    /// The place, as messages name it.
    pub(super) fn path(&self) -> Path {
        let mut text = String::new();
        self.write(&mut text);
        Path::root(&text)
    }

    fn write(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(out);
        }
        let (Step::Field(field) | Step::Item(field, _) | Step::Entry(field, _)) = self.step;
        if !field.is_empty() {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(field);
        }
        match self.step {
            Step::Field(_) => {}
            Step::Item(_, at) => out.extend(["[", &at.to_string(), "]"]),
            Step::Entry(_, key) => out.extend(["[", key, "]"]),
        }
    }
}

/// Complaints about the value itself.
impl At<'_, '_> {
    /// It has to be there.
    pub(super) fn required(&self, errors: &mut ErrorList, why: impl Into<String>) {
        errors.push(Error::required(&self.path(), why));
    }

    /// It may not be there, or not like this.
    pub(super) fn forbidden(&self, errors: &mut ErrorList, why: impl Into<String>) {
        errors.push(Error::forbidden(&self.path(), why));
    }

    /// It is malformed. An absent value reads as an empty text; say another with [`At::wrong`].
    pub(super) fn invalid(&self, errors: &mut ErrorList, why: impl Into<String>) {
        let value = if self.is_set() { self.value.clone() } else { "".into() };
        errors.push(Error::invalid(&self.path(), value, why));
    }

    /// The value as upstream shows one of this type.
    pub(super) fn as_upstream(&self, kind: &str) -> Value {
        upstream_form::of(kind, self.value)
    }

    /// Something here is malformed.
    pub(super) fn wrong(&self, errors: &mut ErrorList, value: impl Into<Value>, why: impl Into<String>) {
        errors.push(Error::invalid(&self.path(), value, why));
    }

    /// A malformed text, once for each complaint.
    pub(super) fn complain(&self, errors: &mut ErrorList, complaints: Vec<String>) {
        for why in complaints {
            self.invalid(errors, why);
        }
    }

    /// It is none of those there are.
    pub(super) fn unsupported(&self, errors: &mut ErrorList, supported: &[&str]) {
        let value = if self.is_set() { self.value.clone() } else { "".into() };
        errors.push(Error::not_supported(&self.path(), value, supported));
    }

    /// It is there already.
    pub(super) fn duplicate(&self, errors: &mut ErrorList) {
        let value = if self.is_set() { self.value.clone() } else { "".into() };
        errors.push(Error::duplicate(&self.path(), value));
    }

    /// What it names is not there.
    pub(super) fn not_found(&self, errors: &mut ErrorList) {
        let value = if self.is_set() { self.value.clone() } else { "".into() };
        errors.push(Error::not_found(&self.path(), value));
    }

    /// It is longer than `most` bytes.
    pub(super) fn too_long(&self, errors: &mut ErrorList, most: usize) {
        errors.push(Error::too_long(&self.path(), most));
    }

    /// It has more than `most` items.
    pub(super) fn too_many(&self, errors: &mut ErrorList, most: usize) {
        let count = self.value.as_array().map_or(0, Vec::len);
        errors.push(Error::too_many(&self.path(), count, most));
    }
}

/// Checks of a field.
impl At<'_, '_> {
    /// Applies a table. `list[].field` is that field of each element.
    pub(super) fn check(&self, rules: &[(&str, Rule)], errors: &mut ErrorList) {
        for (path, rule) in rules {
            match path.split_once("[].") {
                Some((list, rest)) => self.each(list).for_each(|item| item.check(&[(rest, *rule)], errors)),
                None => self.get(path).obey(*rule, errors),
            }
        }
    }

    fn obey(&self, rule: Rule, errors: &mut ErrorList) {
        match rule {
            Rule::Need if self.is_empty() => self.required(errors, ""),
            Rule::NotNegative => self.not_negative(errors),
            Rule::OneOf(_) | Rule::NeedName(_) if self.is_empty() => self.required(errors, ""),
            Rule::OneOf(values) if !values.contains(&self.str()) => self.unsupported(errors, values),
            Rule::MaybeOneOf(values) if self.is_set() && !values.contains(&self.str()) => {
                self.unsupported(errors, values);
            }
            Rule::NeedName(check) => self.complain(errors, check(self.str())),
            Rule::Name(check) if !self.is_empty() => self.complain(errors, check(self.str())),
            Rule::Selector if self.is_set() => errors.extend(validate_label_selector(self.value, &self.path())),
            Rule::Mode if self.value.as_i64().is_some_and(|mode| !(0..=0o777).contains(&mode)) => {
                self.invalid(errors, "must be a number between 0 and 0777 (octal), both inclusive");
            }
            _ => {}
        }
    }

    /// A number is, if given, zero or more.
    pub(super) fn not_negative(&self, errors: &mut ErrorList) {
        if self.value.as_i64().is_some_and(|number| number < 0) {
            self.invalid(errors, NEGATIVE);
        }
    }

    /// A number, zero if absent, is more than zero.
    pub(super) fn positive(&self, errors: &mut ErrorList) {
        let number = self.value.as_i64().unwrap_or(0);
        if number <= 0 {
            self.wrong(errors, number, "must be greater than zero");
        }
    }

    /// A number passes a check of numbers; zero if absent.
    pub(super) fn number(&self, check: fn(i64) -> Vec<String>, errors: &mut ErrorList) {
        let number = self.value.as_i64().unwrap_or(0);
        check(number).into_iter().for_each(|why| self.wrong(errors, number, why));
    }

    /// A port, by number or by name.
    pub(super) fn port(&self, errors: &mut ErrorList) {
        match self.value {
            Value::String(name) => self.complain(errors, validation::port_name(name)),
            _ => self.number(validation::port_number, errors),
        }
    }

    /// Labels, or what selects them.
    pub(super) fn labels(&self, errors: &mut ErrorList) {
        let Some(labels) = self.value.as_object().filter(|labels| !labels.is_empty()) else { return };
        let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        errors.extend(validate_labels(pairs, &self.path()));
    }

    /// Annotations.
    pub(super) fn annotations(&self, errors: &mut ErrorList) {
        let Some(annotations) = self.value.as_object().filter(|annotations| !annotations.is_empty()) else { return };
        let pairs = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        errors.extend(validate_annotations(pairs, &self.path()));
    }

    /// Metadata of a template that has labels and annotations only.
    pub(super) fn template_metadata(&self, errors: &mut ErrorList) {
        self.get("annotations").annotations(errors);
        self.get("labels").labels(errors);
        for (field, value) in self.value.as_object().into_iter().flatten() {
            let field = field.as_str();
            let empty = value == "" || field == "generation" && value == 0;
            if !matches!(field, "annotations" | "labels") && !empty {
                // As Go's field is called.
                self.get(if field == "uid" { "uID" } else { field }).forbidden(errors, "cannot be set");
            }
        }
    }

    /// A path below where it is taken from: relative, and never upwards.
    pub(super) fn descending(&self, errors: &mut ErrorList) {
        if self.str().starts_with('/') {
            self.invalid(errors, "must be a relative path");
        }
        self.no_backsteps(errors);
    }

    /// A path that never goes upwards.
    pub(super) fn no_backsteps(&self, errors: &mut ErrorList) {
        if self.str().split('/').any(|step| step == "..") {
            self.invalid(errors, "must not contain '..'");
        }
    }

    /// A path below where it is taken from, whose first name is not one the node agent keeps for itself.
    pub(super) fn unreserved(&self, errors: &mut ErrorList) {
        self.descending(errors);
        if self.str().starts_with("..") && !self.str().starts_with("../") {
            self.invalid(errors, "must not start with '..'");
        }
    }

    /// A value is the same as the old one.
    pub(super) fn unchanged(&self, old: Option<&Value>, errors: &mut ErrorList) {
        let old = old.unwrap_or(&ABSENT);
        if !semantic::same(self.value, old) {
            let value = if old.is_string() && !self.is_set() { "".into() } else { self.value.clone() };
            errors.push(Error::immutable(&self.path(), value));
        }
    }
}

/// Why a number below zero is refused.
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_named_as_upstream_names_them() {
        let object = json!({"spec": {"containers": [{"env": [{"name": ""}]}], "hard": {"count/x.y": "1"}}});
        let root = At::root(&object);
        let spec = root.get("spec");
        let container = spec.each("containers").next().unwrap();
        let variable = container.each("env").next().unwrap();
        assert_eq!(variable.get("valueFrom.fieldRef").path().as_str(), "spec.containers[0].env[0].valueFrom.fieldRef");
        let (_, hard) = spec.entries("hard").next().unwrap();
        assert_eq!(hard.path().as_str(), "spec.hard[count/x.y]");
    }

    #[test]
    fn tables_reach_every_element_in_their_order() {
        let object = json!({"list": [{"n": -1, "k": "b"}, {"k": "a"}]});
        let mut errors = ErrorList::new();
        let rules = [("list[].n", Rule::NotNegative), ("list[].k", Rule::OneOf(&["a"])), ("name", Rule::Need)];
        At::root(&object).check(&rules, &mut errors);
        assert_eq!(
            errors.to_string(),
            "[list[0].n: Invalid value: -1: must be greater than or equal to 0, \
             list[0].k: Unsupported value: \"b\": supported values: \"a\", name: Required value]"
        );
    }
}
