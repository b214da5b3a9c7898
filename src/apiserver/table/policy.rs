//! Who may do what, and how requests, certificates, disruptions and scaling are governed.

use std::collections::BTreeMap;

use api::Object;
use serde::Deserialize;
use serde_json::Value;

use super::Kind;
use super::column::{AGE, NAME, number, text, wide};
use super::duration;
use super::row::row;
use super::text::{age, name, or_none};
use super::view::{self, view};
use crate::registry::autoscaler_into_v2;

const UNSET: &str = "<unset>";

view! {
    Condition { r#type: String, status: String }
}

pub(super) const ROLE_BINDING: Kind = (
    &[
        NAME,
        text("Role", "The role that is given."),
        AGE,
        wide("Users", "The users who get it."),
        wide("Groups", "The groups that get it."),
        wide("ServiceAccounts", "The service accounts that get it."),
    ],
    |object| {
        view! {
            RoleBinding { role_ref: RoleRef, subjects: Vec<Subject> }
            RoleRef { kind: String, name: String }
            Subject { kind: String, name: String, namespace: String }
        }
        let RoleBinding { role_ref, subjects } = view::read(object)?;
        let of = |kind: &str| {
            let names = subjects.iter().filter(|subject| subject.kind == kind).map(|s| match &*s.namespace {
                namespace if kind == "ServiceAccount" && !namespace.is_empty() => format!("{namespace}/{}", s.name),
                _ if kind == "ServiceAccount" => format!("/{}", s.name),
                _ => s.name.clone(),
            });
            names.collect::<Vec<_>>().join(", ")
        };
        let role = format!("{}/{}", role_ref.kind, role_ref.name);
        row![name(object), role, age(object), of("User"), of("Group"), of("ServiceAccount")]
    },
);

pub(super) const CERTIFICATE_SIGNING_REQUEST: Kind = (
    &[
        NAME,
        AGE,
        text("SignerName", "Who is asked to sign."),
        text("Requestor", "Who asks."),
        text("RequestedDuration", "For how long."),
        text("Condition", "What became of the request."),
    ],
    |object| {
        view! {
            Request { spec: Spec, status: Status }
            Spec { signer_name: String, username: String, expiration_seconds: Option<i64> }
            Status { conditions: Vec<Condition>, certificate: String }
        }
        let Request { spec, status } = view::read(object)?;
        let is = |ty: &str| status.conditions.iter().any(|condition| condition.r#type == ty);
        let mut words = vec![match () {
            () if is("Denied") => "Denied",
            () if is("Approved") => "Approved",
            () => "Pending",
        }];
        if is("Failed") {
            words.push("Failed");
        }
        if !status.certificate.is_empty() {
            words.push("Issued");
        }
        row![
            name(object),
            age(object),
            or_none(spec.signer_name),
            spec.username,
            or_none(spec.expiration_seconds.map(duration::human).unwrap_or_default()),
            words.join(","),
        ]
    },
);

pub(super) const WEBHOOKS: Kind =
    (&[NAME, number("Webhooks", "How many webhooks the configuration has."), AGE], |object| {
        view! { Configuration { webhooks: view::Count } }
        let Configuration { webhooks } = view::read(object)?;
        row![name(object), webhooks.0, age(object)]
    });

pub(super) const VALIDATING_POLICY: Kind = (
    &[
        NAME,
        number("Validations", "How many rules the policy has."),
        text("ParamKind", "The kind of the policy's parameters."),
        AGE,
    ],
    |object| {
        view! {
            Policy { spec: Spec }
            Spec { validations: view::Count, param_kind: Option<ParamKind> }
            ParamKind { api_version: String, kind: String }
        }
        let Policy { spec } = view::read(object)?;
        let kind = spec.param_kind.map(|param| format!("{}/{}", param.api_version, param.kind));
        row![name(object), spec.validations.0, kind.unwrap_or_else(|| UNSET.to_owned()), age(object)]
    },
);

pub(super) const MUTATING_POLICY: Kind = (
    &[
        NAME,
        number("Mutations", "How many mutations the policy has."),
        text("ParamKind", "The kind of the policy's parameters."),
        AGE,
    ],
    |object| {
        view! {
            Policy { spec: Spec }
            Spec { mutations: view::Count, param_kind: Option<ParamKind> }
            ParamKind { api_version: String, kind: String }
        }
        let Policy { spec } = view::read(object)?;
        let kind = spec.param_kind.map(|param| format!("{}/{}", param.api_version, param.kind));
        row![name(object), spec.mutations.0, kind.unwrap_or_else(|| UNSET.to_owned()), age(object)]
    },
);

pub(super) const VALIDATING_POLICY_BINDING: Kind = (
    &[NAME, text("PolicyName", "The policy that is bound."), text("ParamRef", "The policy's parameters."), AGE],
    |object| {
        view! {
            Binding { spec: Spec }
            Spec { policy_name: String, param_ref: Option<ParamRef> }
            ParamRef { name: String, namespace: String, selector: Option<Value> }
        }
        let Binding { spec } = view::read(object)?;
        let param = spec.param_ref.map(|param| match (&*param.name, &*param.namespace, &param.selector) {
            ("", _, Some(selector)) => go_selector(selector),
            ("", _, None) => UNSET.to_owned(),
            (name, "", _) => format!("*/{name}"),
            (name, namespace, _) => format!("{namespace}/{name}"),
        });
        row![name(object), spec.policy_name, param.unwrap_or_else(|| UNSET.to_owned()), age(object)]
    },
);

/// A label selector as Go prints one of its structs.
fn go_selector(selector: &Value) -> String {
    view! {
        Selector { match_labels: BTreeMap<String, String>, match_expressions: Vec<Requirement> }
        Requirement { key: String, operator: String, values: Vec<String> }
    }
    let Ok(selector) = Selector::deserialize(selector) else { return "<error>".to_owned() };
    let labels: String = selector.match_labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let requirement = |Requirement { key, operator, values }: &Requirement| {
        let values = values.join(" ");
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    };
    let requirements: String = selector.match_expressions.iter().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}

pub(super) const FLOW_SCHEMA: Kind = (
    &[
        NAME,
        text("PriorityLevel", "The priority level of the requests."),
        text("MatchingPrecedence", "Which schema goes first: the lower number."),
        text("DistinguisherMethod", "What tells flows apart."),
        AGE,
        text("MissingPL", "Whether the priority level is missing."),
    ],
    |object| {
        view! {
            FlowSchema { spec: Spec, status: Status }
            Spec { priority_level_configuration: Level, matching_precedence: i64, distinguisher_method: Option<Method> }
            Level { name: String }
            Method { r#type: String }
            Status { conditions: Vec<Condition> }
        }
        let FlowSchema { spec, status } = view::read(object)?;
        let dangling = status.conditions.into_iter().find(|condition| condition.r#type == "Dangling");
        row![
            name(object),
            spec.priority_level_configuration.name,
            spec.matching_precedence,
            or_none(spec.distinguisher_method.map(|method| method.r#type).unwrap_or_default()),
            age(object),
            dangling.map_or_else(|| "?".to_owned(), |condition| condition.status),
        ]
    },
);

/// When a flow schema is tried: those of lower numbers first.
pub(super) fn precedence(object: &Object) -> i64 {
    view! { FlowSchema { spec: Spec } Spec { matching_precedence: i64 } }
    view::read(object).map_or(i64::MAX, |schema: FlowSchema| schema.spec.matching_precedence)
}

pub(super) const PRIORITY_LEVEL: Kind = (
    &[
        NAME,
        text("Type", "Whether the level is limited."),
        text("NominalConcurrencyShares", "The level's share of the server."),
        text("Queues", "How many queues there are."),
        text("HandSize", "How many queues a flow is dealt."),
        text("QueueLengthLimit", "How many requests wait in a queue at most."),
        AGE,
    ],
    |object| {
        view! {
            PriorityLevel { spec: Spec }
            Spec { r#type: String, limited: Option<Limited> }
            Limited { nominal_concurrency_shares: Value, limit_response: Response }
            Response { queuing: Option<Queuing> }
            Queuing { queues: i64, hand_size: i64, queue_length_limit: i64 }
        }
        let PriorityLevel { spec } = view::read(object)?;
        let none = || Value::from("<none>");
        let limited = spec.limited.as_ref();
        let shares = limited.map_or_else(none, |limited| limited.nominal_concurrency_shares.clone());
        let queuing = limited.and_then(|limited| limited.limit_response.queuing.as_ref());
        let of = |number: fn(&Queuing) -> i64| queuing.map_or_else(none, |queuing| number(queuing).into());
        row![
            name(object),
            spec.r#type,
            shares,
            of(|queuing| queuing.queues),
            of(|queuing| queuing.hand_size),
            of(|queuing| queuing.queue_length_limit),
            age(object),
        ]
    },
);

pub(super) const POD_DISRUPTION_BUDGET: Kind = (
    &[
        NAME,
        text("Min Available", "How many pods must stay."),
        text("Max Unavailable", "How many pods may be missing."),
        number("Allowed Disruptions", "How many pods may go now."),
        AGE,
    ],
    |object| {
        view! {
            Budget { spec: Spec, status: Status }
            Spec { min_available: Value, max_unavailable: Value }
            Status { disruptions_allowed: i64 }
        }
        let Budget { spec, status } = view::read(object)?;
        let amount = |value: &Value| match value {
            Value::Null => "N/A".to_owned(),
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        let (min, max) = (amount(&spec.min_available), amount(&spec.max_unavailable));
        row![name(object), min, max, status.disruptions_allowed, age(object)]
    },
);

pub(super) const HORIZONTAL_POD_AUTOSCALER: Kind = (
    &[
        NAME,
        text("Reference", "What is scaled."),
        text("Targets", "The metrics: as they are, and as they should be."),
        text("MinPods", "How few pods there may be."),
        text("MaxPods", "How many pods there may be."),
        text("Replicas", "How many pods there are."),
        AGE,
    ],
    |object| {
        view! {
            Autoscaler { spec: Spec, status: Status }
            Spec {
                scale_target_ref: Target,
                min_replicas: Option<i64>,
                max_replicas: i64,
                metrics: Vec<Value>,
            }
            Target { kind: String, name: String }
            Status { current_replicas: i64, current_metrics: Vec<Value> }
        }
        let Autoscaler { spec, status } = if object.stored_bytes().starts_with(AUTOSCALER_V1) {
            // What version 1 has no words for is shown, too.
            let mut value = object.to_value()?;
            autoscaler_into_v2(&mut value);
            serde_json::from_value(value)?
        } else {
            view::read(object)?
        };
        row![
            name(object),
            format!("{}/{}", spec.scale_target_ref.kind, spec.scale_target_ref.name),
            metrics(&spec.metrics, &status.current_metrics),
            spec.min_replicas.map_or_else(|| UNSET.to_owned(), |min| min.to_string()),
            spec.max_replicas,
            status.current_replicas,
            age(object),
        ]
    },
);

/// How stored objects of version 1 begin.
const AUTOSCALER_V1: &[u8] = br#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1""#;
/// How many metrics are shown.
const METRICS_SHOWN: usize = 2;

fn metrics(specs: &[Value], statuses: &[Value]) -> String {
    let metrics: Vec<String> = specs.iter().enumerate().map(|(at, spec)| metric(spec, statuses.get(at))).collect();
    match metrics.len() {
        0 => "<none>".to_owned(),
        count if count > METRICS_SHOWN => {
            format!("{} + {} more...", metrics[..METRICS_SHOWN].join(", "), count - METRICS_SHOWN)
        }
        _ => metrics.join(", "),
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let (source, by_resource) = match spec["type"].as_str().unwrap_or_default() {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let target = &spec[source]["target"];
    let current = |part: &str| {
        let value = status.map(|status| &status[source]["current"][part]).filter(|value| !value.is_null());
        value.map_or_else(|| "<unknown>".to_owned(), amount)
    };
    let percent = |value: &Value, or: &str| value.as_i64().map_or_else(|| or.to_owned(), |number| format!("{number}%"));
    if by_resource {
        let resource = spec[source]["name"].as_str().unwrap_or_default();
        if !target["averageValue"].is_null() {
            return format!("{resource}: {}/{}", current("averageValue"), amount(&target["averageValue"]));
        }
        let utilization = status.map_or(&Value::Null, |status| &status[source]["current"]["averageUtilization"]);
        let target = percent(&target["averageUtilization"], "<auto>");
        return format!("{resource}: {}/{target}", percent(utilization, "<unknown>"));
    }
    let by_pod = !target["averageValue"].is_null();
    match source {
        "pods" => format!("{}/{}", current("averageValue"), amount(&target["averageValue"])),
        _ if by_pod => format!("{}/{} (avg)", current("averageValue"), amount(&target["averageValue"])),
        _ => format!("{}/{}", current("value"), amount(&target["value"])),
    }
}

/// A quantity as it is canonically written.
fn amount(value: &Value) -> String {
    api::quantity::Quantity::from_json(value).unwrap_or_default().to_string()
}
