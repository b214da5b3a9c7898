//! What is asked of ingresses, network policies and the addresses of services.

use api::validation::field::{Error, ErrorList};
use api::validation::{
    dns1035_label, dns1123_label, dns1123_subdomain, domain_prefixed_path, ip, path_segment_name, port_name,
    port_number, wildcard_dns1123_subdomain,
};
use serde_json::{Value, json};

use crate::strategy::at::{At, Rule};
use crate::strategy::service::host_name;

/// Steps that a path may not have, because proxies take them differently; and ends.
const BAD_STEPS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];

/// Complaints about an ingress.
pub(super) fn ingress(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    let backend = spec.get("defaultBackend");
    if spec.items("rules").is_empty() && !backend.is_set() {
        spec.wrong(errors, Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if backend.is_set() {
        validate_backend(&backend, errors);
    }
    for rule in spec.each("rules") {
        let host = rule.get("host");
        if !host.is_empty() {
            if ip::parse_ip(host.str()).is_some() {
                host.invalid(errors, "must be a DNS name, not an IP address");
            }
            host_pattern(&host, errors);
        }
        if !rule.has("http") {
            continue;
        }
        if rule.items("http.paths").is_empty() {
            rule.get("http.paths").required(errors, "");
        }
        rule.each("http.paths").for_each(|path| http_path(&path, errors));
    }
    for tls in spec.each("tls") {
        tls.each("hosts").for_each(|host| host_pattern(&host, errors));
        tls.check(&[("secretName", Rule::Name(dns1123_subdomain))], errors);
    }
    let class = spec.get("ingressClassName");
    if class.is_set() {
        class.complain(errors, dns1123_subdomain(class.str()));
    }
}

/// Complaints about an ingress that is new.
pub(super) fn new_ingress(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let key = "kubernetes.io/ingress.class";
    let annotation = root.get("metadata.annotations").value().get(key).and_then(Value::as_str);
    let class = root.get("spec.ingressClassName");
    if let Some(annotation) = annotation.filter(|annotation| class.is_set() && *annotation != class.str()) {
        let at = root.get("annotations.kubernetes.io/ingress.class");
        at.wrong(errors, annotation, "must match `ingressClassName` when both are specified");
    }
}

fn host_pattern(host: &At, errors: &mut ErrorList) {
    let check = if host.str().contains('*') { wildcard_dns1123_subdomain } else { dns1123_subdomain };
    host.complain(errors, check(host.str()));
}

fn http_path(entry: &At, errors: &mut ErrorList) {
    let (kind, path) = (entry.get("pathType"), entry.get("path"));
    let text = path.str();
    match kind.str() {
        "" if !kind.is_set() => {
            kind.required(errors, "pathType must be specified");
            return;
        }
        "Exact" | "Prefix" => {
            if !text.starts_with('/') {
                path.invalid(errors, "must be an absolute path");
            }
            for step in BAD_STEPS.iter().filter(|step| text.contains(**step)) {
                path.invalid(errors, format!("must not contain '{step}'"));
            }
            for end in BAD_ENDS.iter().filter(|end| text.ends_with(**end)) {
                path.invalid(errors, format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !text.is_empty() && !text.starts_with('/') => {
            path.invalid(errors, "must be an absolute path");
        }
        "ImplementationSpecific" => {}
        _ => kind.unsupported(errors, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    validate_backend(&entry.get("backend"), errors);
}

fn validate_backend(backend: &At, errors: &mut ErrorList) {
    let (service, resource) = (backend.get("service"), backend.get("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => backend.wrong(errors, "", "cannot set both resource and service backends"),
        (false, false) => backend.wrong(errors, "", "resource or service backend is required"),
        (false, true) => {
            let group = resource.get("apiGroup");
            if group.is_set() {
                group.complain(errors, dns1123_subdomain(group.str()));
            }
            let rules = [("kind", Rule::NeedName(path_segment_name)), ("name", Rule::NeedName(path_segment_name))];
            resource.check(&rules, errors);
        }
        (true, false) => {
            service.check(&[("name", Rule::NeedName(dns1035_label))], errors);
            let (name, number) = (service.get("port.name"), service.get("port.number"));
            match (!name.is_empty(), number.value().as_i64().unwrap_or(0) != 0) {
                (true, true) => backend.wrong(errors, "", "cannot set both port name & port number"),
                (true, false) => name.complain(errors, port_name(name.str())),
                (false, true) => number.number(port_number, errors),
                (false, false) => backend.required(errors, "port name or number is required"),
            }
        }
    }
}

/// Complaints about what an ingress controller reports.
pub(super) fn ingress_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    for point in root.each("status.loadBalancer.ingress") {
        let address = point.get("ip");
        if !address.is_empty() {
            errors.extend(ip::legacy_ip(&address.path(), address.str()));
        }
        host_name(&point.get("hostname"), errors);
    }
}

/// Complaints about an IngressClass.
pub(super) fn ingress_class(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let controller = root.get("spec.controller");
    if controller.str().len() > 250 {
        controller.too_long(errors, 250);
    }
    errors.extend(domain_prefixed_path(&controller.path(), controller.str()));
    let parameters = root.get("spec.parameters");
    if !parameters.is_set() {
        return;
    }
    let group = parameters.get("apiGroup");
    if group.is_set() {
        group.complain(errors, dns1123_subdomain(group.str()));
    }
    let rules = [("kind", Rule::NeedName(path_segment_name)), ("name", Rule::NeedName(path_segment_name))];
    parameters.check(&rules, errors);
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    match scope.str() {
        _ if !scope.is_set() => scope.required(errors, ""),
        "Namespace" if !namespace.is_set() => {
            namespace.required(errors, "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => namespace.complain(errors, dns1123_label(namespace.str())),
        "Cluster" if namespace.is_set() => {
            namespace.forbidden(errors, "`parameters.scope` is set to 'Cluster'");
        }
        "Cluster" => {}
        _ => scope.unsupported(errors, &["Cluster", "Namespace"]),
    }
}

/// Complaints about a NetworkPolicy.
pub(super) fn network_policy(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let spec = root.get("spec");
    spec.check(&[("podSelector", Rule::Selector)], errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.each(direction) {
            rule.each("ports").for_each(|port| policy_port(&port, errors));
            rule.each(peers).for_each(|peer| policy_peer(&peer, errors));
        }
    }
    let types = spec.get("policyTypes");
    if spec.items("policyTypes").len() > 2 {
        types.invalid(errors, "may not specify more than two policyTypes");
        return;
    }
    for kind in spec.each("policyTypes").filter(|kind| !matches!(kind.str(), "Ingress" | "Egress")) {
        kind.unsupported(errors, &["Ingress", "Egress"]);
    }
}

fn policy_port(port: &At, errors: &mut ErrorList) {
    port.check(&[("protocol", Rule::MaybeOneOf(&["TCP", "UDP", "SCTP"]))], errors);
    let (first, last) = (port.get("port"), port.get("endPort"));
    match first.value() {
        Value::Null => {
            if last.is_set() {
                last.invalid(errors, "may not be specified when `port` is not specified");
            }
        }
        Value::String(name) => {
            if last.is_set() {
                last.invalid(errors, "may not be specified when `port` is non-numeric");
            }
            first.complain(errors, port_name(name));
        }
        number => {
            first.number(port_number, errors);
            if let Some(end) = last.value().as_i64() {
                if number.as_i64().is_some_and(|first| end < first) {
                    last.wrong(errors, number.clone(), "must be greater than or equal to `port`");
                }
                last.number(port_number, errors);
            }
        }
    }
}

fn policy_peer(peer: &At, errors: &mut ErrorList) {
    peer.check(&[("podSelector", Rule::Selector), ("namespaceSelector", Rule::Selector)], errors);
    let block = peer.get("ipBlock");
    let others = peer.has("podSelector") || peer.has("namespaceSelector");
    if block.is_set() {
        ip_block(&block, errors);
        if others {
            peer.forbidden(errors, "may not specify both ipBlock and another peer");
        }
    } else if !others {
        peer.required(errors, "must specify a peer");
    }
}

fn ip_block(block: &At, errors: &mut ErrorList) {
    let cidr = block.get("cidr");
    if cidr.is_empty() {
        cidr.required(errors, "");
        return;
    }
    errors.extend(ip::legacy_cidr(&cidr.path(), cidr.str()));
    let Some((network, bits)) = ip::parse_cidr(cidr.str()) else { return };
    for except in block.each("except") {
        errors.extend(ip::legacy_cidr(&except.path(), except.str()));
        let Some((inner, longer)) = ip::parse_cidr(except.str()) else { continue };
        let inside = network.is_ipv4() == inner.is_ipv4() && ip::mask(inner, bits) == ip::mask(network, bits);
        if !inside || bits >= longer {
            except.invalid(errors, "must be a strict subset of `cidr`");
        }
    }
}

/// Complaints about an IPAddress.
pub(super) fn ip_address(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let parent = root.get("spec.parentRef");
    if !parent.is_set() {
        parent.required(errors, "");
        return;
    }
    parent.check(
        &[
            ("group", Rule::Name(dns1123_subdomain)),
            ("resource", Rule::NeedName(path_segment_name)),
            ("name", Rule::NeedName(path_segment_name)),
            ("namespace", Rule::Name(path_segment_name)),
        ],
        errors,
    );
}

/// Complaints about a ServiceCIDR.
pub(super) fn service_cidr(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    let list = root.get("spec.cidrs");
    let ranges = root.items("spec.cidrs");
    if ranges.is_empty() {
        list.required(errors, "at least one CIDR required");
        return;
    }
    if ranges.len() > 2 {
        list.wrong(errors, json!({ "CIDRs": list.value() }), "may only hold up to 2 values");
        return;
    }
    root.each("spec.cidrs").for_each(|range| errors.extend(ip::cidr(&range.path(), range.str())));
    let families: Vec<bool> = ranges
        .iter()
        .filter_map(|range| ip::parse_cidr(range.as_str()?))
        .map(|(address, _)| address.is_ipv4())
        .collect();
    if matches!(families.as_slice(), [one, other] if one == other) {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        list.invalid(errors, why);
    }
}

/// Ranges stay; a second family may join them.
pub(super) fn service_cidr_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (root, before) = (At::root(new), At::root(old));
    let (now, before) = (root.items("spec.cidrs"), before.items("spec.cidrs"));
    let joins = before.len() == 1 && now.len() == 2;
    if now.len() != before.len() && !joins {
        let list = root.get("spec.cidrs");
        errors.push(Error::immutable(&list.path(), list.value().clone()));
        return;
    }
    for (range, before) in root.each("spec.cidrs").zip(before) {
        range.unchanged(Some(before), errors);
    }
    // What is there already is nobody's to answer for; what joins it is.
    if joins {
        service_cidr(new, errors);
    }
}
