//! What a job's status may say: controllers, also those of others, count right and take nothing back. A rule is applied
//! where one of the fields it is about has changed, because a change of the spec may leave a status behind that breaks it
//! until the controller has seen the change.

use std::collections::HashSet;

use api::validation::field::ErrorList;
use serde_json::{Value, json};

use super::indexes;
use super::validation::omitted;
use crate::strategy::at::{At, Rule};
use crate::tree::Tree;

const NUMBERS: &[(&str, Rule)] = &[
    ("active", Rule::NotNegative),
    ("succeeded", Rule::NotNegative),
    ("failed", Rule::NotNegative),
    ("ready", Rule::NotNegative),
    ("terminating", Rule::NotNegative),
];

fn is(job: &Value, kind: &str) -> bool {
    says(job, kind, "True")
}

fn says(job: &Value, kind: &str, status: &str) -> bool {
    job.items("status.conditions").iter().any(|c| c.text("type") == kind && c.text("status") == status)
}

fn is_finished(job: &Value) -> bool {
    is(job, "Complete") || is(job, "Failed")
}

/// A change of a status.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
}

impl Change<'_> {
    fn of(&self, fields: &[&str]) -> bool {
        let field = |job: &Value, name: &str| job.at("status").and_then(|status| status.at(name)).cloned();
        fields.iter().any(|name| field(self.new, name) != field(self.old, name))
    }

    fn condition(&self, kinds: &[&str]) -> bool {
        kinds.iter().any(|kind| is(self.new, kind) != is(self.old, kind))
    }

    fn finished(&self) -> bool {
        is_finished(self.new) != is_finished(self.old)
    }
}

/// Complaints about a write of a job's status.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let status = root.get("status");
    let change = Change { new, old };
    status.check(NUMBERS, errors);
    uncounted(&status, errors);
    opposites(&status, &change, errors);
    times(&status, &change, errors);
    announced(&status, &change, errors);
    finished(&root, &status, &change, errors);
    index_sets(&root, &status, &change, errors);
    let (ready, active) = (status.int("ready").unwrap_or(0), status.int("active").unwrap_or(0));
    if change.of(&["ready", "active"]) && status.has("ready") && ready > active {
        status.get("ready").invalid(errors, "cannot set more ready pods than active");
    }
    succeeding(&status, new, errors);
    taken_back(&status, &change, errors);
}

fn uncounted(status: &At, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    let all = status.get("uncountedTerminatedPods");
    for list in ["succeeded", "failed"] {
        for uid in all.each(list) {
            if uid.is_empty() {
                uid.invalid(errors, "must not be empty");
            } else if !seen.insert(uid.str()) {
                uid.duplicate(errors);
            }
        }
    }
}

/// Conditions that exclude one another.
fn opposites(status: &At, change: &Change, errors: &mut ErrorList) {
    for (other, why) in [
        ("Failed", "cannot set Complete=True and Failed=true conditions"),
        ("FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ] {
        if change.condition(&["Complete", other]) && is(change.new, "Complete") && is(change.new, other) {
            omitted(&status.get("conditions"), why, errors);
        }
    }
}

fn times(status: &At, change: &Change, errors: &mut ErrorList) {
    let end = status.get("completionTime");
    if change.condition(&["Complete"]) || change.of(&["completionTime"]) {
        match (end.is_set(), is(change.new, "Complete")) {
            (true, false) => {
                end.invalid(errors, "cannot set completionTime when there is no Complete=True condition");
            }
            (false, true) => end.required(errors, "completionTime is required for Complete jobs"),
            _ => {}
        }
    }
    let time = |field: &str| api::time::parse(status.text(field)).ok();
    let backwards = time("startTime").zip(time("completionTime")).is_some_and(|(start, end)| end < start);
    if change.of(&["startTime", "completionTime"]) && backwards {
        end.invalid(errors, "must be equal to or after `startTime`");
    }
}

/// Ends are announced by conditions of their own before they are there.
fn announced(status: &At, change: &Change, errors: &mut ErrorList) {
    let conditions = status.get("conditions");
    let failed = change.condition(&["Failed"]) || change.of(&["failedIndexes"]);
    if failed && is(change.new, "Failed") && !is(change.new, "FailureTarget") {
        let why = "cannot set Failed=True condition without the FailureTarget=true condition";
        omitted(&conditions, why, errors);
    }
    let complete = change.condition(&["Complete", "SuccessCriteriaMet"]);
    if complete && is(change.new, "Complete") && !is(change.new, "SuccessCriteriaMet") {
        let why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition";
        omitted(&conditions, why, errors);
    }
}

fn finished(root: &At, status: &At, change: &Change, errors: &mut ErrorList) {
    if !is_finished(change.new) {
        return;
    }
    let applies = |fields: &[&str]| change.finished() || change.of(fields);
    if applies(&["active"]) && status.int("active").unwrap_or(0) > 0 {
        status.get("active").invalid(errors, "active>0 is invalid for finished job");
    }
    // A job that is suspended and wants nothing is finished without a start.
    let idle = root.truth("spec.suspend") && root.int("spec.completions") == Some(0);
    if applies(&["startTime"]) && !idle && !status.has("startTime") {
        status.get("startTime").required(errors, "startTime is required for finished job");
    }
    let uncounted = status.get("uncountedTerminatedPods");
    let left = !uncounted.items("succeeded").is_empty() || !uncounted.items("failed").is_empty();
    if applies(&["uncountedTerminatedPods"]) && left {
        let shown = |list: &str| uncounted.get(list).value().clone();
        let all = json!({"Succeeded": shown("succeeded"), "Failed": shown("failed")});
        uncounted.wrong(errors, all, "must be empty for finished job");
    }
    if applies(&["terminating"]) && status.int("terminating").unwrap_or(0) > 0 {
        status.get("terminating").invalid(errors, "terminating>0 is invalid for finished job");
    }
}

fn index_sets(root: &At, status: &At, change: &Change, errors: &mut ErrorList) {
    let (complete, failed) = (status.get("completedIndexes"), status.get("failedIndexes"));
    let (complete_changed, failed_changed) = (change.of(&["completedIndexes"]), change.of(&["failedIndexes"]));
    let limits = root.has("spec.backoffLimitPerIndex");
    let completions = root.int("spec.completions");
    if let Some(Err(why)) =
        completions.filter(|_| complete_changed).map(|completions| indexes::parse(complete.str(), completions))
    {
        complete.invalid(errors, format!("error parsing completedIndexes: {why}"));
    }
    if let Some(Err(why)) = completions
        .filter(|_| failed_changed && limits && failed.is_set())
        .map(|completions| indexes::parse(failed.str(), completions))
    {
        failed.invalid(errors, format!("error parsing failedIndexes: {why}"));
    }
    if complete_changed && !complete.is_empty() && root.text("spec.completionMode") != "Indexed" {
        complete.invalid(errors, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && failed.is_set() && !limits {
        failed.invalid(errors, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (complete_changed || failed_changed)
        && let Some(completions) = completions
        && let Some(at) = indexes::overlap(complete.str(), failed.str(), completions)
    {
        failed.invalid(errors, format!("failedIndexes and completedIndexes overlap at index: {at}"));
    }
}

fn succeeding(status: &At, new: &Value, errors: &mut ErrorList) {
    let conditions = status.get("conditions");
    let criteria = is(new, "SuccessCriteriaMet");
    for (other, why) in [
        ("Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        ("FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ] {
        if criteria && is(new, other) {
            omitted(&conditions, why, errors);
        }
    }
    if new.at("spec.successPolicy").is_some() && !criteria && is(new, "Complete") {
        let why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        omitted(&conditions, why, errors);
    }
}

/// What was once said stays said.
fn taken_back(status: &At, change: &Change, errors: &mut ErrorList) {
    let Change { new, old } = change;
    let conditions = status.get("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is(old, kind) && !is(new, kind) {
            omitted(&conditions, &format!("cannot disable the terminal {kind}=True condition"), errors);
        }
    }
    // An indexed job whose size follows its parallelism can shrink.
    let elastic =
        new.text("spec.completionMode") == "Indexed" && new.at("spec.completions") == new.at("spec.parallelism");
    for (field, applies) in [("failed", true), ("succeeded", !elastic)] {
        let now = status.int(field).unwrap_or(0);
        if applies && now < old.at("status").and_then(|status| status.int(field)).unwrap_or(0) {
            status.get(field).wrong(errors, now, format!("cannot decrease the {field} counter"));
        }
    }
    let end = status.get("completionTime");
    if end.is_set() && old.at("status.completionTime").is_some_and(|before| before != end.value()) {
        end.invalid(errors, "field is immutable");
    }
    let start = status.get("startTime");
    let resuming = is(old, "Suspended") && says(new, "Suspended", "False");
    let changed = old.at("status.startTime").is_some_and(|before| before != start.value());
    if changed && !resuming && !new.truth("spec.suspend") {
        start.required(errors, "startTime cannot be removed for unsuspended job");
    }
    if is(old, "SuccessCriteriaMet") && !is(new, "SuccessCriteriaMet") {
        omitted(&conditions, "cannot disable the SuccessCriteriaMet=True condition", errors);
    }
    if is(old, "Complete") && !is(old, "SuccessCriteriaMet") && is(new, "SuccessCriteriaMet") {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        omitted(&conditions, why, errors);
    }
}
