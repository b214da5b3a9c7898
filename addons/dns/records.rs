//! What a question about the cluster's domain is answered with, as plain data (upstream's DNS specification 1.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::index::{Endpoint, State};

/// The question types with an answer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    A,
    Aaaa,
    Srv,
    Ptr,
    Cname,
    Soa,
    Ns,
    Txt,
    Any,
    /// Any other type: names exist or not, and have no such records.
    Other,
}

/// One record. Names are absolute, without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Data {
    Address(IpAddr),
    Cname(String),
    Srv { port: u16, target: String },
    Ptr(String),
    Text(String),
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The name is ours: these records, and addresses of the names in them.
    Found { records: Vec<(String, Data)>, additional: Vec<(String, Data)> },
    /// The name would be ours and does not exist.
    NoSuchName,
    /// The name is not ours.
    NotOurs,
}

impl Answer {
    fn of(name: &str, data: impl IntoIterator<Item = Data>) -> Self {
        let records = data.into_iter().map(|data| (name.to_owned(), data)).collect();
        Self::Found { records, additional: Vec::new() }
    }
}

/// Looks `name` (lower case, no trailing dot) up in the cluster's domain or among its addresses.
pub(super) fn answer(state: &State, domain: &str, name: &str, asked: Asked) -> Answer {
    if let Some(address) = reverse(name) {
        return match state.names.get(&address) {
            Some(names) if matches!(asked, Asked::Ptr | Asked::Any) => {
                Answer::of(name, names.values().map(|n| Data::Ptr(format!("{n}.{domain}"))))
            }
            Some(_) => Answer::of(name, []),
            None => Answer::NotOurs,
        };
    }
    if name == domain {
        return Answer::of(name, []);
    }
    let Some(below) = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.')) else { return Answer::NotOurs };
    let labels: Vec<&str> = below.split('.').collect();
    match labels.as_slice() {
        ["dns-version"] if matches!(asked, Asked::Txt | Asked::Any) => Answer::of(name, [Data::Text("1.1.0".into())]),
        ["dns-version" | "svc" | "pod"] => Answer::of(name, []),
        [namespace, "svc" | "pod"] if has_namespace(state, namespace) => Answer::of(name, []),
        [address, _, "pod"] => match dashed(address) {
            Some(address) => Answer::of(name, [address].into_iter().filter(|ip| wants(asked, ip)).map(Data::Address)),
            None => Answer::NoSuchName,
        },
        [service, namespace, "svc"] => of_service(state, domain, name, asked, service, namespace),
        [port, protocol, service, namespace, "svc"] if port.starts_with('_') && protocol.starts_with('_') => {
            of_port(state, domain, name, asked, (&port[1..], &protocol[1..]), service, namespace)
        }
        [host, service, namespace, "svc"] => of_host(state, name, asked, host, service, namespace),
        _ => Answer::NoSuchName,
    }
}

fn of_service(state: &State, domain: &str, name: &str, asked: Asked, service: &str, namespace: &str) -> Answer {
    let key = format!("{namespace}/{service}");
    let Some(found) = state.services.get(&key) else { return Answer::NoSuchName };
    if let Some(external) = &found.external_name {
        return Answer::of(name, [Data::Cname(external.trim_end_matches('.').to_owned())]);
    }
    if asked == Asked::Srv {
        return srv(state, domain, name, &key, |_, _| true);
    }
    if !found.addresses.is_empty() {
        return Answer::of(name, found.addresses.iter().copied().filter(|ip| wants(asked, ip)).map(Data::Address));
    }
    let published: Vec<&Endpoint> = published(state, &key).collect();
    if published.is_empty() {
        // Upstream: a headless service without endpoints has no name.
        return Answer::NoSuchName;
    }
    Answer::of(name, unique(published.iter().map(|e| e.address).filter(|ip| wants(asked, ip)).map(Data::Address)))
}

fn of_port(
    state: &State,
    domain: &str,
    name: &str,
    asked: Asked,
    (port, protocol): (&str, &str),
    service: &str,
    namespace: &str,
) -> Answer {
    let key = format!("{namespace}/{service}");
    let matches = |p: &str, proto: &str| p == port && proto == protocol;
    let exists = state.services.get(&key).is_some_and(|s| s.ports.iter().any(|(p, proto, _)| matches(p, proto)));
    match (exists, asked) {
        (false, _) => Answer::NoSuchName,
        (true, Asked::Srv | Asked::Any) => srv(state, domain, name, &key, matches),
        (true, _) => Answer::of(name, []),
    }
}

fn of_host(state: &State, name: &str, asked: Asked, host: &str, service: &str, namespace: &str) -> Answer {
    let key = format!("{namespace}/{service}");
    let found: Vec<IpAddr> = published(state, &key).filter(|e| host_of(e) == host).map(|e| e.address).collect();
    if found.is_empty() {
        return Answer::NoSuchName;
    }
    Answer::of(name, unique(found.into_iter().filter(|ip| wants(asked, ip)).map(Data::Address)))
}

/// SRV records: of the service's own name for a cluster address, of each endpoint's for a headless one.
fn srv(state: &State, domain: &str, name: &str, key: &str, matches: impl Fn(&str, &str) -> bool) -> Answer {
    let Some(service) = state.services.get(key) else { return Answer::NoSuchName };
    let (namespace, short) = api::meta::split_key(key);
    let base = format!("{short}.{namespace}.svc.{domain}");
    let mut records = Vec::new();
    let mut additional = Vec::new();
    if !service.addresses.is_empty() {
        for (_, _, port) in service.ports.iter().filter(|(p, proto, _)| matches(p, proto)) {
            records.push((name.to_owned(), Data::Srv { port: *port, target: base.clone() }));
        }
        additional.extend(service.addresses.iter().map(|ip| (base.clone(), Data::Address(*ip))));
    } else {
        for endpoint in published(state, key) {
            let target = format!("{}.{base}", host_of(endpoint));
            for (_, _, port) in endpoint.ports.iter().filter(|(p, proto, _)| matches(p, proto)) {
                records.push((name.to_owned(), Data::Srv { port: *port, target: target.clone() }));
            }
            additional.push((target, Data::Address(endpoint.address)));
        }
    }
    records.sort();
    records.dedup();
    additional.sort();
    additional.dedup();
    Answer::Found { records, additional }
}

fn published<'a>(state: &'a State, key: &str) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
    let all = state.services.get(key).is_some_and(|s| s.publish_not_ready);
    state.endpoints.get(key).into_iter().flat_map(|slices| slices.values().flatten()).filter(move |e| all || e.ready)
}

fn has_namespace(state: &State, namespace: &str) -> bool {
    state.services.keys().any(|key| api::meta::split_key(key).0 == namespace)
}

/// The label under a headless service: the endpoint's host name, else its address with dashes.
fn host_of(endpoint: &Endpoint) -> String {
    endpoint.hostname.clone().unwrap_or_else(|| endpoint.address.to_string().replace(['.', ':'], "-"))
}

fn wants(asked: Asked, address: &IpAddr) -> bool {
    match asked {
        Asked::A => address.is_ipv4(),
        Asked::Aaaa => address.is_ipv6(),
        Asked::Any => true,
        _ => false,
    }
}

fn unique(data: impl Iterator<Item = Data>) -> Vec<Data> {
    let mut data: Vec<Data> = data.collect();
    data.sort();
    data.dedup();
    data
}

/// `10-42-0-7` as an address.
fn dashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    v4.or_else(|| label.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::V6))
}

/// The address a reverse lookup is about.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let mut octets: Vec<&str> = rest.split('.').collect();
        octets.reverse();
        return octets.join(".").parse().ok().map(IpAddr::V4);
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let nibbles: String = rest.split('.').rev().collect();
    if nibbles.len() != 32 || !nibbles.is_ascii() {
        return None;
    }
    u128::from_str_radix(&nibbles, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
}
