//! Where pods may run: affinity, tolerations, spreading.

use std::collections::{HashMap, HashSet};

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain, label_value, qualified_name};

use crate::strategy::at::{At, Rule};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Complaints about an `affinity`.
pub(super) fn affinity(affinity: &At, errors: &mut ErrorList) {
    let node = affinity.get("nodeAffinity");
    let required = node.get(REQUIRED);
    if required.is_set() {
        node_selector(&required, errors);
    }
    for term in node.each(PREFERRED) {
        weight(&term, errors);
        node_term(&term.get("preference"), false, errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.get(kind);
        pods.each(REQUIRED).for_each(|term| pod_term(&term, errors));
        for term in pods.each(PREFERRED) {
            weight(&term, errors);
            pod_term(&term.get("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &At, errors: &mut ErrorList) {
    let weight = term.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        term.get("weight").wrong(errors, weight, "must be in the range 1-100");
    }
}

/// Complaints about a selector of nodes.
pub(in crate::strategy) fn node_selector(selector: &At, errors: &mut ErrorList) {
    if selector.items("nodeSelectorTerms").is_empty() {
        selector.get("nodeSelectorTerms").required(errors, "must have at least one node selector term");
        return;
    }
    selector.each("nodeSelectorTerms").for_each(|term| node_term(&term, true, errors));
}

fn node_term(term: &At, strict: bool, errors: &mut ErrorList) {
    for requirement in term.each("matchExpressions") {
        node_requirement(&requirement, strict, errors);
    }
    for requirement in term.each("matchFields") {
        let (operator, key) = (requirement.get("operator"), requirement.get("key"));
        match operator.str() {
            "In" | "NotIn" if requirement.items("values").len() != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                requirement.get("values").required(errors, why);
            }
            "In" | "NotIn" => {}
            _ => operator.invalid(errors, "not a valid selector operator"),
        }
        if key.str() != "metadata.name" {
            key.invalid(errors, "not a valid field selector key");
            continue;
        }
        requirement.each("values").for_each(|value| value.complain(errors, dns1123_subdomain(value.str())));
    }
}

fn node_requirement(requirement: &At, strict: bool, errors: &mut ErrorList) {
    let (operator, values) = (requirement.get("operator"), requirement.get("values"));
    let count = requirement.items("values").len();
    match operator.str() {
        "In" | "NotIn" if count == 0 => {
            values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if count != 1 => {
            values.required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => operator.invalid(errors, "not a valid selector operator"),
    }
    let key = requirement.get("key");
    key.complain(errors, qualified_name(key.str()));
    if strict {
        requirement.each("values").for_each(|value| value.complain(errors, label_value(value.str())));
    }
}

fn pod_term(term: &At, errors: &mut ErrorList) {
    term.check(&[("labelSelector", Rule::Selector), ("namespaceSelector", Rule::Selector)], errors);
    for namespace in term.items("namespaces") {
        let name = namespace.as_str().unwrap_or_default();
        let at = term.get("namespace");
        dns1123_label(name).into_iter().for_each(|why| at.wrong(errors, name, why));
    }
    label_keys(term, errors);
    let key = term.get("topologyKey");
    if key.is_empty() {
        key.required(errors, "can not be empty");
    }
    key.complain(errors, qualified_name(key.str()));
}

/// Keys whose values are taken from the pod itself: there has to be a selector to add them to, and it may not have them.
fn label_keys(term: &At, errors: &mut ErrorList) {
    let selector = term.get("labelSelector");
    for list in ["matchLabelKeys", "mismatchLabelKeys"] {
        if term.items(list).is_empty() {
            continue;
        }
        if !selector.is_set() {
            term.get(list).forbidden(errors, "must not be specified when labelSelector is not set");
            continue;
        }
        term.each(list).for_each(|key| key.complain(errors, qualified_name(key.str())));
    }
    let mut keys: HashMap<&str, usize> = HashMap::new();
    for (at, key) in term.items("matchLabelKeys").iter().filter_map(|key| key.as_str()).enumerate() {
        keys.entry(key).or_insert(at);
    }
    let mut seen: HashSet<&str> = selector.entries("matchLabels").map(|(key, _)| key).collect();
    for expression in selector.items("matchExpressions") {
        let key = expression["key"].as_str().unwrap_or_default();
        if let Some(at) = keys.get(key)
            && seen.contains(&key)
        {
            let path = api::validation::field::Path::root(&format!("{}[{at}]", term.path()));
            errors.push(Error::invalid(&path, key, "exists in both matchLabelKeys and labelSelector"));
        }
        seen.insert(key);
    }
    let mismatched: HashSet<&serde_json::Value> = term.items("mismatchLabelKeys").iter().collect();
    for key in term.each("matchLabelKeys") {
        if mismatched.contains(key.value()) {
            key.invalid(errors, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Complaints about `tolerations`.
pub(in crate::strategy) fn tolerations(spec: &At, errors: &mut ErrorList) {
    for toleration in spec.each("tolerations") {
        let (key, operator, effect) = (toleration.get("key"), toleration.get("operator"), toleration.get("effect"));
        if !key.is_empty() {
            key.complain(errors, qualified_name(key.str()));
        }
        if key.is_empty() && operator.str() != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            operator.invalid(errors, why);
        }
        if toleration.has("tolerationSeconds") && effect.str() != "NoExecute" {
            effect.invalid(errors, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        let value = toleration.text("value");
        match operator.str() {
            "Equal" | "" => {
                let complaints = label_value(value);
                if !complaints.is_empty() {
                    operator.wrong(errors, value, complaints.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                operator.wrong(errors, value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            // What compares numbers is a feature that is off by default, and yet named.
            "Lt" | "Gt" => operator.unsupported(errors, &["Equal", "Exists", "Lt", "Gt"]),
            _ => operator.unsupported(errors, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect.str()) {
            effect.unsupported(errors, &EFFECTS);
        }
    }
}

/// Complaints about a node's taints, in the place upstream names.
pub(in crate::strategy) fn taints(taints: &At, list: &str, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for taint in taints.each(list) {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        key.complain(errors, qualified_name(key.str()));
        let complaints = label_value(value.str());
        if !complaints.is_empty() {
            value.invalid(errors, complaints.join(";"));
        }
        taint.check(&[("effect", Rule::OneOf(&EFFECTS))], errors);
        let pair = (key.str(), effect.str());
        if !seen.insert(pair) {
            let mut error = Error::duplicate(&taint.path(), taint.as_upstream("Taint"));
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

/// Complaints about `topologySpreadConstraints`.
pub(super) fn spread(spec: &At, errors: &mut ErrorList) {
    let all = spec.items("topologySpreadConstraints");
    let pair = |constraint: &serde_json::Value| {
        let text = |field: &str| constraint.get(field).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        (text("topologyKey"), text("whenUnsatisfiable"))
    };
    let mut later: HashMap<_, usize> = HashMap::new();
    all.iter().for_each(|constraint| *later.entry(pair(constraint)).or_default() += 1);
    for constraint in spec.each("topologySpreadConstraints") {
        constraint.get("maxSkew").positive(errors);
        let key = constraint.get("topologyKey");
        if key.is_empty() {
            key.required(errors, "can not be empty");
        }
        let action = constraint.get("whenUnsatisfiable");
        if !matches!(action.str(), "DoNotSchedule" | "ScheduleAnyway") {
            action.unsupported(errors, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let own = pair(constraint.value());
        let rest = later.entry(own.clone()).or_default();
        *rest = rest.saturating_sub(1);
        if *rest > 0 {
            let path = constraint.get("{topologyKey, whenUnsatisfiable}").path();
            errors.push(Error::duplicate(&path, format!("{{{}, {}}}", own.0, own.1)));
        }
        let domains = constraint.get("minDomains");
        if domains.is_set() {
            domains.positive(errors);
            if action.str() != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action.str());
                domains.invalid(errors, why);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            constraint.check(&[(policy, Rule::MaybeOneOf(&["Honor", "Ignore"]))], errors);
        }
        label_keys(&constraint, errors);
        constraint.check(&[("labelSelector", Rule::Selector)], errors);
    }
}
