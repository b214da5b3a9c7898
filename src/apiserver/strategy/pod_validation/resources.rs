//! What containers and pods ask for and are held to.

use std::collections::HashSet;

use api::quantity::Quantity;
use api::quota;
use api::validation::dns1123_label;
use api::validation::field::{Error, ErrorList};
use serde_json::Value;

use crate::strategy::at::At;
use crate::strategy::resource_names as names;

/// How many names of claims a complaint tells: there are as many complaints as wrong names.
const CLAIMS_SHOWN: usize = 256;

/// A check of a resource's name.
type Name = fn(&str, &At, &mut ErrorList);

/// Complaints about a container's `resources`; claims have to be among the pod's,
/// which are in order.
pub(in crate::strategy) fn of_container(resources: &At, claims: &[&str], errors: &mut ErrorList) {
    requirements(resources, names::container, claims, errors);
}

/// Complaints about an `overhead` or the like: limits only, and those of containers.
pub(in crate::strategy) fn of_overhead(amounts: &Value, at: &At, errors: &mut ErrorList) {
    let limits = serde_json::json!({"limits": amounts});
    requirements(&at.with(&limits), names::container, &[], errors);
}

fn requirements(resources: &At, name_check: Name, claims: &[&str], errors: &mut ErrorList) {
    let (mut compute, mut pages) = (false, false);
    for list in ["limits", "requests"] {
        for (name, at) in resources.entries(list) {
            let Ok(amount) = Quantity::from_json(at.value()) else { continue };
            name_check(name, &at, errors);
            names::amount(name, &amount, &at, errors);
            if list == "requests" {
                against_limit(resources, name, &amount, errors);
            }
            if names::is_huge_page(name) {
                pages = true;
                if !names::whole_pages(name, &amount) {
                    let why = format!("{amount} is not positive integer multiple of {name}");
                    at.wrong(errors, amount.to_string(), why);
                }
            }
            compute |= matches!(name, "cpu" | "memory");
        }
    }
    if pages && !compute {
        resources.forbidden(errors, "HugePages require cpu or memory");
    }
    claim_names(resources, claims, errors);
}

fn against_limit(resources: &At, name: &str, request: &Quantity, errors: &mut ErrorList) {
    let limit = resources.get("limits").value().get(name).and_then(|limit| Quantity::from_json(limit).ok());
    let exact = !names::may_overcommit(name);
    match limit {
        Some(limit) if exact && *request != limit => {
            let why = format!("must be equal to {name} limit of {limit}");
            resources.get("requests").wrong(errors, request.to_string(), why);
        }
        Some(limit) if *request > limit => {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            resources.get("requests").wrong(errors, request.to_string(), why);
        }
        None if exact => {
            resources.get("limits").required(errors, "Limit must be set for non overcommitable resources");
        }
        _ => {}
    }
}

fn claim_names(resources: &At, claims: &[&str], errors: &mut ErrorList) {
    // Claims and, behind a slash, requests of them.
    let (mut seen, mut in_parts) = (HashSet::new(), HashSet::new());
    for claim in resources.each("claims") {
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            claim.required(errors, "");
            continue;
        }
        let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
        if seen.contains(name) {
            // All of the claim is there.
            errors.push(Error::duplicate(&claim.path(), name));
        } else {
            if !request.is_empty() {
                claim.get("request").complain(errors, dns1123_label(request));
            }
            if seen.contains(&key) || in_parts.contains(&key) {
                errors.push(Error::duplicate(&claim.path(), key.clone()));
            }
            in_parts.extend(key.split_once('/').map(|(whole, _)| whole.to_owned()));
            seen.insert(key);
        }
        if claims.binary_search(&name).is_err() {
            let mut error = Error::not_found(&claim.path(), name);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            match claims {
                [] => error.detail.push_str(" which is empty"),
                claims if claims.len() <= CLAIMS_SHOWN => error.detail.extend([": ", &claims.join(", ")]),
                _ => {}
            }
            errors.push(error);
        }
    }
}

/// Complaints about the resources of a pod as a whole.
pub(super) fn of_pod(spec: &At, claims: &[&str], errors: &mut ErrorList) {
    let resources = spec.get("resources");
    if !resources.is_set() {
        return;
    }
    if spec.text("os.name") == "windows" {
        resources.forbidden(errors, "may not be set for a windows pod");
        return;
    }
    if resources.has("claims") {
        resources.get("claims").forbidden(errors, "claims may not be set for Resources at pod-level");
    }
    requirements(&resources, names::pod, claims, errors);
    let (asked, held) = (quota::containers(spec.value(), "requests"), quota::containers(spec.value(), "limits"));
    for (name, at) in resources.entries("requests") {
        let (Ok(of_pod), Some(asked)) = (Quantity::from_json(at.value()), asked.get(name)) else { continue };
        if *asked > of_pod {
            let why = format!("must be greater than or equal to aggregate container requests of {asked}");
            at.wrong(errors, of_pod.to_string(), why);
        }
    }
    for (name, at) in resources.entries("limits").filter(|(name, _)| names::is_huge_page(name)) {
        let (Ok(of_pod), Some(held)) = (Quantity::from_json(at.value()), held.get(name)) else { continue };
        if *held > of_pod {
            let why = format!("must be greater than or equal to aggregate container limits of {held}");
            at.wrong(errors, of_pod.to_string(), why);
        }
    }
    for container in spec.each("containers") {
        let container_resources = container.get("resources");
        for (name, at) in container_resources.entries("limits") {
            let of_pod = resources.get("limits").value().get(name).and_then(|limit| Quantity::from_json(limit).ok());
            let (Ok(limit), Some(of_pod)) = (Quantity::from_json(at.value()), of_pod) else { continue };
            if limit > of_pod {
                let path = format!("{}.{}[{name}].limits", resources.path(), place_of(&container.path().to_string()));
                let path = api::validation::field::Path::root(&path);
                let why = format!("must be less than or equal to pod limits of {of_pod}");
                errors.push(Error::invalid(&path, limit.to_string(), why));
            }
        }
    }
}

/// The last step of a path.
fn place_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
