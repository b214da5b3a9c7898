//! A structural schema in compact form: what `openAPIV3Schema` says about values, without its prose.
//!
//! Definitions of operators repeat whole subtrees (pod templates, label selectors) dozens of times. Equal subtrees are
//! one here, so a schema of a megabyte becomes some hundred nodes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not said.
    Any,
    /// `object`.
    Object,
    /// `array`.
    Array,
    /// `string`.
    String,
    /// `integer`.
    Integer,
    /// `number`.
    Number,
    /// `boolean`.
    Boolean,
    /// `x-kubernetes-int-or-string`.
    IntOrString,
}

/// How the elements of a list are told apart: `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Not at all: the list is one value.
    Atomic,
    /// By themselves.
    Set,
    /// By their keys.
    Map,
}

/// What a schema says about one value, and about what is in it.
#[derive(Debug)]
pub struct Schema {
    /// Its type.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-list-type`.
    pub list: ListType,
    /// What there is to do in this subtree.
    pub(super) holds: Holds,
    /// The fields, sorted by name.
    pub(super) properties: Box<[(Box<str>, Arc<Schema>)]>,
    /// The fields that are not named.
    pub(super) additional: Additional,
    /// The elements of a list.
    pub(super) items: Option<Arc<Schema>>,
    /// `x-kubernetes-list-map-keys`.
    pub(super) keys: Box<[Box<str>]>,
    /// What an absent value becomes.
    pub(super) default: Option<Box<Value>>,
    /// What is asked of the value beyond its type.
    pub(super) checks: Option<Box<Checks>>,
}

/// Whether a walk of some purpose finds anything in a subtree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    pub(super) defaults: bool,
    pub(super) embedded: bool,
    pub(super) unique_lists: bool,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub(super) enum Additional {
    /// Not said: unknown fields are dropped.
    Unsaid,
    /// Any value, or none.
    Allowed(bool),
    /// Values of a schema.
    Of(Arc<Schema>),
}

/// The value validations of a schema.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) format: Box<str>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<i64>,
    pub(super) max_length: Option<i64>,
    pub(super) min_items: Option<i64>,
    pub(super) max_items: Option<i64>,
    pub(super) min_properties: Option<i64>,
    pub(super) max_properties: Option<i64>,
    pub(super) unique_items: bool,
    /// Go's regular expression.
    pub(super) pattern: Option<Box<str>>,
    pub(super) values: Box<[Value]>,
    pub(super) required: Box<[Box<str>]>,
    pub(super) all_of: Box<[Arc<Schema>]>,
    pub(super) any_of: Box<[Arc<Schema>]>,
    pub(super) one_of: Box<[Arc<Schema>]>,
    pub(super) not: Option<Arc<Schema>>,
}

impl Schema {
    /// Compiles an `openAPIV3Schema` that has been validated. What is no schema says nothing.
    pub fn compile(schema: &Value) -> Arc<Self> {
        Compiler::default().compile(schema)
    }

    /// The schema of a named field.
    pub fn property(&self, name: &str) -> Option<&Arc<Schema>> {
        let at = self.properties.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of a field, named or not.
    pub(super) fn field(&self, name: &str) -> Option<&Arc<Schema>> {
        self.property(name).or(match &self.additional {
            Additional::Of(schema) => Some(schema),
            _ => None,
        })
    }

    /// The schema of the fields that are not named.
    pub fn values(&self) -> Option<&Arc<Schema>> {
        match &self.additional {
            Additional::Of(schema) => Some(schema),
            _ => None,
        }
    }

    /// The schema of a list's elements.
    pub fn items(&self) -> Option<&Arc<Schema>> {
        self.items.as_ref()
    }
}

/// Makes schemas, each subtree once.
#[derive(Default)]
struct Compiler {
    known: HashMap<String, Arc<Schema>>,
}

/// What is no statement about values, or stands for itself in the compact form.
const APART: &[&str] = &[
    "description",
    "title",
    "example",
    "externalDocs",
    "id",
    "$schema",
    "properties",
    "items",
    "additionalProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
];

impl Compiler {
    fn compile(&mut self, schema: &Value) -> Arc<Schema> {
        let empty = Map::new();
        let schema = schema.as_object().unwrap_or(&empty);
        let made = self.make(schema);
        let key = signature(schema, &made);
        self.known.entry(key).or_insert_with(|| Arc::new(made)).clone()
    }

    fn make(&mut self, schema: &Map<String, Value>) -> Schema {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        let is = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let mut properties: Vec<(Box<str>, Arc<Schema>)> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.as_str().into(), self.compile(schema)))
            .collect();
        properties.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let additional = match schema.get("additionalProperties") {
            Some(Value::Bool(allowed)) => Additional::Allowed(*allowed),
            Some(schema @ Value::Object(_)) => Additional::Of(self.compile(schema)),
            _ => Additional::Unsaid,
        };
        let items = schema.get("items").filter(|items| items.is_object()).map(|items| self.compile(items));
        let list = match text("x-kubernetes-list-type") {
            "set" => ListType::Set,
            "map" => ListType::Map,
            _ => ListType::Atomic,
        };
        let default = schema.get("default").filter(|default| !default.is_null()).cloned().map(Box::new);
        let inner = properties.iter().map(|(_, schema)| schema).chain(&items).chain(match &additional {
            Additional::Of(schema) => Some(schema),
            _ => None,
        });
        let mut holds = Holds {
            defaults: default.is_some(),
            embedded: is("x-kubernetes-embedded-resource"),
            unique_lists: list != ListType::Atomic,
        };
        for inner in inner.map(|schema| schema.holds) {
            holds.defaults |= inner.defaults;
            holds.embedded |= inner.embedded;
            holds.unique_lists |= inner.unique_lists;
        }
        Schema {
            kind: kind(text("type"), is("x-kubernetes-int-or-string")),
            nullable: is("nullable"),
            preserve: is("x-kubernetes-preserve-unknown-fields"),
            embedded: is("x-kubernetes-embedded-resource"),
            list,
            holds,
            properties: properties.into(),
            additional,
            items,
            keys: strings(schema.get("x-kubernetes-list-map-keys")),
            default,
            checks: self.checks(schema),
        }
    }

    fn checks(&mut self, schema: &Map<String, Value>) -> Option<Box<Checks>> {
        let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or_default();
        let is = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let float = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |key: &str| schema.get(key).and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64)));
        let mut all = |key: &str| -> Box<[Arc<Schema>]> {
            let schemas = schema.get(key).and_then(Value::as_array).into_iter().flatten();
            schemas.map(|schema| self.compile(schema)).collect()
        };
        let (all_of, any_of, one_of) = (all("allOf"), all("anyOf"), all("oneOf"));
        let not = schema.get("not").filter(|not| not.is_object()).map(|not| self.compile(not));
        let checks = Checks {
            format: known_format(text("format")).into(),
            minimum: float("minimum"),
            maximum: float("maximum"),
            exclusive_minimum: is("exclusiveMinimum"),
            exclusive_maximum: is("exclusiveMaximum"),
            multiple_of: float("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique_items: is("uniqueItems"),
            pattern: Some(text("pattern")).filter(|text| !text.is_empty()).map(Into::into),
            values: schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default().into(),
            required: strings(schema.get("required")),
            all_of,
            any_of,
            one_of,
            not,
        };
        (!checks.is_empty()).then(|| Box::new(checks))
    }
}

impl Checks {
    fn is_empty(&self) -> bool {
        let numbers = [self.minimum, self.maximum, self.multiple_of];
        let counts = [
            self.min_length,
            self.max_length,
            self.min_items,
            self.max_items,
            self.min_properties,
            self.max_properties,
        ];
        self.format.is_empty()
            && numbers.iter().all(Option::is_none)
            && counts.iter().all(Option::is_none)
            && !self.unique_items
            && self.pattern.is_none()
            && self.values.is_empty()
            && self.required.is_empty()
            && [&self.all_of, &self.any_of, &self.one_of].iter().all(|all| all.is_empty())
            && self.not.is_none()
    }
}

/// What tells a schema from others: its own statements, and which subtrees it has.
fn signature(schema: &Map<String, Value>, made: &Schema) -> String {
    let mut key = String::new();
    // Writing into a String cannot fail.
    let mut own: Vec<(&String, &Value)> = schema.iter().filter(|(key, _)| !APART.contains(&key.as_str())).collect();
    own.sort_unstable_by_key(|(key, _)| *key);
    for (name, value) in own {
        let _ = write!(key, "{name}={value};");
    }
    for (name, schema) in &made.properties {
        let _ = write!(key, "{name:?}:{:p};", Arc::as_ptr(schema));
    }
    match &made.additional {
        Additional::Unsaid => {}
        Additional::Allowed(allowed) => drop(write!(key, "*{allowed};")),
        Additional::Of(schema) => drop(write!(key, "*{:p};", Arc::as_ptr(schema))),
    }
    if let Some(items) = &made.items {
        let _ = write!(key, "[{:p}];", Arc::as_ptr(items));
    }
    let checks = made.checks.as_ref();
    let all = |word: &str, schemas: &[Arc<Schema>], key: &mut String| {
        for schema in schemas {
            let _ = write!(key, "{word}{:p};", Arc::as_ptr(schema));
        }
    };
    if let Some(checks) = checks {
        all("&", &checks.all_of, &mut key);
        all("|", &checks.any_of, &mut key);
        all("^", &checks.one_of, &mut key);
        all("!", checks.not.as_slice(), &mut key);
    }
    key
}

fn kind(text: &str, int_or_string: bool) -> Kind {
    match text {
        _ if int_or_string => Kind::IntOrString,
        "object" => Kind::Object,
        "array" => Kind::Array,
        "string" => Kind::String,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        _ => Kind::Any,
    }
}

/// The format, if strings can be held against it. Others are notes to readers, those of numbers too.
fn known_format(format: &str) -> &str {
    if super::format::is_known(format) { format } else { "" }
}

fn strings(list: Option<&Value>) -> Box<[Box<str>]> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(Box::from).collect()
}
