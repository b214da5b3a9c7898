//! Services, and who answers for them: Endpoints and EndpointSlices. Addresses and ports are given out by the allocators.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1035_label, dns1123_label, dns1123_subdomain, ip, port_name, port_number};
use serde_json::{Value, json};

use super::Strategy;
use super::pod_validation::one_of;
use super::workloads::immutable;
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) const SERVICE: Strategy = Strategy {
    name: dns1035_label,
    status: Some(r#"{"loadBalancer":{}}"#),
    default: |service| {
        if service.at("spec").is_none() {
            service.put("spec", json!({}));
        }
        service.default_to("spec.type", "ClusterIP");
        for port in service.items_mut("spec.ports") {
            if matches!(port.at("targetPort"), None | Some(Value::Null))
                || port.int("targetPort") == Some(0)
                || port.at("targetPort").is_some_and(|target| target == "")
            {
                let number = port.at("port").cloned().unwrap_or_default();
                port.put("targetPort", number);
            }
        }
        match service.text("spec.sessionAffinity") {
            "ClientIP" => service.default_to("spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10800),
            "" | "None" => drop(service.cut("spec.sessionAffinityConfig")),
            _ => {}
        }
        let kind = service.text("spec.type").to_owned();
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            service.default_to("spec.externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            service.default_to("spec.internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            service.default_to("spec.allocateLoadBalancerNodePorts", true);
        }
    },
    defaults: Some(|| Defaults::new(&[("spec.sessionAffinity", r#""None""#), ("spec.ports[].protocol", r#""TCP""#)])),
    validate: validate_service,
    prepare_update: keep_what_was_given,
    validate_update: |new, old, errors| {
        // An address stays while the service has one, and comes and goes with ExternalName.
        let named = [new, old].iter().any(|service| service.text("spec.type") == "ExternalName");
        let (now, before) = (new.text("spec.clusterIP"), old.text("spec.clusterIP"));
        if !named && !before.is_empty() && now != before {
            let path = Path::root("spec").child("clusterIPs").index(0);
            let value = new.at("spec.clusterIPs").cloned().unwrap_or_else(|| json!([now]));
            errors.push(Error::invalid(&path, value, "may not change once set"));
        }
    },
    create_on_update: true,
    returns_deleted: true,
    ..Strategy::DEFAULT
};

/// A service that leaves out what was given to it keeps it, as long as its type has use for it; what came with another
/// type goes with it.
fn keep_what_was_given(new: &mut Value, old: &Value) {
    let given = ["spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"];
    let (kind, before) = (new.text("spec.type").to_owned(), old.text("spec.type"));
    let outside = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let drop_unchanged = |new: &mut Value, fields: &[&str]| {
        for field in fields {
            if new.at(field) == old.at(field) {
                new.cut(field);
            }
        }
    };
    if outside(before) && !outside(&kind) {
        let ports: Vec<&Value> = old.items("spec.ports").iter().filter_map(|port| port.at("nodePort")).collect();
        for port in new.items_mut("spec.ports") {
            if port.at("nodePort").is_some_and(|number| ports.contains(&number)) {
                port.cut("nodePort");
            }
        }
        drop_unchanged(new, &["spec.externalTrafficPolicy"]);
    }
    if before == "LoadBalancer" && kind != "LoadBalancer" {
        let fields = ["spec.healthCheckNodePort", "spec.allocateLoadBalancerNodePorts", "spec.loadBalancerClass"];
        drop_unchanged(new, &fields);
    }
    if kind == "ExternalName" {
        drop_unchanged(new, &given);
        drop_unchanged(new, &["spec.internalTrafficPolicy"]);
        return;
    }
    if before == "ExternalName" {
        drop_unchanged(new, &["spec.externalName"]);
        return;
    }
    for field in given {
        if new.at(field).is_none() {
            new.put_or_remove(field, old.at(field).cloned());
        }
    }
    if !outside(&kind) {
        return;
    }
    if kind == "LoadBalancer"
        && new.text("spec.externalTrafficPolicy") == "Local"
        && let Some(port) = old.at("spec.healthCheckNodePort")
    {
        new.default_to("spec.healthCheckNodePort", port.clone());
    }
    for port in new.items_mut("spec.ports") {
        if matches!(port.int("nodePort"), None | Some(0)) {
            let same = old.items("spec.ports").iter().find(|before| {
                before.int("port") == port.int("port") && before.text("protocol") == port.text("protocol")
            });
            port.put_or_remove("nodePort", same.and_then(|before| before.at("nodePort")).cloned());
        }
    }
}

fn validate_service(service: &Value, errors: &mut ErrorList) {
    let spec = Path::root("spec");
    let kind = service.text("spec.type");
    let headless = service.text("spec.clusterIP") == "None";
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(service.at("spec").unwrap_or(&Value::Null), &spec, "type", &kinds, errors);
    if service.items("spec.ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(Error::required(&spec.child("ports"), ""));
    }
    if kind == "ExternalName" {
        let name = service.text("spec.externalName");
        let path = spec.child("externalName");
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.invalid_each(&path, name, dns1123_subdomain(name.trim_end_matches('.')));
        }
        if !matches!(service.text("spec.clusterIP"), "" | "None") {
            errors.push(Error::forbidden(&spec.child("clusterIPs"), "may not be set for ExternalName services"));
        }
    }
    if kind == "LoadBalancer" && headless {
        let why = "may not be set to 'None' for LoadBalancer services";
        errors.push(Error::invalid(&spec.child("clusterIPs").index(0), "None", why));
    }
    service_ports(service, &spec.child("ports"), errors);
    let labels = service.entries("spec.selector").map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    errors.extend(api::validation::validate_labels(labels, &spec.child("selector")));
    one_of(service.at("spec").unwrap_or(&Value::Null), &spec, "sessionAffinity", &["ClientIP", "None"], errors);
    let address = service.text("spec.clusterIP");
    if !matches!(address, "" | "None") {
        let complaints = ip::legacy_ip(&spec.child("clusterIPs").index(0), address);
        errors.extend(complaints);
    }
    if let Some(first) = service.items("spec.clusterIPs").first().and_then(Value::as_str)
        && !address.is_empty()
        && first != address
    {
        let value = service.at("spec.clusterIPs").cloned().unwrap_or_default();
        errors.push(Error::invalid(&spec.child("clusterIPs"), value, "first value must match `clusterIP`"));
    }
    for (at, address) in service.items("spec.externalIPs").iter().enumerate() {
        let path = spec.child("externalIPs").index(at);
        errors.extend(ip::legacy_ip(&path, address.as_str().unwrap_or_default()));
    }
    let policy = service.text("spec.externalTrafficPolicy");
    if !policy.is_empty()
        && !matches!(kind, "NodePort" | "LoadBalancer")
        && service.items("spec.externalIPs").is_empty()
    {
        let why = "may only be set for externally-accessible services";
        errors.push(Error::invalid(&spec.child("externalTrafficPolicy"), policy, why));
    } else if !matches!(policy, "" | "Cluster" | "Local") {
        errors.push(Error::not_supported(&spec.child("externalTrafficPolicy"), policy, &["Cluster", "Local"]));
    }
}

fn service_ports(service: &Value, path: &Path, errors: &mut ErrorList) {
    let ports = service.items("spec.ports");
    let mut names: Vec<&str> = Vec::new();
    let mut places: Vec<(i64, &str)> = Vec::new();
    let mut node_ports: Vec<(i64, &str)> = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let path = path.index(at);
        let name = port.text("name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(Error::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            errors.invalid_each(&path.child("name"), name, dns1123_label(name));
            if names.contains(&name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            names.push(name);
        }
        let number = port.int("port").unwrap_or(0);
        let field = path.child("port");
        errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
        one_of(port, &path, "protocol", &["SCTP", "TCP", "UDP"], errors);
        let field = path.child("targetPort");
        match port.at("targetPort") {
            Some(Value::String(name)) => errors.invalid_each(&field, name, port_name(name)),
            Some(number) => {
                let number = number.as_i64().unwrap_or(0);
                errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
            }
            None => {}
        }
        let place = (number, port.text("protocol"));
        if places.contains(&place) {
            errors.push(Error::duplicate(&path, json!({"port": place.0, "protocol": place.1})));
        }
        places.push(place);
        let Some(number) = port.int("nodePort").filter(|number| *number != 0) else { continue };
        if matches!(service.text("spec.type"), "ClusterIP" | "ExternalName") {
            let why = format!("may not be used when `type` is '{}'", service.text("spec.type"));
            errors.push(Error::forbidden(&path.child("nodePort"), why));
        }
        let place = (number, port.text("protocol"));
        if node_ports.contains(&place) {
            errors.push(Error::duplicate(&path.child("nodePort"), number));
        }
        node_ports.push(place);
    }
}

pub(super) const ENDPOINTS: Strategy = Strategy {
    defaults: Some(|| Defaults::new(&[("subsets[].ports[].protocol", r#""TCP""#)])),
    validate: |endpoints, errors| {
        for (at, subset) in endpoints.items("subsets").iter().enumerate() {
            let path = Path::root("subsets").index(at);
            for list in ["addresses", "notReadyAddresses"] {
                for (at, address) in subset.items(list).iter().enumerate() {
                    errors.extend(ip::legacy_ip(&path.child(list).index(at).child("ip"), address.text("ip")));
                }
            }
            for (at, port) in subset.items("ports").iter().enumerate() {
                let (number, field) = (port.int("port").unwrap_or(0), path.child("ports").index(at).child("port"));
                errors.extend(port_number(number).into_iter().map(|why| Error::invalid(&field, number, why)));
            }
        }
    },
    create_on_update: true,
    ..Strategy::DEFAULT
};

pub(super) const ENDPOINT_SLICE: Strategy = Strategy {
    generation: true,
    defaults: Some(|| Defaults::new(&[("ports[].name", r#""""#), ("ports[].protocol", r#""TCP""#)])),
    validate: |slice, errors| {
        let kinds = ["FQDN", "IPv4", "IPv6"];
        let kind = slice.text("addressType");
        if kind.is_empty() {
            errors.push(Error::required(&Path::root("addressType"), ""));
        } else if !kinds.contains(&kind) {
            errors.push(Error::not_supported(&Path::root("addressType"), kind, &kinds));
        }
        let endpoints = slice.items("endpoints");
        if endpoints.len() > 1000 {
            errors.push(Error::too_many(&Path::root("endpoints"), endpoints.len(), 1000));
        }
        for (at, endpoint) in endpoints.iter().enumerate() {
            let path = Path::root("endpoints").index(at).child("addresses");
            let addresses = endpoint.items("addresses");
            if addresses.is_empty() {
                errors.push(Error::required(&path, "must contain at least 1 address"));
            }
            if kind != "FQDN" {
                for (at, address) in addresses.iter().enumerate() {
                    errors.extend(ip::legacy_ip(&path.index(at), address.as_str().unwrap_or_default()));
                }
            }
        }
    },
    validate_update: |new, old, errors| immutable(new, old, "addressType", errors),
    ..Strategy::DEFAULT
};
