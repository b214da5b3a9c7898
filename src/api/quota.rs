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
    let finished = &*resource.plural == "pods" && matches!(object.text("status.phase"), "Succeeded" | "Failed");
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

/// The containers together, or each init container, whichever is more.
fn total(pod: &Value, kind: &str) -> Amounts {
    let of = |container: &Value| -> Amounts {
        let amounts = container.at("resources").and_then(|resources| resources.at(kind)).and_then(Value::as_object);
        let parse = |(name, amount): (&String, &Value)| Some((name.clone(), Quantity::from_json(amount).ok()?));
        amounts.into_iter().flatten().filter_map(parse).collect()
    };
    let mut sum = Amounts::new();
    let sidecars =
        pod.items("spec.initContainers").iter().filter(|container| container.text("restartPolicy") == "Always");
    for (name, amount) in pod.items("spec.containers").iter().chain(sidecars).flat_map(of) {
        *sum.entry(name).or_default() += &amount;
    }
    for (name, amount) in pod.items("spec.initContainers").iter().flat_map(of) {
        let so_far = sum.entry(name).or_default();
        if amount > *so_far {
            *so_far = amount;
        }
    }
    sum
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

/// Whether a quota counts the object at all: quotas with scopes count pods only.
pub fn in_scope(quota: &Value, resource: &Resource, object: &Value) -> bool {
    let plain =
        quota.items("spec.scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[] as &[Value]));
    let selected = quota.items("spec.scopeSelector.matchExpressions").iter();
    let selected = selected.map(|e| (e.text("scopeName"), e.text("operator"), e.items("values")));
    let mut scopes = plain.chain(selected).peekable();
    if scopes.peek().is_none() {
        return true;
    }
    if !(resource.group.is_empty() && &*resource.plural == "pods") {
        return false;
    }
    let best_effort = || crate::qos::class(object) == "BestEffort";
    let terminating = || object.int("spec.activeDeadlineSeconds").is_some();
    scopes.all(|(scope, operator, values)| match scope {
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "Terminating" => terminating(),
        "NotTerminating" => !terminating(),
        "PriorityClass" => {
            let class = object.text("spec.priorityClassName");
            match operator {
                "In" => values.iter().any(|value| value == class),
                "NotIn" => !values.iter().any(|value| value == class),
                "DoesNotExist" => class.is_empty(),
                _ => !class.is_empty(),
            }
        }
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
