//! Jobs and CronJobs.

use api::User;
use api::selector::LabelSelector;
use api::validation::field::{Error, Path};
use serde_json::{Value, json};

use super::pod::default_spec;
use super::pod_validation::validate_template;
use super::workloads::{immutable, not_negative, template_defaults};
use super::{Garbage, Strategy};
use crate::tree::Tree;

const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";
/// The same labels from before they had a prefix.
const OLD_UID: &str = "controller-uid";
const OLD_NAME: &str = "job-name";

/// The longest name of a cron job: its jobs' names have eleven characters more.
const CRON_NAME_MAX: usize = 52;

pub(super) const JOB: Strategy = Strategy {
    generation: true,
    status: Some("{}"),
    default: |job| {
        if let Some(spec) = job.at_mut("spec.template.spec") {
            default_spec(spec);
        }
        if job.at("spec").is_none() {
            return;
        }
        if job.at("spec.completions").is_none() && job.at("spec.parallelism").is_none() {
            job.put("spec.completions", 1);
        }
        if job.at("spec.backoffLimit").is_none() {
            let per_index = job.at("spec.backoffLimitPerIndex").is_some();
            job.put("spec.backoffLimit", if per_index { i32::MAX } else { 6 });
        }
        if job.at("spec.podReplacementPolicy").is_none() {
            let policy = if job.at("spec.podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
            job.put("spec.podReplacementPolicy", policy);
        }
        let labels = job.at("spec.template.metadata.labels").cloned();
        if let Some(labels) = labels
            && job.entries("metadata.labels").next().is_none()
        {
            job.put("metadata.labels", labels);
        }
    },
    defaults: Some(|| {
        template_defaults("spec.template.spec").with(
            "spec",
            &[
                ("parallelism", "1"),
                ("completionMode", r#""NonIndexed""#),
                ("suspend", "false"),
                ("podFailurePolicy.rules[].onPodConditions[].status", r#""True""#),
            ],
        )
    }),
    prepare_create: generate_selector,
    validate: |job, errors| {
        let spec = Path::root("spec");
        for field in [
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
            "maxFailedIndexes",
        ] {
            not_negative(job, &spec, field, errors);
        }
        match job.text("spec.completionMode") {
            "NonIndexed" => {}
            "Indexed" if job.at("spec.completions").is_some() => {}
            "Indexed" => {
                let why = "when completion mode is Indexed";
                errors.push(Error::required(&spec.child("completions"), why));
            }
            other => {
                let all = ["Indexed", "NonIndexed"];
                errors.push(Error::not_supported(&spec.child("completionMode"), other, &all));
            }
        }
        validate_template(job.at("spec.template"), &spec.child("template"), &["OnFailure", "Never"], errors);
        if job.at("spec.podFailurePolicy").is_some() && job.text("spec.template.spec.restartPolicy") != "Never" {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            let policy = job.text("spec.template.spec.restartPolicy");
            errors.push(Error::invalid(&spec.child("template.spec.restartPolicy"), policy, why));
        }
        let none = serde_json::Map::new();
        let labels = job.at("spec.template.metadata.labels").and_then(Value::as_object).unwrap_or(&none);
        match job.at("spec.selector") {
            None => errors.push(Error::required(&spec.child("selector"), "")),
            selector => {
                if LabelSelector::from_object(selector).is_ok_and(|selector| !selector.matches(labels)) {
                    let path = spec.child("template.metadata.labels");
                    let why = "`selector` does not match template `labels`";
                    errors.push(Error::invalid(&path, Value::Object(labels.clone()), why));
                }
            }
        }
    },
    validate_update: |new, old, errors| {
        for field in [
            "spec.selector",
            "spec.completionMode",
            "spec.podFailurePolicy",
            "spec.backoffLimitPerIndex",
            "spec.managedBy",
        ] {
            immutable(new, old, field, errors);
        }
        let indexed = new.text("spec.completionMode") == "Indexed";
        if !indexed || new.at("spec.completions") != new.at("spec.parallelism") {
            immutable(new, old, "spec.completions", errors);
        }
        // Where the pods run is open as long as none was started.
        let fixed = |job: &Value| {
            let mut template = job.at("spec.template").cloned().unwrap_or_default();
            if old.truth("spec.suspend") && old.at("status.startTime").is_none() {
                for field in [
                    "spec.affinity",
                    "spec.nodeSelector",
                    "spec.tolerations",
                    "spec.schedulingGates",
                    "metadata.labels",
                    "metadata.annotations",
                ] {
                    template.cut(field);
                }
                for list in ["spec.containers", "spec.initContainers"] {
                    for container in template.items_mut(list) {
                        container.cut("resources");
                    }
                }
            }
            template
        };
        if fixed(new) != fixed(old) {
            let value = new.at("spec.template").cloned().unwrap_or_default();
            errors.push(Error::immutable(&Path::root("spec").child("template"), value));
        }
    },
    garbage: Garbage::Orphan,
    ..Strategy::DEFAULT
};

pub(super) const CRON_JOB: Strategy = Strategy {
    generation: true,
    status: Some("{}"),
    name: |name| {
        let mut complaints = api::validation::dns1123_subdomain(name);
        if name.len() > CRON_NAME_MAX {
            complaints.push(format!("must be no more than {CRON_NAME_MAX} characters"));
        }
        complaints
    },
    default: |cron| {
        if let Some(spec) = cron.at_mut("spec.jobTemplate.spec.template.spec") {
            default_spec(spec);
        }
    },
    defaults: Some(|| {
        template_defaults("spec.jobTemplate.spec.template.spec").with(
            "spec",
            &[
                ("concurrencyPolicy", r#""Allow""#),
                ("suspend", "false"),
                ("successfulJobsHistoryLimit", "3"),
                ("failedJobsHistoryLimit", "1"),
            ],
        )
    }),
    validate: |cron, errors| {
        let spec = Path::root("spec");
        let schedule = cron.text("spec.schedule");
        if schedule.is_empty() {
            errors.push(Error::required(&spec.child("schedule"), ""));
        } else if !schedule.starts_with('@') && schedule.split_whitespace().count() != 5 {
            let count = schedule.split_whitespace().count();
            let why = format!(
                "expected exactly 5 fields, found {count}: [{}]",
                schedule.split_whitespace().collect::<Vec<_>>().join(" ")
            );
            errors.push(Error::invalid(&spec.child("schedule"), schedule, why));
        }
        if schedule.contains("TZ") {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(Error::invalid(&spec.child("schedule"), schedule, why));
        }
        let policy = cron.text("spec.concurrencyPolicy");
        if !matches!(policy, "Allow" | "Forbid" | "Replace") {
            let all = ["Allow", "Forbid", "Replace"];
            errors.push(Error::not_supported(&spec.child("concurrencyPolicy"), policy, &all));
        }
        for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            not_negative(cron, &spec, field, errors);
        }
        let template = spec.child("jobTemplate.spec.template");
        validate_template(cron.at("spec.jobTemplate.spec.template"), &template, &["OnFailure", "Never"], errors);
    },
    ..Strategy::DEFAULT
};

/// Jobs find their pods by their own uid, unless they say they do it otherwise.
fn generate_selector(job: &mut Value, _: &User) {
    if job.truth("spec.manualSelector") || job.at("spec.template").is_none() {
        return;
    }
    let (uid, name) = (job.text("metadata.uid").to_owned(), job.text("metadata.name").to_owned());
    let labels = job.map_mut("spec.template.metadata.labels");
    for (key, value) in [(UID, &uid), (OLD_UID, &uid), (NAME, &name), (OLD_NAME, &name)] {
        labels.entry(key).or_insert_with(|| json!(value));
    }
    if job.at("spec.selector").is_none() {
        job.put("spec.selector", json!({"matchLabels": {UID: uid}}));
    } else {
        job.map_mut("spec.selector.matchLabels").insert(UID.into(), uid.into());
    }
}
