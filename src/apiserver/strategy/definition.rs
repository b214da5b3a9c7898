//! CustomResourceDefinitions: their defaults, what of their status is kept for them, and what makes one valid.
//!
//! Upstream validates its internal form, in which what all versions have in common stands at the top (`spec.validation`,
//! `spec.subresources` …), and so do the paths of complaints here: a definition of one version is complained about there.

mod approval;
mod conversion;
mod defaults;
mod patterns;
mod rules;
mod schema;
mod shown;
#[cfg(test)]
mod tests;
mod versions;

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1035_label, dns1123_subdomain};
use serde_json::{Value, json};

pub(crate) use approval::{Approval, approval, is_protected};
pub(crate) use conversion::bundle_complaint;
pub(crate) use schema::field_path;

use super::{Generation, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

/// The finalizer by which a definition waits for its objects to go.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) const DEFINITION: Strategy = Strategy {
    generation: Generation::Counted,
    unconditional_update: false,
    default: |definition| {
        let kind = definition.text("spec.names.kind").to_owned();
        if !kind.is_empty() {
            definition.default_to("spec.names.singular", kind.to_lowercase());
            definition.default_to("spec.names.listKind", format!("{kind}List"));
        }
        // A webhook that says nothing is none.
        let says = |webhook: &Value| {
            ["clientConfig", "conversionReviewVersions"].iter().any(|field| webhook.at(field).is_some())
        };
        if definition.at("spec.conversion.webhook").is_some_and(|webhook| !says(webhook)) {
            definition.cut("spec.conversion.webhook");
        }
        if definition.items("status.storedVersions").is_empty()
            && let Some(stored) = storage_version(definition)
        {
            definition.put("status.storedVersions", json!([stored]));
        }
    },
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.conversion", r#"{"strategy":"None"}"#),
            ("spec.conversion.webhook.clientConfig.service.port", "443"),
        ])
    }),
    prepare_create: |definition, _| {
        let stored = storage_version(definition).map(|stored| json!([stored]));
        definition.put("status", json!({ "acceptedNames": { "plural": "", "kind": "" } }));
        definition.put_or_remove("status.storedVersions", stored);
    },
    prepare_update: |new, _| {
        // What was stored once may be stored still.
        let mut versions = new.items("status.storedVersions").to_vec();
        if let Some(stored) = storage_version(new).filter(|version| !versions.contains(version)) {
            versions.push(stored);
            new.put("status.storedVersions", versions);
        }
    },
    prepare_delete: |definition| {
        let mut finalizers = definition.items("metadata.finalizers").to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
            definition.put("metadata.finalizers", finalizers);
        }
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let condition = crate::custom::Condition::new("Terminating", "True", "InstanceDeletionPending", message);
        crate::custom::set_condition(definition, &condition);
    },
    validate_create: |definition, errors| {
        let name = definition.text("metadata.name");
        let expected = format!("{}.{}", definition.text("spec.names.plural"), definition.text("spec.group"));
        if !name.is_empty() && name != expected {
            let why = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(&Path::root("metadata.name"), name, why));
        }
        validate(definition, None, errors);
        approval::validate(definition, None, errors);
        preserve_unknown(definition, errors);
    },
    validate_update: |new, old, errors| {
        validate(new, Some(old), errors);
        for field in ["spec.group", "spec.names.plural"] {
            if new.at(field) != old.at(field) {
                errors.push(Error::immutable(&Path::root(field), new.text(field)));
            }
        }
        for field in ["spec.scope", "spec.names.kind"] {
            if is_established(old) && new.at(field) != old.at(field) {
                errors.push(Error::immutable(&Path::root(field), new.text(field)));
            }
        }
        approval::validate(new, Some(old), errors);
        if !old.truth("spec.preserveUnknownFields") {
            preserve_unknown(new, errors);
        }
    },
    validate_status: |new, _, errors| {
        names(&new["status"]["acceptedNames"], &Path::root("status.acceptedNames"), errors);
    },
    warnings: |(definition, old)| {
        let known = old.map(schema::warnings).unwrap_or_default();
        schema::warnings(definition).into_iter().filter(|warning| !known.contains(warning)).collect()
    },
    ..Strategy::DEFAULT
};

fn storage_version(definition: &Value) -> Option<Value> {
    let stored = definition.items("spec.versions").iter().find(|version| version.truth("storage"));
    stored.map(|version| version["name"].clone())
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition.items("status.conditions");
    conditions.iter().any(|condition| condition.text("type") == "Established" && condition.text("status") == "True")
}

fn preserve_unknown(definition: &Value, errors: &mut ErrorList) {
    if definition.truth("spec.preserveUnknownFields") {
        let why =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&Path::root("spec.preserveUnknownFields"), true, why));
    }
}

/// Complaints about a definition; `old` is what it replaces, and what was let pass there is let pass again.
fn validate(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    spec(definition, old, errors);
    names(&definition["status"]["acceptedNames"], &Path::root("status.acceptedNames"), errors);
    stored_versions(definition, errors);
}

fn spec(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let spec = Path::root("spec");
    let group = definition.text("spec.group");
    let complaints = dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(&spec.child("group"), ""));
    } else if !complaints.is_empty() {
        errors.push(Error::invalid(&spec.child("group"), group, complaints.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(&spec.child("group"), group, "should be a domain with at least one dot"));
    }
    match definition.text("spec.scope") {
        "" => errors.push(Error::required(&spec.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        scope => errors.push(Error::not_supported(&spec.child("scope"), scope, &["Cluster", "Namespaced"])),
    }
    if definition.truth("spec.preserveUnknownFields") && schema::any_defaults(definition) {
        let why = "must be false in order to use defaults in the schema";
        errors.push(Error::invalid(&spec.child("preserveUnknownFields"), true, why));
    }
    versions::validate(definition, old, errors);
    let named = &definition["spec"]["names"];
    for field in ["plural", "singular", "kind", "listKind"] {
        if named.text(field).is_empty() {
            errors.push(Error::required(&spec.child("names").child(field), ""));
        }
    }
    names(named, &spec.child("names"), errors);
    versions::validate_common(definition, old, errors);
    patterns::validate(definition, old, errors);
    conversion::validate(definition, old, errors);
}

fn names(names: &Value, path: &Path, errors: &mut ErrorList) {
    let mut check = |path: Path, name: &str, text: &str, mixed: bool| {
        let complaints = dns1035_label(text);
        if !complaints.is_empty() {
            let mixed = if mixed { "may have mixed case, but should otherwise match: " } else { "" };
            errors.push(Error::invalid(&path, name, format!("{mixed}{}", complaints.join(","))));
        }
    };
    let said = |field: &&str| !names.text(field).is_empty();
    for field in ["plural", "singular"].into_iter().filter(said) {
        check(path.child(field), names.text(field), names.text(field), false);
    }
    for field in ["kind", "listKind"].into_iter().filter(said) {
        check(path.child(field), names.text(field), &names.text(field).to_lowercase(), true);
    }
    for field in ["shortNames", "categories"] {
        for (at, name) in names.items(field).iter().filter_map(Value::as_str).enumerate() {
            check(path.child(field).index(at), name, name, false);
        }
    }
    let kind = names.text("kind");
    if !kind.is_empty() && kind == names.text("listKind") {
        errors.push(Error::invalid(&path.child("listKind"), kind, "kind and listKind may not be the same"));
    }
}

fn stored_versions(definition: &Value, errors: &mut ErrorList) {
    let path = Path::root("status.storedVersions");
    let stored = definition.items("status.storedVersions");
    if stored.is_empty() {
        let stored = definition.at("status.storedVersions").cloned().unwrap_or_default();
        errors.push(Error::invalid(&path, stored, "must have at least one stored version"));
        return;
    }
    let versions = definition.items("spec.versions");
    for (at, version) in versions.iter().enumerate().filter(|(_, version)| version.truth("storage")) {
        // A name that comes twice is missed the second time.
        let twice = versions[..at].iter().any(|other| other["name"] == version["name"]);
        if twice || !stored.contains(&version["name"]) {
            let why = format!("must have the storage version {}", version.text("name"));
            errors.push(Error::invalid(&path, stored.to_vec(), why));
        }
    }
    for (at, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if versions.iter().all(|version| version.text("name") != name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(Error::invalid(&path.index(at), name, why));
        }
    }
}
