//! Devices and claims to them: resource.k8s.io.

mod selectors;
mod slices;
mod uid;

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{c_identifier, dns1123_label, dns1123_subdomain, label_value, qualified_name};
use serde_json::{Value, json};

use super::at::At;
use super::conditions::conditions;
use super::pod_validation::node_selector;
use super::resource_names;
use super::workloads::{immutable_of, immutable_spec};
use crate::tree::Tree;

pub(super) use slices::{slice, slice_update};

/// Most requests, constraints, configurations, selectors and results of each.
const MOST: usize = 32;
/// Longest expressions and parameters.
const LONGEST: usize = 10 << 10;
/// What a claim got.
const RESULTS: &str = "status.allocation.devices.results";
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

/// The items of a list of bounded length; none when it is longer, and then nothing else is said of it.
fn bounded<'s, 'v>(
    at: &'s At<'_, 'v>,
    list: &'s str,
    most: usize,
    errors: &mut ErrorList,
) -> impl Iterator<Item = At<'s, 'v>> {
    let long = at.items(list).len() > most;
    if long {
        at.get(list).too_many(errors, most);
    }
    at.each(list).filter(move |_| !long)
}

fn named(at: &At, check: fn(&str) -> Vec<String>, errors: &mut ErrorList) {
    at.complain(errors, check(at.str()));
}

fn driver_name(at: &At, errors: &mut ErrorList) {
    if at.is_empty() {
        at.required(errors, "");
        return;
    }
    if at.str().len() > 63 {
        at.too_long(errors, 63);
    }
    at.complain(errors, dns1123_subdomain(&at.str().to_lowercase()));
}

fn pool_name(at: &At, errors: &mut ErrorList) {
    if at.is_empty() {
        at.required(errors, "");
        return;
    }
    if at.str().len() > 253 {
        at.too_long(errors, 253);
    }
    for part in at.str().split('/') {
        dns1123_subdomain(part).into_iter().for_each(|why| at.wrong(errors, part, why));
    }
}

/// Complaints about a claim.
pub(super) fn claim(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    claim_spec(&root.get("spec"), errors);
}

pub(super) fn claim_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    immutable_spec("ResourceClaimSpec", new, old, errors);
}

/// Complaints about a template of claims.
pub(super) fn template(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.get("spec.metadata").template_metadata(errors);
    claim_spec(&root.get("spec.spec"), errors);
}

fn claim_spec(spec: &At, errors: &mut ErrorList) {
    let devices = spec.get("devices");
    for request in bounded(&devices, "requests", MOST, errors).collect::<Vec<_>>() {
        self::request(&request, errors);
    }
    names_once(&devices, "requests", MOST, errors);
    for constraint in bounded(&devices, "constraints", MOST, errors).collect::<Vec<_>>() {
        references(&constraint, &devices, errors);
        let (same, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
        if same.is_set() {
            full_name(&same, errors);
        } else if distinct.is_set() {
            full_name(&distinct, errors);
        } else {
            same.required(errors, "");
        }
    }
    for config in bounded(&devices, "config", MOST, errors).collect::<Vec<_>>() {
        references(&config, &devices, errors);
        opaque(&config, errors);
    }
}

fn names_once(at: &At, list: &str, most: usize, errors: &mut ErrorList) {
    let mut seen: Vec<&str> = Vec::new();
    let short = at.items(list).len() <= most;
    for item in at.each(list).filter(|_| short) {
        let name = item.text("name");
        if seen.contains(&name) {
            errors.push(Error::duplicate(&item.path(), name));
        } else {
            seen.push(name);
        }
    }
}

fn request(request: &At, errors: &mut ErrorList) {
    named(&request.get("name"), dns1123_label, errors);
    let exactly = request.get("exactly");
    match (exactly.is_set(), !request.items("firstAvailable").is_empty()) {
        (false, false) => request.required(errors, "exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let why = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            request.wrong(errors, Value::Null, why);
        }
        (true, false) => wish(&exactly, errors),
        (false, true) => {
            for choice in bounded(request, "firstAvailable", 8, errors).collect::<Vec<_>>() {
                named(&choice.get("name"), dns1123_label, errors);
                wish(&choice, errors);
            }
            names_once(request, "firstAvailable", 8, errors);
        }
    }
}

/// What is wanted, whether alone or as one of several choices.
fn wish(wish: &At, errors: &mut ErrorList) {
    let class = wish.get("deviceClassName");
    if class.is_empty() {
        class.required(errors, "");
    } else {
        named(&class, dns1123_subdomain, errors);
    }
    selectors(wish, errors);
    let (mode, count) = (wish.get("allocationMode"), wish.get("count"));
    match mode.str() {
        "All" if wish.int("count").unwrap_or(0) != 0 => {
            count.invalid(errors, "must not be specified when allocationMode is 'All'");
        }
        "All" => {}
        "ExactCount" => count.positive(errors),
        _ => mode.unsupported(errors, &["All", "ExactCount"]),
    }
    wish.each("tolerations").for_each(|toleration| self::toleration(&toleration, errors));
}

fn selectors(at: &At, errors: &mut ErrorList) {
    for selector in bounded(at, "selectors", MOST, errors).collect::<Vec<_>>() {
        let cel = selector.get("cel");
        if !cel.is_set() {
            cel.required(errors, "");
        } else if cel.text("expression").len() > LONGEST {
            cel.get("expression").too_long(errors, LONGEST);
        } else {
            selectors::expression(&cel.get("expression"), errors);
        }
    }
}

fn toleration(at: &At, errors: &mut ErrorList) {
    let (key, operator, value, effect) = (at.get("key"), at.get("operator"), at.get("value"), at.get("effect"));
    if !key.is_empty() {
        named(&key, qualified_name, errors);
    }
    match operator.str() {
        "Exists" if !value.is_empty() => value.invalid(errors, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => named(&value, label_value, errors),
        "" => operator.required(errors, ""),
        _ => operator.unsupported(errors, &["Equal", "Exists"]),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect.str()) {
        effect.unsupported(errors, EFFECTS);
    }
}

/// Names of requests of the claim, or of a request and one of its choices.
fn references(at: &At, devices: &At, errors: &mut ErrorList) {
    let names: Vec<_> = bounded(at, "requests", MOST, errors).collect();
    names.iter().for_each(|name| reference(name, devices, errors));
    each_once(&names, errors);
}

fn each_once(texts: &[At], errors: &mut ErrorList) {
    for (index, text) in texts.iter().enumerate() {
        if texts[..index].iter().any(|other| other.str() == text.str()) {
            text.duplicate(errors);
        }
    }
}

fn reference(name: &At, devices: &At, errors: &mut ErrorList) {
    let why = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let parts: Vec<&str> = name.str().split('/').collect();
    if parts.len() > 2 {
        name.invalid(errors, why);
        return;
    }
    for part in &parts {
        dns1123_label(part).into_iter().for_each(|why| name.wrong(errors, *part, why));
    }
    let known = devices.each("requests").any(|request| {
        let choice = |wanted: &&str| request.each("firstAvailable").any(|choice| choice.text("name") == *wanted);
        request.text("name") == parts[0] && parts.get(1).is_none_or(choice)
    });
    if !known {
        name.invalid(errors, why);
    }
}

fn opaque(config: &At, errors: &mut ErrorList) {
    let opaque = config.get("opaque");
    if opaque.is_set() {
        driver_name(&opaque.get("driver"), errors);
        raw(&opaque.get("parameters"), errors);
    } else {
        opaque.required(errors, "");
    }
}

/// JSON that only its driver understands.
fn raw(at: &At, errors: &mut ErrorList) {
    if !at.is_set() {
        at.required(errors, "");
    } else if at.value().to_string().len() > LONGEST {
        at.too_long(errors, LONGEST);
    } else if !at.value().is_object() {
        at.wrong(errors, "<value omitted>", "must be a valid JSON object");
    }
}

/// `domain/name`, or only the name, of an attribute or a capacity.
fn short_name(name: &str, at: &At, errors: &mut ErrorList) {
    let identifier = |part: &str, errors: &mut ErrorList| {
        if part.len() > 32 {
            at.too_long(errors, 32);
        }
        c_identifier(part).into_iter().for_each(|why| at.wrong(errors, part, why));
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [one] => identifier(one, errors),
        [domain, one] => {
            if domain.is_empty() {
                at.wrong(errors, "", "the domain must not be empty");
            } else {
                let value = json!(domain);
                driver_name(&at.with(&value), errors);
            }
            if one.is_empty() {
                at.wrong(errors, "", "the name must not be empty");
            } else {
                identifier(one, errors);
            }
        }
        _ => {}
    }
}

fn full_name(at: &At, errors: &mut ErrorList) {
    short_name(at.str(), at, errors);
    if !at.str().contains('/') {
        at.invalid(errors, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

/// Complaints about what a claim got.
pub(super) fn claim_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let (status, devices) = (root.get("status"), root.get("spec.devices"));
    let users: Vec<_> = bounded(&status, "reservedFor", 256, errors).collect();
    for user in &users {
        for field in ["resource", "name", "uid"] {
            if user.text(field).is_empty() {
                user.get(field).required(errors, "");
            }
        }
    }
    for (index, user) in users.iter().enumerate() {
        let uid = user.text("uid");
        if users[..index].iter().any(|other| other.text("uid") == uid) {
            errors.push(Error::duplicate(&user.path(), uid));
        }
    }
    let identity = |device: &Value| ["driver", "pool", "device", "shareID"].map(|field| device.text(field).to_owned());
    let allocated: Vec<_> = status.items("allocation.devices.results").iter().map(identity).collect();
    let mut told = Vec::new();
    for device in status.each("devices") {
        device_status(&device, errors);
        let id = identity(device.value());
        let [driver, pool, name, share] = &id;
        let shown = json!({"Driver": driver, "Pool": pool, "Device": name, "ShareID": share});
        if !allocated.contains(&id) {
            device.wrong(errors, shown.clone(), "must be an allocated device in the claim");
        }
        if told.contains(&id) {
            errors.push(Error::duplicate(&device.path(), shown));
        }
        told.push(id);
    }
    let (reserved, allocation) = (status.get("reservedFor"), status.get("allocation"));
    if !reserved.is_empty() && !allocation.is_set() {
        reserved.forbidden(errors, "may not be specified when `allocated` is not set");
    } else if !reserved.is_empty() && root.has("metadata.deletionTimestamp") {
        let before = old.items("status.reservedFor");
        if status.items("reservedFor").iter().any(|user| !before.contains(user)) {
            let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            reserved.forbidden(errors, why);
        }
    }
    match old.at("status.allocation") {
        Some(_) if allocation.is_set() => immutable_of("AllocationResult", new, old, "status.allocation", errors),
        None if allocation.is_set() => allocated_devices(&allocation, &devices, errors),
        _ => {}
    }
}

fn device_status(device: &At, errors: &mut ErrorList) {
    driver_name(&device.get("driver"), errors);
    pool_name(&device.get("pool"), errors);
    named(&device.get("device"), dns1123_label, errors);
    uid::validate(&device.get("shareID"), errors);
    if device.items("conditions").len() > 8 {
        device.get("conditions").too_many(errors, 8);
    }
    conditions(device, errors);
    if device.has("data") {
        raw(&device.get("data"), errors);
    }
    let network = device.get("networkData");
    let addresses: Vec<_> = bounded(&network, "ips", 16, errors).collect();
    for address in &addresses {
        errors.extend(api::validation::ip::interface_address(&address.path(), address.str()));
    }
    each_once(&addresses, errors);
    for (field, most) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if network.text(field).len() > most {
            network.get(field).too_long(errors, most);
        }
    }
}

fn allocated_devices(allocation: &At, devices: &At, errors: &mut ErrorList) {
    let got = allocation.get("devices");
    for result in bounded(&got, "results", MOST, errors).collect::<Vec<_>>() {
        reference(&result.get("request"), devices, errors);
        driver_name(&result.get("driver"), errors);
        pool_name(&result.get("pool"), errors);
        named(&result.get("device"), dns1123_label, errors);
        binding_conditions(&result, errors);
        uid::validate(&result.get("shareID"), errors);
    }
    for config in bounded(&got, "config", 2 * MOST, errors).collect::<Vec<_>>() {
        let source = config.get("source");
        match source.str() {
            "" => source.required(errors, ""),
            "FromClaim" | "FromClass" => {}
            _ => source.unsupported(errors, &["FromClaim", "FromClass"]),
        }
        references(&config, devices, errors);
        opaque(&config, errors);
    }
    if allocation.has("nodeSelector") {
        node_selector(&allocation.get("nodeSelector"), errors);
    }
}

fn binding_conditions(at: &At, errors: &mut ErrorList) {
    let (good, bad) = ("bindingConditions", "bindingFailureConditions");
    for list in [good, bad] {
        for condition in bounded(at, list, 4, errors).collect::<Vec<_>>() {
            named(&condition, qualified_name, errors);
        }
    }
    let wanted: Vec<&str> = at.items(good).iter().filter_map(Value::as_str).collect();
    for list in [good, bad] {
        let mut seen: Vec<&str> = Vec::new();
        for condition in at.each(list) {
            if seen.contains(&condition.str()) {
                condition.duplicate(errors);
            }
            seen.push(condition.str());
            if list == bad && wanted.contains(&condition.str()) {
                condition.invalid(errors, "bindingFailureConditions must not overlap with bindingConditions");
            }
        }
    }
    let empty = |list: &str| at.items(list).is_empty();
    if empty(good) && !empty(bad) {
        at.get(good).wrong(errors, json!([]), "bindingConditions are required to use bindingFailureConditions");
    }
    if empty(bad) && !empty(good) {
        at.get(bad).wrong(errors, json!([]), "bindingFailureConditions are required to use bindingConditions");
    }
}

/// Where an object, if it is new or was changed from the old one, asks for devices with the rights of an administrator.
pub(crate) fn admin_access(new: &Value, old: Option<&Value>) -> Option<Path> {
    const REQUESTS: &str = "spec.devices.requests";
    let asks = |item: &Value| item.truth("adminAccess");
    let asks_exactly = |item: &Value| item.at("exactly").is_some_and(asks);
    let (list, at) = match (new.text("kind"), old) {
        ("ResourceClaim", None) => (REQUESTS, new.items(REQUESTS).iter().position(asks_exactly)),
        // The place that is named is a claim's.
        ("ResourceClaimTemplate", None) => {
            (REQUESTS, new.items("spec.spec.devices.requests").iter().position(asks_exactly))
        }
        ("ResourceClaim", Some(old)) if !old.items(RESULTS).iter().any(asks) => {
            (RESULTS, new.items(RESULTS).iter().position(asks))
        }
        _ => return None,
    };
    Some(Path::root(list).index(at?).child("adminAccess"))
}

/// Complaints about a class of devices.
pub(super) fn class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    selectors(&spec, errors);
    for config in bounded(&spec, "config", MOST, errors).collect::<Vec<_>>() {
        opaque(&config, errors);
    }
    let name = spec.get("extendedResourceName");
    if name.is_set() && !resource_names::is_extended(name.str()) {
        name.invalid(errors, "must be a valid extended resource name");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::strategy) fn said(check: fn(&Value, &mut ErrorList), object: Value) -> String {
        let mut errors = ErrorList::new();
        check(&object, &mut errors);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn claims() {
        let claim = |devices: Value| said(claim, json!({"spec": {"devices": devices}}));
        let exactly = json!({"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1});
        for (devices, expect) in [
            (
                json!({"requests": [{"name": "r", "exactly": exactly}], "config": [{"requests": ["r"], "opaque": {
                "driver": "d.io", "parameters": {}}}], "constraints": [{"matchAttribute": "d.io/a"}]}),
                "",
            ),
            (
                json!({"requests": [{"name": "r"}, {"name": "r", "exactly": {"allocationMode": "All", "count": 2}}]}),
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required; \
              spec.devices.requests[1].exactly.deviceClassName: Required value; \
              spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'; \
              spec.devices.requests[1]: Duplicate value: \"r\"",
            ),
            (
                json!({"constraints": [{"requests": ["x"], "matchAttribute": "a"}], "config": [{}]}),
                "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim or \
              the name of a request and a subrequest separated by '/'; spec.devices.constraints[0].matchAttribute: Invalid \
              value: \"a\": a fully qualified name must be a domain and a name separated by a slash; \
              spec.devices.config[0].opaque: Required value",
            ),
        ] {
            assert_eq!(claim(devices), expect);
        }
    }
}
