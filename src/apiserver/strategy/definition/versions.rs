//! The versions of a definition: their names, subresources, columns and selectable fields.

use std::collections::HashSet;

use api::validation::dns1035_label;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::{schema, shown};
use crate::tree::Tree;

/// The most fields that objects can be selected by.
const SELECTABLE_MAX: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// What a version says in one of its fields.
pub(super) struct Said<'v> {
    version: &'v Value,
    said: &'v Value,
    /// Whether the definition that is replaced said the same.
    unchanged: bool,
    /// Whether all versions say it.
    common: bool,
    /// Whether that is so for the schema as well.
    with_schema: bool,
}

/// What every version may say, the field at the top that stands for it, and what is asked of it.
pub(super) type Part = (&'static str, &'static str, fn(&Said<'_>, &Path, &mut ErrorList));

pub(super) const PARTS: [Part; 4] = [
    ("schema", "validation", |said, path, errors| {
        if let Some(schema) = said.said.at("openAPIV3Schema") {
            let status = said.version.at("subresources.status").is_some();
            schema::validate(schema, status, said.unchanged, &path.child("openAPIV3Schema"), errors);
        }
    }),
    ("subresources", "subresources", |said, path, errors| subresources(said.said, path, errors)),
    ("additionalPrinterColumns", "additionalPrinterColumns", |said, path, errors| {
        for (at, column) in said.said.as_array().into_iter().flatten().enumerate() {
            self::column(column, &path.index(at), errors);
        }
    }),
    ("selectableFields", "selectableFields", |said, path, errors| {
        let fields = said.said.as_array().map_or(&[] as &[Value], Vec::as_slice);
        // The schema stands where the fields stand: in the version, or at the top.
        match said.version.at("schema.openAPIV3Schema").filter(|_| said.with_schema) {
            Some(schema) => {
                if let Some(why) = schema::unreadable(schema).filter(|_| !fields.is_empty()) {
                    let beside = path.as_str().trim_end_matches("selectableFields");
                    errors.push(Error::invalid(&Path::root(&format!("{beside}schema.openAPIV3Schema")), "", why));
                }
                let count = selectable(fields, schema, path, errors);
                if count > SELECTABLE_MAX && !said.unchanged {
                    errors.push(Error::too_many(path, count, SELECTABLE_MAX));
                }
            }
            None if fields.is_empty() => {}
            None if said.common => {
                errors.push(Error::invalid(path, "", "may only be set when validations.schema is included"));
            }
            None => {
                let why = "may only be set when `version.schema.openAPIV3Schema` is not included";
                errors.push(Error::invalid(path, "", why));
            }
        }
    }),
];

/// Whether all versions say the same: then they are complained about once.
pub(super) fn is_common(versions: &[Value], part: &str) -> bool {
    versions.windows(2).all(|pair| pair[0].at(part) == pair[1].at(part))
}

/// Whether the definition that is replaced said the same in a field of a version of this name. Upstream goes by names, also where
/// two versions have one.
fn is_unchanged(old: Option<&Value>, versions: &[Value], version: &Value, part: &str) -> bool {
    let of_name = |known: &&Value| known["name"] == version["name"];
    let before = old.and_then(|old| old.items("spec.versions").iter().find(of_name));
    let before = before.and_then(|before| before.at(part));
    before.is_some() && versions.iter().filter(of_name).any(|version| version.at(part) == before)
}

/// Complaints about the versions, each alone and all together. `old` is the definition that is replaced.
pub(super) fn validate(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let path = Path::root("spec.versions");
    let versions = definition.items("spec.versions");
    for (at, version) in versions.iter().enumerate() {
        if version.at("schema.openAPIV3Schema").is_none() {
            errors.push(Error::required(&path.index(at).child("schema.openAPIV3Schema"), ""));
        }
    }
    for (at, version) in versions.iter().enumerate() {
        let path = path.index(at);
        let name = version.text("name");
        let complaints = dns1035_label(name);
        if !complaints.is_empty() {
            errors.push(Error::invalid(&path.child("name"), name, complaints.join(",")));
        }
        deprecation(version, &path.child("deprecationWarning"), errors);
        for (part, _, check) in PARTS.iter().filter(|(part, ..)| !is_common(versions, part)) {
            if let Some(said) = version.at(part) {
                let unchanged = is_unchanged(old, versions, version, part);
                let with_schema = !is_common(versions, "schema");
                let said = Said { version, said, unchanged, common: false, with_schema };
                check(&said, &path.child(part), errors);
            }
        }
    }
    let names: Vec<&str> = versions.iter().map(|version| version.text("name")).collect();
    if names.iter().collect::<HashSet<_>>().len() < names.len() {
        errors.push(Error::invalid(&path, shown::versions(definition), "must contain unique version names"));
    }
    if versions.iter().filter(|version| version.truth("storage")).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(Error::invalid(&path, shown::versions(definition), why));
    }
    // The first one's name stands at the top as well.
    let complaints = dns1035_label(names.first().copied().unwrap_or_default());
    if let Some(first) = names.first().filter(|first| !first.is_empty() && !complaints.is_empty()) {
        errors.push(Error::invalid(&Path::root("spec.version"), *first, complaints.join(",")));
    }
}

/// Complaints about what all versions have in common.
pub(super) fn validate_common(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let versions = definition.items("spec.versions");
    let Some(first) = versions.first() else { return };
    for (part, name, check) in PARTS.iter().filter(|(part, ..)| is_common(versions, part)) {
        // Status as a subresource of any version restricts the schema of all.
        let version = versions.iter().find(|version| version.at("subresources.status").is_some()).unwrap_or(first);
        let Some(said) = first.at(part) else { continue };
        let unchanged = is_unchanged(old, &versions[..1], first, part);
        let said = Said { version, said, unchanged, common: true, with_schema: is_common(versions, "schema") };
        check(&said, &Path::root("spec").child(name), errors);
    }
}

fn deprecation(version: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(warning) = version.at("deprecationWarning").and_then(Value::as_str) else { return };
    let mut complain = |why: String| errors.push(Error::invalid(path, warning, why));
    if !version.truth("deprecated") {
        complain("can only be set for deprecated versions".into());
        return;
    }
    if warning.len() > 256 {
        complain("must be <= 256 characters long".into());
    }
    if warning.is_empty() {
        complain("must not be an empty string".into());
    }
    let unprintable = |c: char| {
        c.is_control() || (c.is_whitespace() && c != ' ') || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}')
    };
    if let Some(at) = warning.find(unprintable) {
        let why = "must only contain printable UTF-8 characters; non-printable character found at index";
        complain(format!("{why} {at}"));
    }
}

fn simple_json_path(text: &str, path: &Path, errors: &mut ErrorList) -> bool {
    if text.starts_with('.') {
        return true;
    }
    errors.push(Error::invalid(path, text, "must be a simple json path starting with ."));
    false
}

fn subresources(subresources: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(scale) = subresources.at("scale") else { return };
    for (field, place, why) in [
        ("specReplicasPath", ".spec.", "should be a json path under .spec"),
        ("statusReplicasPath", ".status.", "should be a json path under .status"),
    ] {
        let (text, path) = (scale.text(field), path.child("scale").child(field));
        if text.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if simple_json_path(text, &path, errors) && !text.starts_with(place) {
            errors.push(Error::invalid(&path, text, why));
        }
    }
    let (text, path) = (scale.text("labelSelectorPath"), path.child("scale.labelSelectorPath"));
    let placed = || text.starts_with(".spec.") || text.starts_with(".status.");
    if !text.is_empty() && simple_json_path(text, &path, errors) && !placed() {
        errors.push(Error::invalid(&path, text, "should be a json path under either .spec or .status"));
    }
}

fn column(column: &Value, path: &Path, errors: &mut ErrorList) {
    if column.text("name").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match column.text("type") {
        "" => errors.push(Error::required(&path.child("type"), types)),
        ty if !COLUMN_TYPES.contains(&ty) => errors.push(Error::invalid(&path.child("type"), ty, types)),
        _ => {}
    }
    let format = column.text("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(Error::invalid(&path.child("format"), format, why));
    }
    match column.text("jsonPath") {
        "" => errors.push(Error::required(&path.child("JSONPath"), "")),
        text => drop(simple_json_path(text, &path.child("JSONPath"), errors)),
    }
}

/// Complaints about each of the fields; says how many there are.
fn selectable(fields: &[Value], schema: &Value, path: &Path, errors: &mut ErrorList) -> usize {
    let mut known: Vec<&str> = Vec::new();
    for (at, field) in fields.iter().enumerate() {
        let (text, path) = (field.text("jsonPath"), path.index(at).child("jsonPath"));
        if text.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let found = match schema::field_path(schema, text, false) {
            Ok((found, _)) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if text == ".metadata" || text.starts_with(".metadata.") {
            errors.push(Error::invalid(&path, text, "must not point to fields in metadata"));
        }
        if !matches!(found.text("type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(Error::invalid(&path, text, why));
        }
        match known.contains(&text) {
            true => errors.push(Error::duplicate(&path, text)),
            false => known.push(text),
        }
    }
    known.len()
}
