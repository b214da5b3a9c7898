//! What a review of access has to say, and must not: upstream's rules, in its order and words.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::validate_selector_requirement;
use api::{Request, Status};
use serde_json::{Value, json};

use crate::registry;
use crate::tree::Tree;

/// Checks the body of a review about access.
pub(super) fn check(request: &Request, body: &Value) -> Result<(), Status> {
    let kind = &*request.resource.kind;
    let mut errors = ErrorList::new();
    let spec = Path::root("spec");
    let (what, path) = (body.at("spec.resourceAttributes"), body.at("spec.nonResourceAttributes"));
    if let (Some(_), Some(path)) = (what, path) {
        let why = "cannot be specified in combination with resourceAttributes";
        errors.push(Error::invalid(&spec.child("nonResourceAttributes"), shown(path), why));
    }
    if what.is_none() && path.is_none() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(Error::invalid(&spec.child("resourceAttributes"), Value::Null, why));
    }
    if kind != "SelfSubjectAccessReview" && body.text("spec.user").is_empty() && body.items("spec.groups").is_empty() {
        errors.push(Error::invalid(&spec.child("user"), "", "at least one of user or group must be specified"));
    }
    let field = spec.child("resourceAttributes");
    for (name, labels) in [("fieldSelector", false), ("labelSelector", true)] {
        if let Some(selector) = what.and_then(|what| what.get(name)) {
            check_selector(selector, labels, &field.child(name), &mut errors);
        }
    }
    check_metadata(kind, body, &mut errors);
    if kind == "LocalSubjectAccessReview" {
        let namespace = what.map(|what| what.text("namespace"));
        if let Some(other) = namespace.filter(|namespace| *namespace != request.namespace) {
            errors.push(Error::invalid(&field.child("namespace"), other, "must match metadata.namespace"));
        }
        if let Some(path) = path {
            let field = spec.child("nonResourceAttributes");
            errors.push(Error::invalid(&field, shown(path), "disallowed on this kind of request"));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream asks the object for its kind, which decoding has taken from it.
    Err(Status::invalid("authorization.k8s.io", "", "", registry::causes(&errors)))
}

/// Nothing but the namespace of a local review may stand in the metadata.
fn check_metadata(kind: &str, body: &Value, errors: &mut ErrorList) {
    let may_stay = |field: &str| match field {
        "managedFields" => true,
        "namespace" => kind == "LocalSubjectAccessReview",
        _ => false,
    };
    if body.entries("metadata").all(|(field, _)| may_stay(field)) {
        return;
    }
    let why = if kind == "LocalSubjectAccessReview" { "must be empty except for namespace" } else { "must be empty" };
    let said = body.at("metadata").cloned().unwrap_or_default();
    errors.push(Error::invalid(&Path::root("metadata"), said, why));
}

/// A path and what is done with it, as upstream's type prints itself.
fn shown(path: &Value) -> Value {
    json!({ "Path": path.text("path"), "Verb": path.text("verb") })
}

fn check_selector(selector: &Value, labels: bool, field: &Path, errors: &mut ErrorList) {
    let (raw, requirements) = (selector.text("rawSelector"), selector.items("requirements"));
    if !raw.is_empty() && !requirements.is_empty() {
        let why = "may not specified at the same time as requirements";
        errors.push(Error::invalid(&field.child("rawSelector"), raw, why));
    }
    if raw.is_empty() && requirements.is_empty() {
        let why = format!("when {} is specified, requirements or rawSelector is required", field.as_str());
        errors.push(Error::required(&field.child("requirements"), why));
    }
    let field = field.child("requirements");
    for (at, requirement) in requirements.iter().enumerate() {
        let field = field.index(at);
        if !labels && requirement.text("key").is_empty() {
            errors.push(Error::required(&field.child("key"), "must be specified"));
        }
        // Clients that are newer than the server may know more operators.
        validate_selector_requirement(requirement, labels, true, &field, errors);
    }
}
