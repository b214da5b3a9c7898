//! What drivers offer: slices of their devices.

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain, label_value, qualified_name};
use serde_json::Value;

use super::{EFFECTS, MOST, binding_conditions, bounded, driver_name, named, names_once, pool_name, short_name};
use crate::strategy::at::At;
use crate::strategy::pod_validation::node_selector;
use crate::strategy::upstream_form;
use crate::strategy::workloads::immutable;
use crate::tree::Tree;

/// Complaints about what a driver offers.
pub(in crate::strategy) fn slice(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    driver_name(&spec.get("driver"), errors);
    pool_name(&spec.get("pool.name"), errors);
    spec.get("pool.resourceSliceCount").positive(errors);
    if spec.int("pool.generation").unwrap_or(0) < 0 {
        spec.get("pool.generation").invalid(errors, "must be greater than or equal to zero");
    }
    slice_nodes(&spec, errors);
    if spec.has("sharedCounters") && spec.has("devices") {
        spec.wrong(errors, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let particular = |device: &Value| ["taints", "consumesCounters"].iter().any(|l| !device.items(l).is_empty());
    let most = if spec.items("devices").iter().any(particular) { 64 } else { 128 };
    for device in bounded(&spec, "devices", most, errors).collect::<Vec<_>>() {
        self::device(&device, spec.truth("perDeviceNodeSelection"), errors);
    }
    names_once(&spec, "devices", most, errors);
    for set in bounded(&spec, "sharedCounters", 8, errors).collect::<Vec<_>>() {
        counters(&set, "name", errors);
    }
    names_once(&spec, "sharedCounters", 8, errors);
}

pub(in crate::strategy) fn slice_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    for field in ["spec.pool.name", "spec.driver"] {
        root.get(field).unchanged(old.at(field), errors);
    }
    immutable(new, old, "spec.nodeName", errors);
}

/// Exactly one way to say on which nodes devices are.
fn slice_nodes(spec: &At, errors: &mut ErrorList) {
    let mut set = node_fields(spec, "must be either unset or set to a non-empty string", errors);
    let terms = spec.items("nodeSelector.nodeSelectorTerms");
    if spec.has("nodeSelector") && terms.len() != 1 {
        let at = spec.get("nodeSelector.nodeSelectorTerms");
        let shown = terms.iter().map(|term| upstream_form::of("NodeSelectorTerm", term)).collect::<Vec<_>>();
        let shown = if at.is_set() { shown.into() } else { Value::Null };
        at.wrong(errors, shown, "must have exactly one node selector term");
    }
    let each = spec.get("perDeviceNodeSelection");
    match each.value().as_bool() {
        Some(true) => set.push("`perDeviceNodeSelection`"),
        Some(false) => each.invalid(errors, "must be either unset or set to true"),
        None => {}
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.len() {
        0 => spec.required(errors, why),
        1 => {}
        _ => spec.wrong(errors, format!("{{{}}}", set.join(", ")), format!("{why}, but multiple fields are set")),
    }
}

fn node_fields(at: &At, empty: &str, errors: &mut ErrorList) -> Vec<&'static str> {
    let mut set = Vec::new();
    let name = at.get("nodeName");
    if name.is_set() && name.is_empty() {
        name.invalid(errors, empty);
    } else if name.is_set() {
        set.push("`nodeName`");
        named(&name, dns1123_subdomain, errors);
    }
    if at.has("nodeSelector") {
        set.push("`nodeSelector`");
        node_selector(&at.get("nodeSelector"), errors);
    }
    let all = at.get("allNodes");
    match all.value().as_bool() {
        Some(true) => set.push("`allNodes`"),
        Some(false) => all.invalid(errors, "must be either unset or set to true"),
        None => {}
    }
    set
}

fn counters(set: &At, name: &str, errors: &mut ErrorList) {
    let at = set.get(name);
    if at.is_empty() {
        at.required(errors, "");
    } else {
        named(&at, dns1123_label, errors);
    }
    let counters = set.get("counters");
    if counters.is_empty() {
        counters.required(errors, "");
    }
    for (name, counter) in set.entries("counters") {
        dns1123_label(name).into_iter().for_each(|why| counter.wrong(errors, name, why));
    }
}

fn device(device: &At, chooses_nodes: bool, errors: &mut ErrorList) {
    named(&device.get("name"), dns1123_label, errors);
    let count = device.entries("attributes").count() + device.entries("capacity").count();
    if count > MOST {
        device.wrong(errors, count, format!("the total number of attributes and capacities must not exceed {MOST}"));
    }
    for (name, attribute) in device.entries("attributes") {
        short_name(name, &attribute, errors);
        self::attribute(&attribute, errors);
    }
    for (name, capacity) in device.entries("capacity") {
        short_name(name, &capacity, errors);
        let policy = capacity.get("requestPolicy");
        if policy.is_set() && device.truth("allowMultipleAllocations") {
            request_policy(&policy, capacity.quantity("value"), errors);
        } else if policy.is_set() {
            policy.forbidden(errors, "allowMultipleAllocations must be true");
        }
    }
    for taint in bounded(device, "taints", 16, errors).collect::<Vec<_>>() {
        self::taint(&taint, errors);
    }
    for consumption in bounded(device, "consumesCounters", 2, errors).collect::<Vec<_>>() {
        counters(&consumption, "counterSet", errors);
    }
    let sets = device.each("consumesCounters").map(|used| used.text("counterSet"));
    let mut seen: Vec<&str> = Vec::new();
    for (index, set) in sets.enumerate() {
        if seen.contains(&set) {
            let path = device.get("consumesCounters").path().index(index);
            errors.push(Error::duplicate(&path, set));
        }
        seen.push(set);
    }
    device_nodes(device, chooses_nodes, errors);
    binding_conditions(device, errors);
}

fn device_nodes(device: &At, chooses: bool, errors: &mut ErrorList) {
    if !chooses {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|field| device.has(field)) {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                       true in the ResourceSlice spec";
            device.wrong(errors, Value::Null, why);
        }
        return;
    }
    let set = node_fields(device, "must not be empty", errors);
    let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set \
               to true in the ResourceSlice spec";
    match set.len() {
        0 => device.required(errors, why),
        1 => {}
        _ => device.wrong(errors, format!("{{{}}}", set.join(", ")), why),
    }
}

fn taint(taint: &At, errors: &mut ErrorList) {
    named(&taint.get("key"), qualified_name, errors);
    named(&taint.get("value"), label_value, errors);
    let effect = taint.get("effect");
    if effect.is_empty() {
        effect.required(errors, "");
    } else if !EFFECTS.contains(&effect.str()) {
        effect.unsupported(errors, EFFECTS);
    }
}

fn attribute(attribute: &At, errors: &mut ErrorList) {
    for field in ["string", "version"] {
        let at = attribute.get(field);
        if field == "version" && at.is_set() && !is_semantic(at.str()) {
            at.invalid(errors, "must be a string compatible with semver.org spec 2.0.0");
        }
        if at.str().len() > 64 {
            at.too_long(errors, 64);
        }
    }
    let values = ["bool", "int", "string", "version"].iter().filter(|field| attribute.has(field)).count();
    match values {
        0 => attribute.wrong(errors, "", "exactly one value must be specified"),
        1 => {}
        _ => {
            let shown = attribute.as_upstream("DeviceAttribute");
            attribute.wrong(errors, shown, "exactly one value must be specified");
        }
    }
}

/// A version as semver.org has it.
fn is_semantic(text: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| !part.is_empty() && digits(part) && (part == "0" || !part.starts_with('0'));
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let core: Vec<&str> = core.split('.').collect();
    core.len() == 3
        && core.iter().all(|part| number(part))
        && pre.is_none_or(|pre| pre.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// What may be asked of a capacity that several share.
fn request_policy(policy: &At, most: Option<Quantity>, errors: &mut ErrorList) {
    let (values, range) = (policy.get("validValues"), policy.get("validRange"));
    let default = policy.quantity("default");
    let Some(most) = most else { return };
    match (!values.is_empty(), range.is_set()) {
        (true, true) => {
            let why = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            policy.forbidden(errors, why);
        }
        (true, false) => match default {
            None => policy.get("default").required(errors, "required when validValues is defined"),
            Some(default) => valid_values(policy, &default, &most, errors),
        },
        (false, true) => match default {
            None => policy.get("default").required(errors, "required when validRange is defined"),
            Some(default) => valid_range(&range, &default, &most, errors),
        },
        (false, false) => {}
    }
}

fn valid_values(policy: &At, default: &Quantity, most: &Quantity, errors: &mut ErrorList) {
    let amounts: Vec<Quantity> =
        policy.items("validValues").iter().filter_map(|value| Quantity::from_json(value).ok()).collect();
    for (index, pair) in amounts.windows(2).enumerate() {
        if pair[0] > pair[1] {
            let path = policy.get("validValues").path().index(index + 1);
            let why = "values must be sorted in ascending order";
            errors.push(Error::invalid(&path, pair[1].to_string(), why));
        }
    }
    for (at, amount) in bounded(policy, "validValues", 10, errors).zip(&amounts).collect::<Vec<_>>() {
        if amount > most {
            at.wrong(errors, amount.to_string(), format!("option is larger than capacity value: {most}"));
        }
    }
    if !amounts.contains(default) {
        let why = "default value is not valid according to the requestPolicy";
        policy.get("validValues").wrong(errors, default.to_string(), why);
    }
}

fn valid_range(range: &At, default: &Quantity, most: &Quantity, errors: &mut ErrorList) {
    let (low, high, step) = (range.get("min"), range.get("max"), range.get("step"));
    let Some(min) = range.quantity("min") else {
        low.required(errors, "required when validRange is defined");
        return;
    };
    if min > *most {
        low.wrong(errors, min.to_string(), format!("min is larger than capacity value: {most}"));
    }
    if *default < min {
        low.wrong(errors, default.to_string(), format!("default is less than min: {min}"));
    }
    let max = range.quantity("max");
    if let Some(max) = &max {
        if min > *max {
            high.wrong(errors, min.to_string(), format!("min is larger than max: {max}"));
        }
        if max > most {
            high.wrong(errors, max.to_string(), format!("max is larger than capacity value: {most}"));
        }
        if default > max {
            high.wrong(errors, default.to_string(), format!("default is more than max: {max}"));
        }
    }
    let Some(by) = range.quantity("step").filter(|by| by.value() > 0) else { return };
    for value in std::iter::once(default).chain(&max) {
        if (value.value() - min.value()) % by.value() != 0 {
            let why = format!("value is not a multiple of a given step ({by}) from ({min})");
            step.wrong(errors, value.to_string(), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::devices::tests::said;

    #[test]
    fn slices() {
        let slice = |change: Value| {
            let mut spec = json!({"driver": "d.io", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"});
            for (key, value) in change.as_object().unwrap() {
                spec[key] = value.clone();
            }
            said(slice, json!({"spec": spec}))
        };
        for (change, expect) in [
            (json!({"devices": [{"name": "d", "attributes": {"a": {"version": "1.0.0-rc.1+b"}}}]}), ""),
            (
                json!({"allNodes": true}),
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, \
              `perDeviceNodeSelection` is required, but multiple fields are set",
            ),
            (
                json!({"devices": [{"name": "d", "attributes": {"a": {"version": "1.01.0", "int": 1}}}]}),
                "spec.devices[0].attributes[a].version: Invalid value: \"1.01.0\": must be a string compatible with semver.org \
              spec 2.0.0; spec.devices[0].attributes[a]: Invalid value: {\"IntValue\":1,\"BoolValue\":null,\"StringValue\":null,\"VersionValue\":\"1.01.0\"}: exactly one value \
              must be specified",
            ),
            (
                json!({"devices": [{"name": "d", "capacity": {"m": {"value": "1", "requestPolicy": {}}}, "allNodes": true}]}),
                "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true; spec.devices[0]: \
              Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is \
              set to true in the ResourceSlice spec",
            ),
        ] {
            assert_eq!(slice(change), expect);
        }
    }
}
