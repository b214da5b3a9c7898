//! The environment of a container, and what of the pod it may quote.

use std::collections::HashMap;

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList};
use api::validation::{config_map_key, dns1123_label, dns1123_subdomain, env_var_name, prefix, qualified_name};

use crate::strategy::at::{At, Rule};
use crate::tree::Tree;

/// Fields of the pod that a variable can take its value from.
const IN_VARIABLES: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of the pod that a file can take its content from.
pub(super) const IN_FILES: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Amounts of a container that can be quoted, beside those of huge pages.
const AMOUNTS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const SCALES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Complaints about `env` and `envFrom` of a container.
pub(super) fn validate(container: &At, errors: &mut ErrorList) {
    for variable in container.each("env") {
        let name = variable.get("name");
        match name.str() {
            "" => name.required(errors, ""),
            text => name.complain(errors, env_var_name(text)),
        }
        value_from(&variable, errors);
    }
    for source in container.each("envFrom") {
        source.check(&[("prefix", Rule::Name(env_var_name))], errors);
        let mut sources = 0;
        for kind in ["configMapRef", "secretRef"] {
            let reference = source.get(kind);
            if reference.is_set() {
                sources += 1;
                reference.check(&[("name", Rule::NeedName(|name| prefix(dns1123_subdomain, name)))], errors);
            }
        }
        let list = container.get("envFrom");
        match sources {
            0 => list.wrong(errors, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => list.wrong(errors, "", "may not have more than one field specified at a time"),
        }
    }
}

fn value_from(variable: &At, errors: &mut ErrorList) {
    let from = variable.get("valueFrom");
    if !from.is_set() {
        return;
    }
    let mut sources = 0;
    for kind in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let source = from.get(kind);
        if !source.is_set() {
            continue;
        }
        sources += 1;
        match kind {
            "fieldRef" => field_ref(&source, &IN_VARIABLES, errors),
            "resourceFieldRef" => resource_field_ref(&source, false, errors),
            "fileKeyRef" => {
                source.check(
                    &[("key", Rule::NeedName(env_var_name)), ("volumeName", Rule::NeedName(dns1123_label))],
                    errors,
                );
                match source.get("path") {
                    path if path.is_empty() => path.required(errors, ""),
                    path => path.no_backsteps(errors),
                }
            }
            _ => {
                let name = source.get("name");
                name.complain(errors, dns1123_subdomain(name.str()));
                source.check(&[("key", Rule::NeedName(config_map_key))], errors);
            }
        }
    }
    if sources == 0 {
        let why =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        from.wrong(errors, "", why);
    } else if !variable.text("value").is_empty() {
        from.wrong(errors, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        from.wrong(errors, "", "may not have more than one field specified at a time");
    }
}

/// A field of the pod, perhaps one entry of its labels or annotations.
pub(super) fn field_ref(reference: &At, known: &[&str], errors: &mut ErrorList) {
    for field in ["apiVersion", "fieldPath"] {
        if reference.text(field).is_empty() {
            reference.get(field).required(errors, "");
            return;
        }
    }
    let text = reference.text("fieldPath");
    let at = reference.get("fieldPath");
    let subscripted = text.strip_suffix("']").and_then(|text| text.split_once("['"));
    let version = reference.text("apiVersion");
    let unknown = match subscripted {
        _ if version != "v1" => Some(format!("unsupported pod version: {version}")),
        Some(("metadata.annotations" | "metadata.labels", _)) => None,
        Some(_) => Some(format!("field label does not support subscript: {text}")),
        None => (!convertible(text)).then(|| format!("field label not supported: {text}")),
    };
    if let Some(why) = unknown {
        at.wrong(errors, text, format!("error converting fieldPath: {why}"));
        return;
    }
    match subscripted {
        Some(("metadata.annotations", key)) => {
            let key = key.to_lowercase();
            qualified_name(&key).into_iter().for_each(|why| reference.wrong(errors, key.as_str(), why));
        }
        Some(("metadata.labels", key)) => {
            qualified_name(key).into_iter().for_each(|why| reference.wrong(errors, key, why));
        }
        Some(_) => {}
        None if !known.contains(&text) => at.unsupported(errors, known),
        None => {}
    }
}

/// Whether a path is one that the downward API knows at all, be it for variables or for files.
fn convertible(path: &str) -> bool {
    IN_VARIABLES.contains(&path) || IN_FILES.contains(&path) || matches!(path, "spec.restartPolicy" | "status.phase")
}

/// An amount of a container; files say which container's.
pub(super) fn resource_field_ref(reference: &At, file: bool, errors: &mut ErrorList) {
    let resource = reference.text("resource");
    let pages = resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-");
    if file && reference.text("containerName").is_empty() {
        reference.get("containerName").required(errors, "");
    } else if resource.is_empty() {
        reference.get("resource").required(errors, "");
    } else if !AMOUNTS.contains(&resource) && !pages {
        reference.get("resource").unsupported(errors, &AMOUNTS);
    }
    let Some(divisor) = reference.quantity("divisor").filter(|divisor| *divisor != Quantity::zero()) else { return };
    let text = divisor.to_string();
    let (known, what): (&[&str], _) = match resource.split_once('.').map_or("", |(_, name)| name) {
        "cpu" => (&["1m", "1"], "cpu"),
        "memory" => (&SCALES, "memory"),
        "ephemeral-storage" => (&SCALES, "local ephemeral storage"),
        _ if pages => (&SCALES, "hugepages"),
        _ => return,
    };
    if !known.contains(&text.as_str()) {
        let list = match what {
            "cpu" => "1m and 1".to_owned(),
            _ => SCALES.join(", "),
        };
        let why = format!("only divisor's values {list} are supported with the {what} resource");
        reference.get("divisor").wrong(errors, resource, why);
    }
}

/// Files that variables are read from lie in volumes of the pod that are its own.
pub(super) fn file_volumes(spec: &At, errors: &mut ErrorList) {
    let mut volumes: HashMap<&str, &serde_json::Value> = HashMap::new();
    for volume in spec.items("volumes") {
        volumes.entry(volume.text("name")).or_insert(volume);
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.each(list) {
            for variable in container.each("env") {
                let at = variable.get("valueFrom.fileKeyRef.volumeName");
                if !variable.has("valueFrom.fileKeyRef") {
                    continue;
                }
                match volumes.get(at.str()) {
                    None => errors.push(Error::not_found(&at.path(), at.str())),
                    Some(volume) if volume.get("emptyDir").is_none() => {
                        at.invalid(errors, "referenced volume must be of type emptyDir");
                    }
                    Some(_) => {}
                }
            }
        }
    }
}
