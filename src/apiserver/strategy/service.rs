//! Services, and who answers for them: Endpoints and EndpointSlices. Addresses and ports are given out by the allocators.

mod endpoints;
mod validation;

use api::validation::dns1035_label;
use api::validation::field::ErrorList;
use serde_json::{Value, json};

use super::at::At;
use super::semantic::same_at;
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
    prepare_create: |service, _| drop_policy_of_nobody(service),
    prepare_update: |service, old| {
        keep_what_was_given(service, old);
        drop_policy_of_nobody(service);
    },
    validate_update: validation::service_update,
    validate_status: validation::service_status,
    create_on_update: true,
    returns_deleted: true,
    warnings: warnings::service,
    status_warnings: warnings::load_balancer,
    ..Strategy::DEFAULT
};

/// Complaints about the addresses that a service asks for, which are heard before it is given any. As in any write, what is
/// wrong already may stay.
pub(crate) fn addresses(new: &Value, old: Option<&Value>) -> ErrorList {
    let complaints = |service: &Value| {
        let mut errors = ErrorList::new();
        if has_addresses(service) {
            validation::cluster_ips(&At::root(service).get("spec"), &mut errors);
        }
        errors
    };
    let mut found = complaints(new);
    if !found.is_empty()
        && let Some(old) = old
    {
        let before = complaints(old);
        found.retain(|error| !before.contains(error));
    }
    found
}

/// A service that leaves out what was given to it keeps it, as long as its type has use for it; what came with another
/// type goes with it.
fn keep_what_was_given(new: &mut Value, old: &Value) {
    keep_allocated(new, old);
    drop_what_came_with_the_type(new, old);
}

/// What is only a name has no endpoints that traffic from inside could go to. What is no policy is complained of.
fn drop_policy_of_nobody(service: &mut Value) {
    if !has_addresses(service) && matches!(service.text("spec.internalTrafficPolicy"), "Cluster" | "Local") {
        service.cut("spec.internalTrafficPolicy");
    }
}

const ADDRESS: &str = "spec.clusterIP";
const ADDRESSES: &str = "spec.clusterIPs";

fn has_addresses(service: &Value) -> bool {
    service.text("spec.type") != "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(service.text("spec.type"), "NodePort" | "LoadBalancer")
}

/// Whether the load balancer asks the nodes who of them has endpoints.
fn is_checked(service: &Value) -> bool {
    service.text("spec.type") == "LoadBalancer" && service.text("spec.externalTrafficPolicy") == "Local"
}

fn keep_allocated(new: &mut Value, old: &Value) {
    if has_addresses(new) && has_addresses(old) {
        for field in [ADDRESS, ADDRESSES, "spec.ipFamilies", "spec.ipFamilyPolicy"] {
            let unsaid = |given: &Value| field != "spec.ipFamilyPolicy" && (given == "" || given == &json!([]));
            if new.at(field).is_none_or(unsaid) {
                new.put_or_remove(field, old.at(field).cloned());
            }
        }
    }
    let allocates = |service: &Value| {
        let refused = service.text("spec.type") == "LoadBalancer"
            && service.at("spec.allocateLoadBalancerNodePorts") == Some(&Value::Bool(false));
        has_node_ports(service) && !refused
    };
    if allocates(new) && allocates(old) {
        keep_node_ports(new, old);
    }
    if is_checked(new)
        && is_checked(old)
        && let Some(port) = old.at("spec.healthCheckNodePort")
    {
        new.default_to("spec.healthCheckNodePort", port.clone());
    }
    // Who changes the one address and says nothing new of the list means both.
    let same_list = new.items(ADDRESSES) == old.items(ADDRESSES);
    if new.text(ADDRESS) == old.text(ADDRESS) {
        if new.items(ADDRESSES).is_empty() {
            new.put_or_remove(ADDRESSES, old.at(ADDRESSES).cloned());
        }
    } else if same_list {
        let address = new.text(ADDRESS).to_owned();
        new.put_or_remove(ADDRESSES, (!address.is_empty()).then(|| json!([address])));
    }
}

/// Ports are the same if they have the same name: those that say no number keep it, unless another port has it now.
fn keep_node_ports(new: &mut Value, old: &Value) {
    fn number(port: &Value) -> Option<i64> {
        port.int("nodePort").filter(|number| *number != 0)
    }
    let said: Vec<i64> = new.items("spec.ports").iter().filter_map(number).collect();
    for port in new.items_mut("spec.ports").iter_mut().filter(|port| number(port).is_none()) {
        let same = old.items("spec.ports").iter().rfind(|before| before.text("name") == port.text("name"));
        if let Some(number) = same.and_then(number).filter(|number| !said.contains(number)) {
            port.put("nodePort", number);
        }
    }
}

/// What the new type has no use for goes, if the client did not change it, too.
fn drop_what_came_with_the_type(new: &mut Value, old: &Value) {
    let drop_unchanged = |new: &mut Value, fields: &[&str]| {
        if fields.iter().all(|field| new.at(field) == old.at(field)) {
            fields.iter().for_each(|field| drop(new.cut(field)));
        }
    };
    if has_addresses(old) && !has_addresses(new) {
        drop_unchanged(new, &[ADDRESS, ADDRESSES]);
        drop_unchanged(new, &["spec.ipFamilies"]);
        drop_unchanged(new, &["spec.ipFamilyPolicy"]);
        drop_unchanged(new, &["spec.internalTrafficPolicy"]);
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let said = |service: &Value| -> Vec<i64> {
            let ports = service.items("spec.ports").iter().filter_map(|port| port.int("nodePort"));
            ports.filter(|number| *number != 0).collect()
        };
        let before = said(old);
        if said(new).iter().all(|number| before.contains(number)) {
            new.items_mut("spec.ports").iter_mut().for_each(|port| drop(port.cut("nodePort")));
        }
    }
    if is_checked(old) && !is_checked(new) {
        drop_unchanged(new, &["spec.healthCheckNodePort"]);
    }
    let balanced = |service: &Value| service.text("spec.type") == "LoadBalancer";
    if balanced(old) && !balanced(new) {
        drop_unchanged(new, &["spec.allocateLoadBalancerNodePorts"]);
        drop_unchanged(new, &["spec.loadBalancerClass"]);
    }
    let is_outside = |service: &Value| {
        let outside = service.text("spec.type") == "ClusterIP" && !service.items("spec.externalIPs").is_empty();
        outside || has_node_ports(service)
    };
    if is_outside(old) && !is_outside(new) {
        drop_unchanged(new, &["spec.externalTrafficPolicy"]);
    }
    if !balanced(new) {
        // The load balancer is taken down later; that it is not this service's any more shows at once.
        new.put("status.loadBalancer", json!({}));
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
    // As it is read back, so that what is unchanged can be told.
    default: |slice| slice.items_mut("endpoints").iter_mut().for_each(|each| each.default_to("conditions", json!({}))),
    prepare_create: |slice, _| drop_topology(slice),
    prepare_update: |slice, old| {
        if slice.at("endpoints") != old.at("endpoints") {
            drop_topology(slice);
        }
    },
    validate: endpoints::slice,
    validate_create: endpoints::slice_endpoints,
    validate_update: |new, old, errors| {
        // Of what has been taken once nothing is asked.
        if !same_at(new, old, "endpoints") {
            endpoints::slice_endpoints(new, errors);
        }
        immutable_text(new, old, "addressType", errors);
    },
    warnings: warnings::endpoints,
    ..Strategy::DEFAULT
};

/// v1 shows what beta versions said about topology, and takes none.
fn drop_topology(slice: &mut Value) {
    for endpoint in slice.items_mut("endpoints") {
        endpoint.cut("deprecatedTopology");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_stays_while_the_type_has_use_for_it() {
        let check = |old: &Value, new: Value, expect: Value| {
            let service = |spec: &Value| json!({"spec": spec});
            let mut changed = service(&new);
            keep_what_was_given(&mut changed, &service(old));
            assert_eq!(changed["spec"], expect, "{new}");
        };
        let port =
            |name: &str, number: i64, node_port: i64| json!({"name": name, "port": number, "nodePort": node_port});
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [port("a", 80, 30001), port("b", 81, 30002)], "externalTrafficPolicy": "Cluster"});
        let with = |ports: Value| json!({"type": "NodePort", "ports": ports});
        let kept = |ports: Value| json!({"type": "NodePort", "ports": ports, "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]});
        // A port is the same if it has the same name.
        check(&old, with(json!([{"name": "a", "port": 8080}])), kept(json!([port("a", 8080, 30001)])));
        check(&old, with(json!([{"name": "c", "port": 80}])), kept(json!([{"name": "c", "port": 80}])));
        let taken = json!([{"name": "a", "port": 80}, port("c", 82, 30001)]);
        check(&old, with(taken.clone()), kept(taken));
        // Who changes the type and nothing else gives back what came with it.
        let mut cluster = old.clone();
        cluster["type"] = json!("ClusterIP");
        let bare = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
        check(
            &old,
            cluster.clone(),
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "ports": bare}),
        );
        cluster["ports"] = json!([port("a", 80, 30009)]);
        let other = json!({"type": "ClusterIP", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ports": [port("a", 80, 30009)]});
        check(&old, cluster, other);
        // External addresses make a service accessible from outside, too.
        let outside = json!({"type": "ClusterIP", "externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Cluster"});
        check(&outside, json!({"type": "ClusterIP", "externalTrafficPolicy": "Cluster"}), json!({"type": "ClusterIP"}));
        check(&old, outside.clone(), {
            let mut both = outside.clone();
            both["clusterIP"] = json!("10.0.0.9");
            both["clusterIPs"] = json!(["10.0.0.9"]);
            both
        });
        // One address stands for the list.
        let renumbered = json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["10.0.0.9"]});
        check(&old, renumbered, json!({"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}));
        let named = json!({"type": "ExternalName", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]});
        check(&old, named, json!({"type": "ExternalName"}));
    }
}
