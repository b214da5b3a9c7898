//! What the status of a definition says: its names, and how far it has come.

use api::Status;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::Decision;
use super::{Known, View};
use crate::Registry;
use crate::tree::Tree;

/// A condition, as it is compared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) ty: Box<str>,
    pub(crate) status: Box<str>,
    pub(crate) reason: Box<str>,
    pub(crate) message: Box<str>,
}

impl Condition {
    pub(crate) fn new(ty: &str, status: &str, reason: &str, message: &str) -> Self {
        Self { ty: ty.into(), status: status.into(), reason: reason.into(), message: message.into() }
    }
}

/// Whether a condition is there and true.
pub(super) fn is_true(conditions: &[Condition], ty: &str) -> bool {
    conditions.iter().any(|condition| &*condition.ty == ty && &*condition.status == "True")
}

/// Sets a condition of an object. Its time is that of the last change of its status.
pub(crate) fn set(object: &mut Value, condition: &Condition) {
    let now = api::time::format(Timestamp::now());
    let mut all = object.items("status.conditions").to_vec();
    let mut new = json!({
        "type": condition.ty,
        "status": condition.status,
        "lastTransitionTime": now,
        "reason": condition.reason,
        "message": condition.message,
    });
    match all.iter_mut().find(|known| known.text("type") == &*condition.ty) {
        Some(known) => {
            if known.text("status") == &*condition.status && !known.text("lastTransitionTime").is_empty() {
                new["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = new;
        }
        None => all.push(new),
    }
    object.put("status.conditions", all);
}

/// Writes what has changed; false when it could not be written.
pub(super) async fn write(registry: &Registry, name: &str, known: &Known, decision: &Decision) -> bool {
    let (wanted, view) = (wanted(known, decision), &known.view);
    let known = &view.status.conditions;
    if decision.names == view.status.accepted_names && wanted.iter().all(|condition| known.contains(condition)) {
        return true;
    }
    let Some(row) = super::definitions_row(registry) else { return false };
    let change = |object: &mut Value| -> Result<(), Status> {
        object.put("status.acceptedNames", decision.names.to_value());
        wanted.iter().for_each(|condition| set(object, condition));
        Ok(())
    };
    match registry.change_own(&row, "", name, false, &change).await {
        Ok(()) => true,
        // Deleted in the meantime.
        Err(status) if status.is_not_found() => true,
        Err(status) => {
            tracing::warn!(definition = name, %status, "the status of a definition cannot be written, will try again");
            false
        }
    }
}

fn wanted(known: &Known, decision: &Decision) -> Vec<Condition> {
    let view = &known.view;
    let names = match &decision.conflict {
        None => Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => Condition::new("NamesAccepted", "False", reason, message),
    };
    let mut wanted = vec![names];
    // Once established, for good.
    if !is_true(&view.status.conditions, "Established") {
        wanted.push(match decision.accepted() {
            true if known.unvouched => {
                let why = "The conversion webhook CABundle is invalid";
                Condition::new("Established", "False", "InvalidCABundle", why)
            }
            true => {
                Condition::new("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
            }
            false => Condition::new("Established", "False", "NotAccepted", "not all names are accepted"),
        });
    }
    wanted.extend(approval(view));
    wanted
}

fn approval(view: &View) -> Option<Condition> {
    use crate::strategy::definition::{Approval, approval, is_protected};
    if !is_protected(&view.spec.group) {
        return None;
    }
    let annotation = view.metadata.annotations.get("api-approved.kubernetes.io").map_or("", String::as_str);
    let (approval, message) = approval(annotation);
    let (status, reason) = match approval {
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Invalid => ("False", "InvalidAnnotation"),
    };
    Some(Condition::new("KubernetesAPIApprovalPolicyConformant", status, reason, &message))
}
