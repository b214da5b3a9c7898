//! Services and what stands behind and before them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Kind;
use super::column::{AGE, NAME, text, wide};
use super::row::row;
use super::text::{age, labels, name, or_none, selector, some_of};
use super::view::{self, view};

/// How many endpoints, ports or hosts are shown.
const SHOWN: usize = 3;

view! {
    LoadBalancer { ingress: Vec<Ingress> }
    Ingress { ip: String, hostname: String }
}

impl LoadBalancer {
    fn addresses(&self) -> String {
        let address =
            |ingress: &Ingress| if ingress.ip.is_empty() { ingress.hostname.clone() } else { ingress.ip.clone() };
        let addresses: BTreeSet<String> = self.ingress.iter().map(address).filter(|a| !a.is_empty()).collect();
        addresses.into_iter().collect::<Vec<_>>().join(",")
    }
}

pub(super) const SERVICE: Kind = (
    &[
        NAME,
        text("Type", "How the service is reached."),
        text("Cluster-IP", "The address in the cluster."),
        text("External-IP", "The addresses outside the cluster."),
        text("Port(s)", "The ports, each with its node port."),
        AGE,
        wide("Selector", "Which pods stand behind the service."),
    ],
    |object| {
        view! {
            Service { spec: Spec, status: Status }
            Spec {
                r#type: String,
                #[serde(rename = "clusterIPs")]
                cluster_ips: Vec<String>,
                #[serde(rename = "externalIPs")]
                external_ips: Vec<String>,
                external_name: String,
                ports: Vec<Port>,
                selector: BTreeMap<String, String>,
            }
            Port { port: i64, node_port: i64, protocol: String }
            Status { load_balancer: LoadBalancer }
        }
        let Service { spec, status } = view::read(object)?;
        let external = match &*spec.r#type {
            "ClusterIP" | "NodePort" => or_none(spec.external_ips.join(",")),
            "LoadBalancer" => {
                let balanced = status.load_balancer.addresses();
                let all = Some(balanced).filter(|ips| !ips.is_empty()).into_iter().chain(spec.external_ips);
                let all = all.collect::<Vec<_>>().join(",");
                if all.is_empty() { "<pending>".to_owned() } else { all }
            }
            "ExternalName" => spec.external_name,
            _ => "<unknown>".to_owned(),
        };
        let ports = spec.ports.iter().map(|port| match port.node_port {
            0 => format!("{}/{}", port.port, port.protocol),
            node => format!("{}:{node}/{}", port.port, port.protocol),
        });
        row![
            name(object),
            spec.r#type,
            spec.cluster_ips.first().map_or("<none>", |ip| &**ip),
            external,
            or_none(ports.collect::<Vec<_>>().join(",")),
            age(object),
            labels(&spec.selector),
        ]
    },
);

pub(super) const ENDPOINTS: Kind = (&[NAME, text("Endpoints", "The addresses that are ready."), AGE], |object| {
    view! {
        Endpoints { subsets: Vec<Subset> }
        Subset { addresses: Vec<Address>, ports: Vec<Port> }
        Address { ip: String }
        Port { port: i64 }
    }
    let Endpoints { subsets } = view::read(object)?;
    let each = subsets.iter().flat_map(|subset| {
        // A headless service may have no ports.
        let ports =
            if subset.ports.is_empty() { vec![None] } else { subset.ports.iter().map(|p| Some(p.port)).collect() };
        ports.into_iter().flat_map(|port| subset.addresses.iter().map(move |address| (&*address.ip, port)))
    });
    let each: Vec<String> = each
        .map(|(ip, port)| match port {
            None => ip.to_owned(),
            Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
            Some(port) => format!("{ip}:{port}"),
        })
        .collect();
    let endpoints = if subsets.is_empty() { "<none>".to_owned() } else { some_of(&each, SHOWN) };
    row![name(object), endpoints, age(object)]
});

pub(super) const ENDPOINT_SLICE: Kind = (
    &[
        NAME,
        text("AddressType", "The type of the addresses."),
        text("Ports", "The ports of each endpoint."),
        text("Endpoints", "The addresses."),
        AGE,
    ],
    |object| {
        view! {
            EndpointSlice { address_type: String, ports: Vec<Port>, endpoints: Vec<Endpoint> }
            Port { name: Option<String>, port: Option<i64> }
            Endpoint { addresses: Vec<String> }
        }
        let slice: EndpointSlice = view::read(object)?;
        let port = |port: Port| match (port.port, port.name) {
            (Some(port), _) => port.to_string(),
            (None, name) => name.unwrap_or_else(|| "*".to_owned()),
        };
        let ports: Vec<String> = slice.ports.into_iter().map(port).collect();
        let addresses: Vec<String> = slice.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses).collect();
        let shown = |texts: &[String]| match some_of(texts, SHOWN) {
            none if none.is_empty() => "<unset>".to_owned(),
            some => some,
        };
        row![name(object), slice.address_type, shown(&ports), shown(&addresses), age(object)]
    },
);

pub(super) const INGRESS: Kind = (
    &[
        NAME,
        text("Class", "The class of the controller that serves it."),
        text("Hosts", "The hosts it answers for."),
        text("Address", "Where it is reached."),
        text("Ports", "The ports it answers on."),
        AGE,
    ],
    |object| {
        view! {
            Exposed { spec: Spec, status: Status }
            Spec { ingress_class_name: Option<String>, rules: Vec<Rule>, tls: view::Count }
            Rule { host: String }
            Status { load_balancer: LoadBalancer }
        }
        let Exposed { spec, status } = view::read(object)?;
        let hosts: Vec<String> =
            spec.rules.iter().map(|rule| rule.host.clone()).filter(|host| !host.is_empty()).collect();
        // Rules without a host count among those that are not shown.
        let third = spec.rules.iter().enumerate().filter(|(_, rule)| !rule.host.is_empty()).nth(SHOWN - 1);
        let hosts = match third {
            _ if hosts.is_empty() => "*".to_owned(),
            Some((at, _)) if at + 1 < spec.rules.len() => {
                format!("{} + {} more...", hosts[..SHOWN].join(","), spec.rules.len() - SHOWN)
            }
            _ => hosts.join(","),
        };
        row![
            name(object),
            spec.ingress_class_name.unwrap_or_else(|| "<none>".to_owned()),
            hosts,
            status.load_balancer.addresses(),
            if spec.tls.0 > 0 { "80, 443" } else { "80" },
            age(object),
        ]
    },
);

pub(super) const INGRESS_CLASS: Kind = (
    &[
        NAME,
        text("Controller", "The controller that serves the class."),
        text("Parameters", "The object with more parameters."),
        AGE,
    ],
    |object| {
        view! {
            IngressClass { spec: Spec }
            Spec { controller: String, parameters: Option<Parameters> }
            Parameters { api_group: Option<String>, kind: String, name: String }
        }
        let IngressClass { spec } = view::read(object)?;
        let parameters = spec.parameters.map(|p| match p.api_group {
            Some(group) => format!("{}.{group}/{}", p.kind, p.name),
            None => format!("{}/{}", p.kind, p.name),
        });
        row![name(object), spec.controller, or_none(parameters.unwrap_or_default()), age(object)]
    },
);

pub(super) const NETWORK_POLICY: Kind =
    (&[NAME, text("Pod-Selector", "Which pods the policy is for."), AGE], |object| {
        view! {
            NetworkPolicy { spec: Spec }
            Spec { pod_selector: Value }
        }
        let NetworkPolicy { spec } = view::read(object)?;
        row![name(object), selector(Some(&spec.pod_selector)), age(object)]
    });

pub(super) const SERVICE_CIDR: Kind =
    (&[NAME, text("CIDRs", "The ranges services get addresses from."), AGE], |object| {
        view! {
            ServiceCidr { spec: Spec }
            Spec { cidrs: Vec<String> }
        }
        let ServiceCidr { spec } = view::read(object)?;
        row![name(object), spec.cidrs.join(","), age(object)]
    });

pub(super) const IP_ADDRESS: Kind = (&[NAME, text("ParentRef", "Whose address it is."), AGE], |object| {
    view! {
        IpAddress { spec: Spec }
        Spec { parent_ref: Option<Parent> }
        Parent { group: String, resource: String, namespace: String, name: String }
    }
    let IpAddress { spec } = view::read(object)?;
    let parent = spec.parent_ref.map(|parent| {
        let resource = api::status::qualified(&parent.resource, &parent.group).to_lowercase();
        match &*parent.namespace {
            "" => format!("{resource}/{}", parent.name),
            namespace => format!("{resource}/{namespace}/{}", parent.name),
        }
    });
    row![name(object), or_none(parent.unwrap_or_default()), age(object)]
});
