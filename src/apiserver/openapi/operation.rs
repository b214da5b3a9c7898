//! One operation of a path, and how it is written in either version.

use std::collections::BTreeMap;

use api::schema;
use serde_json::{Map, Value, json};

use super::document::Version;
use super::schemas::{Kind, kind_value};

/// A parameter of the query: its name, its type, what it does.
pub(super) type Parameter = (&'static str, &'static str, &'static str);

/// One operation, before it is written in either version.
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    /// Empty for discovery.
    pub(super) action: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) parameters: Vec<Parameter>,
    /// The schema of the body.
    pub(super) body: Option<String>,
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    pub(super) codes: &'static [u16],
    /// The schema of the answer; empty for text.
    pub(super) answer: &'a str,
}

/// A path: operations, and the parameters that they share. `in_path` are those of the path, with what they are.
pub(super) fn item(
    version: Version,
    mut operations: Vec<Operation<'_>>,
    tag: &str,
    kind: Option<&Kind>,
    in_path: &[(&str, String)],
) -> Value {
    let shared: Vec<Parameter> = match operations.split_first() {
        None => Vec::new(),
        Some((first, others)) => {
            let everywhere = |parameter: &&Parameter| others.iter().all(|other| other.parameters.contains(parameter));
            first.parameters.iter().filter(everywhere).copied().collect()
        }
    };
    for operation in &mut operations {
        operation.parameters.retain(|parameter| !shared.contains(parameter));
    }
    let mut item: Map<String, Value> =
        operations.iter().map(|operation| (operation.method.to_owned(), operation.value(version, tag, kind))).collect();
    let in_path = in_path.iter().map(|(name, what)| ((*name, "path"), path_parameter(version, name, what)));
    let in_query = shared.iter().map(|parameter| ((parameter.0, "query"), query_parameter(version, parameter)));
    let parameters: BTreeMap<(&str, &str), Value> = in_path.chain(in_query).collect();
    if !parameters.is_empty() {
        item.insert("parameters".to_owned(), parameters.into_values().collect());
    }
    item.into()
}

impl Operation<'_> {
    fn value(&self, version: Version, tag: &str, kind: Option<&Kind>) -> Value {
        let mut value = Map::new();
        value.insert("description".into(), Value::from(&*self.description));
        value.insert("operationId".into(), Value::from(&*self.id));
        value.insert("tags".into(), json!([tag]));
        let mut parameters: Vec<Value> = self.parameters.iter().map(|p| query_parameter(version, p)).collect();
        let is_required = self.method != "delete";
        match (version, &self.body) {
            (Version::V2, body) => {
                if !self.consumes.is_empty() {
                    value.insert("consumes".into(), json!(self.consumes));
                }
                value.insert("produces".into(), json!(self.produces));
                value.insert("schemes".into(), json!(["https"]));
                if let Some(name) = body {
                    let schema = json!({ "$ref": version.reference(name) });
                    let mut body = json!({ "name": "body", "in": "body", "schema": schema });
                    if is_required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
            }
            (Version::V3, None) => {}
            (Version::V3, Some(name)) => {
                let schema = json!({ "$ref": version.reference(name) });
                let mut body = json!({ "content": content(self.consumes, &schema) });
                if is_required {
                    body["required"] = true.into();
                }
                value.insert("requestBody".into(), body);
            }
        }
        if !parameters.is_empty() {
            value.insert("parameters".into(), parameters.into());
        }
        value.insert("responses".into(), self.responses(version));
        if !self.action.is_empty() {
            value.insert("x-kubernetes-action".into(), self.action.into());
        }
        if let Some(kind) = kind {
            value.insert("x-kubernetes-group-version-kind".into(), kind_value(kind));
        }
        value.into()
    }

    fn responses(&self, version: Version) -> Value {
        let schema = match self.answer {
            "" => json!({ "type": "string" }),
            name => json!({ "$ref": version.reference(name) }),
        };
        let codes = self.codes.iter().map(|code| (code.to_string(), words(*code), Some(&schema)));
        let codes = codes.chain([("401".to_owned(), "Unauthorized", None)]);
        let response = |(code, description, schema): (String, &str, Option<&Value>)| {
            let mut response = Map::from_iter([("description".to_owned(), Value::from(description))]);
            match (version, schema) {
                (_, None) => {}
                (Version::V2, Some(schema)) => drop(response.insert("schema".to_owned(), schema.clone())),
                (Version::V3, Some(schema)) => {
                    drop(response.insert("content".to_owned(), content(self.produces, schema)));
                }
            }
            (code, Value::from(response))
        };
        codes.map(response).collect::<Map<_, _>>().into()
    }
}

fn content(types: &[&str], schema: &Value) -> Value {
    let entry = json!({ "schema": schema });
    types.iter().map(|media_type| ((*media_type).to_owned(), entry.clone())).collect::<Map<_, _>>().into()
}

fn words(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        _ => "Accepted",
    }
}

fn query_parameter(version: Version, (name, ty, description): &Parameter) -> Value {
    let mut parameter = json!({ "name": name, "in": "query" });
    if !description.is_empty() {
        parameter["description"] = (*description).into();
    }
    typed(version, ty, parameter)
}

fn path_parameter(version: Version, name: &str, what: &str) -> Value {
    typed(version, "string", json!({ "name": name, "in": "path", "description": what, "required": true }))
}

fn typed(version: Version, ty: &str, mut parameter: Value) -> Value {
    match version {
        Version::V2 => {
            parameter["type"] = ty.into();
            parameter["uniqueItems"] = true.into();
        }
        Version::V3 => parameter["schema"] = json!({ "type": ty, "uniqueItems": true }),
    }
    parameter
}

/// The fields of an options message, as parameters. Times are understood, too, but upstream's documents do not name them.
pub(super) fn options(message: &str) -> Vec<Parameter> {
    let fields = schema::message(message).map(|message| message.fields.iter()).into_iter().flatten();
    let is_named = |field: &&schema::Field| !matches!(field.ty.resolved(), schema::Type::Time);
    let fields = fields.filter(|field| !matches!(&*field.name, "kind" | "apiVersion")).filter(is_named);
    fields
        .filter_map(|field| match &field.name {
            schema::Str::Borrowed(name) => Some((*name, simple_type(&field.ty), "")),
            schema::Str::Owned(_) => None,
        })
        .collect()
}

/// A parameter that may be there several times has the type of each.
fn simple_type(ty: &schema::Type) -> &'static str {
    match ty.resolved() {
        schema::Type::Bool => "boolean",
        schema::Type::Int32 | schema::Type::Int64 => "integer",
        schema::Type::List(element) => simple_type(element),
        _ => "string",
    }
}
