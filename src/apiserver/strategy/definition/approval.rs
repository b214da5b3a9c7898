//! Groups below `k8s.io` and `kubernetes.io` are the community's: their definitions name who approved them, or say that
//! nobody did.

use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::tree::Tree;

const ANNOTATION: &str = "api-approved.kubernetes.io";

/// What the annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

/// Whether a group is the community's.
pub(crate) fn is_protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Reads the annotation; the text is for people.
pub(crate) fn approval(annotation: &str) -> (Approval, String) {
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let url = annotation.parse::<http::Uri>();
    let is_url = url.is_ok_and(|url| url.scheme().is_some() && url.host().is_some_and(|host| !host.is_empty()));
    if annotation.is_empty() {
        (Approval::Missing, format!("protected groups must have approval annotation \"{ANNOTATION}\", {SEE}"))
    } else if annotation.starts_with("unapproved") {
        (Approval::Bypassed, format!("not approved: {}", api::quote::quote(annotation)))
    } else if is_url {
        (Approval::Approved, format!("approved in {annotation}"))
    } else {
        let how = "with either a URL or a reason starting with \"unapproved\"";
        (Approval::Invalid, format!("protected groups must have approval annotation \"{ANNOTATION}\" {how}, {SEE}"))
    }
}

fn annotation(definition: &Value) -> &str {
    let annotations = definition.at("metadata.annotations");
    annotations.and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str).unwrap_or_default()
}

/// Complaints about a new definition, or about one whose approval has changed.
pub(super) fn validate(new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    if !is_protected(new.text("spec.group")) {
        return;
    }
    let (state, why) = approval(annotation(new));
    if old.is_some_and(|old| approval(annotation(old)).0 == state) {
        return;
    }
    let path = Path::root("metadata.annotations").key(ANNOTATION);
    match state {
        Approval::Invalid => errors.push(Error::invalid(&path, annotation(new), why)),
        Approval::Missing => errors.push(Error::required(&path, why)),
        Approval::Approved | Approval::Bypassed => {}
    }
}
