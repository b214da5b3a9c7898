//! Kinds that keep pods running: ReplicationController, ReplicaSet, Deployment, DaemonSet, StatefulSet.

pub(super) mod validation;

use api::schema;
use api::validation::dns1123_label;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use super::at::{At, Rule};
use super::pod::{default_spec, spec_defaults};
use super::pod_validation::validate_template;
use super::semantic;
use super::upstream_form;
use super::warnings;
use super::{Garbage, Generation, Strategy, off};
use crate::defaults::Defaults;
use crate::tree::Tree;

const TEMPLATE: &str = "spec.template.spec";

fn default_template(object: &mut Value) {
    default_spec_at(object, TEMPLATE);
}

/// What a pod spec within another object leaves out. A template that says nothing has a spec, too.
pub(super) fn default_spec_at(object: &mut Value, path: &str) {
    object.default_to(path, json!({}));
    if let Some(spec) = object.at_mut(path) {
        default_spec(spec);
    }
}

pub(super) const POD_TEMPLATE: Strategy = Strategy {
    generation: Generation::Counted,
    default: |object| default_spec_at(object, "template.spec"),
    defaults: Some(|| spec_defaults("template.spec")),
    validate: |object, errors| validate_template(&At::root(object).get("template"), errors),
    returns_deleted: true,
    warnings: |about| warnings::workload(about, "template"),
    off: off::POD_TEMPLATE,
    ..Strategy::DEFAULT
};

pub(super) const REPLICATION_CONTROLLER: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some(r#"{"replicas":0}"#),
    default: |object| {
        // Of all workloads this one may have no template.
        if object.at("spec.template").is_some() {
            default_template(object);
        }
        // What the template's pods are called is what the controller looks for, unless it says otherwise.
        let labels = object.at("spec.template.metadata.labels").cloned();
        if let Some(labels) = labels {
            if object.entries("spec.selector").next().is_none() {
                object.put("spec.selector", labels.clone());
            }
            if object.entries("metadata.labels").next().is_none() {
                object.put("metadata.labels", labels);
            }
        }
    },
    defaults: Some(|| spec_defaults(TEMPLATE).with("spec", &[("replicas", "1")])),
    validate: validation::replication_controller,
    validate_status: |new, old, errors| validation::status(&validation::REPLICA_SET, new, old, errors),
    garbage: Garbage::Orphan(None),
    warnings: |about| warnings::named_workload(about, "spec.template"),
    off: off::WORKLOAD,
    ..Strategy::DEFAULT
};

pub(super) const REPLICA_SET: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some(r#"{"replicas":0}"#),
    default: default_template,
    defaults: Some(|| spec_defaults(TEMPLATE).with("spec", &[("replicas", "1")])),
    validate: validation::replica_set,
    validate_status: |new, old, errors| validation::status(&validation::REPLICA_SET, new, old, errors),
    validate_update: |new, old, errors| immutable_of("LabelSelector", new, old, "spec.selector", errors),
    warnings: |about| warnings::named_workload(about, "spec.template"),
    off: off::WORKLOAD,
    ..Strategy::DEFAULT
};

pub(super) const DEPLOYMENT: Strategy = Strategy {
    generation: Generation::CountedWith("metadata.annotations"),
    status: Some("{}"),
    default: |object| {
        default_template(object);
        if matches!(object.text("spec.strategy.type"), "" | "RollingUpdate") {
            object.default_to("spec.strategy.rollingUpdate", json!({}));
        } else if object.at("spec.strategy.rollingUpdate").is_some() {
            // Where nothing rolls, nothing is zero.
            object.default_to("spec.strategy.rollingUpdate.maxUnavailable", 0);
            object.default_to("spec.strategy.rollingUpdate.maxSurge", 0);
        }
    },
    defaults: Some(|| {
        spec_defaults(TEMPLATE).with(
            "spec",
            &[
                ("replicas", "1"),
                ("strategy", "{}"),
                ("strategy.type", r#""RollingUpdate""#),
                ("strategy.rollingUpdate.maxUnavailable", r#""25%""#),
                ("strategy.rollingUpdate.maxSurge", r#""25%""#),
                ("revisionHistoryLimit", "10"),
                ("progressDeadlineSeconds", "600"),
            ],
        )
    }),
    validate: validation::deployment,
    validate_status: |new, old, errors| validation::status(&validation::DEPLOYMENT, new, old, errors),
    validate_update: |new, old, errors| immutable_of("LabelSelector", new, old, "spec.selector", errors),
    warnings: |about| warnings::named_workload(about, "spec.template"),
    off: off::WORKLOAD,
    ..Strategy::DEFAULT
};

pub(super) const DAEMON_SET: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some(r#"{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}"#),
    default: |object| {
        default_template(object);
        if matches!(object.text("spec.updateStrategy.type"), "" | "RollingUpdate") {
            object.default_to("spec.updateStrategy.rollingUpdate", json!({}));
        } else if object.at("spec.updateStrategy.rollingUpdate").is_some() {
            // As for deployments.
            object.default_to("spec.updateStrategy.rollingUpdate.maxUnavailable", 0);
        }
        // Who leaves it out has written it, too: it shows in what they own.
        object.map_mut("metadata.annotations").entry(TEMPLATE_GENERATION).or_insert_with(|| "0".into());
    },
    defaults: Some(|| {
        spec_defaults(TEMPLATE).with(
            "spec",
            &[
                ("updateStrategy", "{}"),
                ("updateStrategy.type", r#""RollingUpdate""#),
                ("updateStrategy.rollingUpdate.maxUnavailable", "1"),
                ("updateStrategy.rollingUpdate.maxSurge", "0"),
                ("revisionHistoryLimit", "10"),
            ],
        )
    }),
    prepare_create: |set, _| put_template_generation(set, template_generation(set).max(1)),
    prepare_update: |set, old| {
        let before = template_generation(old);
        put_template_generation(set, if same_template(set, old) { before } else { before + 1 });
    },
    validate: validation::daemon_set,
    validate_status: |new, old, errors| validation::status(&validation::DAEMON_SET, new, old, errors),
    validate_update: |new, old, errors| immutable_of("LabelSelector", new, old, "spec.selector", errors),
    warnings: |(set, old)| match old.is_some_and(|old| template_generation(old) == template_generation(set)) {
        true => Vec::new(),
        false => warnings::workload((set, None), "spec.template"),
    },
    off: off::WORKLOAD,
    ..Strategy::DEFAULT
};

/// Whether two sets have the same template, as it is written.
fn same_template(new: &Value, old: &Value) -> bool {
    let (new, old) = (new.at("spec.template"), old.at("spec.template"));
    let [new, old] = [new, old].map(|template| template.unwrap_or(&Value::Null));
    semantic::same_as_written(schema::message("core/v1.PodTemplateSpec"), new, old)
}

/// A field of versions before v1 that v1 shows as an annotation: how often the template changed.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Value) -> i64 {
    let said = set.at("metadata.annotations").and_then(|annotations| annotations.get(TEMPLATE_GENERATION));
    said.and_then(|said| said.as_str()?.parse().ok()).unwrap_or(0)
}

fn put_template_generation(set: &mut Value, generation: i64) {
    set.map_mut("metadata.annotations").insert(TEMPLATE_GENERATION.into(), generation.to_string().into());
}

pub(super) const STATEFUL_SET: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some(r#"{"replicas":0,"availableReplicas":0}"#),
    default: |object| {
        default_template(object);
        // Who names the strategy says all of it.
        if object.text("spec.updateStrategy.type").is_empty() {
            object.default_to("spec.updateStrategy.rollingUpdate", json!({}));
        }
        for claim in object.items_mut("spec.volumeClaimTemplates") {
            claim.put("apiVersion", "v1");
            claim.put("kind", "PersistentVolumeClaim");
        }
    },
    defaults: Some(|| {
        spec_defaults(TEMPLATE).with(
            "spec",
            &[
                ("replicas", "1"),
                ("podManagementPolicy", r#""OrderedReady""#),
                ("updateStrategy", "{}"),
                ("updateStrategy.type", r#""RollingUpdate""#),
                ("updateStrategy.rollingUpdate.partition", "0"),
                ("revisionHistoryLimit", "10"),
                ("persistentVolumeClaimRetentionPolicy", "{}"),
                ("persistentVolumeClaimRetentionPolicy.whenDeleted", r#""Retain""#),
                ("persistentVolumeClaimRetentionPolicy.whenScaled", r#""Retain""#),
                ("volumeClaimTemplates[].spec.volumeMode", r#""Filesystem""#),
                ("volumeClaimTemplates[].status", "{}"),
                ("volumeClaimTemplates[].status.phase", r#""Pending""#),
            ],
        )
    }),
    name: dns1123_label,
    validate: validation::stateful_set,
    validate_create: validation::new_stateful_set,
    validate_status: |new, old, errors| validation::status(&validation::STATEFUL_SET, new, old, errors),
    validate_update: |new, old, errors| {
        let fixed = |object: &Value| {
            let mut spec = object.at("spec").cloned().unwrap_or_default();
            for field in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                spec.cut(field);
            }
            spec
        };
        if !semantic::same_as_written(schema::message("apps/v1.StatefulSetSpec"), &fixed(new), &fixed(old)) {
            errors.push(Error::forbidden(
                &Path::root("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
    },
    warnings: warnings::stateful_set,
    off: off::STATEFUL_SET,
    ..Strategy::DEFAULT
};

pub(super) const CONTROLLER_REVISION: Strategy = Strategy {
    validate: |object, errors| At::root(object).check(&[("revision", Rule::NotNegative)], errors),
    validate_create: |object, errors| {
        let root = At::root(object);
        let data = root.get("data");
        match data.value() {
            Value::Null => data.required(errors, "data is mandatory"),
            Value::Object(_) => {}
            _ => data.required(errors, "data must be a valid JSON object"),
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "data", errors),
    ..Strategy::DEFAULT
};

/// Complains about a change of a field that may not change.
pub(super) fn immutable(new: &Value, old: &Value, path: &str, errors: &mut ErrorList) {
    if !semantic::same_at(new, old, path) {
        errors.push(Error::immutable(&Path::root(path), new.at(path).cloned().unwrap_or_default()));
    }
}

/// Complains about a change of a field that may not change, and shows it as the type `kind` of upstream's.
pub(super) fn immutable_of(kind: &str, new: &Value, old: &Value, path: &str, errors: &mut ErrorList) {
    if !semantic::same_at(new, old, path) {
        let value = new.at(path).map(|value| upstream_form::of(kind, value)).unwrap_or_default();
        errors.push(Error::immutable(&Path::root(path), value));
    }
}

/// Complains about a change of a spec of the type `kind` that may not change.
pub(super) fn immutable_spec(kind: &str, new: &Value, old: &Value, errors: &mut ErrorList) {
    let [new, old] = [new, old].map(|object| upstream_form::of(kind, object.at("spec").unwrap_or(&Value::Null)));
    if !semantic::same(&new, &old) {
        errors.push(Error::immutable(&Path::root("spec"), new));
    }
}

/// Complains about a change of a text that may not change.
pub(super) fn immutable_text(new: &Value, old: &Value, path: &str, errors: &mut ErrorList) {
    if new.text(path) != old.text(path) {
        errors.push(Error::immutable(&Path::root(path), new.text(path)));
    }
}

/// For the composition of tables elsewhere.
pub(super) fn template_defaults(root: &str) -> Defaults {
    spec_defaults(root)
}
