//! What is asked of ResourceQuotas and LimitRanges.

use api::quantity::{Format, Quantity};
use api::validation::field::{Error, ErrorList};
use api::validation::qualified_name;
use serde_json::Value;

use crate::strategy::at::At;
use crate::strategy::resource_names as names;
use crate::tree::Tree;

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Scopes that either hold or do not: nothing to compare them with.
const PLAIN: [&str; 5] = ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];

const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// Complaints about a ResourceQuota.
pub(super) fn quota(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    amounts(&spec, "hard", errors);
    scopes(&spec, errors);
    selector(&spec, errors);
}

/// Complaints about a quota's status.
pub(super) fn quota_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let status = root.get("status");
    amounts(&status, "hard", errors);
    amounts(&status, "used", errors);
}

pub(super) fn quota_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let sorted = |quota: &Value| {
        let mut scopes: Vec<String> = quota.items("spec.scopes").iter().map(Value::to_string).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    };
    if sorted(new) != sorted(old) {
        let root = At::root(new);
        let at = root.get("spec.scopes");
        errors.push(Error::immutable(&at.path(), at.value().clone()));
    }
}

fn amounts(of: &At, map: &str, errors: &mut ErrorList) {
    for (name, at) in of.entries(map) {
        names::quota(name, &at, errors);
        if let Ok(amount) = Quantity::from_json(at.value()) {
            names::amount(name, &amount, &at, errors);
        }
    }
}

fn bounded<'v>(spec: &At<'_, 'v>) -> Vec<&'v str> {
    let mut names: Vec<&str> = spec.entries("hard").map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

fn scopes(spec: &At, errors: &mut ErrorList) {
    let at = spec.get("scopes");
    let given: Vec<&str> = spec.items("scopes").iter().filter_map(Value::as_str).collect();
    for scope in &given {
        if !SCOPES.contains(scope) {
            at.invalid(errors, "unsupported scope");
        }
        for name in bounded(spec) {
            if names::is_quota(name) && !names::scope_fits(scope, name) {
                at.invalid(errors, "unsupported scope applied to resource");
            }
        }
    }
    if conflicting(&given) {
        at.invalid(errors, "conflicting scopes");
    }
}

fn conflicting(scopes: &[&str]) -> bool {
    OPPOSITES.iter().any(|pair| pair.iter().all(|scope| scopes.contains(scope)))
}

fn selector(spec: &At, errors: &mut ErrorList) {
    let selector = spec.get("scopeSelector");
    let at = selector.get("matchExpressions");
    let mut given: Vec<&str> = Vec::new();
    for requirement in selector.items("matchExpressions") {
        let (scope, operator) = (requirement.text("scopeName"), requirement.text("operator"));
        let values = requirement.items("values");
        given.push(scope);
        if !SCOPES.contains(&scope) {
            at.get("scopeName").wrong(errors, scope, "unsupported scope");
        }
        for name in bounded(spec) {
            if names::is_quota(name) && !names::scope_fits(scope, name) {
                at.wrong(errors, selector.as_upstream("ScopeSelector"), "unsupported scope applied to resource");
            }
        }
        if PLAIN.contains(&scope) && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                       ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            at.get("operator").wrong(errors, operator, why);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                at.get("values").required(errors, why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                at.get("values").wrong(errors, Value::Array(values.to_vec()), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => at.get("operator").wrong(errors, operator, "not a valid selector operator"),
        }
    }
    if conflicting(&given) {
        at.wrong(errors, spec.get("scopes").value().clone(), "conflicting scopes");
    }
}

/// Complaints about a LimitRange.
pub(super) fn range(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let mut kinds: Vec<&str> = Vec::new();
    for limit in root.each("spec.limits") {
        let kind = limit.get("type");
        let complaints = qualified_name(kind.str());
        let standard = kind.str().contains('/') || matches!(kind.str(), "Pod" | "Container" | "PersistentVolumeClaim");
        if complaints.is_empty() && !standard {
            kind.invalid(errors, "must be a standard limit type or fully qualified");
        }
        kind.complain(errors, complaints);
        if kinds.contains(&kind.str()) {
            kind.duplicate(errors);
        }
        kinds.push(kind.str());
        item(&limit, errors);
    }
}

fn item(limit: &At, errors: &mut ErrorList) {
    let kind = limit.text("type");
    let mut keys: Vec<&str> = Vec::new();
    for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        if kind == "Pod" && list.starts_with("default") {
            if !limit.get(list).is_empty() {
                limit.get(list).forbidden(errors, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if list == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let said = ["min", "max"].iter().any(|list| limit.get(list).has("storage"));
            if !said {
                let why = "either minimum or maximum storage value is required, but neither was provided";
                limit.get("limits").required(errors, why);
            }
        }
        for (name, at) in limit.entries(list) {
            match kind {
                "Pod" | "Container" => names::container(name, &at, errors),
                _ => drop(names::any(name, &at, errors)),
            }
            if !keys.contains(&name) {
                keys.push(name);
            }
        }
    }
    keys.into_iter().for_each(|name| bounds(limit, name, errors));
}

/// What is least, usual and most for one resource fits together.
fn bounds(limit: &At, name: &str, errors: &mut ErrorList) {
    let pod = limit.text("type") == "Pod";
    let of = |list: &str| {
        let amount = limit.get(list).value().get(name).and_then(|amount| Quantity::from_json(amount).ok());
        amount.filter(|_| !(pod && list.starts_with("default")))
    };
    let (min, max, usual, asked) = (of("min"), of("max"), of("default"), of("defaultRequest"));
    let mut order = |low: &Option<Quantity>, high: &Option<Quantity>, list: &str, shown: bool, words: [&str; 2]| {
        let (Some(low), Some(high)) = (low, high) else { return };
        if low > high {
            let why = format!("{} value {low} is greater than {} value {high}", words[0], words[1]);
            let value = if shown { low } else { high };
            limit.entry(list, name).wrong(errors, value.to_string(), why);
        }
    };
    order(&min, &max, "min", true, ["min", "max"]);
    order(&min, &asked, "defaultRequest", false, ["min", "default request"]);
    order(&asked, &max, "defaultRequest", true, ["default request", "max"]);
    order(&asked, &usual, "defaultRequest", true, ["default request", "default limit"]);
    order(&min, &usual, "default", true, ["min", "default"]);
    order(&usual, &max, "default", false, ["default", "max"]);
    if let Some(ratio) = of("maxLimitRequestRatio") {
        let at = limit.entry("maxLimitRequestRatio", name);
        if ratio < Quantity::new(1, Format::DecimalSI) {
            at.wrong(errors, ratio.to_string(), format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (&min, &max) {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                at.wrong(errors, ratio.to_string(), format!("ratio {ratio} is greater than max/min = {most:.6}"));
            }
        }
    }
    if let (Some(usual), Some(asked), false) = (&usual, &asked, names::may_overcommit(name))
        && usual != asked
    {
        let why = format!("default value {usual} must equal to defaultRequest value {asked} in {name}");
        limit.entry("defaultRequest", name).wrong(errors, asked.to_string(), why);
    }
}
