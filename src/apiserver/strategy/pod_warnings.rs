//! What pods are warned about: it is taken, but does hardly mean what it says.

use std::collections::{HashMap, HashSet};

use api::quantity::Quantity;
use api::quote::quote;
use serde_json::Value;

use super::at::At;
use crate::tree::Tree;

/// Annotations without a function, and what stands in their place.
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

/// Labels of nodes that have another name by now.
const LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// Kinds of volume that are on their way out or gone, in upstream's order.
const VOLUMES: [(&str, &str, &str); 9] = [
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Warnings about a pod, or about the template that stands at `path`.
pub(super) fn of(object: &Value, path: &str) -> Vec<String> {
    let root = At::root(object);
    let owner = if path.is_empty() { root } else { root.get(path) };
    let spec = owner.get("spec");
    let mut warnings = Vec::new();
    nodes(&spec, &mut warnings);
    for (key, message) in ANNOTATIONS {
        let annotation = owner.entry("metadata.annotations", key);
        if annotation.is_set() {
            warn(&annotation, message, &mut warnings);
        }
    }
    for volume in spec.each("volumes") {
        for (field, name, message) in VOLUMES {
            if volume.has(field) {
                warn(&volume.get(name), message, &mut warnings);
            }
        }
    }
    overlaps(&spec, &mut warnings);
    twice(&spec, "hostAliases", "ip", &mut warnings);
    twice(&spec, "imagePullSecrets", "name", &mut warnings);
    for secret in spec.each("imagePullSecrets").filter(|secret| secret.text("name").is_empty()) {
        warn(&secret.get("name"), "invalid empty name \"\"", &mut warnings);
    }
    fractions(&spec, "overhead", &mut warnings);
    each_container(&spec, |container| {
        let resources = container.get("resources");
        fractions(&resources, "limits", &mut warnings);
        fractions(&resources, "requests", &mut warnings);
        hidden(container, &mut warnings);
    });
    ports(&spec, &mut warnings);
    if spec.int("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let message = "must be >= 0; negative values are invalid and will be treated as 1";
        warn(&spec.get("terminationGracePeriodSeconds"), message, &mut warnings);
    }
    for kind in ["affinity.podAffinity", "affinity.podAntiAffinity"] {
        let affinity = spec.get(kind);
        for term in affinity.each("requiredDuringSchedulingIgnoredDuringExecution") {
            no_pod(&term, "labelSelector", &mut warnings);
        }
        for term in affinity.each("preferredDuringSchedulingIgnoredDuringExecution") {
            no_pod(&term, "podAffinityTerm.labelSelector", &mut warnings);
        }
    }
    warnings
}

fn warn(at: &At, message: &str, warnings: &mut Vec<String>) {
    warnings.push(format!("{}: {message}", at.path()));
}

fn each_container(spec: &At, mut visit: impl FnMut(&At)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.each(list).for_each(|container| visit(&container));
    }
}

pub(super) fn deprecated(label: &str) -> Option<&'static str> {
    LABELS.iter().find(|(old, _)| *old == label).map(|(_, message)| *message)
}

fn no_pod(term: &At, field: &str, warnings: &mut Vec<String>) {
    if !term.has(field) {
        warn(&term.get(field), "a null labelSelector results in matching no pod", warnings);
    }
}

/// Nodes chosen by labels that have another name by now.
fn nodes(spec: &At, warnings: &mut Vec<String>) {
    for (label, at) in spec.entries("nodeSelector") {
        if let Some(message) = deprecated(label) {
            warn(&at, message, warnings);
        }
    }
    let affinity = spec.get("affinity.nodeAffinity");
    for term in affinity.each("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms") {
        node_term(&term, false, warnings);
    }
    for term in affinity.each("preferredDuringSchedulingIgnoredDuringExecution") {
        node_term(&term.get("preference"), true, warnings);
    }
    for constraint in spec.each("topologySpreadConstraints") {
        let key = constraint.get("topologyKey");
        if let Some(message) = deprecated(key.str()) {
            warn(&key, &format!("{} is {message}", key.str()), warnings);
        }
        no_pod(&constraint, "labelSelector", warnings);
    }
}

/// What is required of labels is validated, what is preferred is only commented.
fn node_term(term: &At, preferred: bool, warnings: &mut Vec<String>) {
    for expression in term.each("matchExpressions") {
        let key = expression.get("key");
        if let Some(message) = deprecated(key.str()) {
            warn(&key, &format!("{} is {message}", key.str()), warnings);
        }
        for value in expression.each("values").filter(|_| preferred) {
            for message in api::validation::label_value(value.str()) {
                warn(&value, &format!("{} is invalid, {message}", value.str()), warnings);
            }
        }
    }
}

fn twice(spec: &At, list: &str, field: &str, warnings: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for item in spec.each(list) {
        let value = item.text(field);
        if !seen.insert(value) {
            warn(&item.get(field), &format!("duplicate {field} {}", quote(value)), warnings);
        }
    }
}

/// Amounts of bytes that are not whole.
fn fractions(resources: &At, list: &str, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        let at = resources.entry(list, name);
        let Ok(amount) = Quantity::from_json(at.value()) else { continue };
        if !amount.is_whole() {
            let shown = quote(&amount.to_string());
            warn(&at, &format!("fractional byte value {shown} is invalid, must be an integer"), warnings);
        }
    }
}

/// A later variable of the same name hides an earlier one, unless it is made from it.
fn hidden(container: &At, warnings: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for variable in container.each("env") {
        let name = variable.text("name");
        if seen.insert(name) {
            continue;
        }
        let (itself, value) = (format!("$({name})"), variable.text("value"));
        if variable.has("valueFrom") || value == itself || !value.contains(&itself) {
            let message =
                format!("hides previous definition of {}, which may be dropped when using apply", quote(name));
            warn(&variable, &message, warnings);
        }
    }
}

struct Port {
    place: String,
    number: i64,
    protocol: String,
    host: (String, i64),
}

fn ports(spec: &At, warnings: &mut Vec<String>) {
    let mut seen: HashMap<(i64, String), Vec<Port>> = HashMap::new();
    let mut names: HashMap<String, String> = HashMap::new();
    let (mut compared, mut told) = (0, 0);
    let mut about_names = Vec::new();
    each_container(spec, |container| {
        for port in container.each("ports") {
            let one = Port {
                place: port.path().to_string(),
                number: port.int("containerPort").unwrap_or(0),
                protocol: port.text("protocol").to_owned(),
                host: (port.text("hostIP").to_owned(), port.int("hostPort").unwrap_or(0)),
            };
            if !one.host.0.is_empty() && one.host.1 == 0 {
                let Port { place, number, protocol, host: (address, _) } = &one;
                let name = port.text("name");
                warnings.push(format!(
                    "{place}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} \
                     HostIP:{address}}}"
                ));
            }
            let same = seen.entry((one.number, one.protocol.clone())).or_default();
            for other in same.iter() {
                compared += 1;
                if compared > COMPARED || told > TOLD {
                    break;
                }
                let what = match (&one.host, &other.host) {
                    (mine, theirs) if mine == theirs => "duplicate port definition",
                    ((_, 0), _) | (_, (_, 0)) => "overlapping port definition",
                    ((mine, a), (theirs, b)) if a == b && mine.is_empty() != theirs.is_empty() => {
                        "dangerously ambiguous port definition"
                    }
                    _ => continue,
                };
                let warning = format!("{}: {what} with {}", one.place, other.place);
                told += warning.len();
                warnings.push(warning);
            }
            let name = port.text("name");
            match names.get(name) {
                _ if name.is_empty() => {}
                None => drop(names.insert(name.to_owned(), one.place.clone())),
                Some(first) => about_names.push(format!(
                    "{}: duplicate port name {} with {first}, services and probes that select ports by name will use {first}",
                    one.place,
                    quote(name)
                )),
            }
            same.push(one);
        }
    });
    warnings.extend(about_names);
}

/// Files of one volume that stand in each other's way.
fn overlaps(spec: &At, warnings: &mut Vec<String>) {
    for volume in spec.items("volumes") {
        let name = quote(volume.text("name"));
        for (kind, field, of) in
            [("configMap", "name", "ConfigMap"), ("secret", "secretName", "Secret"), ("downwardAPI", "", "DownwardAPI")]
        {
            let Some(source) = volume.at(kind) else { continue };
            let title = if field.is_empty() { of.to_owned() } else { format!("{of} {}", quote(source.text(field))) };
            let paths: Vec<(String, String)> = paths(source, "").collect();
            for collision in collisions(&paths) {
                warnings.push(format!("volume {name} ({title}): overlapping paths: {collision}"));
            }
        }
        let mut all: Vec<(String, String)> = Vec::new();
        for source in volume.items("projected.sources") {
            if source.as_object().is_some_and(serde_json::Map::is_empty) {
                warnings.push(format!("volume {name} (Projected) has no sources provided"));
            }
            for (kind, of) in [("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")] {
                let Some(inner) = source.at(kind) else { continue };
                let title =
                    if kind == "downwardAPI" { of.to_owned() } else { format!("{of} {}", quote(inner.text("name"))) };
                all.extend(paths(inner, &title));
            }
            if let Some(token) = source.at("serviceAccountToken") {
                all.push((trimmed(token.text("path")), "ServiceAccountToken".into()));
            }
        }
        for collision in collisions(&all) {
            warnings.push(format!("volume {name} (Projected): overlapping paths: {collision}"));
        }
    }
}

fn trimmed(path: &str) -> String {
    path.trim_end_matches('/').to_owned()
}

fn paths<'a>(source: &'a Value, title: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    source.items("items").iter().map(move |item| (trimmed(item.text("path")), title.to_owned()))
}

/// How many pairs are looked at: there are as many as the square of the number of paths or ports, and warnings are a courtesy.
const COMPARED: usize = 1_000_000;
/// How much of them is told. A response's headers hold less.
const TOLD: usize = 16 << 10;

/// Each path that is the same as an earlier one, or above or below it.
fn collisions(all: &[(String, String)]) -> Vec<String> {
    let shown = |(path, title): &(String, String)| match title.as_str() {
        "" => quote(path),
        title => format!("{} ({title})", quote(path)),
    };
    let meets = |one: &str, other: &str| {
        let above = |one: &str, other: &str| other.strip_prefix(one).is_some_and(|rest| rest.starts_with('/'));
        one == other || above(other, one) || above(one, other)
    };
    let pairs = all.iter().enumerate().flat_map(|(at, one)| all[..at].iter().map(move |other| (one, other)));
    let mut told = 0;
    pairs
        .take(COMPARED)
        .filter(|(one, other)| meets(&one.0, &other.0))
        .map(|(one, other)| format!("{} with {}", shown(one), shown(other)))
        // One that goes beyond the bound is told, those after it are not.
        .take_while(|text| {
            let goes_on = told < TOLD;
            told += text.len();
            goes_on
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_warned_in_upstreams_words() {
        let check = |spec: Value, expect: &[&str]| assert_eq!(of(&json!({"spec": spec}), ""), expect);
        check(
            json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "terminationGracePeriodSeconds": -1}),
            &[
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ],
        );
        check(
            json!({"containers": [
                {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}, {"name": "A", "value": "3"}],
                 "resources": {"limits": {"memory": "100m"}},
                 "ports": [{"containerPort": 80, "protocol": "TCP", "name": "h"}]},
                {"ports": [{"containerPort": 80, "protocol": "TCP", "name": "h"}]},
            ]}),
            &[
                "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
                "spec.containers[0].env[2]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[1].ports[0]: duplicate port name \"h\" with spec.containers[0].ports[0], services and \
                 probes that select ports by name will use spec.containers[0].ports[0]",
            ],
        );
        check(
            json!({"volumes": [{"name": "v", "projected": {"sources": [
                {"secret": {"name": "s", "items": [{"path": "a/b"}]}}, {"configMap": {"name": "m", "items": [{"path": "a"}]}}]}}]}),
            &["volume \"v\" (Projected): overlapping paths: \"a\" (ConfigMap \"m\") with \"a/b\" (Secret \"s\")"],
        );
    }

    #[test]
    fn what_is_there_thousands_of_times_is_not_told_as_often() {
        let items = vec![json!({"path": "a"}); 20_000];
        let port = json!({"containerPort": 80, "protocol": "TCP"});
        let spec = json!({
            "volumes": [{"name": "v", "secret": {"secretName": "s", "items": items}}],
            "containers": [{"name": "c", "ports": vec![port; 20_000]}],
        });
        let told: usize = of(&json!({"spec": spec}), "").iter().map(String::len).sum();
        assert!(told < 8 * TOLD, "{told}");
    }
}
