//! The paths of resources and what can be done there, out of the resource table.

use api::{Resource, schema};
use serde_json::{Map, Value, json};

use super::document::{Document, Version};
use super::schemas::{Kind, kind_value, meta};
use crate::discovery::subresource;
use crate::strategy;

/// The names of a resource's schemas.
pub(super) struct Names {
    pub(super) object: String,
    pub(super) list: String,
}

const JSON: &[&str] = &["application/json", "application/yaml"];
const JSON_LIST: &[&str] = &["application/json", "application/json;stream=watch", "application/yaml"];
const ALL: &[&str] = &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
const ALL_LIST: &[&str] = &[
    "application/json",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/yaml",
];
const ANY: &[&str] = &["*/*"];
/// Strategic merge stands last: custom resources go without.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// A parameter of the query: its name, its type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const DRY_RUN: Parameter = ("dryRun", "string", "With 'All' the request is carried out but for storing its outcome.");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "Who makes the change: at most 128 printable characters, required for apply patches.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: 'Ignore' them, 'Warn' about them, or refuse them with 'Strict'.",
);
const FORCE: Parameter = ("force", "boolean", "Takes fields over from other managers. For apply patches only.");
const SELECT: &[Parameter] = &[
    ("continue", "string", "The token of the previous page, to read the one after it."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "How many objects a page holds at most."),
    ("resourceVersion", "string", "Which state of the cluster to answer from."),
    ("resourceVersionMatch", "string", "How resourceVersion is understood: 'Exact' or 'NotOlderThan'."),
    ("sendInitialEvents", "boolean", "Starts a watch with the objects there are, and a bookmark behind them."),
    ("timeoutSeconds", "integer", "How long the call may take."),
];
const WATCH: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Sends the current resourceVersion from time to time."),
    ("watch", "boolean", "Follows the changes instead of listing."),
];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds until the object is deleted; 0 deletes at once."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Deletes an object that cannot be read from the store, without what its deletion would have to wait for.",
    ),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: 'Orphan', 'Background' or 'Foreground'."),
];
const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];

/// Writes the paths of one resource, those of its subresources included.
pub(super) fn write(resource: &Resource, names: &Names, document: &mut Document) {
    let root = root(&resource.group, &resource.version);
    let all = format!("{root}/{}", resource.plural);
    let collection = match resource.is_namespaced() {
        true => format!("{root}/namespaces/{{namespace}}/{}", resource.plural),
        false => all.clone(),
    };
    let writer =
        Writer { resource, names, version: document.version, part: "", connects: false, kind: own_kind(resource) };
    if resource.is_namespaced() && resource.verbs.contains(&"list") {
        let item = writer.item([writer.list("ForAllNamespaces")], &[]);
        document.path(&all, &item);
    }
    let namespace: &[&str] = if resource.is_namespaced() { &["namespace"] } else { &[] };
    let operations = resource.verbs.iter().filter_map(|verb| match *verb {
        "list" => Some(writer.list("")),
        "create" => Some(writer.create()),
        "deletecollection" => Some(writer.delete_collection()),
        _ => None,
    });
    document.path(&collection, &writer.item(operations, namespace));
    let named = [&["name"], namespace].concat();
    let object = format!("{collection}/{{name}}");
    let item = writer.item(resource.verbs.iter().filter_map(|verb| writer.on_object(verb)), &named);
    if item.as_object().is_some_and(|item| item.len() > 1) {
        document.path(&object, &item);
    }
    for name in &resource.subresources {
        write_part(resource, names, name, &object, &named, document);
    }
}

fn write_part(resource: &Resource, names: &Names, name: &str, object: &str, named: &[&str], document: &mut Document) {
    let part = subresource::describe(resource, name);
    let connects = connects(resource, name);
    let (kind, names) = match part.kind {
        None => (own_kind(resource), Names { object: names.object.clone(), list: names.list.clone() }),
        Some((group, version, kind)) => {
            let object = schema::for_kind(group, version, kind).map_or_else(String::new, schema::Message::openapi_name);
            let kind = (group.to_owned(), version.to_owned(), kind.to_owned());
            (kind, Names { object, list: String::new() })
        }
    };
    let writer = Writer { resource, names: &names, version: document.version, part: name, connects, kind };
    let operations = part
        .verbs
        .iter()
        .filter_map(|verb| if *verb == "create" { Some(writer.create()) } else { writer.on_object(verb) });
    document.path(&format!("{object}/{name}"), &writer.item(operations, named));
    if name == "proxy" {
        let operations = part.verbs.iter().filter_map(|verb| writer.on_object(verb));
        let operations = operations.map(|operation| Operation { id: operation.id + "WithPath", ..operation });
        document.path(&format!("{object}/{name}/{{path}}"), &writer.item(operations, &[named, &["path"]].concat()));
    }
}

/// Whether requests for a subresource go to a node or a service, whatever they say. Logs are read as objects are.
pub(super) fn connects(resource: &Resource, name: &str) -> bool {
    name != "log" && subresource::is_connect(resource, name)
}

/// Writes the path of a group-version's own list of resources, or of another document of discovery.
pub(super) fn write_discovery(path: &str, id: &str, tag: &str, schema: &str, document: &mut Document) {
    let operation = Operation {
        method: "get",
        action: "",
        id: id.to_owned(),
        description: "get available resources".to_owned(),
        parameters: Vec::new(),
        body: None,
        produces: ALL,
        codes: &[200],
        answer: schema,
    };
    let item = Map::from_iter([("get".to_owned(), operation.value(document.version, tag, None))]);
    document.path(path, &item.into());
}

/// `/api/v1`, `/apis/apps/v1`.
pub(super) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// A group as operation ids spell it: `RbacAuthorization`.
pub(super) fn group_word(group: &str) -> String {
    let short = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    short.split(['.', '-']).map(capital).collect()
}

/// A group and a version as tags spell them: `rbacAuthorization_v1`.
pub(super) fn tag(group: &str, version: &str) -> String {
    let word = group_word(group);
    let (first, rest) = word.split_at(1.min(word.len()));
    format!("{}{rest}_{version}", first.to_ascii_lowercase())
}

pub(super) fn capital(word: &str) -> String {
    let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
    first.to_ascii_uppercase() + rest
}

fn own_kind(resource: &Resource) -> Kind {
    (resource.group.to_string(), resource.version.to_string(), resource.kind.to_string())
}

/// Makes the operations of a resource or a subresource.
struct Writer<'a> {
    resource: &'a Resource,
    names: &'a Names,
    version: Version,
    /// The subresource; empty for the resource itself.
    part: &'a str,
    connects: bool,
    kind: Kind,
}

/// One operation, before it is written in either version.
struct Operation<'a> {
    method: &'static str,
    action: &'static str,
    id: String,
    description: String,
    parameters: Vec<Parameter>,
    body: Option<(&'static [&'static str], String)>,
    produces: &'static [&'static str],
    codes: &'static [u16],
    /// The schema of the answer; empty for text.
    answer: &'a str,
}

impl<'a> Writer<'a> {
    /// A path: operations, and the parameters that they share.
    fn item(&self, operations: impl IntoIterator<Item = Operation<'a>>, in_path: &[&str]) -> Value {
        let tag = tag(&self.resource.group, &self.resource.version);
        let mut item = Map::new();
        for operation in operations {
            item.insert(operation.method.to_owned(), operation.value(self.version, &tag, Some(&self.kind)));
        }
        let mut parameters: Vec<Value> =
            in_path.iter().map(|name| path_parameter(self.version, name, &self.resource.kind)).collect();
        if !self.connects {
            parameters.push(query_parameter(self.version, &("pretty", "string", "Indents the answer for people.")));
        }
        item.insert("parameters".to_owned(), parameters.into());
        item.into()
    }

    fn on_object(&self, verb: &str) -> Option<Operation<'a>> {
        Some(match verb {
            _ if self.connects => self.connect(match verb {
                "get" => "get",
                "create" => "post",
                "update" => "put",
                "patch" => "patch",
                _ => "delete",
            }),
            "get" if self.part == "log" => Operation {
                parameters: options("core/v1.PodLogOptions"),
                produces: &["text/plain", "application/json", "application/yaml"],
                answer: "",
                ..self.operation("get", "get", "read", "read")
            },
            "get" => self.operation("get", "get", "read", "read"),
            "update" => Operation {
                parameters: WRITE.to_vec(),
                body: Some((ANY, self.names.object.clone())),
                codes: &[200, 201],
                ..self.operation("put", "put", "replace", "replace")
            },
            "patch" => Operation {
                parameters: [WRITE, &[FORCE]].concat(),
                body: Some((if self.resource.builtin { PATCHES } else { &PATCHES[..3] }, meta("Patch"))),
                codes: &[200, 201],
                ..self.operation("patch", "patch", "patch", "partially update")
            },
            "delete" => {
                let operation = self.operation("delete", "delete", "delete", "delete");
                Operation {
                    parameters: DELETE.to_vec(),
                    body: Some((ANY, meta("DeleteOptions"))),
                    codes: &[200, 202],
                    answer: if self.shows_what_it_deletes() { operation.answer } else { STATUS },
                    ..operation
                }
            }
            _ => return None,
        })
    }

    /// Whether a deletion is answered with the object. That namespaces are, upstream's documents do not say.
    fn shows_what_it_deletes(&self) -> bool {
        strategy::of(self.resource).returns_deleted && &*self.resource.kind != "Namespace"
    }

    fn create(&self) -> Operation<'a> {
        if self.connects {
            return self.connect("post");
        }
        Operation {
            parameters: WRITE.to_vec(),
            body: Some((ANY, self.names.object.clone())),
            codes: &[200, 201, 202],
            ..self.operation("post", "post", "create", "create")
        }
    }

    fn list(&self, suffix: &str) -> Operation<'a> {
        let operation = self.operation("get", "list", "list", "list or watch objects of");
        let id = if suffix.is_empty() {
            operation.id
        } else {
            format!("list{}{}{suffix}", self.group_version(), self.kind.2)
        };
        let produces = if self.resource.builtin { ALL_LIST } else { JSON_LIST };
        Operation { id, parameters: [SELECT, WATCH].concat(), produces, answer: &self.names.list, ..operation }
    }

    fn delete_collection(&self) -> Operation<'a> {
        let id = format!("delete{}Collection{}{}", self.group_version(), self.scope(), self.kind.2);
        Operation {
            id,
            parameters: [DELETE, SELECT].concat(),
            body: Some((ANY, meta("DeleteOptions"))),
            answer: STATUS,
            ..self.operation("delete", "deletecollection", "delete", "delete collection of")
        }
    }

    fn connect(&self, method: &'static str) -> Operation<'a> {
        let word = capital(method);
        let id = format!(
            "connect{}{word}{}{}{}",
            self.group_version(),
            self.scope(),
            self.resource.kind,
            capital(self.part)
        );
        let (group, version, kind) = &self.kind;
        let parameters = schema::for_kind(group, version, kind).map_or_else(Vec::new, |message| options(&message.name));
        Operation {
            id,
            parameters,
            produces: ANY,
            answer: "",
            ..self.operation(method, "connect", "connect", "connect requests to")
        }
    }

    fn operation(&self, method: &'static str, action: &'static str, verb: &str, does: &str) -> Operation<'a> {
        let of = if self.part.is_empty() { String::new() } else { format!("{} of ", self.part) };
        Operation {
            method,
            action,
            id: format!("{verb}{}{}{}{}", self.group_version(), self.scope(), self.resource.kind, capital(self.part)),
            description: format!("{does} {of}{}", self.resource.kind),
            parameters: Vec::new(),
            body: None,
            produces: if self.resource.builtin { ALL } else { JSON },
            codes: &[200],
            answer: &self.names.object,
        }
    }

    fn group_version(&self) -> String {
        group_word(&self.resource.group) + &capital(&self.resource.version)
    }

    fn scope(&self) -> &'static str {
        if self.resource.is_namespaced() { "Namespaced" } else { "" }
    }
}

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

impl Operation<'_> {
    fn value(&self, version: Version, tag: &str, kind: Option<&Kind>) -> Value {
        let mut value = Map::new();
        value.insert("description".into(), Value::from(&*self.description));
        value.insert("operationId".into(), Value::from(&*self.id));
        value.insert("tags".into(), json!([tag]));
        let mut parameters: Vec<Value> = self.parameters.iter().map(|p| query_parameter(version, p)).collect();
        let schema = match self.answer {
            "" => json!({ "type": "string" }),
            name => json!({ "$ref": version.reference(name) }),
        };
        let codes = self.codes.iter().map(|code| (code.to_string(), words(*code), Some(&schema)));
        let codes = codes.chain([("401".to_owned(), "Unauthorized", None)]);
        let responses: Map<String, Value> = codes
            .map(|(code, description, schema)| {
                let mut response = Map::from_iter([("description".to_owned(), Value::from(description))]);
                match (version, schema) {
                    (_, None) => {}
                    (Version::V2, Some(schema)) => drop(response.insert("schema".to_owned(), schema.clone())),
                    (Version::V3, Some(schema)) => {
                        drop(response.insert("content".to_owned(), content(self.produces, schema)))
                    }
                }
                (code, response.into())
            })
            .collect();
        match (version, &self.body) {
            (Version::V2, body) => {
                let consumes = body.as_ref().map_or(ANY, |(consumes, _)| consumes);
                value.insert("consumes".into(), json!(consumes));
                value.insert("produces".into(), json!(self.produces));
                if let Some((_, name)) = body {
                    let schema = json!({ "$ref": version.reference(name) });
                    let required = !matches!(self.method, "delete");
                    let mut body = json!({ "name": "body", "in": "body", "schema": schema });
                    if required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
            }
            (Version::V3, None) => {}
            (Version::V3, Some((consumes, name))) => {
                let mut body = json!({ "content": content(consumes, &json!({ "$ref": version.reference(name) })) });
                if self.method != "delete" {
                    body["required"] = true.into();
                }
                value.insert("requestBody".into(), body);
            }
        }
        if !parameters.is_empty() {
            value.insert("parameters".into(), parameters.into());
        }
        value.insert("responses".into(), responses.into());
        if !self.action.is_empty() {
            value.insert("x-kubernetes-action".into(), self.action.into());
        }
        if let Some(kind) = kind {
            value.insert("x-kubernetes-group-version-kind".into(), kind_value(kind));
        }
        value.into()
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

fn path_parameter(version: Version, name: &str, kind: &str) -> Value {
    let description = match name {
        "name" => format!("name of the {kind}"),
        "namespace" => "object name and auth scope, such as for teams and projects".to_owned(),
        _ => "path to the resource".to_owned(),
    };
    typed(version, "string", json!({ "name": name, "in": "path", "description": description, "required": true }))
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

/// The fields of an options message, as parameters.
fn options(message: &str) -> Vec<Parameter> {
    let fields = schema::message(message).map(|message| message.fields.iter()).into_iter().flatten();
    let fields = fields.filter(|field| !matches!(&*field.name, "kind" | "apiVersion"));
    fields
        .filter_map(|field| match &field.name {
            schema::Str::Borrowed(name) => Some((*name, simple_type(&field.ty), "")),
            schema::Str::Owned(_) => None,
        })
        .collect()
}

fn simple_type(ty: &schema::Type) -> &'static str {
    match ty.resolved() {
        schema::Type::Bool => "boolean",
        schema::Type::Int32 | schema::Type::Int64 => "integer",
        _ => "string",
    }
}
