//! What is asked of pods and pod specs, in upstream's words and order.

mod annotations;
mod containers;
mod env;
mod handlers;
mod placement;
mod resize;
mod resources;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod update;
mod volume_sources;
mod volumes;

use std::collections::{HashMap, HashSet};

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain, in_range, ip, qualified_name};
use serde_json::Value;

use super::at::{At, Rule};

pub(super) use annotations::app_armor_of;
pub(super) use placement::{node_selector, taints, tolerations};
pub(crate) use resize::validate_resize;
pub(super) use resources::of_overhead;
pub(super) use status::validate_status;
pub(crate) use update::validate_ephemeral;
pub(super) use update::validate_update;
pub(super) use volume_sources::{OF_VOLUMES, csi_driver, validate as validate_source};

/// What the checks of a container need to know of the pod around it.
#[derive(Debug)]
struct Context<'v> {
    /// The volumes without complaints, by name.
    volumes: HashMap<&'v str, &'v Value>,
    /// The names of the pod's resource claims.
    claims: Vec<&'v str>,
    /// How long the pod may take to stop.
    grace: Option<i64>,
    restart_policy: &'v str,
    os: Option<&'v str>,
    /// Whether the users in the pod are those of the host.
    host_users: bool,
}

/// Complaints about a pod, new or old.
pub(super) fn validate(pod: &Value, errors: &mut ErrorList) {
    let root = At::root(pod);
    annotations::validate(&root.get("metadata"), &root.get("metadata"), &root.get("spec"), errors);
    let spec = root.get("spec");
    validate_spec(&spec, root.text("metadata.name"), errors);
    if spec.text("serviceAccountName").is_empty() {
        for volume in spec.each("volumes") {
            for source in volume.each("projected.sources") {
                if source.has("serviceAccountToken") {
                    let why = "must not be specified when serviceAccountName is not set";
                    source.get("serviceAccountToken").forbidden(errors, why);
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        spec.each(list).for_each(|container| containers::image_padding(&container, errors));
    }
}

/// Complaints about a pod that is new.
pub(super) fn validate_create(pod: &Value, errors: &mut ErrorList) {
    let root = At::root(pod);
    let spec = root.get("spec");
    if !spec.items("ephemeralContainers").is_empty() {
        spec.get("ephemeralContainers").forbidden(errors, "cannot be set on create");
    }
    if !spec.text("nodeName").is_empty() && !spec.items("schedulingGates").is_empty() {
        spec.get("nodeName").forbidden(errors, "cannot be set until all schedulingGates have been cleared");
    }
    annotations::match_fields(&root.get("metadata"), &spec, errors);
}

/// Complaints about a pod template that stands at `template`.
pub(super) fn validate_template(template: &At, errors: &mut ErrorList) {
    let metadata = template.get("metadata");
    // Upstream's messages leave `metadata` out here.
    template.get("labels").with(metadata.get("labels").value()).labels(errors);
    template.get("annotations").with(metadata.get("annotations").value()).annotations(errors);
    let spec = template.get("spec");
    annotations::validate(template, &metadata, &spec, errors);
    validate_spec(&spec, "", errors);
    annotations::match_fields(&metadata, &spec, errors);
    if !spec.items("ephemeralContainers").is_empty() {
        spec.get("ephemeralContainers").forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// Complaints about a pod spec; `pod` is the name of the pod it is of, empty for templates.
fn validate_spec(spec: &At, pod: &str, errors: &mut ErrorList) {
    let grace = spec.int("terminationGracePeriodSeconds");
    if grace.is_none() {
        spec.get("terminationGracePeriodSeconds").required(errors, "");
    }
    let context = Context {
        volumes: volumes::validate(spec, pod, errors),
        claims: claim_names(spec),
        grace,
        restart_policy: spec.text("restartPolicy"),
        os: spec.has("os").then(|| spec.text("os.name")),
        host_users: spec.get("hostUsers").value() != false,
    };
    resource_claims(spec, errors);
    containers::validate(spec, &context, errors);
    resources::of_pod(spec, &context.claims, errors);
    host_network(spec, !pod.is_empty(), errors);
    spec.check(
        &[
            ("restartPolicy", Rule::OneOf(&["Always", "OnFailure", "Never"])),
            ("dnsPolicy", Rule::OneOf(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"])),
        ],
        errors,
    );
    spec.get("nodeSelector").labels(errors);
    security::of_pod(spec, errors);
    placement::affinity(&spec.get("affinity"), errors);
    dns_config(spec, errors);
    for gate in spec.each("readinessGates") {
        let kind = gate.get("conditionType");
        kind.complain(errors, qualified_name(kind.str()));
    }
    scheduling_gates(spec, errors);
    placement::spread(spec, errors);
    security::host_process(spec, errors);
    security::host_users(spec, errors);
    host_name(spec, errors);
    for (field, check) in [("serviceAccountName", dns1123_subdomain as fn(&str) -> _), ("nodeName", dns1123_subdomain)]
    {
        spec.check(&[(field, Rule::Name(check))], errors);
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.number(|seconds| in_range(seconds, 1, i64::from(i32::MAX)), errors);
    }
    spec.check(&[("hostname", Rule::Name(dns1123_label)), ("subdomain", Rule::Name(dns1123_label))], errors);
    tolerations(spec, errors);
    for alias in spec.each("hostAliases") {
        errors.extend(ip::legacy_ip(&alias.get("ip").path(), alias.text("ip")));
        alias.each("hostnames").for_each(|name| name.complain(errors, dns1123_subdomain(name.str())));
    }
    spec.check(&[("priorityClassName", Rule::Name(dns1123_subdomain))], errors);
    let class = spec.get("runtimeClassName");
    if class.is_set() {
        class.complain(errors, dns1123_subdomain(class.str()));
    }
    preemption_policy(spec, errors);
    if spec.has("overhead") {
        of_overhead(spec.get("overhead").value(), &spec.get("overhead"), errors);
    }
    security::of_system(spec, errors);
    env::file_volumes(spec, errors);
}

/// The names of a pod's claims, each once and in order.
fn claim_names<'v>(spec: &At<'_, 'v>) -> Vec<&'v str> {
    let mut names: Vec<&str> =
        spec.items("resourceClaims").iter().filter_map(|claim| claim.get("name")?.as_str()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

/// Complaints about `preemptionPolicy`.
pub(super) fn preemption_policy(at: &At, errors: &mut ErrorList) {
    if at.has("preemptionPolicy") {
        at.check(&[("preemptionPolicy", Rule::OneOf(&["PreemptLowerPriority", "Never"]))], errors);
    }
}

/// Calls a function for each container of whatever list, in the order upstream visits them.
fn each_container(spec: &At, mut visit: impl FnMut(&At)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.each(list).for_each(|container| visit(&container));
    }
}

fn resource_claims(spec: &At, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for claim in spec.each("resourceClaims") {
        let name = claim.get("name");
        if name.is_empty() {
            name.required(errors, "");
        } else if !names.insert(name.str()) {
            name.duplicate(errors);
        } else {
            name.complain(errors, dns1123_label(name.str()));
        }
        match (claim.has("resourceClaimName"), claim.has("resourceClaimTemplateName")) {
            (true, true) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                claim.wrong(errors, claim.as_upstream("PodResourceClaim"), why);
            }
            (false, false) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                claim.wrong(errors, claim.as_upstream("PodResourceClaim"), why);
            }
            _ => {}
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            let at = claim.get(field);
            if at.is_set() {
                at.complain(errors, dns1123_subdomain(at.str()));
            }
        }
    }
}

/// In the host's network a container's port is the host's.
fn host_network(spec: &At, is_pod: bool, errors: &mut ErrorList) {
    if !spec.truth("hostNetwork") {
        return;
    }
    for container in spec.each("containers") {
        for port in container.each("ports") {
            let (host, own) = (port.int("hostPort").unwrap_or(0), port.int("containerPort").unwrap_or(0));
            if (is_pod || host != 0) && host != own {
                let why = "must match `containerPort` when `hostNetwork` is true";
                port.get("hostPort").wrong(errors, host, why);
            }
        }
    }
}

fn dns_config(spec: &At, errors: &mut ErrorList) {
    let config = spec.get("dnsConfig");
    let (servers, searches) = (config.get("nameservers"), config.get("searches"));
    if spec.text("dnsPolicy") == "None" {
        if !config.is_set() {
            config.required(errors, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            servers.required(errors, "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if config.items("nameservers").len() > 3 {
        servers.invalid(errors, "must not have more than 3 nameservers");
    }
    config.each("nameservers").for_each(|server| errors.extend(ip::legacy_ip(&server.path(), server.str())));
    let list = config.items("searches");
    if list.len() > 32 {
        searches.invalid(errors, "must not have more than 32 search paths");
    }
    let length: usize = list.iter().filter_map(Value::as_str).map(|search| search.len() + 1).sum();
    if length > 2048 + 1 {
        searches.invalid(errors, "must not have more than 2048 characters (including spaces) in the search list");
    }
    for search in config.each("searches").filter(|search| search.str() != ".") {
        let name = search.str().strip_suffix('.').unwrap_or(search.str());
        api::validation::dns1123_subdomain_with_underscore(name)
            .into_iter()
            .for_each(|why| search.wrong(errors, name, why));
    }
    for option in config.each("options").filter(|option| option.text("name").is_empty()) {
        option.required(errors, "must not be empty");
    }
}

fn scheduling_gates(spec: &At, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for gate in spec.each("schedulingGates") {
        let name = gate.text("name");
        qualified_name(name).into_iter().for_each(|why| gate.wrong(errors, name, why));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&gate.path(), name));
        }
    }
}

fn host_name(spec: &At, errors: &mut ErrorList) {
    let name = spec.get("hostnameOverride");
    if !name.is_set() {
        return;
    }
    if spec.truth("setHostnameAsFQDN") {
        name.forbidden(errors, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.truth("hostNetwork") {
        name.forbidden(errors, "may not be specified when hostNetwork is true");
    }
    if name.str().len() > 64 {
        name.too_long(errors, 64);
    }
    name.complain(errors, dns1123_subdomain(name.str()));
}
