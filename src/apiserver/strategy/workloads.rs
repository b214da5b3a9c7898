//! Kinds that keep pods running: ReplicationController, ReplicaSet, Deployment, DaemonSet, StatefulSet.

use api::selector::LabelSelector;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::validate_label_selector;
use serde_json::{Value, json};

use super::pod::{default_spec, spec_defaults};
use super::pod_validation::validate_template;
use super::{Garbage, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

const TEMPLATE: &str = "spec.template.spec";

fn default_template(object: &mut Value) {
    if let Some(spec) = object.at_mut(TEMPLATE) {
        default_spec(spec);
    }
}

pub(super) const POD_TEMPLATE: Strategy = Strategy {
    generation: true,
    default: |object| {
        if let Some(spec) = object.at_mut("template.spec") {
            default_spec(spec);
        }
    },
    defaults: Some(|| spec_defaults("template.spec")),
    validate: |object, errors| {
        let policies = ["Always", "OnFailure", "Never"];
        validate_template(object.at("template"), &Path::root("template"), &policies, errors);
    },
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const REPLICATION_CONTROLLER: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"replicas":0}"#),
    default: |object| {
        default_template(object);
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
    validate: |object, errors| {
        let spec = Path::root("spec");
        replicas(object, errors);
        if object.entries("spec.selector").next().is_none() {
            errors.push(Error::required(&spec.child("selector"), ""));
        } else {
            let labels = object.entries("spec.selector").map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
            labels_match(&LabelSelector::from_labels(labels), object, errors);
        }
        validate_template(object.at("spec.template"), &spec.child("template"), &["Always"], errors);
    },
    garbage: Garbage::Orphan,
    ..Strategy::DEFAULT
};

pub(super) const REPLICA_SET: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"replicas":0}"#),
    default: default_template,
    defaults: Some(|| spec_defaults(TEMPLATE).with("spec", &[("replicas", "1")])),
    validate: |object, errors| {
        replicas(object, errors);
        selector(object, errors);
        validate_template(object.at("spec.template"), &Path::root("spec").child("template"), &["Always"], errors);
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.selector", errors),
    ..Strategy::DEFAULT
};

pub(super) const DEPLOYMENT: Strategy = Strategy {
    generation: true,
    status: Some("{}"),
    default: |object| {
        default_template(object);
        if object.at("spec").is_some() && matches!(object.text("spec.strategy.type"), "" | "RollingUpdate") {
            object.default_to("spec.strategy.rollingUpdate", json!({}));
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
    validate: |object, errors| {
        let spec = Path::root("spec");
        replicas(object, errors);
        selector(object, errors);
        validate_template(object.at("spec.template"), &spec.child("template"), &["Always"], errors);
        let strategy = spec.child("strategy");
        match object.text("spec.strategy.type") {
            "Recreate" if object.at("spec.strategy.rollingUpdate").is_some() => {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(Error::forbidden(&strategy.child("rollingUpdate"), why));
            }
            "Recreate" => {}
            "RollingUpdate" => rolling_update(object, &strategy.child("rollingUpdate"), errors),
            other => errors.push(Error::not_supported(&strategy.child("type"), other, &["Recreate", "RollingUpdate"])),
        }
        for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
            not_negative(object, &spec, field, errors);
        }
        let (deadline, ready) =
            (object.int("spec.progressDeadlineSeconds"), object.int("spec.minReadySeconds").unwrap_or(0));
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= ready) {
            let why = "must be greater than minReadySeconds";
            errors.push(Error::invalid(&spec.child("progressDeadlineSeconds"), deadline, why));
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.selector", errors),
    ..Strategy::DEFAULT
};

pub(super) const DAEMON_SET: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}"#),
    default: |object| {
        default_template(object);
        if object.at("spec").is_some() && matches!(object.text("spec.updateStrategy.type"), "" | "RollingUpdate") {
            object.default_to("spec.updateStrategy.rollingUpdate", json!({}));
        }
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
    validate: |object, errors| {
        selector(object, errors);
        validate_template(object.at("spec.template"), &Path::root("spec").child("template"), &["Always"], errors);
        update_strategy(object, &["RollingUpdate", "OnDelete"], errors);
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.selector", errors),
    ..Strategy::DEFAULT
};

pub(super) const STATEFUL_SET: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"replicas":0,"availableReplicas":0}"#),
    default: |object| {
        default_template(object);
        if object.at("spec").is_some() && matches!(object.text("spec.updateStrategy.type"), "" | "RollingUpdate") {
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
    validate: |object, errors| {
        replicas(object, errors);
        selector(object, errors);
        validate_template(object.at("spec.template"), &Path::root("spec").child("template"), &["Always"], errors);
        update_strategy(object, &["RollingUpdate", "OnDelete"], errors);
        let policy = object.text("spec.podManagementPolicy");
        if !matches!(policy, "OrderedReady" | "Parallel") {
            let why = "must be 'OrderedReady' or 'Parallel'";
            errors.push(Error::invalid(&Path::root("spec").child("podManagementPolicy"), policy, why));
        }
    },
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
        if fixed(new) != fixed(old) {
            errors.push(Error::forbidden(
                &Path::root("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const CONTROLLER_REVISION: Strategy = Strategy {
    validate: |object, errors| not_negative(object, &Path::root(""), "revision", errors),
    validate_update: |new, old, errors| immutable(new, old, "data", errors),
    ..Strategy::DEFAULT
};

fn replicas(object: &Value, errors: &mut ErrorList) {
    not_negative(object, &Path::root("spec"), "replicas", errors);
    not_negative(object, &Path::root("spec"), "minReadySeconds", errors);
}

/// Complains about a negative number in a field of `spec` (or, with an empty path, of the object).
pub(super) fn not_negative(object: &Value, path: &Path, field: &str, errors: &mut ErrorList) {
    let (whole, path) = match path.as_str() {
        "" => (field.to_owned(), Path::root(field)),
        parent => (format!("{parent}.{field}"), path.child(field)),
    };
    if let Some(number) = object.int(&whole).filter(|number| *number < 0) {
        errors.push(Error::invalid(&path, number, "must be greater than or equal to 0"));
    }
}

/// Complains about a change of a field that may not change.
pub(super) fn immutable(new: &Value, old: &Value, path: &str, errors: &mut ErrorList) {
    if new.at(path) != old.at(path) {
        errors.push(Error::immutable(&Path::root(path), new.at(path).cloned().unwrap_or_default()));
    }
}

/// The selector has to be there, well formed, and to match the template's labels.
pub(super) fn selector(object: &Value, errors: &mut ErrorList) {
    let path = Path::root("spec").child("selector");
    let Some(selector) = object.at("spec.selector") else {
        errors.push(Error::required(&path, ""));
        return;
    };
    let complaints = validate_label_selector(selector, &path);
    if !complaints.is_empty() {
        errors.extend(complaints);
        return;
    }
    let empty = selector.entries("matchLabels").next().is_none() && selector.items("matchExpressions").is_empty();
    if empty {
        let kind = object.text("kind").to_ascii_lowercase();
        errors.push(Error::invalid(&path, selector.clone(), format!("empty selector is invalid for {kind}")));
        return;
    }
    if let Ok(selector) = LabelSelector::from_object(Some(selector)) {
        labels_match(&selector, object, errors);
    }
}

fn labels_match(selector: &LabelSelector, object: &Value, errors: &mut ErrorList) {
    let none = serde_json::Map::new();
    let labels = object.at("spec.template.metadata.labels").and_then(Value::as_object).unwrap_or(&none);
    if object.at("spec.template").is_some() && !selector.matches(labels) {
        let path = Path::root("spec").child("template.metadata.labels");
        errors.push(Error::invalid(
            &path,
            Value::Object(labels.clone()),
            "`selector` does not match template `labels`",
        ));
    }
}

fn update_strategy(object: &Value, kinds: &[&str], errors: &mut ErrorList) {
    let kind = object.text("spec.updateStrategy.type");
    if !kinds.contains(&kind) {
        let path = Path::root("spec").child("updateStrategy").child("type");
        errors.push(Error::not_supported(&path, kind, kinds));
    }
}

fn rolling_update(object: &Value, path: &Path, errors: &mut ErrorList) {
    let mut zero = 0;
    for field in ["maxUnavailable", "maxSurge"] {
        let value = object.at("spec.strategy.rollingUpdate").and_then(|update| update.at(field));
        let path = path.child(field);
        match value {
            Some(Value::String(text)) => {
                let complaints = api::validation::percent(text);
                if complaints.is_empty() && text.trim_end_matches('%').parse::<u64>().is_ok_and(|n| n == 0) {
                    zero += 1;
                }
                errors.invalid_each(&path, text, complaints);
            }
            Some(number) if number.as_i64().is_some_and(|n| n < 0) => {
                errors.push(Error::invalid(&path, number.clone(), "must be greater than or equal to 0"));
            }
            Some(number) if number.as_i64() == Some(0) => zero += 1,
            _ => {}
        }
    }
    if zero == 2 {
        let value = object.at("spec.strategy.rollingUpdate.maxUnavailable").cloned().unwrap_or_default();
        errors.push(Error::invalid(&path.child("maxUnavailable"), value, "may not be 0 when `maxSurge` is 0"));
    }
}

/// For the composition of tables elsewhere.
pub(super) fn template_defaults(root: &str) -> Defaults {
    spec_defaults(root)
}
