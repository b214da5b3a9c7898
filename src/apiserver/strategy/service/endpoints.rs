//! What is asked of those who answer for a service: Endpoints and EndpointSlices.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::{
    dns1123_label, dns1123_subdomain, fully_qualified_domain, ip, label_value, port_number, qualified_name,
};
use serde_json::Value;

use super::validation::endpoint_ip;
use crate::strategy::at::{At, Rule};
use crate::tree::Tree;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Complaints about Endpoints.
pub(super) fn endpoints(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    for subset in root.each("subsets") {
        if subset.items("addresses").is_empty() && subset.items("notReadyAddresses").is_empty() {
            subset.required(errors, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.each(list) {
                let at = address.get("ip");
                errors.extend(ip::legacy_ip(&at.path(), at.str()));
                address.check(&[("hostname", Rule::Name(dns1123_label))], errors);
                let node = address.get("nodeName");
                if node.is_set() {
                    node.complain(errors, dns1123_subdomain(node.str()));
                }
                if !is_own(&root) {
                    endpoint_ip(&at, errors);
                }
            }
        }
        let several = subset.items("ports").len() > 1;
        for port in subset.each("ports") {
            let name = port.get("name");
            if several && name.is_empty() {
                name.required(errors, "");
            } else if !name.is_empty() {
                name.complain(errors, dns1123_label(name.str()));
            }
            port.get("port").number(port_number, errors);
            port.check(&[("protocol", Rule::OneOf(&PROTOCOLS))], errors);
            let application = port.get("appProtocol");
            if application.is_set() {
                application.complain(errors, qualified_name(application.str()));
            }
        }
    }
}

/// Complaints about an EndpointSlice, but for its endpoints.
pub(super) fn slice(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.check(&[("addressType", Rule::OneOf(&["FQDN", "IPv4", "IPv6"]))], errors);
    slice_ports(&root, errors);
}

/// Complaints about the endpoints of an EndpointSlice.
pub(super) fn slice_endpoints(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    if root.items("endpoints").len() > 1000 {
        root.get("endpoints").too_many(errors, 1000);
        return;
    }
    let kind = root.text("addressType");
    for endpoint in root.each("endpoints") {
        addresses(&endpoint, kind, is_own(&root), errors);
        let node = endpoint.get("nodeName");
        if node.is_set() {
            node.complain(errors, dns1123_subdomain(node.str()));
        }
        let topology = endpoint.get("deprecatedTopology");
        let count = topology.value().as_object().map_or(0, serde_json::Map::len);
        if count > 16 {
            errors.push(Error::too_many(&topology.path(), count, 16));
        }
        topology.labels(errors);
        let name = endpoint.get("hostname");
        if name.is_set() {
            name.complain(errors, dns1123_label(name.str()));
        }
        hints(&endpoint, errors);
    }
}

fn addresses(endpoint: &At, kind: &str, own: bool, errors: &mut ErrorList) {
    let list = endpoint.get("addresses");
    match endpoint.items("addresses").len() {
        0 => list.required(errors, "must contain at least 1 address"),
        1..=100 => {}
        _ => list.too_many(errors, 100),
    }
    for address in endpoint.each("addresses") {
        let complaints = match kind {
            "IPv4" => ip::legacy_ip(&address.path(), address.str()),
            "IPv6" => ip::ip(&address.path(), address.str()),
            "FQDN" => {
                errors.extend(fully_qualified_domain(&address.path(), address.str()));
                continue;
            }
            _ => continue,
        };
        if !complaints.is_empty() {
            errors.extend(complaints);
            continue;
        }
        if ip::parse_ip(address.str()).is_some_and(|ip| ip.is_ipv4() != (kind == "IPv4")) {
            list.wrong(errors, address.str(), format!("must be an {kind} address"));
        }
        if !own {
            endpoint_ip(&address, errors);
        }
    }
}

/// Whether these are the API server's own endpoints, which it writes itself: it may be one that only listens on loopback.
fn is_own(root: &At) -> bool {
    root.text("metadata.namespace") == "default" && root.text("metadata.name") == "kubernetes"
}

fn slice_ports(root: &At, errors: &mut ErrorList) {
    if root.items("ports").len() > 20_000 {
        root.get("ports").too_many(errors, 20_000);
        return;
    }
    let mut names = HashSet::new();
    for port in root.each("ports") {
        let name = port.get("name");
        if !name.is_empty() {
            name.complain(errors, dns1123_label(name.str()));
        }
        if !names.insert(name.str()) {
            name.duplicate(errors);
        }
        if !PROTOCOLS.contains(&port.text("protocol")) {
            port.get("protocol").unsupported(errors, &PROTOCOLS);
        }
        let application = port.get("appProtocol");
        if application.is_set() {
            application.complain(errors, qualified_name(application.str()));
        }
    }
}

fn hints(endpoint: &At, errors: &mut ErrorList) {
    let hints = endpoint.get("hints");
    for (list, check) in [("forZones", label_value as fn(&str) -> Vec<String>), ("forNodes", dns1123_subdomain)] {
        let items = hints.items(list);
        if items.len() > 8 {
            hints.get(list).too_many(errors, 8);
            return;
        }
        for (at, hint) in hints.each(list).enumerate() {
            let name = hint.get("name");
            if items[..at].iter().any(|other| other.text("name") == name.str()) {
                name.duplicate(errors);
            }
            name.complain(errors, check(name.str()));
        }
    }
}
