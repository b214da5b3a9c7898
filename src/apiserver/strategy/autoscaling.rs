//! HorizontalPodAutoscalers.

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, path_segment_name};
use serde_json::{Value, json};

use super::Strategy;
use super::at::{At, NEGATIVE, Rule};
use super::resource_names as names;
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const AUTOSCALER: Strategy = Strategy {
    status: Some(r#"{"desiredReplicas":0,"currentMetrics":null}"#),
    default: |autoscaler| {
        if autoscaler.at("spec").is_some() && autoscaler.items("spec.metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            autoscaler
                .put("spec.metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
        }
        if autoscaler.at("spec.behavior").is_some() {
            let all_at_once = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
            let some = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
            autoscaler.default_to("spec.behavior.scaleUp.stabilizationWindowSeconds", 0);
            autoscaler.default_to("spec.behavior.scaleUp.policies", json!([some, all_at_once]));
            autoscaler.default_to("spec.behavior.scaleDown.policies", json!([all_at_once]));
            for direction in ["scaleUp", "scaleDown"] {
                autoscaler.default_to(&format!("spec.behavior.{direction}.selectPolicy"), "Max");
            }
        }
    },
    defaults: Some(|| Defaults::new(&[("spec.minReplicas", "1")])),
    validate,
    validate_status: |new, _, errors| {
        let counts = [("status.currentReplicas", Rule::NotNegative), ("status.desiredReplicas", Rule::NotNegative)];
        At::root(new).check(&counts, errors);
    },
    ..Strategy::DEFAULT
};

const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

fn validate(autoscaler: &Value, errors: &mut ErrorList) {
    let root = At::root(autoscaler);
    let spec = root.get("spec");
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    let (low, high) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    if low.is_some_and(|low| low < 1) {
        least.invalid(errors, "must be greater than or equal to 1");
    }
    if high < 1 {
        most.wrong(errors, high, "must be greater than 0");
    }
    if low.is_some_and(|low| high < low) {
        most.wrong(errors, high, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.get("scaleTargetRef");
    reference(&target, errors);
    // Of the core group one kind can be scaled.
    let version = target.text("apiVersion");
    let grouped = version.contains('/') && !version.starts_with('/') || version.matches('/').count() > 1;
    if !grouped && target.text("kind") != "ReplicationController" {
        let why = "apiVersion must specify API group";
        target.get("apiVersion").wrong(errors, target.text("apiVersion"), why);
    }
    let outside = |metric: &Value| matches!(metric.text("type"), "Object" | "External");
    if low == Some(0) && !spec.items("metrics").iter().any(outside) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        spec.get("metrics").forbidden(errors, why);
    }
    spec.each("metrics").for_each(|metric| validate_metric(&metric, errors));
    for direction in ["behavior.scaleUp", "behavior.scaleDown"] {
        let rules = spec.get(direction);
        if rules.is_set() {
            scaling_rules(&rules, errors);
        }
    }
}

fn reference(at: &At, errors: &mut ErrorList) {
    let rules = [("kind", Rule::NeedName(path_segment_name)), ("name", Rule::NeedName(path_segment_name))];
    at.check(&rules, errors);
    let version = at.text("apiVersion");
    if version.matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {version}");
        at.get("apiVersion").wrong(errors, version, why);
    }
}

fn scaling_rules(rules: &At, errors: &mut ErrorList) {
    let window = rules.get("stabilizationWindowSeconds");
    match window.value().as_i64() {
        Some(seconds) if seconds < 0 => window.invalid(errors, "must be greater than or equal to zero"),
        Some(seconds) if seconds > 3600 => window.invalid(errors, "must be less than or equal to 3600"),
        _ => {}
    }
    rules.check(&[("selectPolicy", Rule::MaybeOneOf(&["Disabled", "Max", "Min"]))], errors);
    if rules.items("policies").is_empty() {
        rules.get("policies").required(errors, "must specify at least one Policy");
    }
    for policy in rules.each("policies") {
        let kind = policy.get("type");
        if !matches!(kind.str(), "Pods" | "Percent") {
            kind.unsupported(errors, &["Percent", "Pods"]);
        }
        policy.get("value").positive(errors);
        let period = policy.get("periodSeconds");
        period.positive(errors);
        if period.value().as_i64().is_some_and(|seconds| seconds > 1800) {
            period.invalid(errors, "must be less than or equal to 1800");
        }
    }
    if let Some(tolerance) = rules.quantity("tolerance").filter(|tolerance| tolerance.signum() < 0) {
        rules.get("tolerance").wrong(errors, tolerance.to_string(), NEGATIVE);
    }
}

fn validate_metric(metric: &At, errors: &mut ErrorList) {
    let kind = metric.get("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric source type");
    }
    if !KINDS.contains(&kind.str()) {
        kind.unsupported(errors, &KINDS);
    }
    let mut given = Vec::new();
    for source in ["object", "external", "pods", "resource", "containerResource"] {
        let at = metric.get(source);
        if !at.is_set() {
            continue;
        }
        given.push(source);
        if given.len() == 1 {
            validate_source(&at, source, errors);
        }
    }
    let expected = match kind.str() {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => {
            kind.unsupported(errors, &KINDS);
            ""
        }
    };
    if !expected.is_empty() && !metric.has(expected) {
        metric.get(expected).required(errors, "must populate information for the given metric source");
    }
    if given.len() != 1 {
        for other in given.into_iter().filter(|source| *source != expected) {
            metric.get(other).forbidden(errors, "must populate the given metric source only");
        }
    }
}

fn validate_source(at: &At, source: &str, errors: &mut ErrorList) {
    let target = at.get("target");
    let (value, average, utilization) =
        (target.get("value"), target.get("averageValue"), target.get("averageUtilization"));
    if source == "object" {
        reference(&at.get("describedObject"), errors);
    }
    match source {
        "resource" | "containerResource" => {
            let name = at.get("name");
            match name.str() {
                "" => name.required(errors, "must specify a resource name"),
                text if source == "containerResource" => names::container(text, &name, errors),
                _ => {}
            }
        }
        _ => match at.get("metric.name") {
            name if name.is_empty() => name.required(errors, "must specify a metric name"),
            name => name.complain(errors, path_segment_name(name.str())),
        },
    }
    if source == "containerResource" {
        match at.get("container") {
            name if name.is_empty() => name.required(errors, "must specify a container"),
            name => name.complain(errors, dns1123_label(name.str())),
        }
    }
    metric_target(&target, errors);
    match source {
        "object" if !value.is_set() && !average.is_set() => {
            average.required(errors, "must set either a target value or averageValue");
        }
        "external" if !value.is_set() && !average.is_set() => {
            average.required(errors, "must set either a target value for metric or a per-pod target");
        }
        "external" if value.is_set() && average.is_set() => {
            value.forbidden(errors, "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !average.is_set() => average.required(errors, "must specify a positive target averageValue"),
        "resource" | "containerResource" if !utilization.is_set() && !average.is_set() => {
            utilization.required(errors, "must set either a target raw value or a target utilization");
        }
        "resource" | "containerResource" if utilization.is_set() && average.is_set() => {
            average.forbidden(errors, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn metric_target(target: &At, errors: &mut ErrorList) {
    let kind = target.get("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric target type");
    }
    if !matches!(kind.str(), "Utilization" | "Value" | "AverageValue") {
        kind.invalid(errors, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = target.quantity(field).filter(|amount| amount.signum() <= 0) {
            errors.push(Error::invalid(&target.get(field).path(), amount.to_string(), "must be positive"));
        }
    }
    let utilization = target.get("averageUtilization");
    if utilization.value().as_i64().is_some_and(|part| part < 1) {
        utilization.invalid(errors, "must be greater than 0");
    }
}
