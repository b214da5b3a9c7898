//! Kinds by which the API server itself is extended and steered: CRDs, API services, policies, flow control; and
//! disruption budgets and resource claims.

use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::at::{At, Rule};
use super::conditions::conditions;
use super::devices;
use super::workloads::immutable_spec;
use super::workloads::validation::{at_most_all, int_or_percent};
use super::{Generation, Strategy, off};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const API_SERVICE: Strategy = Strategy {
    prepare_create: |service, _| crate::aggregation::prepare(service),
    defaults: Some(|| Defaults::new(&[("spec.service.port", "443")])),
    validate: validate_api_service,
    validate_status: |new, _, errors| {
        for condition in At::root(new).get("status").each("conditions") {
            let status = condition.get("status");
            if !matches!(status.str(), "True" | "False" | "Unknown") {
                status.unsupported(errors, &["True", "False", "Unknown"]);
            }
        }
    },
    // `v1.` is the name of the core group's.
    name: api::validation::path_segment_name,
    unconditional_update: false,
    ..Strategy::DEFAULT
};

fn validate_api_service(service: &Value, errors: &mut ErrorList) {
    let spec = Path::root("spec");
    let (group, version) = (service.text("spec.group"), service.text("spec.version"));
    let (name, expected) = (service.text("metadata.name"), format!("{version}.{group}"));
    if !name.is_empty() && name != expected {
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

/// As upstream, which asks nothing about the names of budgets, and about their metadata nothing of its own.
pub(super) const DISRUPTION_BUDGET: Strategy = Strategy {
    name: |_| Vec::new(),
    generation: Generation::Counted,
    metadata_last: true,
    status: Some(r#"{"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0,"expectedPods":0}"#),
    validate: |budget, errors| {
        let root = At::root(budget);
        let spec = root.get("spec");
        if spec.has("minAvailable") && spec.has("maxUnavailable") {
            let shown = spec.as_upstream("PodDisruptionBudgetSpec");
            spec.wrong(errors, shown, "minAvailable and maxUnavailable cannot be both set");
        }
        for field in ["minAvailable", "maxUnavailable"] {
            int_or_percent(&spec.get(field), errors);
            at_most_all(&spec.get(field), errors);
        }
        let policies = &["AlwaysAllow", "IfHealthyBudget"];
        spec.check(&[("selector", Rule::Selector), ("unhealthyPodEvictionPolicy", Rule::MaybeOneOf(policies))], errors);
    },
    validate_status: |new, _, errors| {
        let root = At::root(new);
        conditions(&root.get("status"), errors);
        for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            root.get("status").get(field).not_negative(errors);
        }
    },
    unconditional_update: false,
    ..Strategy::DEFAULT
};

pub(super) const RESOURCE_CLAIM: Strategy = Strategy {
    status: Some("{}"),
    default: |claim| default_requests(claim, "spec.devices.requests"),
    defaults: Some(|| {
        let results = ("status.allocation.devices.results[].tolerations[].operator", EQUAL);
        Defaults::new(&[results]).with("spec.devices.requests[]", &TOLERATIONS)
    }),
    validate_create: devices::claim,
    validate_update: devices::claim_update,
    validate_status: devices::claim_status,
    returns_deleted: true,
    off: off::RESOURCE_CLAIM,
    ..Strategy::DEFAULT
};

pub(super) const RESOURCE_CLAIM_TEMPLATE: Strategy = Strategy {
    default: |template| default_requests(template, "spec.spec.devices.requests"),
    defaults: Some(|| Defaults::new(&[]).with("spec.spec.devices.requests[]", &TOLERATIONS)),
    validate: devices::template,
    validate_update: |new, old, errors| immutable_spec("ResourceClaimTemplateSpec", new, old, errors),
    returns_deleted: true,
    off: off::RESOURCE_CLAIM_TEMPLATE,
    ..Strategy::DEFAULT
};

pub(super) const DEVICE_CLASS: Strategy = Strategy {
    generation: Generation::Counted,
    validate: devices::class,
    returns_deleted: true,
    off: off::DEVICE_CLASS,
    ..Strategy::DEFAULT
};

const EQUAL: &str = r#""Equal""#;
const TOLERATIONS: [(&str, &str); 2] =
    [("exactly.tolerations[].operator", EQUAL), ("firstAvailable[].tolerations[].operator", EQUAL)];

/// Who does not say how many devices wants one; who wants all of them gives no number.
fn default_requests(object: &mut Value, path: &str) {
    for request in object.items_mut(path) {
        let fill = |wish: &mut Value| {
            wish.default_to("allocationMode", "ExactCount");
            if wish.text("allocationMode") == "ExactCount" && wish.int("count").unwrap_or(0) == 0 {
                wish.put("count", 1);
            }
        };
        if let Some(wish) = request.at_mut("exactly") {
            fill(wish);
        }
        request.items_mut("firstAvailable").iter_mut().for_each(fill);
    }
}

pub(super) const RESOURCE_SLICE: Strategy = Strategy {
    generation: Generation::Counted,
    validate: devices::slice,
    validate_update: devices::slice_update,
    warnings: super::warnings::resource_slice,
    returns_deleted: true,
    off: off::RESOURCE_SLICE,
    ..Strategy::DEFAULT
};
