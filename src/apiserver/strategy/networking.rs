//! Ingresses, network policies, and the addresses of services.

mod validation;

use api::validation::field::Path;
use api::validation::ip;
use serde_json::json;

use super::warnings;
use super::workloads::{immutable_of, immutable_text};
use super::{Generation, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const INGRESS: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some(r#"{"loadBalancer":{}}"#),
    validate: validation::ingress,
    validate_create: validation::new_ingress,
    validate_status: validation::ingress_status,
    warnings: warnings::ingress,
    status_warnings: warnings::load_balancer,
    ..Strategy::DEFAULT
};

pub(super) const INGRESS_CLASS: Strategy = Strategy {
    generation: Generation::Counted,
    defaults: Some(|| Defaults::new(&[("spec.parameters.scope", r#""Cluster""#)])),
    validate: validation::ingress_class,
    validate_update: |new, old, errors| immutable_text(new, old, "spec.controller", errors),
    ..Strategy::DEFAULT
};

pub(super) const NETWORK_POLICY: Strategy = Strategy {
    generation: Generation::CountedWithEmpty,
    default: |policy| {
        if policy.at("spec").is_some() && policy.items("spec.policyTypes").is_empty() {
            let egress = !policy.items("spec.egress").is_empty();
            policy.put("spec.policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
    },
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.podSelector", "{}"),
            ("spec.ingress[].ports[].protocol", r#""TCP""#),
            ("spec.egress[].ports[].protocol", r#""TCP""#),
        ])
    }),
    validate: validation::network_policy,
    warnings: warnings::network_policy,
    ..Strategy::DEFAULT
};

pub(super) const IP_ADDRESS: Strategy = Strategy {
    name: |name| ip::ip(&Path::root("metadata.name"), name).into_iter().map(|error| error.detail).collect(),
    validate: validation::ip_address,
    validate_update: |new, old, errors| immutable_of("ParentReference", new, old, "spec.parentRef", errors),
    ..Strategy::DEFAULT
};

pub(super) const SERVICE_CIDR: Strategy = Strategy {
    validate_create: validation::service_cidr,
    validate_update: validation::service_cidr_update,
    ..Strategy::DEFAULT
};
