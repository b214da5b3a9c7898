//! Jobs and CronJobs.

mod indexes;
mod schedule;
mod status;
mod validation;

use serde_json::{Value, json};

use super::at::At;
use super::warnings;
use super::workloads::{default_spec_at, template_defaults};
use super::{Creation, Garbage, Generation, Strategy, off};
use crate::tree::Tree;

const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";
/// The same labels from before they had a prefix.
const OLD_UID: &str = "controller-uid";
const OLD_NAME: &str = "job-name";

/// The longest name of a cron job: its jobs' names have eleven characters more.
const CRON_NAME_MAX: usize = 52;

pub(super) const JOB: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some("{}"),
    default: |job| {
        default_spec_at(job, "spec.template.spec");
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
        own_template_labels(job);
    },
    defaults: Some(|| {
        template_defaults("spec.template.spec").with(
            "spec",
            &[
                ("parallelism", "1"),
                ("completionMode", r#""NonIndexed""#),
                ("suspend", "false"),
                ("manualSelector", "false"),
                ("podFailurePolicy.rules[].onPodConditions[].status", r#""True""#),
            ],
        )
    }),
    prepare_create: generate_selector,
    validate: validation::job,
    validate_create: validation::new_job,
    validate_update: validation::job_update,
    validate_status: status::validate,
    garbage: Garbage::Orphan(Some(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
         propagationPolicy=Orphan to suppress this warning",
    )),
    warnings: warnings::job,
    off: off::WORKLOAD,
    ..Strategy::DEFAULT
};

pub(super) const CRON_JOB: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some("{}"),
    default: |cron| default_spec_at(cron, "spec.jobTemplate.spec.template.spec"),
    defaults: Some(|| {
        template_defaults("spec.jobTemplate.spec.template.spec").with(
            "spec",
            &[
                ("concurrencyPolicy", r#""Allow""#),
                ("jobTemplate.spec.podFailurePolicy.rules[].onPodConditions[].status", r#""True""#),
                ("suspend", "false"),
                ("successfulJobsHistoryLimit", "3"),
                ("failedJobsHistoryLimit", "1"),
            ],
        )
    }),
    validate: validation::cron_job,
    validate_create: |cron, errors| {
        let root = At::root(cron);
        let name = root.get("metadata.name");
        if name.str().len() > CRON_NAME_MAX {
            name.invalid(errors, format!("must be no more than {CRON_NAME_MAX} characters"));
        }
    },
    warnings: warnings::cron_job,
    off: off::CRON_JOB,
    ..Strategy::DEFAULT
};

/// A job that has no labels has those of its pods.
fn own_template_labels(job: &mut Value) {
    let labels = job.at("spec.template.metadata.labels").cloned();
    if let Some(labels) = labels
        && job.entries("metadata.labels").next().is_none()
    {
        job.put("metadata.labels", labels);
    }
}

/// Jobs find their pods by their own uid, unless they say they do it otherwise.
fn generate_selector(job: &mut Value, creation: &Creation<'_>) {
    if job.truth("spec.manualSelector") || job.at("spec.template").is_none() {
        return;
    }
    let (uid, name) = (job.text("metadata.uid").to_owned(), job.text("metadata.name").to_owned());
    let labels = job.map_mut("spec.template.metadata.labels");
    for (key, value) in [(UID, &uid), (OLD_UID, &uid), (NAME, &name), (OLD_NAME, &name)] {
        labels.entry(key).or_insert_with(|| json!(value));
    }
    // Labels that a job has by default are one map with the template's in Go, and what the one gets is in the other.
    if creation.labels_defaulted {
        let labels = labels.clone();
        job.put("metadata.labels", labels);
    }
    if job.at("spec.selector").is_none() {
        job.put("spec.selector", json!({"matchLabels": {UID: uid}}));
    } else {
        job.map_mut("spec.selector.matchLabels").insert(UID.into(), uid.into());
    }
    own_template_labels(job);
}
