//! Ingresses, network policies, and the addresses of services.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::ip;
use serde_json::{Value, json};

use super::Strategy;
use super::workloads::immutable;
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const INGRESS: Strategy = Strategy {
    generation: true,
    status: Some(r#"{"loadBalancer":{}}"#),
    validate: |ingress, errors| {
        let spec = Path::root("spec");
        let rules = ingress.items("spec.rules");
        if rules.is_empty() && ingress.at("spec.defaultBackend").is_none() {
            let why = "either `defaultBackend` or `rules` must be specified";
            errors.push(Error::invalid(&spec, Value::Array(rules.to_vec()), why));
        }
        if let Some(backend) = ingress.at("spec.defaultBackend") {
            validate_backend(backend, &spec.child("defaultBackend"), errors);
        }
        for (at, rule) in rules.iter().enumerate() {
            let path = spec.child("rules").index(at);
            let host = rule.text("host");
            if !host.is_empty() {
                let complaints = match host.starts_with('*') {
                    true => api::validation::wildcard_dns1123_subdomain(host),
                    false => api::validation::dns1123_subdomain(host),
                };
                errors.invalid_each(&path.child("host"), host, complaints);
            }
            for (at, entry) in rule.items("http.paths").iter().enumerate() {
                let path = path.child("http.paths").index(at);
                let kind = entry.text("pathType");
                if kind.is_empty() {
                    errors.push(Error::required(&path.child("pathType"), "pathType must be specified"));
                } else if !matches!(kind, "Exact" | "ImplementationSpecific" | "Prefix") {
                    let all = ["Exact", "ImplementationSpecific", "Prefix"];
                    errors.push(Error::not_supported(&path.child("pathType"), kind, &all));
                } else if kind != "ImplementationSpecific" && !entry.text("path").starts_with('/') {
                    errors.push(Error::invalid(&path.child("path"), entry.text("path"), "must be an absolute path"));
                }
                validate_backend(entry.at("backend").unwrap_or(&Value::Null), &path.child("backend"), errors);
            }
        }
    },
    ..Strategy::DEFAULT
};

fn validate_backend(backend: &Value, path: &Path, errors: &mut ErrorList) {
    match (backend.at("service"), backend.at("resource")) {
        (Some(_), Some(_)) => errors.push(Error::invalid(path, "", "cannot set both resource and service backends")),
        (None, None) => errors.push(Error::required(path, "resource or service backend is required")),
        (Some(service), None) => {
            let path = path.child("service");
            if service.text("name").is_empty() {
                errors.push(Error::required(&path.child("name"), ""));
            }
            if service.text("port.name").is_empty() && service.int("port.number").is_none() {
                errors.push(Error::required(&path, "port name or number is required"));
            }
        }
        _ => {}
    }
}

pub(super) const INGRESS_CLASS: Strategy = Strategy {
    generation: true,
    defaults: Some(|| Defaults::new(&[("spec.parameters.scope", r#""Cluster""#)])),
    validate_update: |new, old, errors| immutable(new, old, "spec.controller", errors),
    ..Strategy::DEFAULT
};

pub(super) const NETWORK_POLICY: Strategy = Strategy {
    generation: true,
    default: |policy| {
        if policy.at("spec").is_some() && policy.items("spec.policyTypes").is_empty() {
            let egress = policy.at("spec.egress").is_some();
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
    validate: |policy, errors| {
        let spec = Path::root("spec");
        if let Some(selector) = policy.at("spec.podSelector") {
            errors.extend(api::validation::validate_label_selector(selector, &spec.child("podSelector")));
        }
        for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
            let rules = policy.at("spec").map_or(&[] as &[Value], |spec| spec.items(direction));
            for (at, rule) in rules.iter().enumerate() {
                let path = spec.child(direction).index(at);
                for (at, peer) in rule.items(peers).iter().enumerate() {
                    let path = path.child(peers).index(at);
                    if peer.at("ipBlock").is_some() {
                        let block = path.child("ipBlock.cidr");
                        match peer.text("ipBlock.cidr") {
                            "" => errors.push(Error::required(&block, "")),
                            cidr => errors.extend(ip::legacy_cidr(&block, cidr)),
                        }
                        if peer.as_object().is_some_and(|peer| peer.len() > 1) {
                            let why = "may not specify both ipBlock and another peer";
                            errors.push(Error::forbidden(&path, why));
                        }
                    } else if peer.as_object().is_none_or(serde_json::Map::is_empty) {
                        errors.push(Error::required(&path, "must specify a peer"));
                    }
                }
            }
        }
    },
    ..Strategy::DEFAULT
};

pub(super) const IP_ADDRESS: Strategy = Strategy {
    generation: true,
    name: |name| ip::ip(&Path::root("metadata.name"), name).into_iter().map(|error| error.detail).collect(),
    validate: |address, errors| {
        if address.at("spec.parentRef").is_none() {
            errors.push(Error::required(&Path::root("spec").child("parentRef"), ""));
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.parentRef", errors),
    ..Strategy::DEFAULT
};

pub(super) const SERVICE_CIDR: Strategy = Strategy {
    generation: true,
    status: Some("{}"),
    validate: |range, errors| {
        let path = Path::root("spec").child("cidrs");
        let ranges = range.items("spec.cidrs");
        if ranges.is_empty() {
            errors.push(Error::required(&path, "at least one CIDR required"));
        } else if ranges.len() > 2 {
            let why = "may only hold up to 2 values";
            errors.push(Error::invalid(&path, Value::Array(ranges.to_vec()), why));
        }
        for (at, cidr) in ranges.iter().enumerate() {
            errors.extend(ip::cidr(&path.index(at), cidr.as_str().unwrap_or_default()));
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "spec.cidrs", errors),
    ..Strategy::DEFAULT
};
