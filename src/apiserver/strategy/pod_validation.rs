//! What is asked of pods and pod specs, in upstream's words.

mod containers;
mod update;

use api::validation::dns1123_label;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use crate::tree::Tree;

pub(super) use update::validate_update;

/// Complaints about a pod.
pub(super) fn validate(pod: &Value, errors: &mut ErrorList) {
    let spec = pod.at("spec").unwrap_or(&Value::Null);
    validate_spec(spec, &Path::root("spec"), errors);
}

/// Complaints about a pod template at `path`, whose pods have to be restarted as one of `policies` says.
pub(super) fn validate_template(template: Option<&Value>, path: &Path, policies: &[&str], errors: &mut ErrorList) {
    let Some(template) = template else {
        errors.push(Error::required(path, ""));
        return;
    };
    let pairs = |at| template.entries(at).map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    let meta = path.child("metadata");
    errors.extend(api::validation::validate_labels(pairs("metadata.labels"), &meta.child("labels")));
    errors.extend(api::validation::validate_annotations(pairs("metadata.annotations"), &meta.child("annotations")));
    let spec = template.at("spec").unwrap_or(&Value::Null);
    validate_spec(spec, &path.child("spec"), errors);
    let policy = spec.text("restartPolicy");
    if !policies.contains(&policy) {
        errors.push(Error::not_supported(&path.child("spec.restartPolicy"), policy, policies));
    }
    if !spec.items("ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&path.child("spec.ephemeralContainers"), why));
    }
}

/// Complaints about a pod spec.
fn validate_spec(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let volumes = volumes(spec, &path.child("volumes"), errors);
    containers::validate(spec, path, &volumes, errors);
    one_of(spec, path, "restartPolicy", &["Always", "OnFailure", "Never"], errors);
    one_of(spec, path, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errors);
    if spec.text("dnsPolicy") == "None" && spec.items("dnsConfig.nameservers").is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(Error::required(&path.child("dnsConfig.nameservers"), why));
    }
    let labels = spec.entries("nodeSelector").map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    errors.extend(api::validation::validate_labels(labels, &path.child("nodeSelector")));
    for (field, check) in [
        ("serviceAccountName", api::validation::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", api::validation::dns1123_subdomain),
        ("hostname", dns1123_label),
        ("subdomain", dns1123_label),
        ("runtimeClassName", api::validation::dns1123_subdomain),
    ] {
        let value = spec.text(field);
        if !value.is_empty() {
            errors.invalid_each(&path.child(field), value, check(value));
        }
    }
    if let Some(seconds) =
        spec.int("activeDeadlineSeconds").filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds))
    {
        let field = path.child("activeDeadlineSeconds");
        let complaints = api::validation::in_range(seconds, 1, i64::from(i32::MAX));
        errors.extend(complaints.into_iter().map(|why| Error::invalid(&field, seconds, why)));
    }
    tolerations(spec, &path.child("tolerations"), errors);
    spread(spec, &path.child("topologySpreadConstraints"), errors);
}

/// Complains about a value that is none of those a field takes.
pub(super) fn one_of(object: &Value, path: &Path, field: &str, values: &[&str], errors: &mut ErrorList) {
    let value = object.text(field);
    if value.is_empty() {
        errors.push(Error::required(&path.child(field), ""));
    } else if !values.contains(&value) {
        errors.push(Error::not_supported(&path.child(field), value, values));
    }
}

/// Checks the volumes; returns their names.
fn volumes<'a>(spec: &'a Value, path: &Path, errors: &mut ErrorList) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, volume) in spec.items("volumes").iter().enumerate() {
        let path = path.index(at);
        let name = volume.text("name");
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.invalid_each(&path.child("name"), name, dns1123_label(name));
            if names.contains(&name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            names.push(name);
        }
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, v)| *k != "name" && !v.is_null())
            .map(|(k, _)| k)
            .collect();
        for source in sources.iter().skip(1) {
            errors.push(Error::forbidden(&path.child(source), "may not specify more than 1 volume type"));
        }
        for (source, field) in [
            ("hostPath", "path"),
            ("secret", "secretName"),
            ("configMap", "name"),
            ("persistentVolumeClaim", "claimName"),
            ("nfs", "server"),
            ("nfs", "path"),
            ("csi", "driver"),
        ] {
            if volume.at(source).is_some_and(|source| source.text(field).is_empty()) {
                errors.push(Error::required(&path.child(source).child(field), ""));
            }
        }
    }
    names
}

fn tolerations(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, toleration) in spec.items("tolerations").iter().enumerate() {
        let path = path.index(at);
        let key = toleration.text("key");
        if !key.is_empty() {
            errors.invalid_each(&path.child("key"), key, api::validation::qualified_name(key));
        }
        let operator = toleration.text("operator");
        if key.is_empty() && operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(&path.child("operator"), operator, why));
        }
        if toleration.at("tolerationSeconds").is_some() && toleration.text("effect") != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(&path.child("effect"), toleration.text("effect"), why));
        }
        match operator {
            "Equal" | "" => {}
            "Exists" if toleration.text("value").is_empty() => {}
            "Exists" => {
                let why = "value must be empty when `operator` is 'Exists'";
                errors.push(Error::invalid(&path.child("operator"), toleration.text("value"), why));
            }
            other => errors.push(Error::not_supported(&path.child("operator"), other, &["Equal", "Exists"])),
        }
        let effect = toleration.text("effect");
        if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let all = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            errors.push(Error::not_supported(&path.child("effect"), effect, &all));
        }
    }
}

fn spread(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, constraint) in spec.items("topologySpreadConstraints").iter().enumerate() {
        let path = path.index(at);
        if constraint.int("maxSkew").unwrap_or(0) <= 0 {
            let skew = constraint.int("maxSkew").unwrap_or(0);
            errors.push(Error::invalid(&path.child("maxSkew"), skew, "must be greater than zero"));
        }
        if constraint.text("topologyKey").is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = constraint.text("whenUnsatisfiable");
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let all = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(Error::not_supported(&path.child("whenUnsatisfiable"), action, &all));
        }
    }
}
