//! The paths of resources and what can be done there, out of the resource table.

use api::{Resource, schema};
use serde_json::Value;

use super::document::{Document, Version};
use super::operation::{self, Operation, Parameter, options};
use super::schemas::{Kind, meta};
use crate::discovery::subresource;
use crate::strategy;

/// The names of a resource's schemas.
pub(super) struct Names {
    pub(super) object: String,
    pub(super) list: String,
}

const ONLY_JSON: &[&str] = &["application/json"];
const JSON: &[&str] = &["application/json", "application/yaml"];
const ALL: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const ALL_LIST: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOGS: &[&str] = &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const KEYS: &[&str] = &["application/jwk-set+json"];
const ANY: &[&str] = &["*/*"];
/// Strategic merge stands last: custom resources go without.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

const PRETTY: Parameter = ("pretty", "string", "Indents the answer for people.");
const DRY_RUN: Parameter = ("dryRun", "string", "With 'All' the request is carried out but for storing its outcome.");
const FIELD_MANAGER: Parameter =
    ("fieldManager", "string", "Who makes the change: at most 128 printable characters, required for apply patches.");
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: 'Ignore' them, 'Warn' about them, or refuse them with 'Strict'.",
);
const FORCE: Parameter = ("force", "boolean", "Takes fields over from other managers. For apply patches only.");
const RESOURCE_VERSION: Parameter = ("resourceVersion", "string", "Which state of the cluster to answer from.");
const SELECT: &[Parameter] = &[
    ("continue", "string", "The token of the previous page, to read the one after it."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "How many objects a page holds at most."),
    RESOURCE_VERSION,
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

/// Writes the paths of one resource, those of its subresources and of its old watches included.
pub(super) fn write(resource: &Resource, names: &Names, document: &mut Document) {
    let root = root(&resource.group, &resource.version);
    let (all, collection) = collections(&root, resource);
    let writer =
        Writer { resource, names, version: document.version, part: "", connects: false, kind: own_kind(resource) };
    if resource.is_namespaced() && resource.verbs.contains(&"list") {
        document.path(&all, &writer.item(vec![writer.list("ForAllNamespaces")], &[]));
    }
    let namespace: &[&str] = if resource.is_namespaced() { &["namespace"] } else { &[] };
    let operations = resource.verbs.iter().filter_map(|verb| match *verb {
        "list" => Some(writer.list("")),
        "create" => Some(writer.create()),
        "deletecollection" => Some(writer.delete_collection()),
        _ => None,
    });
    document.path(&collection, &writer.item(operations.collect(), namespace));
    let named = [&["name"], namespace].concat();
    let object = format!("{collection}/{{name}}");
    let operations: Vec<_> = resource.verbs.iter().filter_map(|verb| writer.on_object(verb)).collect();
    if !operations.is_empty() {
        document.path(&object, &writer.item(operations, &named));
    }
    for name in &resource.subresources {
        write_part(resource, names, name, &object, &named, document);
    }
    if resource.builtin && resource.verbs.contains(&"watch") {
        let (all, collection) = collections(&format!("{root}/watch"), resource);
        if resource.is_namespaced() {
            document.path(&all, &writer.item(vec![writer.watch("ListForAllNamespaces")], &[]));
        }
        document.path(&collection, &writer.item(vec![writer.watch("List")], namespace));
        document.path(&format!("{collection}/{{name}}"), &writer.item(vec![writer.watch("")], &named));
    }
}

/// Where a resource's objects are, those of all namespaces and those of one.
fn collections(root: &str, resource: &Resource) -> (String, String) {
    let all = format!("{root}/{}", resource.plural);
    let one = match resource.is_namespaced() {
        true => format!("{root}/namespaces/{{namespace}}/{}", resource.plural),
        false => all.clone(),
    };
    (all, one)
}

fn write_part(resource: &Resource, names: &Names, name: &str, object: &str, named: &[&str], document: &mut Document) {
    let part = subresource::describe(resource, name);
    let connects = connects(resource, name);
    let (kind, names) = match part.kind {
        None => (own_kind(resource), Names { object: names.object.clone(), list: names.list.clone() }),
        Some((group, version, kind)) => {
            let object = schema::for_kind(group, version, kind).map_or_else(String::new, schema::Message::openapi_name);
            let kind = (group.to_owned(), version.to_owned(), kind.to_owned());
            // Custom resources are scaled under their own name.
            (if resource.builtin { kind } else { own_kind(resource) }, Names { object, list: String::new() })
        }
    };
    let writer = Writer { resource, names: &names, version: document.version, part: name, connects, kind };
    let of = |verb: &&str| if *verb == "create" { Some(writer.create()) } else { writer.on_object(verb) };
    // What proxies pass on besides is no verb of anybody's role.
    let more: &[&str] = if name == "proxy" { &["head", "options"] } else { &[] };
    let operations = || part.verbs.iter().chain(more).filter_map(of);
    document.path(&format!("{object}/{name}"), &writer.item(operations().collect(), named));
    if name == "proxy" {
        let operations = operations().map(|operation| Operation { id: operation.id + "WithPath", ..operation });
        let item = writer.item(operations.collect(), &[named, &["path"]].concat());
        document.path(&format!("{object}/{name}/{{path}}"), &item);
    }
}

/// Whether requests for a subresource go to a node or a service, whatever they say. Logs are read as objects are.
pub(super) fn connects(resource: &Resource, name: &str) -> bool {
    name != "log" && subresource::is_connect(resource, name)
}

/// A path that tells what there is.
pub(super) struct Discovery<'a> {
    pub(super) path: &'a str,
    pub(super) id: &'a str,
    pub(super) tag: &'a str,
    pub(super) description: &'static str,
    /// The schema of the answer; empty for text.
    pub(super) answer: &'a str,
}

impl Discovery<'_> {
    /// Writes the path. What is no list of the API's is JSON and nothing else.
    pub(super) fn write(&self, document: &mut Document) {
        let (consumes, produces): (&[&str], &[&str]) = match self.tag {
            "WellKnown" => (&[], ONLY_JSON),
            "openid" => (&[], KEYS),
            "version" => (ONLY_JSON, ONLY_JSON),
            _ => (ALL, ALL),
        };
        let operation = Operation {
            method: "get",
            action: "",
            id: self.id.to_owned(),
            description: self.description.to_owned(),
            parameters: Vec::new(),
            body: None,
            consumes,
            produces,
            codes: &[200],
            answer: self.answer,
        };
        document.path(self.path, &operation::item(document.version, vec![operation], self.tag, None, &[]));
    }
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

impl<'a> Writer<'a> {
    /// A path: operations, and the parameters that they share.
    fn item(&self, mut operations: Vec<Operation<'a>>, in_path: &[&str]) -> Value {
        let tag = tag(&self.resource.group, &self.resource.version);
        let describe = |name: &str| match name {
            "name" => format!("name of the {}", self.kind.2),
            "namespace" => "object name and auth scope, such as for teams and projects".to_owned(),
            _ => "path to the resource".to_owned(),
        };
        let in_path: Vec<_> = in_path.iter().map(|name| (*name, describe(name))).collect();
        if !self.connects {
            operations.iter_mut().for_each(|operation| operation.parameters.push(PRETTY));
        }
        operation::item(self.version, operations, &tag, Some(&self.kind), &in_path)
    }

    fn on_object(&self, verb: &str) -> Option<Operation<'a>> {
        Some(match verb {
            _ if self.connects => self.connect(match verb {
                "get" => "get",
                "create" => "post",
                "update" => "put",
                "patch" => "patch",
                "head" => "head",
                "options" => "options",
                _ => "delete",
            }),
            "get" if self.part == "log" => Operation {
                parameters: options("core/v1.PodLogOptions"),
                produces: LOGS,
                answer: "",
                ..self.operation("get", "get", "read", "read {}the specified")
            },
            "get" => Operation {
                parameters: if self.resource.builtin { Vec::new() } else { vec![RESOURCE_VERSION] },
                ..self.operation("get", "get", "read", "read {}the specified")
            },
            "update" => Operation {
                parameters: WRITE.to_vec(),
                body: Some(self.names.object.clone()),
                codes: &[200, 201],
                ..self.operation("put", "put", "replace", "replace {}the specified")
            },
            "patch" => Operation {
                parameters: [WRITE, &[FORCE]].concat(),
                body: Some(meta("Patch")),
                consumes: if self.resource.builtin { PATCHES } else { &PATCHES[..3] },
                codes: if self.resource.builtin { &[200, 201] } else { &[200] },
                ..self.operation("patch", "patch", "patch", "partially update {}the specified")
            },
            "delete" => {
                let operation = self.operation("delete", "delete", "delete", "delete {}a");
                Operation {
                    parameters: DELETE.to_vec(),
                    body: Some(meta("DeleteOptions")),
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
            body: Some(self.names.object.clone()),
            codes: &[200, 201, 202],
            ..self.operation("post", "post", "create", "create {}a")
        }
    }

    fn list(&self, suffix: &str) -> Operation<'a> {
        let watches = self.resource.builtin && self.resource.verbs.contains(&"watch");
        let does = if watches { "list or watch objects of kind" } else { "list objects of kind" };
        let operation = self.operation("get", "list", "list", does);
        let id = self.id_of_all("list", suffix).unwrap_or(operation.id);
        let produces = if self.resource.builtin { ALL_LIST } else { JSON };
        Operation { id, parameters: [SELECT, WATCH].concat(), produces, answer: &self.names.list, ..operation }
    }

    /// A watch by its old path. Those of one object have no suffix.
    fn watch(&self, suffix: &str) -> Operation<'a> {
        let (action, does) = match suffix {
            "" => {
                ("watch", "watch changes to an object of kind {}; deprecated: list with 'watch' and a 'fieldSelector'")
            }
            _ => ("watchlist", "watch changes to objects of kind {}; deprecated: list with 'watch'"),
        };
        let operation = self.operation("get", action, "watch", "");
        Operation {
            id: self.id_of_all("watch", suffix).unwrap_or(operation.id + suffix),
            description: does.replace("{}", &self.resource.kind),
            parameters: [SELECT, WATCH].concat(),
            produces: ALL_LIST,
            answer: WATCH_EVENT,
            ..operation
        }
    }

    /// What an operation on the objects of all namespaces is called.
    fn id_of_all(&self, verb: &str, suffix: &str) -> Option<String> {
        let all = suffix.ends_with("ForAllNamespaces");
        all.then(|| format!("{verb}{}{}{suffix}", self.group_version(), self.kind.2))
    }

    fn delete_collection(&self) -> Operation<'a> {
        let id = format!("delete{}Collection{}{}", self.group_version(), self.scope(), self.kind.2);
        Operation {
            id,
            parameters: if self.resource.builtin { [DELETE, SELECT].concat() } else { [SELECT, WATCH].concat() },
            body: self.resource.builtin.then(|| meta("DeleteOptions")),
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
            description: format!("connect {} requests to {} of {}", word.to_uppercase(), self.part, self.resource.kind),
            parameters,
            produces: ANY,
            answer: "",
            ..self.operation(method, "connect", "connect", "")
        }
    }

    /// `does` stands before the kind: `{}` is the place of the subresource, and an `a` behind it the article of the kind.
    fn operation(&self, method: &'static str, action: &'static str, verb: &str, does: &str) -> Operation<'a> {
        let kind = &self.resource.kind;
        let of = if self.part.is_empty() { String::new() } else { format!("{} of ", self.part) };
        let an = if does.ends_with("}a") && kind.starts_with(['A', 'E', 'I', 'O']) { "n" } else { "" };
        Operation {
            method,
            action,
            id: format!("{verb}{}{}{kind}{}", self.group_version(), self.scope(), capital(self.part)),
            description: format!("{}{an} {kind}", does.replace("{}", &of)),
            parameters: Vec::new(),
            body: None,
            consumes: if self.resource.builtin { ANY } else { JSON },
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
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";
