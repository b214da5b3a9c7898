//! What makes a schema structural: every value it speaks of has a type of its own, outside of the junctors.

use serde_json::{Map, Value, json};

use crate::regexp::Expression;
use crate::tree::Tree;
use crate::validation::field::{Error, ErrorList, Path};

/// Where in a schema another one stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Complaints about an `openAPIV3Schema` that is not structural, sorted.
pub fn validate_structural(schema: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    invariants(schema, Level::Root, path, &mut errors);
    Completeness { errors: &mut errors }.junctors(schema, Some(schema), path, path);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn schema_in<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    schema.get(name).filter(|inner| inner.is_object())
}

fn invariants(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let ty = schema.text("type");
    if ty == "array" && schema.at("items").is_none() {
        errors.push(Error::required(&path.child("items"), "must be specified"));
    }
    if let Some(items) = schema_in(schema, "items") {
        invariants(items, Level::Item, &path.child("items"), errors);
    }
    for (name, field) in fields(schema) {
        invariants(field, Level::Field, &path.child("properties").key(name), errors);
    }
    if schema.at("additionalProperties").is_some() {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(Error::forbidden(&path, "must not be used at the root"));
        }
        if let Some(inner) = schema_in(schema, "additionalProperties") {
            invariants(inner, Level::Field, &path, errors);
        }
    }
    let (embedded, preserve, int_or_string) = (
        schema.truth("x-kubernetes-embedded-resource"),
        schema.truth("x-kubernetes-preserve-unknown-fields"),
        schema.truth("x-kubernetes-int-or-string"),
    );
    for (word, set) in
        [("x-kubernetes-preserve-unknown-fields", preserve), ("x-kubernetes-embedded-resource", embedded)]
    {
        if int_or_string && set {
            let why = "must be false if x-kubernetes-int-or-string is true";
            errors.push(Error::invalid(&path.child(word), true, why));
        }
    }
    let first = list(schema, "allOf").first();
    let skip = Skip {
        any_of: is_int_or_string(list(schema, "anyOf")),
        first_of_all: first.is_some_and(|first| is_int_or_string(list(first, "anyOf"))),
    };
    junctors(schema, skip, level, path, errors);
    types(schema, level, path, errors);
    if embedded && schema.at("additionalProperties").is_some() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(Error::forbidden(&path.child("additionalProperties"), why));
    }
    let has_meta = level == Level::Root || embedded;
    let property = |name: &str| schema.get("properties").and_then(|all| all.get(name));
    for name in ["kind", "apiVersion"] {
        if let Some(field) = property(name).filter(|field| has_meta && field.text("type") != "string") {
            let path = path.child("properties").key(name).child("type");
            errors.push(Error::invalid(&path, field.text("type"), "must be string"));
        }
    }
    if let Some(metadata) = property("metadata") {
        let path = path.child("properties").key("metadata");
        if has_meta && metadata.text("type") != "object" {
            errors.push(Error::invalid(&path.child("type"), metadata.text("type"), "must be object"));
        }
        if level == Level::Root && !restricts_names_only(metadata) {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(Error::forbidden(&path, why));
        }
    }
    if embedded && !preserve && fields(schema).next().is_none() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&path.child("properties"), why));
    }
}

fn types(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let (ty, path) = (schema.text("type"), path.child("type"));
    if schema.truth("x-kubernetes-embedded-resource") && ty != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if ty.is_empty() { Error::required(&path, why) } else { Error::invalid(&path, ty, why) });
    } else if ty.is_empty()
        && !schema.truth("x-kubernetes-int-or-string")
        && !schema.truth("x-kubernetes-preserve-unknown-fields")
    {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&path, why));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errors.push(Error::invalid(&path, ty, "must be object at the root"));
    }
}

/// Whether a schema of the object's own metadata says no more than what names it may have.
fn restricts_names_only(metadata: &Value) -> bool {
    let allowed = |name: &str| matches!(name, "name" | "generateName");
    metadata.as_object().into_iter().flatten().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => value.as_object().is_none_or(|fields| fields.keys().all(|name| allowed(name))),
        _ => false,
    })
}

/// The one pattern in which types may stand under a junctor.
fn is_int_or_string(any_of: &[Value]) -> bool {
    *any_of == [json!({ "type": "integer" }), json!({ "type": "string" })]
}

/// Junctors that hold the pattern above.
#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_of_all: bool,
}

fn junctors(schema: &Value, skip: Skip, level: Level, path: &Path, errors: &mut ErrorList) {
    for word in ["anyOf", "allOf", "oneOf"] {
        if word == "anyOf" && skip.any_of {
            continue;
        }
        for (at, inner) in list(schema, word).iter().enumerate() {
            let skip = Skip { any_of: word == "allOf" && at == 0 && skip.first_of_all, first_of_all: false };
            nested(inner, skip, level, &path.child(word).index(at), errors);
        }
    }
    if let Some(not) = schema_in(schema, "not") {
        nested(not, Skip::default(), level, &path.child("not"), errors);
    }
    let pattern = schema.text("pattern");
    if !pattern.is_empty()
        && let Err(error) = Expression::read(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(Error::invalid(&path.child("pattern"), pattern, why));
    }
}

/// A schema under a junctor: it may restrict values, and nothing else.
fn nested(schema: &Value, skip: Skip, level: Level, path: &Path, errors: &mut ErrorList) {
    junctors(schema, skip, level, path, errors);
    if let Some(items) = schema_in(schema, "items") {
        nested(items, Skip::default(), level, &path.child("items"), errors);
    }
    for (name, field) in fields(schema) {
        nested(field, Skip::default(), Level::Field, &path.child("properties").key(name), errors);
    }
    const EMPTY: &str = "must be empty to be structural";
    const UNDEFINED: &str = "must be undefined to be structural";
    const FALSE: &str = "must be false to be structural";
    for (word, why) in [
        ("type", EMPTY),
        ("additionalProperties", UNDEFINED),
        ("default", UNDEFINED),
        ("title", EMPTY),
        ("description", EMPTY),
        ("nullable", FALSE),
        ("x-kubernetes-preserve-unknown-fields", FALSE),
        ("x-kubernetes-embedded-resource", FALSE),
        ("x-kubernetes-int-or-string", FALSE),
        ("x-kubernetes-list-map-keys", EMPTY),
        ("x-kubernetes-list-type", UNDEFINED),
        ("x-kubernetes-map-type", UNDEFINED),
        ("x-kubernetes-validations", EMPTY),
    ] {
        let says = match schema.get(word) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(set)) => why != FALSE || *set,
            Some(Value::String(text)) => why != EMPTY || !text.is_empty(),
            Some(Value::Array(list)) => why != EMPTY || !list.is_empty(),
            Some(_) => true,
        };
        if says {
            errors.push(Error::forbidden(&path.child(word), why));
        }
    }
    if fields(schema).any(|(name, _)| name == "metadata") {
        let path = path.child("properties").key("metadata");
        errors.push(Error::forbidden(&path, "must not be specified in a nested context"));
    }
}

/// Every value that a junctor speaks of has to be described outside of it.
struct Completeness<'a> {
    errors: &'a mut ErrorList,
}

impl Completeness<'_> {
    fn junctors(&mut self, schema: &Value, structure: Option<&Value>, described: &Path, spoken: &Path) {
        if let Some(not) = schema_in(schema, "not") {
            self.nested(not, structure, described, &spoken.child("not"));
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            for (at, inner) in list(schema, word).iter().enumerate() {
                self.nested(inner, structure, described, &spoken.child(word).index(at));
            }
        }
    }

    fn nested(&mut self, schema: &Value, structure: Option<&Value>, described: &Path, spoken: &Path) {
        let Some(structure) = structure else {
            self.errors.push(Error::required(described, format!("because it is defined in {spoken}")));
            return;
        };
        self.junctors(schema, Some(structure), described, spoken);
        if let Some(items) = schema_in(schema, "items") {
            self.nested(items, schema_in(structure, "items"), &described.child("items"), &spoken.child("items"));
        }
        let empty = Map::new();
        let known = structure.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for (name, field) in fields(schema) {
            let (described, spoken) = (described.child("properties").key(name), spoken.child("properties").key(name));
            self.nested(field, known.get(name), &described, &spoken);
        }
    }
}
