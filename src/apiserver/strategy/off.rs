//! Fields of features that Kubernetes 1.35 has off by default: a server without the feature drops them from what is written,
//! unless the object has one of the feature's fields already.
//!
//! A path ends where a field is; `[]` behind a step means each element of that list.

use serde_json::Value;

/// What `Strategy::off` holds.
pub(crate) type Features = &'static [&'static [&'static str]];

/// The features of a pod spec at a place; more may follow.
macro_rules! of_pod_spec {
    ($root:literal $(, $more:expr)*) => {
        &[
            &[concat!($root, ".workloadRef")],
            &[concat!($root, ".volumes[].projected.sources[].clusterTrustBundle")],
            &[concat!($root, ".volumes[].projected.sources[].podCertificate")],
            &[
                concat!($root, ".containers[].lifecycle.stopSignal"),
                concat!($root, ".initContainers[].lifecycle.stopSignal"),
                concat!($root, ".ephemeralContainers[].lifecycle.stopSignal"),
            ],
            $($more,)*
        ]
    };
}

pub(super) const POD: Features = of_pod_spec!(
    "spec",
    &["status.resources", "status.allocatedResources"],
    &["status.extendedResourceClaimStatus"],
    &[
        "status.containerStatuses[].allocatedResourcesStatus",
        "status.initContainerStatuses[].allocatedResourcesStatus",
        "status.ephemeralContainerStatuses[].allocatedResourcesStatus",
    ]
);
pub(super) const POD_TEMPLATE: Features = of_pod_spec!("template.spec");
pub(super) const WORKLOAD: Features = of_pod_spec!("spec.template.spec");
pub(super) const STATEFUL_SET: Features =
    of_pod_spec!("spec.template.spec", &["spec.updateStrategy.rollingUpdate.maxUnavailable"]);
pub(super) const CRON_JOB: Features = of_pod_spec!("spec.jobTemplate.spec.template.spec");

pub(super) const NODE: Features = &[&["spec.configSource"], &["status.config"]];
/// Who writes the status of a node may say these all the same.
pub(super) const NEW_NODE: Features = &[&["status.declaredFeatures"]];
pub(super) const LEASE: Features = &[&["spec.strategy"], &["spec.preferredHolder"]];

pub(super) const DEVICE_CLASS: Features = &[&["spec.extendedResourceName"]];

pub(super) const RESOURCE_CLAIM: Features = &[
    &["spec.devices.requests[].exactly.tolerations", "spec.devices.requests[].firstAvailable[].tolerations"],
    &[
        "spec.devices.constraints[].distinctAttribute",
        "spec.devices.requests[].exactly.capacity",
        "spec.devices.requests[].firstAvailable[].capacity",
        "status.allocation.devices.results[].shareID",
        "status.allocation.devices.results[].consumedCapacity",
        "status.devices[].shareID",
    ],
    &[
        "status.allocation.devices.results[].bindingConditions",
        "status.allocation.devices.results[].bindingFailureConditions",
    ],
];

pub(super) const RESOURCE_CLAIM_TEMPLATE: Features = &[
    &["spec.spec.devices.requests[].exactly.tolerations", "spec.spec.devices.requests[].firstAvailable[].tolerations"],
    &[
        "spec.spec.devices.constraints[].distinctAttribute",
        "spec.spec.devices.requests[].exactly.capacity",
        "spec.spec.devices.requests[].firstAvailable[].capacity",
    ],
];

pub(super) const RESOURCE_SLICE: Features = &[
    &["spec.devices[].taints"],
    &[
        "spec.sharedCounters",
        "spec.perDeviceNodeSelection",
        "spec.devices[].consumesCounters",
        "spec.devices[].nodeName",
        "spec.devices[].nodeSelector",
        "spec.devices[].allNodes",
    ],
    &["spec.devices[].bindingConditions", "spec.devices[].bindingFailureConditions", "spec.devices[].bindsToNode"],
    &["spec.devices[].allowMultipleAllocations", "spec.devices[].capacity{}.requestPolicy"],
];

/// Takes out of an object what belongs to features that it does not use already.
pub(crate) fn take_out(new: &mut Value, old: Option<&Value>, features: Features) {
    for fields in features {
        if !fields.iter().any(|field| old.is_some_and(|old| has(old, field))) {
            fields.iter().for_each(|field| cut(new, field));
        }
    }
}

/// The next step of a path, what it goes through, and the rest.
fn step(path: &str) -> (&str, Through, Option<&str>) {
    let (step, rest) = path.split_once('.').map_or((path, None), |(step, rest)| (step, Some(rest)));
    match (step.strip_suffix("[]"), step.strip_suffix("{}")) {
        (Some(key), _) => (key, Through::Items, rest),
        (_, Some(key)) => (key, Through::Entries, rest),
        _ => (step, Through::Field, rest),
    }
}

enum Through {
    Field,
    Items,
    Entries,
}

fn has(value: &Value, path: &str) -> bool {
    let (key, through, rest) = step(path);
    let (Some(value), rest) = (value.get(key), rest) else { return false };
    let Some(rest) = rest else {
        return !matches!(value, Value::Null) && value.as_array().is_none_or(|l| !l.is_empty());
    };
    match through {
        Through::Field => has(value, rest),
        Through::Items => value.as_array().into_iter().flatten().any(|item| has(item, rest)),
        Through::Entries => value.as_object().into_iter().flatten().any(|(_, entry)| has(entry, rest)),
    }
}

/// A map that held nothing else goes as well.
fn cut(value: &mut Value, path: &str) {
    let (key, through, rest) = step(path);
    let Some(map) = value.as_object_mut() else { return };
    let Some(rest) = rest else {
        map.shift_remove(key);
        return;
    };
    let Some(below) = map.get_mut(key) else { return };
    match through {
        Through::Field => {
            let was_empty = is_empty(below);
            cut(below, rest);
            if is_empty(below) && !was_empty {
                map.shift_remove(key);
            }
        }
        Through::Items => below.as_array_mut().into_iter().flatten().for_each(|item| cut(item, rest)),
        Through::Entries => below.as_object_mut().into_iter().flatten().for_each(|(_, entry)| cut(entry, rest)),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn takes_out_what_is_off_and_was_not_there() {
        let check = |features, old: Option<Value>, mut new: Value, expect: Value| {
            take_out(&mut new, old.as_ref(), features);
            assert_eq!(new, expect, "{old:?}");
        };
        let container = json!({"name": "c", "lifecycle": {"stopSignal": "SIGINT"}});
        let pod = json!({"spec": {"containers": [container], "workloadRef": {"name": "w"}}});
        check(POD, None, pod.clone(), json!({"spec": {"containers": [{"name": "c"}]}}));
        check(
            POD,
            Some(json!({"spec": {"initContainers": [{"lifecycle": {"stopSignal": "SIGHUP"}}]}})),
            pod.clone(),
            json!({"spec": {"containers": [container]}}),
        );
        check(POD, Some(pod.clone()), pod.clone(), pod);
        let hooks = json!({"spec": {"containers": [{"lifecycle": {"preStop": {}}}, {"lifecycle": {}}]}});
        check(POD, None, hooks.clone(), hooks);
        let slice = |policy: Value| json!({"spec": {"devices": [{"name": "d", "capacity": {"m": policy}}]}});
        check(
            RESOURCE_SLICE,
            None,
            slice(json!({"value": "1", "requestPolicy": {"default": "1"}})),
            slice(json!({"value": "1"})),
        );
        check(RESOURCE_SLICE, None, json!({"spec": {"sharedCounters": [{}]}}), json!({}));
    }
}
