//! A document of version 2 as one of version 3, for servers behind this one that know only the former. It says less than it
//! could, as upstream's does: what both versions know is taken over.

use serde_json::{Map, Value, json};

use super::contents::{COPIED, take, write_out};
use super::document::{Document, Encoding, Version};

/// What an operation is called by.
const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch"];

/// In how many media types an operation's schemas are shown.
const TYPES: usize = 32;

/// The document, or an empty one if the other does not parse.
pub(super) fn document(v2: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut theirs = serde_json::from_slice::<Value>(v2).unwrap_or_default();
    let parameters = take(&mut theirs, "parameters");
    let info = theirs.get_mut("info").map(Value::take).unwrap_or_default();
    let mut document = Document::new(Version::V3, encoding).describing(info);
    let mut room = COPIED;
    for (path, mut item) in take(&mut theirs, "paths") {
        write_out(&mut item, &parameters, &mut room);
        document.path(&path, &path_item(&item));
    }
    for (name, mut definition) in take(&mut theirs, "definitions") {
        schema(&mut definition);
        document.schema(&name, &definition);
    }
    document.finish()
}

fn path_item(theirs: &Value) -> Value {
    let mut ours = kept(theirs, &["$ref"]);
    for method in METHODS {
        if let Some(operation) = theirs.get(*method) {
            ours.insert((*method).to_owned(), self::operation(operation));
        }
    }
    add_parameters(theirs, |_| true, &mut ours);
    ours.into()
}

fn operation(theirs: &Value) -> Value {
    let mut ours = kept(theirs, &["tags", "summary", "description", "externalDocs", "operationId", "deprecated"]);
    let is_body = |parameter: &Value| parameter["name"] == "body" && parameter.get("schema").is_some();
    add_parameters(theirs, |parameter| !is_body(parameter), &mut ours);
    if let Some(body) = items(theirs, "parameters").find(|parameter| is_body(parameter)) {
        ours.insert("requestBody".to_owned(), with_content(Map::new(), &body["schema"], theirs, "consumes"));
    }
    let mut responses = kept(&theirs["responses"], &[]);
    for (code, response) in theirs["responses"].as_object().into_iter().flatten() {
        if !code.starts_with("x-") {
            let described = kept(response, &["description"]);
            responses.insert(code.clone(), with_content(described, &response["schema"], theirs, "produces"));
        }
    }
    ours.insert("responses".to_owned(), responses.into());
    ours.into()
}

/// Adds the content that a schema is of, in each of the media types that an operation names.
fn with_content(mut part: Map<String, Value>, schema: &Value, operation: &Value, types: &str) -> Value {
    if schema.is_null() || operation.get(types).is_none() {
        return part.into();
    }
    let mut schema = schema.clone();
    self::schema(&mut schema);
    let types = items(operation, types).filter_map(Value::as_str).take(TYPES);
    let content: Map<String, Value> = types.map(|name| (name.to_owned(), json!({ "schema": schema }))).collect();
    part.insert("content".to_owned(), content.into());
    part.into()
}

fn add_parameters(theirs: &Value, which: impl Fn(&Value) -> bool, ours: &mut Map<String, Value>) {
    let parameters: Vec<Value> = items(theirs, "parameters").filter(|one| which(one)).map(parameter).collect();
    if !parameters.is_empty() {
        ours.insert("parameters".to_owned(), parameters.into());
    }
}

/// A parameter says of itself what here a schema says of it.
fn parameter(theirs: &Value) -> Value {
    let mut ours = kept(theirs, &["name", "in", "description", "required", "allowEmptyValue"]);
    let mut about = match theirs.get("schema") {
        Some(schema) => schema.clone(),
        None => kept(theirs, &["type", "format", "uniqueItems"]).into(),
    };
    if theirs.get("schema").is_some() {
        schema(&mut about);
    } else if let Value::Object(about) = &mut about {
        about.retain(|name, _| !name.starts_with("x-"));
    }
    ours.insert("schema".to_owned(), about);
    ours.into()
}

/// References lead elsewhere, and nothing stands beside them.
fn schema(part: &mut Value) {
    let Value::Object(members) = part else { return };
    for (name, member) in members.iter_mut() {
        match (name.as_str(), member) {
            ("properties", Value::Object(each)) => each.values_mut().for_each(schema),
            ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(each)) => each.iter_mut().for_each(schema),
            ("items" | "additionalProperties" | "additionalItems" | "not", one) => schema(one),
            ("$ref", Value::String(reference)) => {
                *reference = reference.replacen("#/definitions/", "#/components/schemas/", 1);
            }
            _ => {}
        }
    }
    if members.len() > 1
        && let Some(reference) = members.shift_remove("$ref")
    {
        members.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
}

/// These members, and extensions.
fn kept(theirs: &Value, names: &[&str]) -> Map<String, Value> {
    let members = theirs.as_object().into_iter().flatten();
    let kept = members.filter(|(name, _)| names.contains(&name.as_str()) || name.starts_with("x-"));
    kept.map(|(name, member)| (name.clone(), member.clone())).collect()
}

fn items<'a>(part: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    part.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(v2: &Value) -> Value {
        serde_json::from_slice(&document(v2.to_string().as_bytes(), Encoding::Json)).unwrap()
    }

    #[test]
    fn references_lead_to_components() {
        let check = |theirs: Value, expect: Value| {
            let made = made(&json!({ "definitions": { "a.B": theirs } }));
            assert_eq!(made["components"]["schemas"]["a.B"], expect);
        };
        let (old, new) = (json!({ "$ref": "#/definitions/a.C" }), json!({ "$ref": "#/components/schemas/a.C" }));
        check(json!({ "type": "object" }), json!({ "type": "object" }));
        check(json!({ "items": old, "type": "array" }), json!({ "items": new, "type": "array" }));
        check(json!({ "properties": { "$ref": old } }), json!({ "properties": { "$ref": new } }));
        check(json!({ "additionalProperties": old }), json!({ "additionalProperties": new }));
        check(json!({ "additionalProperties": true }), json!({ "additionalProperties": true }));
        check(
            json!({ "properties": { "c": { "$ref": "#/definitions/a.C", "description": "d" } } }),
            json!({ "properties": { "c": { "description": "d", "allOf": [new] } } }),
        );
    }

    #[test]
    fn operations_say_what_goes_in_and_what_comes_out() {
        let thing = json!({ "$ref": "#/definitions/a.B" });
        let ours = json!({ "schema": { "$ref": "#/components/schemas/a.B" } });
        let v2 = json!({
            "swagger": "2.0", "info": { "title": "Theirs", "version": "v7" },
            "parameters": { "limit-1": { "name": "limit", "in": "query", "type": "integer" } },
            "paths": { "/apis/g/v1/things": {
                "parameters": [{ "$ref": "#/parameters/limit-1" }],
                "post": {
                    "operationId": "createThing", "x-kubernetes-action": "post", "schemes": ["https"],
                    "consumes": ["*/*"], "produces": ["application/json", "application/yaml"],
                    "parameters": [
                        { "name": "body", "in": "body", "required": true, "schema": thing },
                        { "name": "p", "in": "query", "type": "string", "uniqueItems": true, "x-y": 1 },
                    ],
                    "responses": { "201": { "description": "Created", "schema": thing }, "401": { "description": "No" } },
                },
            }},
        });
        let made = made(&v2);
        assert_eq!(made["openapi"], "3.0.0");
        assert_eq!(made["info"], v2["info"]);
        let expect = json!({
            "parameters": [{ "name": "limit", "in": "query", "schema": { "type": "integer" } }],
            "post": {
                "operationId": "createThing", "x-kubernetes-action": "post",
                "requestBody": { "content": { "*/*": ours } },
                "parameters": [
                    { "name": "p", "in": "query", "x-y": 1, "schema": { "type": "string", "uniqueItems": true } },
                ],
                "responses": {
                    "201": { "description": "Created", "content": { "application/json": ours, "application/yaml": ours } },
                    "401": { "description": "No" },
                },
            },
        });
        assert_eq!(made["paths"]["/apis/g/v1/things"], expect);
    }

    #[test]
    fn what_is_no_document_makes_an_empty_one() {
        for v2 in ["", "[]", r#"{"paths":[],"definitions":1}"#, r#"{"paths":{"/x":1},"definitions":{"y":2}}"#] {
            let made: Value = serde_json::from_slice(&document(v2.as_bytes(), Encoding::Json)).unwrap();
            assert_eq!(made["openapi"], "3.0.0", "{v2}");
            document(v2.as_bytes(), Encoding::Protobuf);
        }
    }
}
