//! What is asked of jobs and cron jobs.

use std::collections::HashSet;

use api::schema;
use api::selector::LabelSelector;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1123_label, domain_prefixed_path, qualified_name, validate_label_selector};
use serde_json::Value;

use super::indexes;
use super::schedule;
use crate::strategy::at::{At, Rule};
use crate::strategy::pod_validation;
use crate::strategy::semantic;
use crate::strategy::upstream_form;
use crate::strategy::workloads::{immutable, immutable_of, validation::match_labels};
use crate::tree::Tree;

/// From so many completions on, an indexed job with limits of its own for each index is held to less.
const MANY: i64 = 100_000;
const MANY_AT_ONCE: i64 = 10_000;
const CONDITIONS: [&str; 3] = ["False", "True", "Unknown"];

/// Complaints about a job.
pub(super) fn job(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    job_spec(&spec, errors);
    let selector = spec.get("selector");
    if !selector.is_set() {
        selector.required(errors, "");
    } else {
        errors.extend(validate_label_selector(selector.value(), &selector.path()));
    }
    if let Ok(selector) = LabelSelector::from_object(Some(selector.value())) {
        match_labels(&selector, &spec.get("template"), errors);
    }
    if let Some(completions) = spec.int("completions").filter(|n| *n > 0 && spec.text("completionMode") == "Indexed") {
        let name = root.get("metadata.name");
        let longest = format!("{}-{}", name.str(), completions - 1);
        if !dns1123_label(&longest).is_empty() {
            name.invalid(errors, format!("will not able to create pod with invalid DNS label: {longest}"));
        }
    }
}

/// Complaints about a new job, beside those about any.
pub(super) fn new_job(object: &Value, errors: &mut ErrorList) {
    generated_selector(&At::root(object), true, errors);
}

/// Labels and selector that the server makes are as it makes them. Jobs from before the labels had a prefix need not have
/// those that have one.
fn generated_selector(root: &At, prefixed: bool, errors: &mut ErrorList) {
    let selector = root.get("spec.selector");
    if root.truth("spec.manualSelector") || !selector.is_set() {
        return;
    }
    let (uid, name) = (root.text("metadata.uid"), root.text("metadata.name"));
    let metadata = root.get("spec.template.metadata");
    let labels = [(super::OLD_UID, uid), (super::OLD_NAME, name), (super::UID, uid), (super::NAME, name)];
    let labels = &labels[..if prefixed { 4 } else { 2 }];
    for (key, expected) in labels {
        let label = metadata.entry("labels", key);
        match label.value().as_str() {
            None => label.required(errors, format!("must be '{expected}'")),
            Some(value) if value != *expected => {
                let labels = upstream_form::sorted(metadata.get("labels").value());
                label.wrong(errors, labels, format!("must be '{expected}'"));
            }
            Some(_) => {}
        }
    }
    let expected: serde_json::Map<String, Value> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
    if LabelSelector::from_object(Some(selector.value())).is_ok_and(|selector| !selector.matches(&expected)) {
        selector.wrong(errors, selector.as_upstream("LabelSelector"), "`selector` not auto-generated");
    }
}

const NUMBERS: &[(&str, Rule)] = &[
    ("parallelism", Rule::NotNegative),
    ("completions", Rule::NotNegative),
    ("activeDeadlineSeconds", Rule::NotNegative),
    ("backoffLimit", Rule::NotNegative),
    ("ttlSecondsAfterFinished", Rule::NotNegative),
    ("backoffLimitPerIndex", Rule::NotNegative),
    ("maxFailedIndexes", Rule::NotNegative),
];

/// Complaints about the spec of a job, or of the jobs of a cron job.
fn job_spec(spec: &At, errors: &mut ErrorList) {
    spec.check(NUMBERS, errors);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        spec.get("backoffLimitPerIndex").required(errors, "when maxFailedIndexes is specified");
    }
    let manager = spec.get("managedBy");
    if manager.is_set() {
        errors.extend(domain_prefixed_path(&manager.path(), manager.str()));
        if manager.str().len() > 63 {
            manager.too_long(errors, 63);
        }
    }
    let mode = spec.get("completionMode");
    if mode.is_set() && !matches!(mode.str(), "NonIndexed" | "Indexed") {
        mode.unsupported(errors, &["NonIndexed", "Indexed"]);
    }
    let indexed = mode.str() == "Indexed";
    if indexed {
        indexed_counts(spec, errors);
    } else if !mode.is_set() || mode.str() == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if spec.has(field) {
                spec.get(field).invalid(errors, "requires indexed completion mode");
            }
        }
    }
    failure_policy(spec, errors);
    let success = spec.get("successPolicy");
    if success.is_set() && !indexed {
        success.wrong(errors, success.as_upstream("SuccessPolicy"), "requires indexed completion mode");
    } else if success.is_set() {
        success_policy(&success, spec.int("completions").unwrap_or(0), errors);
    }
    let replacement = spec.get("podReplacementPolicy");
    let supported: &[&str] =
        if spec.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if replacement.is_set() && !supported.contains(&replacement.str()) {
        replacement.unsupported(errors, supported);
    }
    pod_validation::validate_template(&spec.get("template"), errors);
    let restart = spec.get("template.spec.restartPolicy");
    match restart.str() {
        "Always" | "" => restart.required(errors, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            restart.invalid(errors, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => restart.unsupported(errors, &["OnFailure", "Never"]),
    }
}

fn indexed_counts(spec: &At, errors: &mut ErrorList) {
    let (parallelism, completions) = (spec.int("parallelism"), spec.int("completions"));
    let failed = spec.get("maxFailedIndexes");
    let may_fail = failed.value().as_i64();
    if completions.is_none() {
        spec.get("completions").required(errors, "when completion mode is Indexed");
    }
    if parallelism.is_some_and(|parallelism| parallelism > MANY) {
        let why = format!("must be less than or equal to {MANY} when completion mode is Indexed");
        spec.get("parallelism").invalid(errors, why);
    }
    if may_fail.zip(completions).is_some_and(|(failed, completions)| failed > completions) {
        failed.invalid(errors, "must be less than or equal to completions");
    }
    if may_fail.is_some_and(|failed| failed > MANY) {
        failed.invalid(errors, format!("must be less than or equal to {MANY}"));
    }
    if completions.is_none_or(|completions| completions <= MANY) || !spec.has("backoffLimitPerIndex") {
        return;
    }
    let why = format!(
        "must be less than or equal to {MANY_AT_ONCE} when completions are above {MANY} and used with backoff limit per index"
    );
    if may_fail.is_none() {
        failed.required(errors, format!("must be specified when completions is above {MANY}"));
    }
    if parallelism.is_some_and(|parallelism| parallelism > MANY_AT_ONCE) {
        spec.get("parallelism").invalid(errors, why.as_str());
    }
    if may_fail.is_some_and(|failed| failed > MANY_AT_ONCE) {
        failed.invalid(errors, why);
    }
}

fn failure_policy(spec: &At, errors: &mut ErrorList) {
    let policy = spec.get("podFailurePolicy");
    if policy.items("rules").len() > 20 {
        policy.get("rules").too_many(errors, 20);
    }
    let containers = ["containers", "initContainers"];
    let template = spec.get("template.spec");
    let names: Vec<&str> = containers.iter().flat_map(|list| template.items(list)).map(|c| c.text("name")).collect();
    for rule in policy.each("rules") {
        let action = rule.get("action");
        let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
        match action.str() {
            "" => action.required(errors, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
            "FailIndex" if !spec.has("backoffLimitPerIndex") => {
                action.invalid(errors, "requires the backoffLimitPerIndex to be set");
            }
            other if !actions.contains(&other) => action.unsupported(errors, &actions),
            _ => {}
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &names, errors);
        }
        if rule.items("onPodConditions").len() > 20 {
            conditions.too_many(errors, 20);
        }
        for pattern in rule.each("onPodConditions") {
            let (kind, status) = (pattern.get("type"), pattern.get("status"));
            kind.complain(errors, qualified_name(kind.str()));
            match status.str() {
                "" => status.required(errors, "valid values: [\"False\" \"True\" \"Unknown\"]"),
                other if !CONDITIONS.contains(&other) => status.unsupported(errors, &CONDITIONS),
                _ => {}
            }
        }
        match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => {
                omitted(&rule, "specifying both OnExitCodes and OnPodConditions is not supported", errors);
            }
            (false, false) => {
                omitted(&rule, "specifying one of OnExitCodes and OnPodConditions is required", errors);
            }
            _ => {}
        }
    }
}

/// A complaint that shows no value.
pub(super) fn omitted(at: &At, why: &str, errors: &mut ErrorList) {
    let mut error = Error::invalid(&at.path(), Value::Null, why);
    error.value = None;
    errors.push(error);
}

fn exit_codes(codes: &At, containers: &[&str], errors: &mut ErrorList) {
    let operator = codes.get("operator");
    match operator.str() {
        "" => operator.required(errors, "valid values: [\"In\" \"NotIn\"]"),
        "In" | "NotIn" => {}
        _ => operator.unsupported(errors, &["In", "NotIn"]),
    }
    let container = codes.get("containerName");
    if container.is_set() && !containers.contains(&container.str()) {
        let why = "must be one of the container or initContainer names in the pod template";
        container.invalid(errors, why);
    }
    let list = codes.get("values");
    let values: Vec<i64> = codes.items("values").iter().filter_map(Value::as_i64).collect();
    if values.is_empty() {
        list.wrong(errors, list.value().clone(), "at least one value is required");
    } else if values.len() > 255 {
        list.too_many(errors, 255);
    }
    let mut seen = HashSet::new();
    for code in codes.each("values") {
        let Some(number) = code.value().as_i64() else { continue };
        if operator.str() == "In" && number == 0 {
            code.invalid(errors, "must not be 0 for the In operator");
        }
        if !seen.insert(number) {
            code.duplicate(errors);
        }
    }
    if !values.is_sorted() {
        list.invalid(errors, "must be ordered");
    }
}

fn success_policy(policy: &At, completions: i64, errors: &mut ErrorList) {
    let rules = policy.get("rules");
    if rules.is_empty() {
        rules.required(errors, "at least one rules must be specified when the successPolicy is specified");
    }
    if policy.items("rules").len() > 20 {
        rules.too_many(errors, 20);
    }
    for rule in policy.each("rules") {
        let (indexes, count) = (rule.get("succeededIndexes"), rule.get("succeededCount"));
        if !indexes.is_set() && !count.is_set() {
            rule.required(errors, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if indexes.is_set() {
            if indexes.str().len() > 64 << 10 {
                indexes.too_long(errors, 64 << 10);
            }
            match indexes::parse(indexes.str(), completions) {
                Ok(found) => total = found.iter().map(|(first, last)| last - first + 1).sum(),
                Err(why) => indexes.invalid(errors, format!("error parsing succeededIndexes: {why}")),
            }
        }
        let Some(wanted) = count.value().as_i64() else { continue };
        count.not_negative(errors);
        if wanted > completions {
            let why = format!("must be less than or equal to {completions} (the number of specified completions)");
            count.invalid(errors, why);
        }
        if indexes.is_set() && wanted > total {
            let why = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            count.invalid(errors, why);
        }
    }
}

/// Complaints about a change of a job.
pub(super) fn job_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let had = |label: &&str| old.at("spec.template.metadata.labels").is_some_and(|labels| labels.get(*label).is_some());
    generated_selector(&root, [super::UID, super::NAME].iter().all(had), errors);
    let completions = root.get("spec.completions");
    if new.text("spec.completionMode") != "Indexed" {
        immutable(new, old, "spec.completions", errors);
    } else if completions.is_set()
        && Some(completions.value()) != old.at("spec.completions")
        && new.at("spec.parallelism") != new.at("spec.completions")
    {
        completions.invalid(errors, "can only be modified in tandem with spec.parallelism");
    }
    immutable_of("LabelSelector", new, old, "spec.selector", errors);
    template_update(new, old, errors);
    for field in ["completionMode", "backoffLimitPerIndex", "managedBy"] {
        immutable(new, old, &format!("spec.{field}"), errors);
    }
    immutable_of("PodFailurePolicy", new, old, "spec.podFailurePolicy", errors);
    immutable_of("SuccessPolicy", new, old, "spec.successPolicy", errors);
}

/// Where the pods of a job run is open as long as none was started.
fn template_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let open = old.truth("spec.suspend") && old.at("status.startTime").is_none();
    let fixed = |job: &Value| {
        let mut template = job.at("spec.template").cloned().unwrap_or_default();
        if open {
            for field in [
                "spec.affinity.nodeAffinity",
                "spec.nodeSelector",
                "spec.tolerations",
                "spec.schedulingGates",
                "metadata.labels",
                "metadata.annotations",
            ] {
                template.cut(field);
            }
            if template.at("spec.affinity").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                template.cut("spec.affinity");
            }
        }
        template
    };
    if !semantic::same_as_written(schema::message("core/v1.PodTemplateSpec"), &fixed(new), &fixed(old)) {
        let value = upstream_form::of("PodTemplateSpec", new.at("spec.template").unwrap_or(&Value::Null));
        errors.push(Error::immutable(&Path::root("spec.template"), value));
    }
}

/// Complaints about a cron job; `old` is what it was, if it was there.
pub(super) fn cron_job(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    let schedule = spec.get("schedule");
    match schedule.str() {
        "" => schedule.required(errors, ""),
        text => {
            if let Err(why) = schedule::check(text) {
                schedule.invalid(errors, why);
            }
            if text.contains("TZ") {
                let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                schedule.invalid(errors, why);
            }
        }
    }
    spec.get("startingDeadlineSeconds").not_negative(errors);
    time_zone(&spec.get("timeZone"), errors);
    spec.check(&[("concurrencyPolicy", Rule::OneOf(&["Allow", "Forbid", "Replace"]))], errors);
    let job = spec.get("jobTemplate.spec");
    job_spec(&job, errors);
    if job.has("selector") {
        let selector = job.get("selector");
        selector.wrong(errors, selector.as_upstream("LabelSelector"), "`selector` will be auto-generated");
    }
    if job.truth("manualSelector") {
        job.get("manualSelector").unsupported(errors, &["nil", "false"]);
    }
    spec.check(
        &[("successfulJobsHistoryLimit", Rule::NotNegative), ("failedJobsHistoryLimit", Rule::NotNegative)],
        errors,
    );
}

fn time_zone(zone: &At, errors: &mut ErrorList) {
    if !zone.is_set() {
        return;
    }
    let name = zone.str();
    if name.is_empty() {
        zone.invalid(errors, "timeZone must be nil or non-empty string");
        return;
    }
    let sound = |part: &str| {
        let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'));
        (1..=14).contains(&part.len()) && known && !matches!(part, "." | "..") && !part.starts_with('-')
    };
    if !name.split('/').all(sound) {
        zone.invalid(errors, format!("unknown time zone {name}"));
        return;
    }
    if name.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        zone.invalid(errors, why);
    } else if jiff::tz::TimeZone::get(name).is_err() {
        zone.invalid(errors, format!("unknown time zone {name}"));
    }
}
