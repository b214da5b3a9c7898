//! What an object counts for, in the names of quotas: admission charges it, the quota controller sums it up.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Resource;
use crate::quantity::{Format, Quantity};
use crate::tree::Tree;

/// How much of what.
pub type Amounts = BTreeMap<String, Quantity>;

/// Kinds that quotas also name without `count/`.
const COUNTED: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services"];

/// Everything the object counts for.
pub fn of(resource: &Resource, object: &Value) -> Amounts {
    let mut all = Amounts::new();
    let one = || Quantity::new(1, Format::DecimalSI);
    all.insert(format!("count/{}", resource.qualified()), one());
    if !resource.group.is_empty() {
        return all;
    }
    let finished = &*resource.plural == "pods" && is_over(object);
    if COUNTED.contains(&&*resource.plural) && !finished {
        all.insert(resource.plural.to_string(), one());
    }
    match &*resource.plural {
        "pods" if !finished => pod(object, &mut all),
        "services" => service(object, &mut all),
        "persistentvolumeclaims" => claim(object, &mut all),
        _ => {}
    }
    all
}

fn pod(pod: &Value, all: &mut Amounts) {
    for kind in ["requests", "limits"] {
        for (name, amount) in total(pod, kind) {
            let standard = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if kind == "requests" && (standard || name.starts_with("hugepages-")) {
                all.insert(name.clone(), amount.clone());
            }
            if standard || kind == "requests" {
                all.insert(format!("{kind}.{name}"), amount);
            }
        }
    }
}

/// Whether nothing of the pod runs any more: it has ended, or its node did not stop it within its time.
fn is_over(pod: &Value) -> bool {
    if matches!(pod.text("status.phase"), "Succeeded" | "Failed") {
        return true;
    }
    let grace = pod.int("metadata.deletionGracePeriodSeconds");
    let (Some(grace), Ok(end)) = (grace, crate::time::parse(pod.text("metadata.deletionTimestamp"))) else {
        return false;
    };
    jiff::Timestamp::now().as_second() > end.as_second().saturating_add(grace)
}

/// What a pod comes to: what it says as a whole, else its containers; and what running it costs beside them.
fn total(pod: &Value, kind: &str) -> Amounts {
    let spec = pod.at("spec").unwrap_or(&Value::Null);
    let mut sum = whole(spec, kind);
    let overhead = spec.at("overhead").and_then(Value::as_object).into_iter().flatten();
    for (name, amount) in overhead.filter_map(parse) {
        if kind == "requests" || sum.get(&name).is_some_and(|limit| !limit.is_zero()) {
            *sum.entry(name).or_default() += &amount;
        }
    }
    sum
}

/// What a pod says as a whole or, where it says nothing, what its containers come to.
pub fn whole(spec: &Value, kind: &str) -> Amounts {
    let mut sum = containers(spec, kind);
    sum.extend(amounts(spec.at("resources"), kind));
    sum
}

/// What a pod's containers come to: those that run together, or the largest step on the way there.
pub fn containers(spec: &Value, kind: &str) -> Amounts {
    let of = |container: &Value| amounts(container.at("resources"), kind);
    let mut sum = Amounts::new();
    for (name, amount) in spec.items("containers").iter().flat_map(of) {
        *sum.entry(name).or_default() += &amount;
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in spec.items("initContainers") {
        let stays = container.text("restartPolicy") == "Always";
        for (name, amount) in of(container) {
            let running = sidecars.entry(name.clone()).or_default();
            let mut step = running.clone();
            step += &amount;
            if stays {
                *running += &amount;
                *sum.entry(name.clone()).or_default() += &amount;
            }
            let so_far = most.entry(name).or_default();
            if step > *so_far {
                *so_far = step;
            }
        }
    }
    for (name, step) in most {
        let so_far = sum.entry(name).or_default();
        if step > *so_far {
            *so_far = step;
        }
    }
    sum
}

fn amounts(resources: Option<&Value>, kind: &str) -> Amounts {
    let amounts = resources.and_then(|resources| resources.at(kind)).and_then(Value::as_object);
    amounts.into_iter().flatten().filter_map(parse).collect()
}

fn parse((name, amount): (&String, &Value)) -> Option<(String, Quantity)> {
    Some((name.clone(), Quantity::from_json(amount).ok()?))
}

fn service(service: &Value, all: &mut Amounts) {
    let ports = service.items("spec.ports").len() as i64;
    let count = |number: i64| Quantity::new(number, Format::DecimalSI);
    match service.text("spec.type") {
        "NodePort" => drop(all.insert("services.nodeports".into(), count(ports))),
        "LoadBalancer" => {
            let without = service.at("spec.allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
            let ports = match without {
                true => {
                    service.items("spec.ports").iter().filter(|port| port.int("nodePort").unwrap_or(0) != 0).count()
                        as i64
                }
                false => ports,
            };
            all.insert("services.nodeports".into(), count(ports));
            all.insert("services.loadbalancers".into(), count(1));
        }
        _ => {}
    }
}

fn claim(claim: &Value, all: &mut Amounts) {
    let size = claim.at("spec.resources.requests.storage").and_then(|size| Quantity::from_json(size).ok());
    let class = claim.text("spec.storageClassName");
    if !class.is_empty() {
        let name = format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims");
        all.insert(name, Quantity::new(1, Format::DecimalSI));
    }
    if let Some(size) = size {
        if !class.is_empty() {
            all.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), size.clone());
        }
        all.insert("requests.storage".into(), size);
    }
}

/// Whether a quota counts the object at all: quotas with scopes count pods only, or claims by the class of their attributes.
pub fn in_scope(quota: &Value, resource: &Resource, object: &Value) -> bool {
    let plain =
        quota.items("spec.scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[] as &[Value]));
    let selected = quota.items("spec.scopeSelector.matchExpressions").iter();
    let selected = selected.map(|e| (e.text("scopeName"), e.text("operator"), e.items("values")));
    let mut scopes = plain.chain(selected).peekable();
    if scopes.peek().is_none() {
        return true;
    }
    let class = match &*resource.plural {
        _ if !resource.group.is_empty() => return false,
        "persistentvolumeclaims" => "spec.volumeAttributesClassName",
        "pods" => "spec.priorityClassName",
        _ => return false,
    };
    let is_pod = &*resource.plural == "pods";
    let best_effort = || crate::qos::class(object) == "BestEffort";
    let terminating = || object.int("spec.activeDeadlineSeconds").is_some();
    let by_class = |operator: &str, values: &[Value]| {
        let class = object.text(class);
        match operator {
            "In" => values.iter().any(|value| value == class),
            "NotIn" => !values.iter().any(|value| value == class),
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        }
    };
    scopes.all(|(scope, operator, values)| match scope {
        "VolumeAttributesClass" => !is_pod && by_class(operator, values),
        _ if !is_pod => false,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "PriorityClass" => by_class(operator, values),
        "CrossNamespacePodAffinity" => {
            let terms = ["podAffinity", "podAntiAffinity"];
            let kinds =
                ["requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"];
            terms.iter().any(|term| {
                kinds.iter().any(|kind| {
                    object.items(&format!("spec.affinity.{term}.{kind}")).iter().any(|entry| {
                        let entry = entry.at("podAffinityTerm").unwrap_or(entry);
                        !entry.items("namespaces").is_empty() || entry.at("namespaceSelector").is_some()
                    })
                })
            })
        }
        _ => false,
    })
}

/// What a quota limits and some container does not say: `cpu for: c1,c2; memory for: c1`.
pub fn missing(quota: &Value, resource: &Resource, object: &Value) -> Option<String> {
    if !(resource.group.is_empty() && &*resource.plural == "pods") {
        return None;
    }
    // Who says it for the pod as a whole has said it.
    let whole = |kind: &str| object.at("spec.resources").is_some_and(|of_pod| of_pod.entries(kind).next().is_some());
    if whole("requests") || whole("limits") {
        return None;
    }
    let mut complaints = Vec::new();
    for (limited, _) in quota.entries("status.hard") {
        let (kind, name) = match limited.as_str() {
            "cpu" | "memory" => ("requests", limited.as_str()),
            other => match other.split_once('.') {
                Some((kind @ ("requests" | "limits"), name @ ("cpu" | "memory"))) => (kind, name),
                _ => continue,
            },
        };
        let silent: Vec<&str> = object
            .items("spec.containers")
            .iter()
            .chain(object.items("spec.initContainers"))
            .filter(|c| c.at("resources").and_then(|r| r.at(kind)).and_then(|r| r.get(name)).is_none())
            .map(|container| container.text("name"))
            .collect();
        if !silent.is_empty() {
            complaints.push(format!("{limited} for: {}", silent.join(",")));
        }
    }
    complaints.sort();
    (!complaints.is_empty()).then(|| complaints.join("; "))
}
