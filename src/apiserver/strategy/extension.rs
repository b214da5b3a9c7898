//! Kinds by which the API server itself is extended and steered: CRDs, API services, policies, flow control; and
//! two controllers' specs, disruption budgets and autoscalers.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::validate_label_selector;
use serde_json::{Value, json};

use super::Strategy;
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const API_SERVICE: Strategy = Strategy {
    generation: true,
    prepare_create: |service, _| crate::aggregation::prepare(service),
    defaults: Some(|| Defaults::new(&[("spec.service.port", "443")])),
    validate: validate_api_service,
    // `v1.` is the name of the core group's.
    name: api::validation::path_segment_name,
    ..Strategy::DEFAULT
};

fn validate_api_service(service: &Value, errors: &mut ErrorList) {
    let spec = Path::root("spec");
    let (group, version) = (service.text("spec.group"), service.text("spec.version"));
    let (name, expected) = (service.text("metadata.name"), format!("{version}.{group}"));
    if name != expected {
        let why = format!("must be `spec.version+\".\"+spec.group`: {}", api::quote::quote(&expected));
        errors.push(Error::invalid(&Path::root("metadata.name"), name, why));
    }
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(Error::required(&spec.child("group"), why));
    }
    if !group.is_empty() {
        errors.invalid_each(&spec.child("group"), group, api::validation::dns1123_subdomain(group));
    }
    errors.invalid_each(&spec.child("version"), version, api::validation::dns1035_label(version));
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let priority = service.at("spec").and_then(|spec| spec.int(field)).unwrap_or(0);
        if !(1..=most).contains(&priority) {
            let why = format!("must be positive and less than {most}");
            errors.push(Error::invalid(&spec.child(field), priority, why));
        }
    }
    let bundle = service.text("spec.caBundle");
    let (insecure, skip) = (service.truth("spec.insecureSkipTLSVerify"), spec.child("insecureSkipTLSVerify"));
    let Some(reference) = service.at("spec.service") else {
        if !bundle.is_empty() {
            let size = format!("{} bytes", bundle.trim_end_matches('=').len() * 3 / 4);
            errors.push(Error::invalid(&spec.child("caBundle"), size, "local APIServices may not have a caBundle"));
        }
        if insecure {
            errors.push(Error::invalid(&skip, true, "local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    };
    for field in ["namespace", "name"] {
        if reference.text(field).is_empty() {
            errors.push(Error::required(&spec.child("service").child(field), ""));
        }
    }
    let port = reference.int("port").unwrap_or(0);
    let complaints = api::validation::port_number(port);
    if !complaints.is_empty() {
        let why = format!("port is not valid: {}", complaints.join(", "));
        errors.push(Error::invalid(&spec.child("service").child("port"), port, why));
    }
    if insecure && !bundle.is_empty() {
        errors.push(Error::invalid(&skip, true, "may not be true if caBundle is present"));
    }
}

pub(super) const ADMISSION_POLICY: Strategy = Strategy {
    generation: true,
    status: Some("{}"),
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.failurePolicy", r#""Fail""#),
            ("spec.matchConstraints.matchPolicy", r#""Equivalent""#),
            ("spec.matchConstraints.namespaceSelector", "{}"),
            ("spec.matchConstraints.objectSelector", "{}"),
            ("spec.matchConstraints.resourceRules[].scope", r#""*""#),
        ])
    }),
    ..Strategy::DEFAULT
};

pub(super) const ADMISSION_BINDING: Strategy = Strategy {
    generation: true,
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.matchResources.matchPolicy", r#""Equivalent""#),
            ("spec.matchResources.namespaceSelector", "{}"),
            ("spec.matchResources.objectSelector", "{}"),
            ("spec.matchResources.resourceRules[].scope", r#""*""#),
        ])
    }),
    ..Strategy::DEFAULT
};

pub(super) const DISRUPTION_BUDGET: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0,"expectedPods":0}"#),
    validate: |budget, errors| {
        let spec = Path::root("spec");
        if budget.at("spec.minAvailable").is_some() && budget.at("spec.maxUnavailable").is_some() {
            let value = budget.at("spec").cloned().unwrap_or_default();
            errors.push(Error::invalid(&spec, value, "minAvailable and maxUnavailable cannot be both set"));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            match budget.at("spec").and_then(|spec| spec.at(field)) {
                Some(Value::String(text)) => {
                    errors.invalid_each(&spec.child(field), text, api::validation::percent(text))
                }
                Some(number) if number.as_i64().is_some_and(|n| n < 0) => {
                    let why = "must be greater than or equal to 0";
                    errors.push(Error::invalid(&spec.child(field), number.clone(), why));
                }
                _ => {}
            }
        }
        if let Some(selector) = budget.at("spec.selector") {
            errors.extend(validate_label_selector(selector, &spec.child("selector")));
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const AUTOSCALER: Strategy = Strategy {
    status: Some(r#"{"desiredReplicas":0,"currentMetrics":null}"#),
    default: |autoscaler| {
        if autoscaler.at("spec").is_some() && autoscaler.items("spec.metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            autoscaler
                .put("spec.metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
        }
    },
    defaults: Some(|| Defaults::new(&[("spec.minReplicas", "1")])),
    validate: |autoscaler, errors| {
        let spec = Path::root("spec");
        let (least, most) =
            (autoscaler.int("spec.minReplicas").unwrap_or(1), autoscaler.int("spec.maxReplicas").unwrap_or(0));
        if least < 1 {
            let why = "must be greater than or equal to 1";
            errors.push(Error::invalid(&spec.child("minReplicas"), least, why));
        }
        if most < 1 {
            errors.push(Error::invalid(&spec.child("maxReplicas"), most, "must be greater than 0"));
        } else if most < least {
            errors.push(Error::invalid(
                &spec.child("maxReplicas"),
                most,
                "must be greater than or equal to `minReplicas`",
            ));
        }
        for field in ["kind", "name"] {
            if autoscaler.at("spec.scaleTargetRef").is_none_or(|target| target.text(field).is_empty()) {
                errors.push(Error::required(&spec.child("scaleTargetRef").child(field), ""));
            }
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const RESOURCE_CLAIM: Strategy =
    Strategy { status: Some("{}"), defaults: Some(claim_defaults), ..Strategy::DEFAULT };

pub(super) const RESOURCE_CLAIM_TEMPLATE: Strategy =
    Strategy { defaults: Some(claim_template_defaults), ..Strategy::DEFAULT };

const REQUEST: &[(&str, &str)] = &[("allocationMode", r#""ExactCount""#), ("count", "1")];

fn claim_defaults() -> Defaults {
    Defaults::new(&[]).with("spec.devices.requests[].exactly", REQUEST)
}

fn claim_template_defaults() -> Defaults {
    Defaults::new(&[]).with("spec.spec.devices.requests[].exactly", REQUEST)
}

/// Kinds that only count their changes.
pub(super) const COUNTED: Strategy = Strategy { generation: true, ..Strategy::DEFAULT };
