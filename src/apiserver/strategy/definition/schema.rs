//! The schema of a version: what it may say, and what makes it structural.

use std::collections::HashSet;

use api::custom::{is_known_format, validate_structural};
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::{defaults, rules, shown};
use crate::tree::Tree;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What the root may say where status is a subresource, by JSON name and as messages name it.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Complaints about a schema. What a rule costs is let pass where the schema is `unchanged`.
pub(super) fn validate(schema: &Value, status: bool, unchanged: bool, path: &Path, errors: &mut ErrorList) {
    let mut found = ErrorList::new();
    if status {
        root_with_status(schema, path, &mut found);
    }
    if schema.truth("nullable") {
        found.push(Error::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let unreadable = unreadable(schema);
    let mut whole = ErrorList::new();
    if unreadable.is_none() {
        whole.extend(validate_structural(schema, path));
        if whole.is_empty() {
            defaults::validate(schema, true, path, &mut whole);
        }
    }
    let understood = unreadable.is_none() && whole.is_empty();
    found.extend(whole);
    let mut wrong = HashSet::new();
    Walk { no_defaults: None, in_meta: false, root: true }.schema(schema, path, &mut wrong, &mut found);
    // Mostly that was said already, in other words.
    if let Some(why) = unreadable.filter(|_| found.is_empty()) {
        found.push(Error::invalid(path, "", why));
    }
    // Of what is no schema, expressions cannot be understood.
    if understood {
        rules::expressions(schema, unchanged, path, &wrong, &mut found);
    }
    errors.extend(found);
}

/// Why a schema cannot be made a structural one at all.
pub(super) fn unreadable(schema: &Value) -> Option<String> {
    let says = |name: &str| match schema.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    let names = [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("definitions", "definitions"),
    ];
    let unsupported = names.iter().find(|(name, _)| says(name)).map(|(_, shown)| *shown);
    let unsupported = unsupported.or_else(|| schema.at("additionalItems").map(|_| "additionalItems"));
    if let Some(name) = unsupported {
        return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
    }
    if schema.at("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".into());
    }
    if schema.at("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".into());
    }
    inner(schema).find_map(unreadable)
}

fn root_with_status(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let ty = schema.text("type");
    if !ty.is_empty() && ty != "object" {
        let why =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(Error::invalid(&path.child("type"), ty, why));
        return;
    }
    let allowed = |name: &str| AT_ROOT.iter().any(|(known, _)| *known == name);
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    if schema.as_object().into_iter().flatten().any(|(name, value)| says(value) && !allowed(name)) {
        let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        errors.push(Error::invalid(path, shown::schema(schema), why));
    }
}

/// What holds for a schema because of where it stands.
#[derive(Clone, Copy)]
struct Walk {
    /// Why it may have no default.
    no_defaults: Option<&'static str>,
    /// Whether it speaks of the type or metadata of an object.
    in_meta: bool,
    /// Whether it is that of the object itself.
    root: bool,
}

impl Walk {
    /// Complaints about a schema and those inside it. Which of them are `wrong`, or have such inside, is noted.
    fn schema(self, schema: &Value, path: &Path, wrong: &mut HashSet<String>, errors: &mut ErrorList) {
        let before = errors.len();
        self.own(schema, path, errors);
        let inner = Walk { root: false, ..self };
        let object = |name: &str| schema.get(name).filter(|inner| inner.is_object());
        if let Some(additional) = object("additionalProperties") {
            let reason = "inside additionalProperties applying to object metadata";
            let inside = if self.in_meta { Walk { no_defaults: Some(reason), ..inner } } else { inner };
            inside.schema(additional, &path.child("additionalProperties"), wrong, errors);
        }
        let has_meta = self.root || schema.truth("x-kubernetes-embedded-resource");
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let mut inside = inner;
            if has_meta && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                inside.in_meta = true;
                if self.root {
                    inside.no_defaults = Some(match name.as_str() {
                        "metadata" => "in top-level metadata",
                        "kind" => "in top-level kind",
                        _ => "in top-level apiVersion",
                    });
                }
            }
            inside.schema(field, &path.child("properties").key(name), wrong, errors);
        }
        for name in ["not", "items"] {
            if let Some(schema) = object(name) {
                inner.schema(schema, &path.child(name), wrong, errors);
            }
        }
        // Of what is forbidden the inside is looked at all the same.
        for name in ["definitions", "dependencies"] {
            let schemas = schema.get(name).and_then(Value::as_object).into_iter().flatten();
            for (key, schema) in schemas.filter(|(_, schema)| schema.is_object()) {
                inner.schema(schema, &path.child(name).key(key), wrong, errors);
            }
        }
        for name in ["allOf", "oneOf", "anyOf", "items"] {
            for (at, schema) in schema.get(name).and_then(Value::as_array).into_iter().flatten().enumerate() {
                inner.schema(schema, &path.child(name).index(at), wrong, errors);
            }
        }
        lists_and_maps(schema, path, errors);
        if errors.len() > before {
            wrong.insert(path.as_str().to_owned());
        }
    }

    fn own(self, schema: &Value, path: &Path, errors: &mut ErrorList) {
        let ty = schema.text("type");
        if !ty.is_empty() && !TYPES.contains(&ty) {
            errors.push(Error::not_supported(&path.child("type"), ty, &TYPES));
        }
        if let Some(reason) = self.no_defaults.filter(|_| schema.at("default").is_some()) {
            errors.push(Error::forbidden(&path.child("default"), format!("must not be set {reason}")));
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            let says = match schema.at(name) {
                None => false,
                Some(Value::Object(map)) => !map.is_empty() || matches!(name, "additionalItems" | "dependencies"),
                Some(Value::String(text)) => !text.is_empty() || name == "$ref",
                Some(_) => true,
            };
            if says {
                errors.push(Error::forbidden(&path.child(name), format!("{name} is not supported")));
            }
        }
        if ty == "null" {
            let why = "type cannot be set to null, use nullable as an alternative";
            errors.push(Error::forbidden(&path.child("type"), why));
        }
        if schema.get("items").is_some_and(Value::is_array) {
            errors.push(Error::forbidden(&path.child("items"), "items must be a schema object and not an array"));
        }
        if self.in_meta && schema.truth("x-kubernetes-embedded-resource") {
            let path = path.child("x-kubernetes-embedded-resource");
            errors.push(Error::forbidden(&path, "must not be used inside of resource meta"));
        }
        if schema.truth("uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            errors.push(Error::forbidden(&path.child("uniqueItems"), why));
        }
        if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let path = path.child("x-kubernetes-preserve-unknown-fields");
            errors.push(Error::invalid(&path, false, "must be true or undefined"));
        }
        rules::words(schema, path, errors);
        if has_fields(schema) && schema.at("additionalProperties").is_some_and(|inner| *inner != Value::Bool(true)) {
            let path = path.child("additionalProperties");
            errors.push(Error::forbidden(&path, "additionalProperties and properties are mutual exclusive"));
        }
    }
}

fn has_fields(schema: &Value) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
}

fn lists_and_maps(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let (ty, list) = (schema.text("type"), schema.text("x-kubernetes-list-type"));
    let listed = schema.at("x-kubernetes-list-type").is_some();
    let map = schema.at("x-kubernetes-map-type").and_then(Value::as_str);
    let typed = |wanted: &str, word: &str, errors: &mut ErrorList| {
        let why = format!("must be {wanted} if {word} is specified");
        let path = path.child("type");
        errors.push(if ty.is_empty() { Error::required(&path, why) } else { Error::invalid(&path, ty, why) });
    };
    if map.is_some() && ty != "object" {
        typed("object", "x-kubernetes-map-type", errors);
    }
    if let Some(map) = map.filter(|map| !matches!(*map, "atomic" | "granular")) {
        errors.push(Error::not_supported(&path.child("x-kubernetes-map-type"), map, &["atomic", "granular"]));
    }
    let items = schema.get("items").filter(|items| items.is_object());
    if listed && ty != "array" {
        typed("array", "x-kubernetes-list-type", errors);
    } else if let Some(items) = items.filter(|_| list == "set") {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let path = path.child("items");
        let inner = items.text("x-kubernetes-list-type");
        match items.text("type") {
            "array" if !matches!(inner, "" | "atomic") => {
                errors.push(Error::invalid(&path.child("x-kubernetes-list-type"), inner, why));
            }
            "object" if items.text("x-kubernetes-map-type") != "atomic" => {
                let value = items.at("x-kubernetes-list-type").cloned().unwrap_or_default();
                errors.push(Error::invalid(&path.child("x-kubernetes-map-type"), value, why));
            }
            _ => {}
        }
    }
    if listed && !matches!(list, "atomic" | "set" | "map") {
        errors.push(Error::not_supported(&path.child("x-kubernetes-list-type"), list, &["atomic", "set", "map"]));
    }
    let keys = schema.items("x-kubernetes-list-map-keys");
    if !keys.is_empty() && list != "map" {
        let (path, why) =
            (path.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
        errors.push(if listed { Error::invalid(&path, list, why) } else { Error::required(&path, why) });
    }
    if list == "map" {
        keyed(schema, items, keys, path, errors);
    }
    if let Some(items) = items.filter(|_| matches!(list, "set" | "map")) {
        elements(items, list, keys, &path.child("items"), errors);
    }
}

/// How many keys a list may have and hear of each of them that is wrong, and not of the first alone.
const KEYS_SHOWN: usize = 100;

/// What is asked of a list whose elements have keys.
fn keyed(schema: &Value, items: Option<&Value>, keys: &[Value], path: &Path, errors: &mut ErrorList) {
    let at_keys = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(Error::required(&at_keys, "must not be empty if x-kubernetes-list-type is map"));
    }
    if schema.at("items").is_none() {
        errors.push(Error::required(&path.child("items"), "must have a schema if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else { return };
    let path = path.child("items");
    if items.text("type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(&path.child("type"), items.text("type"), why));
        return;
    }
    let mut seen = HashSet::new();
    for key in keys {
        let name = key.as_str().unwrap_or_default();
        let known = errors.len();
        match items.get("properties").and_then(|fields| fields.get(name)) {
            None => {
                let why = "entries must all be names of item properties";
                errors.push(Error::invalid(&at_keys, keys.to_vec(), why));
            }
            Some(field) if matches!(field.text("type"), "array" | "object") => {
                let path = path.child("properties").key(name).child("type");
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&path, items.text("type"), why));
            }
            Some(_) => {}
        }
        if !seen.insert(key) {
            errors.push(Error::invalid(&at_keys, keys.to_vec(), "must not contain duplicate entries"));
        }
        // Such a complaint shows all keys: many of many keys would be more than there is memory.
        if errors.len() > known && keys.len() > KEYS_SHOWN {
            return;
        }
    }
}

/// What is asked of the elements of sets and maps: there is always something to tell them apart by.
fn elements(items: &Value, list: &str, keys: &[Value], path: &Path, errors: &mut ErrorList) {
    if items.truth("nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        errors.push(Error::forbidden(&path.child("nullable"), why));
    }
    for name in keys.iter().filter(|_| list == "map").filter_map(Value::as_str) {
        let Some(field) = items.get("properties").and_then(|fields| fields.get(name)) else { continue };
        let path = path.child("properties").key(name);
        if !items.items("required").iter().any(|required| required == name) && field.at("default").is_none() {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(&path.child("default"), why));
        }
        if field.truth("nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(&path.child("nullable"), why));
        }
    }
}

/// The schema at a path, `.spec.name` or (if `brackets` may be used) `.spec['name']`, and the path as complaints name it; or
/// why there is none.
pub(crate) fn field_path<'s>(schema: &'s Value, path: &str, brackets: bool) -> Result<(&'s Value, String), String> {
    const END: &str = "unexpected end of JSON path";
    let (mut found, mut rest, mut named) = (schema, path, String::new());
    while !rest.is_empty() {
        let name = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            let name = &after[..end];
            rest = &after[end..];
            match after.chars().next() {
                None => return Err(END.into()),
                // No field has such a name.
                Some(_) if name.is_empty() => return Err("does not refer to a valid field".into()),
                Some(_) => name,
            }
        } else if let Some(after) = rest.strip_prefix('[') {
            if !brackets {
                return Err("array notation is not allowed".into());
            }
            let quoted = after.strip_prefix('\'').ok_or("expected single quoted string")?;
            let (name, after) = quoted.split_once("']").ok_or(END)?;
            rest = after;
            name
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            return Err(format!("expected [ or . but got: {}", &rest[..end]));
        };
        let fields =
            found.get("properties").filter(|fields| fields.as_object().is_some_and(|fields| !fields.is_empty()));
        let inner = match fields {
            Some(fields) => fields.get(name),
            None => found.get("additionalProperties").filter(|additional| additional.is_object()),
        };
        found = inner.ok_or("does not refer to a valid field")?;
        match fields {
            None => named.extend(["[", name, "]"]),
            Some(_) if named.is_empty() => named.push_str(name),
            Some(_) => named.extend([".", name]),
        }
    }
    Ok((found, named))
}

/// Whether a schema of the definition has a default somewhere.
pub(super) fn any_defaults(definition: &Value) -> bool {
    fn has(schema: &Value) -> bool {
        schema.at("default").is_some() || inner(schema).any(has)
    }
    definition.items("spec.versions").iter().filter_map(|version| version.at("schema.openAPIV3Schema")).any(has)
}

/// The schemas inside a schema.
pub(super) fn inner(schema: &Value) -> impl Iterator<Item = &Value> {
    let one = ["items", "additionalProperties", "not"].into_iter().filter_map(|name| schema.get(name));
    let listed = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    let named = schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(_, schema)| schema);
    one.chain(listed).chain(named).filter(|schema| schema.is_object())
}

/// Warnings about formats that nothing is held against.
pub(super) fn warnings(definition: &Value) -> Vec<String> {
    let mut formats = Vec::new();
    for version in definition.items("spec.versions") {
        if let Some(schema) = version.at("schema.openAPIV3Schema") {
            collect_formats(schema, &mut formats);
        }
    }
    formats
}

fn collect_formats(schema: &Value, warnings: &mut Vec<String>) {
    let format = schema.text("format");
    if schema.text("type") == "string" && !format.is_empty() && !is_known_format(format) {
        let warning = format!("unrecognized format {}", api::quote::quote(format));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    inner(schema).for_each(|inner| collect_formats(inner, warnings));
}
