//! Pods, and the pod specs inside other kinds: defaults, what a new pod begins with, how long it may take to go.

mod image;

use serde_json::{Value, json};

use image::pull_policy;

use super::pod_preparation;
use super::pod_validation;
use super::warnings;
use super::{Generation, Strategy, off};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const STRATEGY: Strategy = Strategy {
    generation: Generation::Counted,
    default: |pod| {
        default_requests(pod);
        default_whole(pod);
        if pod.int("spec.terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
            pod.put("spec.terminationGracePeriodSeconds", 1);
        }
        first_address(pod);
        // Only a pod itself has these; a template leaves them to its pods.
        pod.default_to("spec.enableServiceLinks", true);
        if pod.truth("spec.hostNetwork") {
            default_host_ports(pod);
        }
        if let Some(spec) = pod.at_mut("spec") {
            default_spec(spec);
        }
    },
    defaults: Some(|| spec_defaults("spec")),
    prepare_create: pod_preparation::prepare_create,
    prepare_update,
    validate: pod_validation::validate,
    validate_create: pod_validation::validate_create,
    validate_update: pod_validation::validate_update,
    validate_status: pod_validation::validate_status,
    returns_deleted: true,
    grace: Some(grace),
    warnings: warnings::pod,
    off: off::POD,
    ..Strategy::DEFAULT
};

/// The defaults of a pod spec that stands at `root`.
pub(super) fn spec_defaults(root: &str) -> Defaults {
    let mut all = Defaults::new(&[]).with(root, SPEC);
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let container = format!("{root}.{list}[]");
        all = all.with(&container, CONTAINER);
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            all = all.with(&format!("{container}.{probe}"), PROBE);
            all = all.with(&format!("{container}.{probe}.httpGet"), HTTP);
        }
        for hook in ["postStart", "preStop"] {
            all = all.with(&format!("{container}.lifecycle.{hook}.httpGet"), HTTP);
        }
    }
    all
}

const SPEC: &[(&str, &str)] = &[
    ("restartPolicy", r#""Always""#),
    ("terminationGracePeriodSeconds", "30"),
    ("dnsPolicy", r#""ClusterFirst""#),
    ("securityContext", "{}"),
    ("schedulerName", r#""default-scheduler""#),
    ("volumes[].secret.defaultMode", "420"),
    ("volumes[].configMap.defaultMode", "420"),
    ("volumes[].downwardAPI.defaultMode", "420"),
    ("volumes[].downwardAPI.items[].fieldRef.apiVersion", r#""v1""#),
    ("volumes[].projected.defaultMode", "420"),
    ("volumes[].projected.sources[].serviceAccountToken.expirationSeconds", "3600"),
    ("volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion", r#""v1""#),
    ("volumes[].hostPath.type", r#""""#),
    ("volumes[].iscsi.iscsiInterface", r#""default""#),
    ("volumes[].rbd.pool", r#""rbd""#),
    ("volumes[].rbd.user", r#""admin""#),
    ("volumes[].rbd.keyring", r#""/etc/ceph/keyring""#),
    ("volumes[].azureDisk.cachingMode", r#""ReadWrite""#),
    ("volumes[].azureDisk.fsType", r#""ext4""#),
    ("volumes[].azureDisk.kind", r#""Shared""#),
    ("volumes[].azureDisk.readOnly", "false"),
    ("volumes[].scaleIO.storageMode", r#""ThinProvisioned""#),
    ("volumes[].scaleIO.fsType", r#""xfs""#),
    ("volumes[].ephemeral.volumeClaimTemplate.spec", "{}"),
    ("volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode", r#""Filesystem""#),
];

const CONTAINER: &[(&str, &str)] = &[
    ("resources", "{}"),
    ("terminationMessagePath", r#""/dev/termination-log""#),
    ("terminationMessagePolicy", r#""File""#),
    ("ports[].protocol", r#""TCP""#),
    ("env[].valueFrom.fieldRef.apiVersion", r#""v1""#),
    ("env[].valueFrom.resourceFieldRef.divisor", r#""0""#),
    ("env[].valueFrom.fileKeyRef.optional", "false"),
];

const PROBE: &[(&str, &str)] = &[
    ("timeoutSeconds", "1"),
    ("periodSeconds", "10"),
    ("successThreshold", "1"),
    ("failureThreshold", "3"),
    ("grpc.service", r#""""#),
];

const HTTP: &[(&str, &str)] = &[("path", r#""/""#), ("scheme", r#""HTTP""#)];

/// One address of a pod stands in two places, which say the same. The older one, of one address, wins.
fn first_address(pod: &mut Value) {
    const ALL: &str = "status.podIPs";
    let address = pod.text("status.podIP").to_owned();
    let first = pod.items(ALL).first().map(|item| item.text("ip").to_owned());
    if address.is_empty() {
        if let Some(first) = first.filter(|first| !first.is_empty()) {
            pod.put("status.podIP", first);
        }
    } else if first.is_none_or(|first| first != address) {
        pod.put(ALL, json!([{ "ip": address }]));
    }
}

/// The defaults of a pod spec that are more than data.
pub(super) fn default_spec(spec: &mut Value) {
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.items_mut(list) {
            if container.at("imagePullPolicy").is_none() {
                let policy = pull_policy(container.text("image"));
                container.put("imagePullPolicy", policy);
            }
        }
    }
    for volume in spec.items_mut("volumes") {
        if let Some(volume) = volume.as_object_mut()
            && volume.keys().all(|key| key == "name")
        {
            volume.insert("emptyDir".into(), json!({}));
        }
        if volume.at("image").is_some() && volume.at("image.pullPolicy").is_none() {
            let policy = pull_policy(volume.text("image.reference"));
            volume.put("image.pullPolicy", policy);
        }
    }
    // The old name and the new one say the same; the new one counts.
    let account = match spec.text("serviceAccountName") {
        "" => spec.text("serviceAccount"),
        name => name,
    };
    if !account.is_empty() {
        let account = account.to_owned();
        spec.put("serviceAccountName", account.as_str());
        spec.put("serviceAccount", account);
    }
}

/// What is limited and not requested is requested to its limit.
fn default_requests(pod: &mut Value) {
    for list in ["spec.containers", "spec.initContainers"] {
        for container in pod.items_mut(list) {
            let limits = container.at("resources.limits").and_then(Value::as_object).cloned().unwrap_or_default();
            for (resource, limit) in limits {
                container.map_mut("resources.requests").entry(resource).or_insert(limit);
            }
        }
    }
}

/// A pod that is limited as a whole asks, as a whole, for what its containers ask for, else for its limit.
fn default_whole(pod: &mut Value) {
    if pod.entries("spec.resources.limits").next().is_none() {
        return;
    }
    let Some(spec) = pod.at("spec") else { return };
    let asked =
        api::quota::containers(spec, "requests").into_iter().map(|(name, amount)| (name, amount.to_string().into()));
    let limits = spec.entries("resources.limits").map(|(name, amount)| (name.clone(), amount.clone()));
    let fitting = |name: &str| matches!(name, "cpu" | "memory");
    let pages = |name: &str| name.starts_with("hugepages-");
    let wanted: Vec<(String, Value)> = asked
        .filter(|(name, _)| fitting(name))
        .chain(limits.filter(|(name, _)| fitting(name) || pages(name)))
        .collect();
    for (name, amount) in wanted {
        pod.map_mut("spec.resources.requests").entry(name).or_insert(amount);
    }
}

fn default_host_ports(pod: &mut Value) {
    for list in ["spec.containers", "spec.initContainers"] {
        for container in pod.items_mut(list) {
            for port in container.items_mut("ports") {
                if let Some(number) = port.at("containerPort").cloned() {
                    port.default_to("hostPort", number);
                }
            }
        }
    }
}

fn prepare_update(pod: &mut Value, old: &Value) {
    // A name and an address that change with the pod's state belong to its status.
    if let Some(class) = old.at("status.qosClass") {
        pod.put("status.qosClass", class.clone());
    }
}

/// The seconds a pod may take: none when nobody runs it.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let seconds = asked.or_else(|| pod.int("spec.terminationGracePeriodSeconds")).unwrap_or(0);
    let unscheduled = pod.text("spec.nodeName").is_empty();
    let finished = matches!(pod.text("status.phase"), "Failed" | "Succeeded");
    match seconds {
        _ if unscheduled || finished => 0,
        // Less than nothing means at once, but through the node agent.
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
}

#[cfg(test)]
mod tests {
    use api::qos::class as quality;

    use super::*;

    #[test]
    fn classes_pods_by_what_they_ask_for() {
        let check = |resources: Value, expect| {
            assert_eq!(quality(&json!({"spec": {"containers": [{"resources": resources}]}})), expect, "{resources}");
        };
        check(json!({}), "BestEffort");
        check(json!({"requests": {"cpu": "1"}}), "Burstable");
        check(
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}}),
            "Guaranteed",
        );
        check(json!({"requests": {"cpu": "0"}}), "BestEffort");
    }
}
