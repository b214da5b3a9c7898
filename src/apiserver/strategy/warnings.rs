//! What is said to whoever writes an object that is taken and yet not as it should be: in upstream's words. What pods and
//! templates of pods are told is in a module of its own.

use std::net::IpAddr;

use api::quantity::Quantity;
use api::validation;
use serde_json::Value;

use super::at::At;
use super::pod_warnings::{self, deprecated};
use crate::tree::Tree;

type Warnings = Vec<String>;

/// An object as it is to be, and as it was before the write, if it was.
pub(super) type About<'v> = (&'v Value, Option<&'v Value>);

fn warn(at: &At, message: &str, warnings: &mut Warnings) {
    warnings.push(format!("{}: {message}", at.path()));
}

/// Warnings about a kind of workload with a template of pods. Changes that leave the spec as it was are not commented.
pub(super) fn workload((new, old): About, template: &str) -> Warnings {
    if old.is_some_and(|old| old.at("metadata.generation") == new.at("metadata.generation")) {
        return Vec::new();
    }
    pod_warnings::of(new, template)
}

/// As [`workload`], for kinds whose pods are named after them.
pub(super) fn named_workload(about: About, template: &str) -> Warnings {
    let mut warnings = name(about, "Pod names and hostnames");
    warnings.extend(workload(about, template));
    warnings
}

/// Warnings about a pod. People do not change pods by hand, so changes are not commented.
pub(super) fn pod(about: About) -> Warnings {
    if about.1.is_some() {
        return Vec::new();
    }
    let mut warnings = name(about, "the Pod's hostname");
    warnings.extend(pod_warnings::of(about.0, ""));
    warnings
}

/// The name of a new object from which names of hosts are made.
fn name((new, old): About, what: &str) -> Warnings {
    let messages = validation::dns1123_label(new.text("metadata.name"));
    if old.is_some() || messages.is_empty() {
        return Vec::new();
    }
    let advice = "which can result in surprising behavior; a DNS label is recommended";
    vec![format!("metadata.name: this is used in {what}, {advice}: [{}]", messages.join(" "))]
}

pub(super) fn stateful_set(about: About) -> Warnings {
    let mut warnings = workload(about, "spec.template");
    let root = At::root(about.0);
    let spec = root.get("spec");
    for template in spec.each("volumeClaimTemplates") {
        // The second form is upstream's slip.
        let template = if about.1.is_some() { template.get("Spec").with(template.value()) } else { template };
        claim_spec(&template, template.value().at("spec").unwrap_or(&Value::Null), &mut warnings);
    }
    if spec.int("revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        let message = "a negative value retains all historical revisions; a value >= 0 is recommended";
        warn(&spec.get("revisionHistoryLimit"), message, &mut warnings);
    }
    warnings
}

pub(super) fn job((new, old): About) -> Warnings {
    job_spec(new, "spec", named_workload((new, old), "spec.template"))
}

pub(super) fn cron_job((new, old): About) -> Warnings {
    let template = named_workload((new, old), "spec.jobTemplate.spec.template");
    let mut warnings = job_spec(new, "spec.jobTemplate.spec", template);
    if old.is_some() && new.text("spec.schedule").contains("TZ") {
        let place = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/";
        let message = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead";
        warnings.push(format!("{message}, see {place} for more details"));
    }
    warnings
}

fn job_spec(job: &Value, path: &str, mut warnings: Warnings) -> Warnings {
    let root = At::root(job);
    let spec = root.get(path);
    let more = |field: &str, limit: i64| spec.int(field).unwrap_or(0) > limit;
    if spec.text("completionMode") == "Indexed" && more("completions", 100_000) && more("parallelism", 10_000) {
        let message = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
                       Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
        warn(&spec, message, &mut warnings);
    }
    warnings
}

pub(super) fn service((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    let spec = root.get("spec");
    if root.entry("metadata.annotations", "service.kubernetes.io/topology-aware-hints").is_set() {
        warnings.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .to_owned(),
        );
    }
    let headless = spec.text("type") == "ClusterIP" && spec.text("clusterIP") == "None";
    if !matches!(spec.text("clusterIP"), "" | "None") {
        spec.each("clusterIPs").for_each(|address| ip(&address, &mut warnings));
    }
    if headless {
        let affine = !matches!(spec.text("sessionAffinity"), "" | "None");
        for (field, set) in [
            ("loadBalancerIP", !spec.text("loadBalancerIP").is_empty()),
            ("externalIPs", !spec.items("externalIPs").is_empty()),
            ("SessionAffinity", affine),
        ] {
            if set {
                warnings.push(format!("spec.{field} is ignored for headless services"));
            }
        }
    }
    spec.each("externalIPs").for_each(|address| ip(&address, &mut warnings));
    ip(&spec.get("loadBalancerIP"), &mut warnings);
    spec.each("loadBalancerSourceRanges").for_each(|range| cidr(&range, &mut warnings));
    let external = spec.text("type") == "ExternalName";
    if external && !spec.items("externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external && !spec.text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    warnings
}

/// The addresses an Endpoints or an EndpointSlice lists; those of our controllers are fine.
pub(super) fn endpoints((new, old): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    if new.text("addressType") == "FQDN" && old.is_none() {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let labels = new.at("metadata.labels");
    let by = |key: &str, names: &[&str]| {
        let who = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        who.is_some_and(|who| names.contains(&who))
    };
    // What our own controllers write is in order.
    let slices = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if by("endpoints.kubernetes.io/managed-by", &["endpoint-controller"])
        || by("endpointslice.kubernetes.io/managed-by", &slices)
    {
        return warnings;
    }
    for subset in root.each("subsets") {
        for list in ["addresses", "notReadyAddresses"] {
            subset.each(list).for_each(|address| ip(&address.get("ip"), &mut warnings));
        }
    }
    for endpoint in root.each("endpoints") {
        endpoint.each("addresses").for_each(|address| ip(&address, &mut warnings));
    }
    warnings
}

pub(super) fn network_policy((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    for (rules, peers) in [("spec.ingress", "from"), ("spec.egress", "to")] {
        for rule in root.each(rules) {
            for peer in rule.each(peers) {
                cidr(&peer.get("ipBlock.cidr"), &mut warnings);
                peer.each("ipBlock.except").for_each(|except| cidr(&except, &mut warnings));
            }
        }
    }
    warnings
}

pub(super) fn ingress((new, old): About) -> Warnings {
    let key = "kubernetes.io/ingress.class";
    let said = At::root(new).entry("metadata.annotations", key).is_set();
    let words = format!("annotation \"{key}\" is deprecated, please use 'spec.ingressClassName' instead");
    let warned = said && old.is_none() && new.text("spec.ingressClassName").is_empty();
    warned.then_some(words).into_iter().collect()
}

/// Warnings about the addresses at which a load balancer is reached.
pub(super) fn load_balancer(new: &Value) -> Warnings {
    let mut warnings = Vec::new();
    for point in At::root(new).each("status.loadBalancer.ingress") {
        ip(&point.with(point.get("ip").value()), &mut warnings);
    }
    warnings
}

pub(super) fn node((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    if root.has("spec.configSource") {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if !root.text("spec.externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    root.each("spec.podCIDRs").for_each(|range| cidr(&range, &mut warnings));
    warnings
}

const STORAGE_CLASS: (&str, &str) =
    ("volume.beta.kubernetes.io/storage-class", "deprecated since v1.8; use \"storageClassName\" attribute instead");
const MOUNT_OPTIONS: (&str, &str) =
    ("volume.beta.kubernetes.io/mount-options", "deprecated since v1.31; use \"mountOptions\" attribute instead");

/// Kinds of volumes that have gone: the field, its name, what is said.
const GONE: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

pub(super) fn volume((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    for (key, message) in [STORAGE_CLASS, MOUNT_OPTIONS] {
        let annotation = root.entry("metadata.annotations", key);
        if annotation.is_set() {
            warn(&annotation, message, &mut warnings);
        }
    }
    if root.text("spec.persistentVolumeReclaimPolicy") == "Recycle" {
        let message = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic \
                       provisioning.";
        warn(&root.get("spec.persistentVolumeReclaimPolicy"), message, &mut warnings);
    }
    for term in root.each("spec.nodeAffinity.required.nodeSelectorTerms") {
        expressions(&term, "matchExpressions", true, &mut warnings);
    }
    let spec = root.get("spec");
    for (field, message) in GONE.iter().filter(|(field, _)| spec.has(field)) {
        let place = if *field == "storageos" { "storageOS" } else { field };
        warnings.push(format!("spec.{place}: {message}"));
    }
    warnings
}

pub(super) fn claim((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    let annotation = root.entry("metadata.annotations", STORAGE_CLASS.0);
    if annotation.is_set() {
        warn(&annotation, STORAGE_CLASS.1, &mut warnings);
    }
    let spec = root.get("spec");
    claim_spec(&spec, spec.value(), &mut warnings);
    warnings
}

fn claim_spec(place: &At, spec: &Value, warnings: &mut Warnings) {
    let spec = place.with(spec);
    for list in ["resources.requests", "resources.limits"] {
        let storage = spec.entry(list, "storage");
        let Ok(quantity) = Quantity::from_json(storage.value()) else { continue };
        if !quantity.is_whole() {
            let message = format!("fractional byte value \"{quantity}\" is invalid, must be an integer");
            warn(&storage, &message, warnings);
        }
    }
}

/// Nodes chosen by labels that have another name by now.
fn expressions(term: &At, list: &str, named: bool, warnings: &mut Warnings) {
    for expression in term.each(list) {
        let key = expression.get("key");
        match deprecated(key.str()) {
            Some(message) if named => warn(&key, &format!("{} is {message}", key.str()), warnings),
            Some(message) => warn(&key, message, warnings),
            None => {}
        }
    }
}

pub(super) fn storage_class((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    for term in At::root(new).each("allowedTopologies") {
        expressions(&term, "matchLabelExpressions", false, &mut warnings);
    }
    warnings
}

pub(super) fn storage_capacity((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    let root = At::root(new);
    let topology = root.get("nodeTopology");
    expressions(&topology, "matchExpressions", true, &mut warnings);
    for (label, _) in topology.entries("matchLabels") {
        if let Some(message) = deprecated(label) {
            warnings.push(format!("nodeTopology.matchLabels.{label}: {message}"));
        }
    }
    warnings
}

pub(super) fn runtime_class((new, _): About) -> Warnings {
    let mut warnings = Vec::new();
    for (label, _) in At::root(new).entries("scheduling.nodeSelector") {
        if let Some(message) = deprecated(label) {
            warnings.push(format!("scheduling.nodeSelector: {message}"));
        }
    }
    warnings
}

pub(super) fn csi_driver((new, old): About) -> Warnings {
    let requests = |driver: &Value| driver.items("spec.tokenRequests").to_vec();
    let (asked, before) = (requests(new), old.map(requests).unwrap_or_default());
    let unset = new.at("spec.serviceAccountTokenInSecrets").is_none_or(Value::is_null);
    if asked.is_empty() || asked == before || !unset {
        return Vec::new();
    }
    let message = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
                   possible logging of tokens in volume attributes";
    vec![message.to_owned()]
}

pub(super) fn resource_slice((new, _): About) -> Warnings {
    let driver = new.text("spec.driver");
    let mixed = driver.chars().any(char::is_uppercase);
    let words = format!("spec.driver: driver names should be lowercase; \"{driver}\" contains uppercase characters");
    mixed.then_some(words).into_iter().collect()
}

/// An address as old clients of ours may write it: with zeros before its numbers.
fn lenient(text: &str) -> Option<IpAddr> {
    let number = |part: &str| {
        let digits = part.trim_start_matches('0');
        if digits.is_empty() && !part.is_empty() { "0".to_owned() } else { digits.to_owned() }
    };
    text.parse().ok().or_else(|| text.split('.').map(number).collect::<Vec<_>>().join(".").parse().ok())
}

fn is_mapped(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

fn ip(at: &At, warnings: &mut Warnings) {
    let text = at.str();
    let Some(meant) = lenient(text) else { return };
    let strict = text.parse::<IpAddr>();
    if strict.is_err() || is_mapped(&meant) {
        let better = meant.to_canonical();
        let why = "will be considered invalid in a future Kubernetes release: use";
        warn(at, &format!("non-standard IP address \"{text}\" {why} \"{better}\""), warnings);
    } else if meant.is_ipv6() && meant.to_string() != text {
        warn(at, &format!("IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{meant}\")"), warnings);
    }
}

fn cidr(at: &At, warnings: &mut Warnings) {
    let text = at.str();
    let Some((address, bits)) = text.split_once('/') else { return };
    let (Some(meant), Ok(bits)) = (lenient(address), bits.parse::<u8>()) else { return };
    let mapped = is_mapped(&meant);
    let (meant, bits) = if mapped { (meant.to_canonical(), bits.saturating_sub(96)) } else { (meant, bits) };
    let Some(network) = network(meant, bits) else { return };
    if network != meant {
        let single = if meant.is_ipv4() { 32 } else { 128 };
        let message = format!(
            "CIDR value \"{text}\" is ambiguous in this context (should be \"{network}/{bits}\" or \"{meant}/{single}\"?)"
        );
        warn(at, &message, warnings);
    }
    let plain = format!("{meant}/{bits}");
    if mapped || address.parse::<IpAddr>().is_err() {
        let why = "will be considered invalid in a future Kubernetes release: use";
        warn(at, &format!("non-standard CIDR value \"{text}\" {why} \"{network}/{bits}\""), warnings);
    } else if meant.is_ipv6() && plain != text {
        warn(at, &format!("IPv6 CIDR value \"{text}\" should be in RFC 5952 canonical format (\"{plain}\")"), warnings);
    }
}

fn network(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Some(std::net::Ipv4Addr::from(u32::from(address) & mask).into())
        }
        IpAddr::V6(address) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Some(std::net::Ipv6Addr::from(u128::from(address) & mask).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(warn: fn(About) -> Warnings, object: Value) -> String {
        warn((&object, None)).join("; ")
    }

    #[test]
    fn says_what_upstream_says() {
        let long = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
                    label is recommended: [must not contain dots]";
        for (got, expect) in [
            (said(pod, json!({"metadata": {"name": "a.b"}, "spec": {"containers": []}})), long),
            (
                said(
                    service,
                    json!({"spec": {"type": "ClusterIP", "clusterIP": "None", "externalIPs": ["010.0.0.1"]}}),
                ),
                "spec.externalIPs is ignored for headless services; spec.externalIPs[0]: non-standard IP address \
                 \"010.0.0.1\" will be considered invalid in a future Kubernetes release: use \"10.0.0.1\"",
            ),
            (
                said(node, json!({"spec": {"podCIDRs": ["10.1.2.3/16", "FD00::/8", "10.1.0.0/16"]}})),
                "spec.podCIDRs[0]: CIDR value \"10.1.2.3/16\" is ambiguous in this context (should be \"10.1.0.0/16\" or \
                 \"10.1.2.3/32\"?); spec.podCIDRs[1]: IPv6 CIDR value \"FD00::/8\" should be in RFC 5952 canonical format \
                 (\"fd00::/8\")",
            ),
            (
                said(volume, json!({"spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {}}})),
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
                 approach is to use dynamic provisioning.; spec.rbd: deprecated in v1.28, non-functional in v1.31+",
            ),
            (
                said(claim, json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}})),
                "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer",
            ),
            (said(endpoints, json!({"addressType": "FQDN"})), "spec.addressType: FQDN endpoints are deprecated"),
        ] {
            assert_eq!(got, expect);
        }
    }
}
