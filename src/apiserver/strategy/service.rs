//! Services, and who answers for them: Endpoints and EndpointSlices. Addresses and ports are given out by the allocators.

mod endpoints;
mod validation;

use api::validation::dns1035_label;
use serde_json::{Value, json};

use super::warnings;
use super::workloads::immutable_text;
use super::{Generation, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) use validation::host_name;

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
        let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
        if outside || kind == "ClusterIP" && !service.items("spec.externalIPs").is_empty() {
            service.default_to("spec.externalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
            service.default_to("spec.internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            service.default_to("spec.allocateLoadBalancerNodePorts", true);
            for point in service.items_mut("status.loadBalancer.ingress") {
                if !point.text("ip").is_empty() {
                    point.default_to("ipMode", "VIP");
                }
            }
        }
    },
    defaults: Some(|| Defaults::new(&[("spec.sessionAffinity", r#""None""#), ("spec.ports[].protocol", r#""TCP""#)])),
    validate: validation::service,
    prepare_update: keep_what_was_given,
    validate_update: validation::service_update,
    validate_status: validation::service_status,
    create_on_update: true,
    returns_deleted: true,
    warnings: warnings::service,
    ..Strategy::DEFAULT
};

/// A service that leaves out what was given to it keeps it, as long as its type has use for it; what came with another
/// type goes with it.
fn keep_what_was_given(new: &mut Value, old: &Value) {
    let given = ["spec.clusterIP", "spec.clusterIPs", "spec.ipFamilies", "spec.ipFamilyPolicy"];
    let (kind, before) = (new.text("spec.type").to_owned(), old.text("spec.type"));
    // Who changes the one address and says nothing of the list means both.
    let (one, list) = ("spec.clusterIP", "spec.clusterIPs");
    let unsaid = new.items(list).is_empty() || new.at(list) == old.at(list);
    if unsaid && !new.text(one).is_empty() && new.text(one) != old.text(one) {
        new.put(list, json!([new.text(one)]));
    }
    if kind != "LoadBalancer" {
        // The load balancer is taken down later; that it is not this service's any more shows at once.
        new.put("status.loadBalancer", json!({}));
    }
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
    let checked = |service: &Value| {
        service.text("spec.type") == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local"
    };
    if checked(old) && !checked(new) {
        drop_unchanged(new, &["spec.healthCheckNodePort"]);
    }
    if before == "LoadBalancer" && kind != "LoadBalancer" {
        drop_unchanged(new, &["spec.allocateLoadBalancerNodePorts", "spec.loadBalancerClass"]);
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

pub(super) const ENDPOINTS: Strategy = Strategy {
    defaults: Some(|| Defaults::new(&[("subsets[].ports[].protocol", r#""TCP""#)])),
    validate: endpoints::endpoints,
    create_on_update: true,
    warnings: warnings::endpoints,
    ..Strategy::DEFAULT
};

pub(super) const ENDPOINT_SLICE: Strategy = Strategy {
    generation: Generation::CountedWith("metadata.labels"),
    defaults: Some(|| Defaults::new(&[("ports[].name", r#""""#), ("ports[].protocol", r#""TCP""#)])),
    prepare_create: |slice, _| drop_topology(slice),
    prepare_update: |slice, old| {
        if slice.at("endpoints") != old.at("endpoints") {
            drop_topology(slice);
        }
    },
    validate: endpoints::slice,
    validate_update: |new, old, errors| immutable_text(new, old, "addressType", errors),
    warnings: warnings::endpoints,
    ..Strategy::DEFAULT
};

/// v1 shows what beta versions said about topology, and takes none.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice.items_mut("endpoints") {
        endpoint.cut("deprecatedTopology");
    }
}
