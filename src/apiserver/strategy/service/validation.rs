//! What is asked of services. Addresses and ports that are still to be given out are not asked for.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain, ip, port_number, qualified_name};
use serde_json::{Value, json};

use crate::strategy::at::{At, Rule};
use crate::tree::Tree;

/// The longest a client may be held to one endpoint: a day.
const AFFINITY_MAX: i64 = 86_400;
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Complaints about a service.
pub(super) fn service(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    topology(&root, errors);
    let spec = root.get("spec");
    let kind = spec.text("type");
    let headless = is_headless(object);
    if spec.items("ports").is_empty() && !headless && kind != "ExternalName" {
        spec.get("ports").required(errors, "");
    }
    if headless && matches!(kind, "LoadBalancer" | "NodePort") {
        let first = spec.entry("clusterIPs", "0");
        first.wrong(errors, "None", format!("may not be set to 'None' for {kind} services"));
    }
    if kind == "ExternalName" {
        external_name(&spec, errors);
    }
    let mut names = HashSet::new();
    for port in spec.each("ports") {
        service_port(&port, spec.items("ports").len() > 1, &mut names, errors);
    }
    spec.get("selector").labels(errors);
    affinity(&spec, errors);
    if kind != "ExternalName" {
        cluster_ips(&spec, errors);
    }
    for address in spec.each("externalIPs") {
        let complaints = ip::legacy_ip(&address.path(), address.str());
        match complaints.is_empty() {
            true => endpoint_ip(&address, errors),
            false => errors.extend(complaints),
        }
    }
    spec.check(&[("type", Rule::OneOf(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]))], errors);
    ports(&spec, errors);
    source_ranges(&root, errors);
    let allocate = spec.get("allocateLoadBalancerNodePorts");
    if allocate.is_set() && kind != "LoadBalancer" {
        allocate.forbidden(errors, "may only be used when `type` is 'LoadBalancer'");
    }
    load_balancer_class(&spec, errors);
    traffic(&spec, errors);
}

pub(super) fn is_headless(service: &Value) -> bool {
    service.text("spec.clusterIP") == "None" || service.items("spec.clusterIPs") == ["None"]
}

fn topology(root: &At, errors: &mut ErrorList) {
    let (hints, mode) = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");
    let annotations = root.get("metadata.annotations");
    let of = |key: &str| annotations.value().get(key).and_then(Value::as_str);
    if let (Some(old), Some(new)) = (of(hints), of(mode))
        && old != new
    {
        let why = format!("must match annotations[{hints}] when both are specified");
        root.entry("metadata.annotations", mode).invalid(errors, why);
    }
}

fn external_name(spec: &At, errors: &mut ErrorList) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let given = match field {
            "clusterIPs" => !spec.text("clusterIP").is_empty(),
            // A policy that is none is one that was given.
            "ipFamilyPolicy" => spec.has(field),
            _ => false,
        };
        if !spec.get(field).is_empty() || given {
            spec.get(field).forbidden(errors, "may not be set for ExternalName services");
        }
    }
    let name = spec.get("externalName");
    match name.str().strip_suffix('.').unwrap_or(name.str()) {
        "" => name.required(errors, ""),
        text => dns1123_subdomain(text).into_iter().for_each(|why| name.wrong(errors, text, why)),
    }
}

fn service_port<'v>(port: &At<'_, 'v>, several: bool, names: &mut HashSet<&'v str>, errors: &mut ErrorList) {
    let name = port.get("name");
    if several && name.is_empty() {
        name.required(errors, "");
    } else if !name.is_empty() {
        name.complain(errors, dns1123_label(name.str()));
        if !names.insert(name.str()) {
            name.duplicate(errors);
        }
    }
    port.get("port").number(port_number, errors);
    port.check(&[("protocol", Rule::OneOf(&["SCTP", "TCP", "UDP"]))], errors);
    port.get("targetPort").port(errors);
    let application = port.get("appProtocol");
    if application.is_set() {
        application.complain(errors, qualified_name(application.str()));
    }
}

fn affinity(spec: &At, errors: &mut ErrorList) {
    spec.check(&[("sessionAffinity", Rule::OneOf(&["ClientIP", "None"]))], errors);
    let config = spec.get("sessionAffinityConfig");
    if spec.text("sessionAffinity") == "None" && config.is_set() {
        config.forbidden(errors, "must not be set when session affinity is None");
    }
    if spec.text("sessionAffinity") != "ClientIP" {
        return;
    }
    let steps = [config, config.get("clientIP"), config.get("clientIP.timeoutSeconds")];
    if let Some(missing) = steps.iter().find(|step| !step.is_set()) {
        missing.required(errors, "when session affinity type is ClientIP");
        return;
    }
    let timeout = config.get("clientIP.timeoutSeconds");
    if !(1..=AFFINITY_MAX).contains(&timeout.value().as_i64().unwrap_or(0)) {
        timeout.invalid(errors, format!("must be greater than 0 and less than {AFFINITY_MAX}"));
    }
}

/// Complaints about what a service asks of its addresses.
pub(super) fn cluster_ips(spec: &At, errors: &mut ErrorList) {
    let list = spec.get("clusterIPs");
    let addresses: Vec<&str> = spec.items("clusterIPs").iter().filter_map(Value::as_str).collect();
    match (spec.text("clusterIP"), addresses.first()) {
        ("", Some(_)) => list.invalid(errors, "must be empty when `clusterIP` is not specified"),
        (one, Some(first)) if one != *first => list.invalid(errors, "first value must match `clusterIP`"),
        _ => {}
    }
    let mut seen: Vec<&str> = Vec::new();
    for family in spec.each("ipFamilies") {
        if !matches!(family.str(), "IPv4" | "IPv6") {
            family.unsupported(errors, &["IPv4", "IPv6"]);
        }
        if seen.contains(&family.str()) {
            family.duplicate(errors);
        }
        seen.push(family.str());
    }
    let policies = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    spec.check(&[("ipFamilyPolicy", Rule::MaybeOneOf(policies))], errors);
    let before = errors.len();
    for (at, address) in spec.each("clusterIPs").enumerate() {
        if at == 0 && address.str() == "None" {
            if addresses.len() > 1 {
                list.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        errors.extend(ip::legacy_ip(&address.path(), address.str()));
    }
    // An address that is given alone has not been made a list yet.
    let alone = spec.entry("clusterIPs", "0").with(spec.get("clusterIP").value());
    let alone = (addresses.is_empty() && !matches!(alone.str(), "" | "None")).then_some(alone);
    if let Some(address) = &alone {
        errors.extend(ip::legacy_ip(&address.path(), address.str()));
    }
    let sound = errors.len() == before;
    if addresses.len() > 2 {
        list.invalid(errors, "may only hold up to 2 values");
    }
    if !sound {
        return;
    }
    let is_v6 = |address: &str| ip::parse_ip(address).is_some_and(|ip| ip.is_ipv6());
    if addresses.len() > 1 && addresses.iter().all(|address| is_v6(address) == is_v6(addresses[0])) {
        list.invalid(errors, "may specify no more than one IP for each IP family");
    }
    if addresses == ["None"] {
        return;
    }
    for (at, (address, family)) in alone.into_iter().chain(spec.each("clusterIPs")).zip(&seen).enumerate() {
        if (*family == "IPv6") != is_v6(address.str()) && matches!(*family, "IPv4" | "IPv6") {
            address.invalid(errors, format!("expected an {family} value as indicated by `ipFamilies[{at}]`"));
        }
    }
}

/// Complaints about an address that traffic is sent to.
pub(super) fn endpoint_ip(at: &At, errors: &mut ErrorList) {
    let Some(ip) = ip::parse_ip(at.str()) else {
        at.invalid(errors, "must be a valid IP address");
        return;
    };
    let local = match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let multicast = match ip {
        std::net::IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        std::net::IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    if ip.is_unspecified() {
        at.invalid(errors, format!("may not be unspecified ({})", at.str()));
    }
    if ip.is_loopback() {
        at.invalid(errors, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if local {
        at.invalid(errors, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        at.invalid(errors, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Ports of the node are for services that are reached there, and no port is used twice.
fn ports(spec: &At, errors: &mut ErrorList) {
    let node_port = |port: &At| port.int("nodePort").unwrap_or(0);
    if spec.text("type") == "ClusterIP" {
        for port in spec.each("ports").filter(|port| node_port(port) != 0) {
            port.get("nodePort").forbidden(errors, "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut on_nodes = HashSet::new();
    for port in spec.each("ports").filter(|port| node_port(port) != 0) {
        let place = (port.text("protocol"), node_port(&port));
        if !on_nodes.insert(place) {
            port.get("nodePort").duplicate(errors);
        }
    }
    let mut own = HashSet::new();
    for port in spec.each("ports") {
        let place = (port.text("protocol"), port.int("port").unwrap_or(0));
        if !own.insert(place) {
            // Shown as upstream shows it, by the names the fields have in Go.
            let shown = json!({"Name": "", "Protocol": place.0, "AppProtocol": null, "Port": place.1, "TargetPort": 0, "NodePort": 0});
            errors.push(Error::duplicate(&port.path(), shown));
        }
    }
}

fn source_ranges(root: &At, errors: &mut ErrorList) {
    let balanced = root.text("spec.type") == "LoadBalancer";
    let why = "may only be used when `type` is 'LoadBalancer'";
    let list = root.get("spec.loadBalancerSourceRanges").called("spec.LoadBalancerSourceRanges");
    if !list.is_empty() {
        if !balanced {
            list.forbidden(errors, why);
        }
        for (at, range) in root.items("spec.loadBalancerSourceRanges").iter().enumerate() {
            let text = range.as_str().unwrap_or_default().trim();
            errors.extend(ip::legacy_cidr(&list.path().index(at), text));
        }
        return;
    }
    let annotation = root.entry("metadata.annotations", RANGES);
    if !annotation.is_set() {
        return;
    }
    if !balanced {
        annotation.forbidden(errors, why);
    }
    for range in annotation.str().split(',').map(str::trim).filter(|_| !annotation.str().trim().is_empty()) {
        errors.extend(ip::legacy_cidr(&annotation.path(), range));
    }
}

fn load_balancer_class(spec: &At, errors: &mut ErrorList) {
    let class = spec.get("loadBalancerClass");
    if !class.is_set() {
        return;
    }
    match spec.text("type") {
        "LoadBalancer" => class.complain(errors, qualified_name(class.str())),
        _ => class.forbidden(errors, "may only be used when `type` is 'LoadBalancer'"),
    }
}

fn traffic(spec: &At, errors: &mut ErrorList) {
    let kind = spec.text("type");
    let outside =
        matches!(kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && !spec.items("externalIPs").is_empty();
    let external = spec.get("externalTrafficPolicy");
    if !outside && !external.is_empty() {
        external.invalid(errors, "may only be set for externally-accessible services");
    } else if outside {
        spec.check(&[("externalTrafficPolicy", Rule::OneOf(&["Cluster", "Local"]))], errors);
    }
    let health = spec.get("healthCheckNodePort");
    if spec.int("healthCheckNodePort").unwrap_or(0) != 0 {
        match kind == "LoadBalancer" && external.str() == "Local" {
            true => health.number(port_number, errors),
            false => {
                let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
                health.invalid(errors, why);
            }
        }
    }
    let internal = spec.get("internalTrafficPolicy");
    if !internal.is_set() && matches!(kind, "NodePort" | "LoadBalancer" | "ClusterIP") {
        internal.required(errors, "");
    }
    let near = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    spec.check(
        &[
            ("internalTrafficPolicy", Rule::MaybeOneOf(&["Cluster", "Local"])),
            ("trafficDistribution", Rule::MaybeOneOf(near)),
        ],
        errors,
    );
}

/// Complaints about a change of a service. An address stays while the service has one, and comes and goes with
/// ExternalName.
pub(super) fn service_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let spec = root.get("spec");
    let named = [new, old].iter().any(|service| service.text("spec.type") == "ExternalName");
    let headless = is_headless(new) && is_headless(old);
    if !named && !headless {
        addresses_update(&spec, old, errors);
    }
    let balanced = [new, old].iter().all(|service| service.text("spec.type") == "LoadBalancer");
    let class = spec.get("loadBalancerClass");
    if balanced && new.at("spec.loadBalancerClass") != old.at("spec.loadBalancerClass") {
        class.wrong(errors, class.value().clone(), "may not change once set");
    }
    let checked = |service: &Value| service.text("spec.externalTrafficPolicy") == "Local";
    if balanced
        && checked(new)
        && checked(old)
        && new.int("spec.healthCheckNodePort") != old.int("spec.healthCheckNodePort")
    {
        spec.get("healthCheckNodePort").forbidden(errors, "field is immutable");
    }
}

fn addresses_update(spec: &At, old: &Value, errors: &mut ErrorList) {
    let listed = |service: &Value| -> Vec<String> {
        let one = service.text("clusterIP");
        match service.items("clusterIPs") {
            [] if one.is_empty() => Vec::new(),
            [] => vec![one.to_owned()],
            several => several.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        }
    };
    let (now, before) = (listed(spec.value()), old.at("spec").map(listed).unwrap_or_default());
    let place = |at: usize| format!("{at}");
    let value = json!(now);
    match (now.first(), before.first()) {
        (None, Some(_)) => {
            let at = place(0);
            spec.entry("clusterIPs", &at).wrong(errors, value.clone(), "primary clusterIP can not be unset");
        }
        (Some(_), Some(_)) => {
            for (index, _) in now.iter().zip(&before).enumerate().filter(|(_, (now, before))| now != before) {
                if index == 0 || now.len() == before.len() {
                    let at = place(index);
                    spec.entry("clusterIPs", &at).wrong(errors, value.clone(), "may not change once set");
                }
            }
        }
        _ => {}
    }
    let single = spec.text("ipFamilyPolicy") == "SingleStack";
    if before.len() == 2 && now.len() == 1 && !single {
        let policy = spec.get("ipFamilyPolicy");
        let why = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        policy.wrong(errors, policy.value().clone(), why);
    }
    families_update(spec, old, &now, errors);
}

/// The first family stays; of a headless service any may change.
fn families_update(spec: &At, old: &Value, addresses: &[String], errors: &mut ErrorList) {
    if spec.text("clusterIP") == "None" || old.text("spec.clusterIP") == "None" {
        return;
    }
    let (families, before) = (spec.items("ipFamilies"), old.items("spec.ipFamilies"));
    let first = spec.entry("ipFamilies", "0");
    if families.len() == before.len() {
        for _ in families.iter().zip(before).filter(|(now, before)| now != before) {
            first.wrong(errors, json!(families), "may not change once set");
        }
    } else if let (Some(now), Some(was)) = (families.first(), before.first())
        && now != was
    {
        // Upstream shows the addresses here.
        first.wrong(errors, json!(addresses), "may not change once set");
    }
    if families.len() == 1 && before.len() == 2 && spec.text("ipFamilyPolicy") != "SingleStack" {
        let policy = spec.get("ipFamilyPolicy");
        let why = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        policy.wrong(errors, policy.value().clone(), why);
    }
}

/// Complaints about what a load balancer reports.
pub(super) fn service_status(new: &Value, _: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    let balancer = root.get("status.loadBalancer");
    if root.text("spec.type") != "LoadBalancer" && !balancer.items("ingress").is_empty() {
        balancer.get("ingress").forbidden(errors, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for point in balancer.each("ingress") {
        let (address, mode) = (point.get("ip"), point.get("ipMode"));
        if !address.is_empty() {
            errors.extend(ip::legacy_ip(&address.path(), address.str()));
        }
        if !mode.is_set() && !address.is_empty() {
            mode.required(errors, "must be specified when `ip` is set");
        } else if mode.is_set() && address.is_empty() {
            mode.forbidden(errors, "may not be specified when `ip` is not set");
        } else if mode.is_set() && !matches!(mode.str(), "Proxy" | "VIP") {
            mode.unsupported(errors, &["Proxy", "VIP"]);
        }
        host_name(&point.get("hostname"), errors);
    }
}

/// Complaints about a name that stands where an address could, too.
pub(in crate::strategy) fn host_name(name: &At, errors: &mut ErrorList) {
    if name.is_empty() {
        return;
    }
    name.complain(errors, dns1123_subdomain(name.str()));
    if ip::parse_ip(name.str()).is_some() {
        name.invalid(errors, "must be a DNS name, not an IP address");
    }
}
