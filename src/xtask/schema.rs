//! `cargo xtask schema`: writes `src/api/schema/table.txt` from facts about upstream's Go types.
//!
//! The table is text, so that a new Kubernetes version is a diff people can read; its head explains its form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

#[cfg(test)]
mod tests;

const HEAD: &str = "\
# The messages of the Kubernetes API. Written by `cargo xtask schema`; do not edit.
#
# message NAME [kind]           `kind`: the message has apiVersion and kind
# \tJSON NUMBER [*]TYPE FLAGS   a field: protobuf number (- for none), * for a pointer
# alias NAME = TYPE [VALUES]    a named type; the values of a string that is an enumeration
#
# A type that starts with a dot is of the same package. Flags: o omitempty, z omitzero, ! required, i inline, w a named
# list that protobuf wraps in a message, l= list type, keys= its keys, m= map or struct type, patch= strategy, on= merge
# key, gate= feature gates, default= JSON, always last.
";

/// Types whose JSON or protobuf form upstream writes by hand: the codecs know them by these names.
const BUILT_IN: [(&str, &str); 10] = [
    ("k8s.io/apimachinery/pkg/api/resource.Quantity", "Quantity"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.Time", "Time"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime", "MicroTime"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1", "FieldsV1"),
    ("k8s.io/apimachinery/pkg/util/intstr.IntOrString", "IntOrString"),
    ("k8s.io/apimachinery/pkg/runtime.RawExtension", "RawExtension"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON", "JSON"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray", "JSONSchemaPropsOrArray"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool", "JSONSchemaPropsOrBool"),
    (
        "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray",
        "JSONSchemaPropsOrStringArray",
    ),
];

const META_TYPE: &str = "k8s.io/apimachinery/pkg/apis/meta/v1.TypeMeta";

/// The one message of the API that the facts leave out.
const EXTRA: &str = "message meta/v1.WatchEvent\n\ttype 1 string !\n\tobject 2 RawExtension !\n";

#[derive(Deserialize)]
struct Facts {
    kubernetes: String,
    messages: BTreeMap<String, Message>,
    aliases: BTreeMap<String, String>,
    enums: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Message {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Field {
    json: String,
    r#type: String,
    pointer: bool,
    omitempty: bool,
    omitzero: bool,
    inline: bool,
    optional: bool,
    required: bool,
    number: Option<u32>,
    repeated: bool,
    list_type: Option<String>,
    list_map_keys: Vec<String>,
    map_type: Option<String>,
    struct_type: Option<String>,
    patch_strategy: Option<String>,
    merge_key: Option<String>,
    feature_gate: Option<String>,
    default: Option<String>,
}

/// Reads the facts and writes the table, or with `check` compares it with the one that is there.
pub(crate) fn run(facts: &Path, table: &Path, check: bool) -> anyhow::Result<()> {
    let text = fs::read_to_string(facts).with_context(|| format!("reading {}", facts.display()))?;
    let facts: Facts = serde_json::from_str(&text).context("reading the facts")?;
    let text = render(&facts)?;
    if !check {
        return fs::write(table, text).with_context(|| format!("writing {}", table.display()));
    }
    if fs::read_to_string(table)? != text {
        bail!("{} is not what the facts say; run `cargo xtask schema`", table.display());
    }
    Ok(())
}

fn render(facts: &Facts) -> anyhow::Result<String> {
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    for (name, message) in &facts.messages {
        if is_api(name) {
            let name = short(name)?;
            entries.insert(name.clone(), render_message(&name, message, facts)?);
        }
    }
    for (name, target) in facts.aliases.iter().filter(|(name, _)| is_api(name)) {
        let name = short(name)?;
        let mut line = format!("alias {name} = {}", render_type(target, package(&name))?);
        for value in facts.enums.get(long(facts, &name)).into_iter().flatten() {
            // Spaces separate the values; no value of the API has one, and an empty one says itself.
            write!(line, " {}", if value.is_empty() { "\"\"" } else { value })?;
        }
        line.push('\n');
        entries.insert(name, line);
    }
    entries.insert("meta/v1.WatchEvent".to_owned(), EXTRA.to_owned());
    let entries: String = entries.into_values().collect();
    Ok(format!("{HEAD}# Kubernetes {}\n{entries}", facts.kubernetes))
}

/// The facts' own name of an alias.
fn long<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.aliases.keys().find(|key| short(key).is_ok_and(|short| short == name)).map_or("", String::as_str)
}

fn render_message(name: &str, message: &Message, facts: &Facts) -> anyhow::Result<String> {
    let kind = message.fields.iter().any(|field| field.inline && field.r#type == META_TYPE);
    let mut text = format!("message {name}{}\n", if kind { " kind" } else { "" });
    for field in message.fields.iter().filter(|field| field.json != "-" && field.r#type != META_TYPE) {
        let json = if field.inline { "-" } else { field.json.as_str() };
        let number = field.number.map_or("-".to_owned(), |number| number.to_string());
        let pointer = if field.pointer { "*" } else { "" };
        write!(text, "\t{json} {number} {pointer}{}", render_type(&field.r#type, package(name))?)?;
        let required = field.required || !(field.omitempty || field.optional || field.inline);
        let named_list = facts.aliases.get(&field.r#type).is_some_and(|target| target.starts_with("[]"));
        let wrapped = named_list && !field.repeated;
        let letters =
            [(field.omitempty, "o"), (field.omitzero, "z"), (required, "!"), (field.inline, "i"), (wrapped, "w")];
        for (_, letter) in letters.iter().filter(|(is, _)| *is) {
            write!(text, " {letter}")?;
        }
        let default = field.default.as_deref().map(default_value).transpose()?;
        let keys = (!field.list_map_keys.is_empty()).then(|| field.list_map_keys.join(","));
        let map_type = field.map_type.as_ref().or(field.struct_type.as_ref());
        for (flag, value) in [
            ("l", field.list_type.as_ref()),
            ("keys", keys.as_ref()),
            ("m", map_type),
            ("patch", field.patch_strategy.as_ref()),
            ("on", field.merge_key.as_ref()),
            ("gate", field.feature_gate.as_ref()),
            ("default", default.as_ref()),
        ] {
            if let Some(value) = value {
                write!(text, " {flag}={value}")?;
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// A default marker as JSON. Two of them name a Go constant, whose value no fact tells.
fn default_value(marker: &str) -> anyhow::Result<String> {
    Ok(match marker {
        "ref(AzureDataDiskCachingReadWrite)" => "\"ReadWrite\"".to_owned(),
        "ref(AzureSharedBlobDisk)" => "\"Shared\"".to_owned(),
        _ if marker.starts_with("ref(") => bail!("the default {marker} names an unknown constant"),
        _ => marker.to_owned(),
    })
}

/// A Go type in the table's words, shortened for the package it stands in.
fn render_type(go: &str, package_here: &str) -> anyhow::Result<String> {
    if go == "[]byte" {
        return Ok("bytes".to_owned());
    }
    if let Some(element) = go.strip_prefix("[]") {
        return Ok(format!("[]{}", render_type(element, package_here)?));
    }
    if let Some(rest) = go.strip_prefix("map[") {
        let (key, value) = rest.split_once(']').context("a map without a bracket")?;
        return Ok(format!("map[{}]{}", render_type(key, package_here)?, render_type(value, package_here)?));
    }
    if !go.contains('/') {
        return Ok(go.to_owned());
    }
    let name = short(go)?;
    let same = name.strip_prefix(package_here).filter(|rest| rest.starts_with('.'));
    Ok(same.map_or(name.clone(), str::to_owned))
}

/// `k8s.io/api/core/v1.Pod` is `core/v1.Pod`.
fn short(go: &str) -> anyhow::Result<String> {
    if let Some((_, name)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == go) {
        return Ok((*name).to_owned());
    }
    let prefixes = [
        "k8s.io/api/",
        "k8s.io/apimachinery/pkg/apis/",
        "k8s.io/apimachinery/pkg/",
        "k8s.io/apiextensions-apiserver/pkg/apis/",
        "k8s.io/kube-aggregator/pkg/apis/",
    ];
    match prefixes.iter().find_map(|prefix| go.strip_prefix(prefix)) {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{go} is of no known module"),
    }
}

/// Whether a fact is a message or an alias of the API, and no part of upstream's machinery.
fn is_api(name: &str) -> bool {
    let machinery = ["k8s.io/apimachinery/pkg/runtime", "k8s.io/apimachinery/pkg/util/"];
    name != META_TYPE
        && !BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
        && !machinery.iter().any(|prefix| name.starts_with(prefix))
}

fn package(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(package, _)| package)
}
