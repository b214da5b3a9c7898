//! The words of `autoscaling/v1` for what autoscalers measure and how they behave: its annotations hold both, and other
//! programs read and write them.

use serde_json::{Map, Value, json};

use crate::tree::Tree;

/// A field of a metric: its name in v1, its path in v2, and what v1 says where v2 says nothing.
type Field = (&'static str, &'static str, Option<&'static str>);
/// The fields of each source of metrics, in the order in which v1 has them.
type Sources = &'static [(&'static str, &'static [Field])];

/// What is aimed at.
pub(super) const TARGETS: Sources = &[
    (
        "object",
        &[
            ("target", "describedObject", None),
            ("metricName", "metric.name", Some("")),
            ("targetValue", "target.value", Some("0")),
            ("selector", "metric.selector", None),
            ("averageValue", "target.averageValue", None),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name", Some("")),
            ("targetAverageValue", "target.averageValue", Some("0")),
            ("selector", "metric.selector", None),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name", Some("")),
            ("targetAverageUtilization", "target.averageUtilization", None),
            ("targetAverageValue", "target.averageValue", None),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name", Some("")),
            ("targetAverageUtilization", "target.averageUtilization", None),
            ("targetAverageValue", "target.averageValue", None),
            ("container", "container", Some("")),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name", Some("")),
            ("metricSelector", "metric.selector", None),
            ("targetValue", "target.value", None),
            ("targetAverageValue", "target.averageValue", None),
        ],
    ),
];

/// What was measured.
pub(super) const CURRENTS: Sources = &[
    (
        "object",
        &[
            ("target", "describedObject", None),
            ("metricName", "metric.name", Some("")),
            ("currentValue", "current.value", Some("0")),
            ("selector", "metric.selector", None),
            ("averageValue", "current.averageValue", None),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name", Some("")),
            ("currentAverageValue", "current.averageValue", Some("0")),
            ("selector", "metric.selector", None),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name", Some("")),
            ("currentAverageUtilization", "current.averageUtilization", None),
            ("currentAverageValue", "current.averageValue", Some("0")),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name", Some("")),
            ("currentAverageUtilization", "current.averageUtilization", None),
            ("currentAverageValue", "current.averageValue", Some("0")),
            ("container", "container", Some("")),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name", Some("")),
            ("metricSelector", "metric.selector", None),
            ("currentValue", "current.value", Some("0")),
            ("currentAverageValue", "current.averageValue", None),
        ],
    ),
];

/// How fast it may go up or down: an annotation says it in the names of a program, not of an API.
const RULES: [(&str, &str); 4] = [
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"),
    ("SelectPolicy", "selectPolicy"),
    ("Policies", "policies"),
    ("Tolerance", "tolerance"),
];
const POLICY: [(&str, &str); 3] = [("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds")];
const DIRECTIONS: [(&str, &str); 2] = [("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")];

/// Metrics of v2 in the words of v1.
pub(super) fn metrics_of_v1(metrics: &[Value], sources: Sources) -> Value {
    let one = |metric: &Value| {
        let mut said = json!({"type": metric.text("type")});
        for (source, fields) in sources {
            let Some(of_v2) = metric.at(source) else { continue };
            let mut of_v1 = Map::new();
            for (name, path, unsaid) in *fields {
                let value = of_v2.at(path).cloned().or_else(|| unsaid.map(Value::from));
                of_v1.extend(value.map(|value| ((*name).to_owned(), value)));
            }
            said[*source] = of_v1.into();
        }
        said
    };
    metrics.iter().map(one).collect()
}

/// Metrics of v1 in the words of v2; `None` when that is no list of metrics.
pub(super) fn metrics_of_v2(metrics: &Value, sources: Sources) -> Option<Vec<Value>> {
    let metrics = metrics.as_array().filter(|metrics| metrics.iter().all(Value::is_object))?;
    let one = |metric: &Value| {
        let mut said = json!({"type": metric.text("type")});
        for (source, fields) in sources {
            let Some(of_v1) = metric.at(source) else { continue };
            let mut of_v2 = json!({});
            for (name, path, _) in *fields {
                if let Some(value) = of_v1.at(name) {
                    of_v2.put(path, value.clone());
                }
            }
            if fields.iter().any(|(_, path, _)| path.starts_with("target.")) {
                let target = target_type(source, &of_v2);
                of_v2.put("target.type", target);
            }
            said[*source] = of_v2;
        }
        said
    };
    Some(metrics.iter().map(one).collect())
}

/// What v1 leaves to be seen.
fn target_type(source: &str, metric: &Value) -> &'static str {
    let says = |field: &str| metric.at("target").is_some_and(|target| target.at(field).is_some());
    match source {
        "resource" | "containerResource" if says("averageUtilization") => "Utilization",
        "object" if !says("averageValue") => "Value",
        "external" if says("value") => "Value",
        _ => "AverageValue",
    }
}

/// The behavior of v2 as the annotation has it.
pub(super) fn behavior_of_v1(behavior: &Value) -> Value {
    renamed(behavior, &DIRECTIONS, |rules| {
        renamed(rules, &RULES, |value| match value.as_array() {
            Some(policies) => policies.iter().map(|policy| renamed(policy, &POLICY, Value::clone)).collect(),
            None => value.clone(),
        })
    })
}

/// All fields under their other names, null where there are none.
fn renamed(value: &Value, names: &[(&str, &str)], each: impl Fn(&Value) -> Value) -> Value {
    let field = |(to, from): &(&str, &str)| ((*to).to_owned(), value.at(from).map_or(Value::Null, &each));
    Value::Object(names.iter().map(field).collect())
}

/// What the annotation says as v2 has it; `None` when that is nothing.
pub(super) fn behavior_of_v2(behavior: &Value) -> Option<Value> {
    let found = named(behavior, &DIRECTIONS, |rules| {
        Some(named(rules, &RULES, |value| match value.as_array() {
            Some(policies) => Some(policies.iter().map(|policy| named(policy, &POLICY, |v| Some(v.clone()))).collect()),
            None => Some(value.clone()),
        }))
        .filter(|_| rules.is_object())
    });
    found.as_object().is_some_and(|found| !found.is_empty()).then_some(found)
}

/// The fields that are there under v2's names, however their first letters are written.
fn named(value: &Value, names: &[(&str, &str)], each: impl Fn(&Value) -> Option<Value>) -> Value {
    let find = |name: &str| value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    let field = |(name, to): &(&str, &str)| {
        let value = find(name).filter(|value| !value.is_null()).and_then(&each)?;
        Some(((*to).to_owned(), value))
    };
    Value::Object(names.iter().filter_map(field).collect())
}
