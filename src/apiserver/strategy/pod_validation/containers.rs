//! What is asked of the containers of a pod.

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{config_map_key, dns1123_label, env_var_name, port_name, port_number};
use serde_json::Value;

use super::one_of;
use crate::tree::Tree;

/// Complaints about all containers of a spec whose volumes have the given names.
pub(super) fn validate(spec: &Value, path: &Path, volumes: &[&str], errors: &mut ErrorList) {
    let mut names: Vec<&str> = Vec::new();
    if spec.items("containers").is_empty() {
        errors.push(Error::required(&path.child("containers"), ""));
    }
    let mut host_ports = Vec::new();
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (at, container) in spec.items(list).iter().enumerate() {
            let path = path.child(list).index(at);
            name(container, &path, &mut names, errors);
            if container.text("image").is_empty() {
                errors.push(Error::required(&path.child("image"), ""));
            } else if container.text("image").trim() != container.text("image") {
                let why = "must not have leading or trailing whitespace";
                errors.push(Error::invalid(&path.child("image"), container.text("image"), why));
            }
            one_of(container, &path, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], errors);
            one_of(container, &path, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], errors);
            ports(container, &path.child("ports"), &mut host_ports, errors);
            environment(container, &path, errors);
            mounts(container, &path.child("volumeMounts"), volumes, errors);
            resources(container, &path.child("resources"), errors);
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if let Some(value) = container.at(probe) {
                    handler(value, &path.child(probe), &["exec", "httpGet", "tcpSocket", "grpc"], errors);
                    counts(value, &path.child(probe), probe, errors);
                }
            }
            for hook in ["postStart", "preStop"] {
                if let Some(value) = container.at("lifecycle").and_then(|lifecycle| lifecycle.at(hook)) {
                    let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
                    handler(value, &path.child("lifecycle").child(hook), &kinds, errors);
                }
            }
            if list == "initContainers"
                && !matches!(container.text("restartPolicy"), "" | "Always" | "Never" | "OnFailure")
            {
                let policy = container.text("restartPolicy");
                errors.push(Error::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
            }
        }
    }
}

fn name<'a>(container: &'a Value, path: &Path, names: &mut Vec<&'a str>, errors: &mut ErrorList) {
    let name = container.text("name");
    let path = path.child("name");
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
        return;
    }
    errors.invalid_each(&path, name, dns1123_label(name));
    if names.contains(&name) {
        errors.push(Error::duplicate(&path, name));
    }
    names.push(name);
}

fn ports(container: &Value, path: &Path, host_ports: &mut Vec<String>, errors: &mut ErrorList) {
    let mut names: Vec<&str> = Vec::new();
    for (at, port) in container.items("ports").iter().enumerate() {
        let path = path.index(at);
        let name = port.text("name");
        if !name.is_empty() {
            errors.invalid_each(&path.child("name"), name, port_name(name));
            if names.contains(&name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            names.push(name);
        }
        match port.int("containerPort") {
            None | Some(0) => errors.push(Error::required(&path.child("containerPort"), "")),
            Some(number) => {
                let field = path.child("containerPort");
                errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
            }
        }
        one_of(port, &path, "protocol", &["SCTP", "TCP", "UDP"], errors);
        if let Some(number) = port.int("hostPort").filter(|number| *number != 0) {
            let field = path.child("hostPort");
            errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
            let place = format!("{}/{}/{number}", port.text("hostIP"), port.text("protocol"));
            if host_ports.contains(&place) {
                errors.push(Error::duplicate(&field, place.clone()));
            }
            host_ports.push(place);
        }
    }
}

fn environment(container: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, variable) in container.items("env").iter().enumerate() {
        let path = path.child("env").index(at);
        let name = variable.text("name");
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.invalid_each(&path.child("name"), name, env_var_name(name));
        }
        let Some(from) = variable.at("valueFrom") else { continue };
        let path = path.child("valueFrom");
        if !variable.text("value").is_empty() {
            errors.push(Error::invalid(&path, "", "may not be specified when `value` is not empty"));
        }
        let sources = from.as_object().map_or(0, serde_json::Map::len);
        if sources == 0 {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            errors.push(Error::invalid(&path, "", why));
        } else if sources > 1 {
            errors.push(Error::invalid(&path, "", "may not have more than one field specified at a time"));
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let Some(reference) = from.at(source) else { continue };
            let path = path.child(source);
            match reference.text("key") {
                "" => errors.push(Error::required(&path.child("key"), "")),
                key => errors.invalid_each(&path.child("key"), key, config_map_key(key)),
            }
        }
        if from.at("fieldRef").is_some_and(|field| field.text("fieldPath").is_empty()) {
            errors.push(Error::required(&path.child("fieldRef.fieldPath"), ""));
        }
    }
}

fn mounts(container: &Value, path: &Path, volumes: &[&str], errors: &mut ErrorList) {
    let mut places: Vec<&str> = Vec::new();
    for (at, mount) in container.items("volumeMounts").iter().enumerate() {
        let path = path.index(at);
        match mount.text("name") {
            "" => errors.push(Error::required(&path.child("name"), "")),
            name if !volumes.contains(&name) => errors.push(Error::not_found(&path.child("name"), name)),
            _ => {}
        }
        let place = mount.text("mountPath");
        if place.is_empty() {
            errors.push(Error::required(&path.child("mountPath"), ""));
        } else if places.contains(&place) {
            errors.push(Error::invalid(&path.child("mountPath"), place, "must be unique"));
        }
        places.push(place);
        for field in ["subPath", "subPathExpr"] {
            let sub = mount.text(field);
            if sub.starts_with('/') {
                errors.push(Error::invalid(&path.child(field), sub, "must be a relative path"));
            } else if sub.split('/').any(|part| part == "..") {
                errors.push(Error::invalid(&path.child(field), sub, "must not contain '..'"));
            }
        }
        if !mount.text("subPath").is_empty() && !mount.text("subPathExpr").is_empty() {
            errors.push(Error::invalid(
                &path.child("subPathExpr"),
                mount.text("subPathExpr"),
                "subPathExpr and subPath are mutually exclusive",
            ));
        }
    }
}

/// Requests may not exceed limits; amounts are not negative.
pub(in crate::strategy) fn resources(container: &Value, path: &Path, errors: &mut ErrorList) {
    let amounts = |kind: &'static str| {
        let entries =
            container.entries("resources").filter(move |(key, _)| *key == kind).flat_map(|(_, map)| map.as_object());
        entries.flatten().filter_map(|(name, value)| Some((name, Quantity::from_json(value).ok()?)))
    };
    for kind in ["limits", "requests"] {
        for (name, amount) in amounts(kind) {
            if amount.signum() < 0 {
                let field = path.child(kind).key(name);
                errors.push(Error::invalid(&field, amount.to_string(), "must be greater than or equal to 0"));
            }
            if !name.contains('/') && !is_standard(name) {
                let field = path.child(kind).key(name);
                errors.push(Error::invalid(
                    &field,
                    name.as_str(),
                    "must be a standard resource type or fully qualified",
                ));
                errors.push(Error::invalid(&field, name.as_str(), "must be a standard resource for containers"));
            }
        }
    }
    for (name, request) in amounts("requests") {
        let Some((_, limit)) = amounts("limits").find(|(limited, _)| *limited == name) else { continue };
        let field = path.child("requests");
        // What cannot be shared out beyond what is there has to be requested exactly.
        let exact = name.contains('/') && !name.starts_with("kubernetes.io/") || name.starts_with("hugepages-");
        if exact && request != limit {
            let why = format!("must be equal to {name} limit of {limit}");
            errors.push(Error::invalid(&field, request.to_string(), why));
        } else if request > limit {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(Error::invalid(&field, request.to_string(), why));
        }
    }
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage" | "storage") || name.starts_with("hugepages-")
}

fn handler(value: &Value, path: &Path, kinds: &[&str], errors: &mut ErrorList) {
    let given: Vec<&&str> = kinds.iter().filter(|kind| value.at(kind).is_some()).collect();
    if given.is_empty() {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    for kind in given.iter().skip(1) {
        errors.push(Error::forbidden(&path.child(kind), "may not specify more than 1 handler type"));
    }
    if value.at("exec").is_some() && value.items("exec.command").is_empty() {
        errors.push(Error::required(&path.child("exec.command"), ""));
    }
    for kind in ["httpGet", "tcpSocket"] {
        if let Some(port) = value.at(kind).map(|handler| handler.at("port").cloned().unwrap_or_default()) {
            let field = path.child(kind).child("port");
            match &port {
                Value::String(name) => errors.invalid_each(&field, name, port_name(name)),
                number => {
                    let number = number.as_i64().unwrap_or(0);
                    errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
                }
            }
        }
    }
}

fn counts(probe: &Value, path: &Path, kind: &str, errors: &mut ErrorList) {
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        if let Some(number) = probe.int(field).filter(|number| *number < 0) {
            errors.push(Error::invalid(&path.child(field), number, "must be greater than or equal to 0"));
        }
    }
    if kind != "readinessProbe"
        && let Some(number) = probe.int("successThreshold").filter(|number| *number != 1)
    {
        errors.push(Error::invalid(&path.child("successThreshold"), number, "must be 1"));
    }
}
