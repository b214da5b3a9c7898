//! Conditions in the form that newer kinds share.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::qualified_name;

use super::at::{At, Rule};

/// Complaints about the conditions of a status.
pub(super) fn conditions(status: &At, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for condition in status.each("conditions") {
        let kind = condition.get("type");
        kind.complain(errors, qualified_name(kind.str()));
        if !seen.insert(kind.str()) {
            errors.push(Error::duplicate(&kind.path(), kind.str()));
        }
        let state = condition.get("status");
        if !matches!(state.str(), "False" | "True" | "Unknown") {
            state.unsupported(errors, &["False", "True", "Unknown"]);
        }
        let observed = condition.get("observedGeneration");
        if observed.value().as_i64().is_some_and(|generation| generation < 0) {
            observed.invalid(errors, "must be greater than or equal to zero");
        }
        condition.check(&[("lastTransitionTime", Rule::Need)], errors);
        let reason = condition.get("reason");
        if reason.is_empty() {
            reason.required(errors, "");
        } else if !is_reason(reason.str()) {
            let why = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                       characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
                       'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
                       '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
            reason.invalid(errors, why);
        }
        if reason.str().len() > 1024 {
            reason.too_long(errors, 1024);
        }
        if condition.text("message").len() > 32 << 10 {
            condition.get("message").too_long(errors, 32 << 10);
        }
    }
}

fn is_reason(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(inner)
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}
