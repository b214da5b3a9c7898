//! What a pod's status may say.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain, in_range, ip, qualified_name};
use serde_json::{Value, json};

use super::annotations;
use crate::strategy::at::At;
use crate::tree::Tree;

/// What a request for a device is made for.
const FIELDS: [&str; 3] = ["containerName", "resourceName", "requestName"];

/// Complaints about a write of a pod's status.
pub(in crate::strategy) fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (root, before) = (At::root(new), At::root(old));
    annotations::validate_update(&root.get("metadata"), &before.get("metadata"), errors);
    annotations::validate(&root.get("metadata"), &root.get("metadata"), &root.get("spec"), errors);
    let status = root.get("status");
    for condition in status.each("conditions") {
        generation(&condition, errors);
        let kind = condition.text("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            let at = condition.get("Type");
            qualified_name(kind).into_iter().for_each(|why| at.wrong(errors, kind, why));
        }
    }
    nominated(&status, old, errors);
    generation(&status, errors);
    status.get("qosClass").unchanged(old.at("status.qosClass"), errors);
    for (list, containers) in [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ] {
        transitions(&status, list, old, containers, errors);
    }
    claims(&root, errors);
    extended_claim(&root, errors);
    addresses(&status, errors);
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        status.each(list).for_each(|container| user(&container, new.text("spec.os.name"), errors));
    }
}

fn generation(at: &At, errors: &mut ErrorList) {
    let observed = at.get("observedGeneration");
    if observed.value().as_i64().is_some_and(|number| number < 0) {
        observed.invalid(errors, "must be a non-negative integer");
    }
}

fn nominated(status: &At, old: &Value, errors: &mut ErrorList) {
    let node = status.get("nominatedNodeName");
    if node.is_empty() || node.str() == old.text("status.nominatedNodeName") {
        return;
    }
    node.complain(errors, dns1123_subdomain(node.str()));
    if !old.text("spec.nodeName").is_empty() {
        node.forbidden(errors, "may not be set on pods that are already bound to a node");
    }
}

/// A container that has ended stays ended, unless it is one that starts again.
fn transitions(status: &At, list: &str, old: &Value, containers: &str, errors: &mut ErrorList) {
    let olds = old.at("status").map_or(&[] as &[Value], |status| status.items(list));
    for (at, before) in olds.iter().enumerate() {
        let Some(ended) = before.at("state.terminated") else { continue };
        let name = before.text("name");
        let now = status.items(list).iter().find(|now| now.text("name") == name);
        let lives = now.is_some_and(|now| now.at("state.terminated").is_none());
        if lives && !restarts(old, containers, name, ended.int("exitCode").unwrap_or(0)) {
            let path = api::validation::field::Path::root(&format!("{}.{list}[{at}].state", status.path()));
            errors.push(Error::forbidden(&path, "may not be transitioned to non-terminated state"));
        }
    }
}

/// Whether a container that ended with the code is started again.
fn restarts(pod: &Value, containers: &str, name: &str, code: i64) -> bool {
    if containers.is_empty() {
        return false;
    }
    let policy = pod.text("spec.restartPolicy");
    let by_pod = policy == "Always" || policy == "OnFailure" && code != 0;
    let container = pod.at("spec").and_then(|spec| spec.items(containers).iter().find(|c| c.text("name") == name));
    let Some(container) = container else { return containers == "initContainers" && by_pod };
    let by_rule = container.items("restartPolicyRules").iter().any(|rule| {
        let listed = rule.items("exitCodes.values").iter().any(|value| value.as_i64() == Some(code));
        match rule.text("exitCodes.operator") {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    });
    match container.text("restartPolicy") {
        "" => by_pod,
        own => by_rule || own == "Always" || own == "OnFailure" && code != 0,
    }
}

fn claims(root: &At, errors: &mut ErrorList) {
    let claims: HashSet<&str> = root.items("spec.resourceClaims").iter().map(|claim| claim.text("name")).collect();
    let mut seen = HashSet::new();
    for status in root.each("status.resourceClaimStatuses") {
        let name = status.get("name");
        if !claims.contains(name.str()) {
            name.invalid(errors, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.str()) {
            name.duplicate(errors);
        }
        let claim = status.text("resourceClaimName");
        if status.has("resourceClaimName") {
            dns1123_subdomain(claim).into_iter().for_each(|why| name.wrong(errors, claim, why));
        }
    }
}

/// The claim that was made for a pod that asks for devices by resources.
fn extended_claim(root: &At, errors: &mut ErrorList) {
    let claim = root.get("status.extendedResourceClaimStatus");
    if !claim.is_set() {
        return;
    }
    if claim.items("requestMappings").is_empty() {
        claim.get("requestMappings").required(errors, "at least one request mapping is required");
    }
    let mut seen: Vec<[&str; 3]> = Vec::new();
    for mapping in claim.each("requestMappings") {
        let [container, resource, request] = FIELDS.map(|field| mapping.text(field));
        let containers =
            ["spec.containers", "spec.initContainers"].into_iter().flat_map(|list| root.items(list).iter().rev());
        match containers.into_iter().find(|known| known.text("name") == container) {
            None => {
                let why = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                mapping.get("containerName").invalid(errors, why);
            }
            Some(known) if known.at("resources.requests").is_none_or(|asked| asked.get(resource).is_none()) => {
                let why = "must match the extended resource name of an entry in spec.initContainers.resources.requests or \
                           spec.containers.resources.requests";
                mapping.get("resourceName").invalid(errors, why);
            }
            Some(_) => {}
        }
        // Upstream does not say of which mapping.
        claim.get("requestName").with(mapping.get("requestName").value()).complain(errors, dns1123_label(request));
        if seen.contains(&[container, resource, request]) {
            FIELDS.iter().for_each(|field| mapping.get(field).duplicate(errors));
        }
        seen.push([container, resource, request]);
    }
    let name = claim.get("resourceClaimName");
    match name.str() {
        "" => name.required(errors, ""),
        text => name.complain(errors, dns1123_subdomain(text)),
    }
}

fn addresses(status: &At, errors: &mut ErrorList) {
    for (list, one) in [("podIPs", ""), ("hostIPs", "hostIP")] {
        if let Some(first) = status.each(list).next()
            && !one.is_empty()
            && first.text("ip") != status.text(one)
        {
            first.get("ip").invalid(errors, "must be equal to `hostIP`");
        }
        let all = status.get(list);
        let mut families = Vec::new();
        for address in status.each(list) {
            errors.extend(ip::legacy_ip(&address.path(), address.text("ip")));
            families.push(ip::parse_ip(address.text("ip")).map(|ip| ip.is_ipv4()));
        }
        if families.len() < 2 {
            continue;
        }
        if let Some(at) = families.iter().position(Option::is_none) {
            let text = status.items(list)[at].text("ip");
            let why = format!("failed to check for dual stack with error:invalid IP[{at}]: {text}");
            errors.push(Error::internal(&all.path(), why));
        }
        if families.len() > 2 || families.contains(&None) || families[0] == families[1] {
            let addresses: Value = status.each(list).map(|address| json!({"IP": address.text("ip")})).collect();
            all.wrong(errors, addresses, "may specify no more than one IP for each IP family");
        }
    }
}

fn user(container: &At, os: &str, errors: &mut ErrorList) {
    let linux = container.get("user.linux");
    if !linux.is_set() {
        return;
    }
    if os == "windows" {
        linux.forbidden(errors, "cannot be set for a windows pod");
        return;
    }
    let id = |number| in_range(number, 0, i64::from(i32::MAX));
    linux.get("uid").number(id, errors);
    linux.get("gid").number(id, errors);
    linux.each("supplementalGroups").for_each(|group| group.number(id, errors));
}
