//! Which documents there are, and what stands in each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Resource, schema};
use serde_json::{Map, Value, json};

use super::OtherDocuments;
use super::custom::{CustomResource, Published};
use super::descriptions::Descriptions;
use super::digest::digest;
use super::document::{Document, Encoding, Version};
use super::paths::{self, Discovery, Names, group_word, tag};
use super::schemas::{Kinds, Types, meta};
use crate::discovery::subresource;

/// What documents need for what can be done: a verb, and the messages that it takes and gives.
const BY_VERB: &[(&str, &[&str])] = &[
    ("delete", &["meta/v1.DeleteOptions", "meta/v1.Status"]),
    ("deletecollection", &["meta/v1.DeleteOptions", "meta/v1.Status"]),
    ("watch", &["meta/v1.WatchEvent"]),
];
/// How many bytes of what is referred to are written out in others' documents.
pub(super) const COPIED: usize = 16 << 20;
const VERSION_INFO: &str = "io.k8s.apimachinery.pkg.version.Info";

/// The kinds that documents are about.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) builtin: &'a [Arc<Resource>],
    pub(super) custom: &'a Published,
}

/// The names of the documents of version 3, below `/openapi/v3/`.
pub(super) fn names(served: Served<'_>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        [".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"].map(str::to_owned).into();
    for (group, version) in group_versions(served) {
        names.insert(paths::root(&group, &version).trim_start_matches('/').to_owned());
        // What there is of a group of custom kinds is told by no document.
        if !group.is_empty() && served.builtin.iter().any(|row| *row.group == *group) {
            names.insert(format!("apis/{group}"));
        }
    }
    names
}

/// What tells a state of a document from others, if it holds custom resources alone: making it to see would take long.
pub(super) fn only_custom(name: &str, served: Served<'_>) -> Option<String> {
    let (group, version) = name.strip_prefix("apis/")?.split_once('/')?;
    if is_built_in(served, group, version) {
        return None;
    }
    let fingerprints: String = served.custom.of(group, version).iter().map(CustomResource::fingerprint).collect();
    Some(format!("{} {fingerprints}", env!("CARGO_PKG_VERSION")))
}

fn is_built_in(served: Served<'_>, group: &str, version: &str) -> bool {
    served.builtin.iter().any(|row| &*row.group == group && &*row.version == version)
}

/// One document of version 3. The name must be one of [`names`].
pub(super) fn document(name: &str, served: Served<'_>, encoding: Encoding) -> Vec<u8> {
    let mut document = Document::new(Version::V3, encoding);
    if only_custom(name, served).is_some() {
        document = document.of_custom_kinds();
    }
    write(name, served, &mut BTreeSet::new(), &mut document);
    document.finish()
}

/// The one document of version 2.
pub(super) fn whole(served: Served<'_>, others: &[Arc<OtherDocuments>], encoding: Encoding) -> Vec<u8> {
    let mut document = Document::new(Version::V2, encoding);
    if !others.is_empty() {
        document = document.remembering();
    }
    let mut written = BTreeSet::new();
    for name in names(served) {
        write(&name, served, &mut written, &mut document);
    }
    for other in others {
        merge(other, &mut written, &mut document);
    }
    document.finish()
}

/// Adds what another server says of its group and version, and the schemas that are not only for others of its paths. A schema that says something else
/// than the one of its name that is there already gets another name, as upstream has it.
fn merge(other: &OtherDocuments, written: &mut BTreeSet<String>, document: &mut Document) {
    let Some(mut theirs) = other.v2.as_ref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok()) else {
        return;
    };
    let root = format!("{}/", paths::root(&other.group, &other.version));
    let mut paths = take(&mut theirs, "paths");
    let mut definitions = take(&mut theirs, "definitions");
    let for_any: BTreeSet<String> = reached(paths.values(), &definitions).into_iter().map(str::to_owned).collect();
    paths.retain(|path, _| path.starts_with(&root));
    let parameters = take(&mut theirs, "parameters");
    let mut room = COPIED;
    paths.values_mut().for_each(|item| write_out(item, &parameters, &mut room));
    let mut needed = reached(paths.values(), &definitions);
    // What nothing leads to is for whoever reads it.
    needed.extend(definitions.keys().map(String::as_str).filter(|name| !for_any.contains(*name)));
    let named = |name: &str| Some((name.to_owned(), other_name(name, &definitions[name], &definitions, document)?));
    let names: BTreeMap<String, String> = needed.iter().filter_map(|name| named(name)).collect();
    let needed: Vec<String> = needed.into_iter().map(str::to_owned).collect();
    for (path, mut item) in paths {
        rename(&mut item, &names);
        document.path(&path, &item);
    }
    for name in needed {
        let Some(mut schema) = definitions.shift_remove(&name) else { continue };
        rename(&mut schema, &names);
        let name = names.get(&name).cloned().unwrap_or(name);
        if written.insert(name.clone()) {
            document.schema(&name, &schema);
        }
    }
}

/// The schemas that paths lead to, directly and by others.
fn reached<'a>(paths: impl Iterator<Item = &'a Value>, definitions: &'a Map<String, Value>) -> BTreeSet<&'a str> {
    let (mut next, mut found) = (Vec::new(), BTreeSet::new());
    paths.for_each(|item| references(item, &mut next));
    while let Some(name) = next.pop() {
        let Some((name, schema)) = definitions.get_key_value(name) else { continue };
        if found.insert(name.as_str()) {
            references(schema, &mut next);
        }
    }
    found
}

pub(super) fn take(document: &mut Value, member: &str) -> Map<String, Value> {
    match document.get_mut(member).map(Value::take) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// The name under which a schema goes in, if its own is taken by one that says something else.
fn other_name(name: &str, schema: &Value, theirs: &Map<String, Value>, document: &Document) -> Option<String> {
    let said = digest(schema);
    document.said(name).filter(|known| *known != said)?;
    (2..).map(|number| format!("{name}_v{number}")).find(|other| match document.said(other) {
        Some(known) => known == said,
        None => !theirs.contains_key(other),
    })
}

/// Gives references their schemas' other names.
fn rename(part: &mut Value, names: &BTreeMap<String, String>) {
    match part {
        _ if names.is_empty() => {}
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/definitions/").and_then(|name| names.get(name))
            {
                *reference = format!("#/definitions/{name}");
            }
            members.values_mut().for_each(|member| rename(member, names));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, names)),
        _ => {}
    }
}

/// Writes out the parameters that a path of theirs refers to: documents here have none to refer to.
pub(super) fn write_out(part: &mut Value, parameters: &Map<String, Value>, room: &mut usize) {
    let named = part.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix("#/parameters/"));
    if let Some(parameter) = named.filter(|_| *room > 0).and_then(|name| parameters.get(name)) {
        // A few bytes refer to as much as there is.
        *room = room.saturating_sub(parameter.to_string().len());
        if *room > 0 {
            *part = parameter.clone();
        }
        return;
    }
    match part {
        Value::Object(members) => members.values_mut().for_each(|member| write_out(member, parameters, room)),
        Value::Array(elements) => elements.iter_mut().for_each(|element| write_out(element, parameters, room)),
        _ => {}
    }
}

/// The schemas that a part of a document of version 2 names.
fn references<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    match part {
        Value::Object(members) => {
            let named = members.get("$ref").and_then(Value::as_str);
            found.extend(named.and_then(|reference| reference.strip_prefix("#/definitions/")));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
        _ => {}
    }
}

fn write(name: &str, served: Served<'_>, written: &mut BTreeSet<String>, document: &mut Document) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["api", version] => group_version("", version, served, written, document),
        ["apis", group, version] => group_version(group, version, served, written, document),
        ["api"] => versions("/api/", "getCoreAPIVersions", "core", "APIVersions", written, document),
        ["apis"] => versions("/apis/", "getAPIVersions", "apis", "APIGroupList", written, document),
        ["apis", group] => {
            let id = format!("get{}APIGroup", group_word(group));
            let tag = tag(group, "");
            versions(&format!("/apis/{group}/"), &id, tag.trim_end_matches('_'), "APIGroup", written, document);
        }
        ["version"] => {
            let description = "get the version information for this server";
            let (path, tag) = ("/version/", "version");
            Discovery { path, id: "getCodeVersion", tag, description, answer: VERSION_INFO }.write(document);
            if written.insert(VERSION_INFO.to_owned()) {
                document.schema(VERSION_INFO, &version_info(document.version));
            }
        }
        [".well-known", _] => {
            let path = "/.well-known/openid-configuration/";
            let id = "getServiceAccountIssuerOpenIDConfiguration";
            let description = "get the OpenID configuration of who issues the tokens of service accounts";
            Discovery { path, id, tag: "WellKnown", description, answer: "" }.write(document);
        }
        _ => {
            let (path, id) = ("/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset");
            let description = "get the public keys that tokens of service accounts are verified with";
            Discovery { path, id, tag: "openid", description, answer: "" }.write(document);
        }
    }
}

fn versions(path: &str, id: &str, tag: &str, kind: &str, written: &mut BTreeSet<String>, document: &mut Document) {
    let description = if kind == "APIGroup" { "get information of a group" } else { "get available API versions" };
    Discovery { path, id, tag, description, answer: &meta(kind) }.write(document);
    let types = Types::from([&*format!("meta/v1.{kind}")]);
    types.write(&Descriptions::of("", ""), &Kinds::new(), written, document);
}

fn group_version(
    group: &str,
    version: &str,
    served: Served<'_>,
    written: &mut BTreeSet<String>,
    document: &mut Document,
) {
    let is_here = |row: &Resource| &*row.group == group && &*row.version == version;
    let rows = || served.builtin.iter().filter(|row| is_here(row));
    let custom = served.custom.of(group, version);

    let built_in = is_built_in(served, group, version);
    if built_in {
        let id = format!("get{}{}APIResources", group_word(group), paths::capital(version));
        let (path, tag) = (format!("{}/", paths::root(group, version)), tag(group, version));
        let (path, id, tag, answer) = (&*path, &*id, &*tag, &*meta("APIResourceList"));
        Discovery { path, id, tag, description: "get available resources", answer }.write(document);
    }
    for row in rows() {
        let name =
            |kind: &str| schema::for_kind(group, version, kind).map(schema::Message::openapi_name).unwrap_or_default();
        paths::write(row, &Names { object: name(&row.kind), list: name(&row.list_kind) }, document);
    }
    for custom in custom {
        paths::write(&custom.resource, &custom.names(), document);
    }

    let descriptions = Descriptions::of(group, version);
    let messages = rows().flat_map(|row| messages(row)).chain(custom.iter().flat_map(|custom| parts(&custom.resource)));
    let verbs: BTreeSet<&str> = rows().flat_map(|row| row.verbs.iter().copied()).collect();
    let does = |verb: &str| verbs.contains(verb) || !custom.is_empty() && verb != "watch";
    let of_verbs = BY_VERB.iter().filter(|(verb, _)| does(verb)).flat_map(|(_, messages)| messages.iter().copied());
    let of_custom: &[&str] = if custom.is_empty() { &[] } else { &["meta/v1.ObjectMeta", "meta/v1.ListMeta"] };
    let listed = built_in.then_some("meta/v1.APIResourceList");
    let messages: BTreeSet<&str> = messages.map(|message| &*message.name).chain(of_verbs).chain(listed).collect();
    let types = Types::from(messages.into_iter().chain(of_custom.iter().copied()));
    types.write(&descriptions, &Kinds::new(), written, document);
    if does("patch") && written.insert(meta("Patch")) {
        let description = descriptions.of_type(&meta("Patch"));
        document.schema(&meta("Patch"), &json!({ "type": "object", "description": description }));
    }
    for custom in custom {
        custom.write(&descriptions, document);
    }
}

/// The messages of a built-in row: its kind, its lists, what its subresources take.
fn messages(row: &Resource) -> impl Iterator<Item = &'static schema::Message> {
    let kinds = [&row.kind, &row.list_kind].map(|kind| schema::for_kind(&row.group, &row.version, kind));
    // Kinds that are only made have no lists, and `List` of any group would be that of the API machinery.
    kinds.into_iter().flatten().filter(|message| message.is_kind).chain(parts(row))
}

fn parts(row: &Resource) -> impl Iterator<Item = &'static schema::Message> {
    let parts = row.subresources.iter().filter(|name| !paths::connects(row, name));
    let kinds = parts.filter_map(|name| subresource::describe(row, name).kind);
    kinds.filter_map(|(group, version, kind)| schema::for_kind(group, version, kind))
}

fn group_versions(served: Served<'_>) -> BTreeSet<(String, String)> {
    let rows = served.builtin.iter().chain(served.custom.iter().map(|custom| &custom.resource));
    rows.map(|row| (row.group.to_string(), row.version.to_string())).collect()
}

fn version_info(version: Version) -> Value {
    let words =
        ["major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    let more = ["emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor"];
    let always = match version {
        Version::V2 => json!({ "type": "string" }),
        Version::V3 => json!({ "type": "string", "default": "" }),
    };
    let always = words.map(|word| (word.to_owned(), always.clone()));
    let properties: Map<_, _> =
        always.into_iter().chain(more.map(|word| (word.to_owned(), json!({ "type": "string" })))).collect();
    json!({
        "description": "Info contains versioning information: how the binary was built and which API it serves.",
        "type": "object",
        "required": words,
        "properties": properties,
    })
}
