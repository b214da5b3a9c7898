//! One service in, its chains and map elements out.
//!
//! A packet for a service finds its chain through one lookup: in `services` by address, protocol and port, or in
//! `nodeports` by protocol and port on one of the node's addresses. There are up to four chains a service port, each
//! made only when it is led to:
//!
//! | chain | does |
//! |---|---|
//! | `cluster/…` | translates to one of all endpoints |
//! | `local/…` | translates to one of this node's endpoints |
//! | `external/…` | where traffic from outside goes in: marks for masquerade and goes to `cluster/…`, or under policy Local to `local/…` |
//! | `sticky/…` | with session affinity: one endpoint, and a set of the same name with its clients |
//! | `firewall/…` | a load balancer's source ranges, in front of `external/…` |

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::base::{
    HAIRPIN, MARK_CHAIN, NODE_PORTS, REJECT_CHAIN, SERVICES, UNSERVED, UNSERVED_NODE_PORTS, endpoint_map,
};
use super::endpoints::{Endpoints, select};
use super::view::{ServicePort, ServiceView, SliceView};
use crate::cidr::Ipv4Cidr;
use crate::nft::{ChainName, Choice, Endpoint, Field, Key, Rule, Statement, Value};

/// What all services' rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) node_name: String,
    /// `topology.kubernetes.io/zone` of our Node.
    pub(super) zone: Option<String>,
    pub(super) cluster_cidr: Ipv4Cidr,
}

/// Endpoints of this node are numbered from here on, apart from those of the cluster.
const LOCAL_NUMBERS: u32 = 1 << 16;

/// A place in one of the table's maps.
pub(super) type Slot = (&'static str, Key);

/// The kernel state one service needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServicePlan {
    pub(super) chains: BTreeMap<ChainName, Vec<Rule>>,
    pub(super) elements: BTreeMap<Slot, Value>,
    /// Sets that remember endpoints' clients, each with its timeout in seconds.
    pub(super) sticky: BTreeMap<Arc<str>, u32>,
    /// Where UDP clients come in, and who may answer them: for the cleanup of connection tracking.
    pub(super) udp: BTreeMap<UdpFront, Arc<[Endpoint]>>,
    /// The health check's port and how many local endpoints it reports.
    pub(super) health: Option<(u16, usize)>,
}

/// Where UDP clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum UdpFront {
    Address(Endpoint),
    NodePort(u16),
}

/// See the module's text. A service without a virtual address needs nothing.
pub(super) fn plan(
    context: &Context,
    namespace: &str,
    name: &str,
    service: &ServiceView,
    slices: &[SliceView],
) -> ServicePlan {
    let mut plan = ServicePlan::default();
    let Some(cluster_ip) = service.cluster_ip() else { return plan };
    let mut local_ready = 0;
    let map = endpoint_map(namespace, name);
    for port in &service.spec.ports {
        let Some(protocol) = port.protocol() else { continue };
        let endpoints = select(context, port, slices);
        local_ready = local_ready.max(endpoints.local_ready);
        let word = crate::nft::protocol_name(protocol);
        let label = if port.name.is_empty() { port.port.to_string() } else { port.name.clone() };
        let suffix = format!("{namespace}/{name}/{word}/{label}");
        PortPlan { context, service, port, protocol, cluster_ip, endpoints, suffix, map, plan: &mut plan }.make();
    }
    if service.external_local() && service.spec.health_check_node_port != 0 {
        plan.health = Some((service.spec.health_check_node_port, local_ready));
    }
    plan
}

struct PortPlan<'a> {
    context: &'a Context,
    service: &'a ServiceView,
    port: &'a ServicePort,
    protocol: u8,
    cluster_ip: Ipv4Addr,
    endpoints: Endpoints,
    suffix: String,
    /// The map its endpoints are in.
    map: &'static str,
    plan: &'a mut ServicePlan,
}

impl PortPlan<'_> {
    fn make(mut self) {
        let port = self.port.port;
        let internal_local = self.service.internal_local();
        let protocol = self.protocol;
        let address_key = |address| Key::service(address, protocol, port);

        let inside = self.target(internal_local);
        self.enter(SERVICES, UNSERVED, address_key(self.cluster_ip), inside);
        self.remember_udp(UdpFront::Address(Endpoint::new(self.cluster_ip, port)), internal_local, true);

        let external: BTreeSet<_> = self.service.external_ips().collect();
        let balanced: BTreeSet<_> = self.service.load_balancer_ips().filter(|ip| !external.contains(ip)).collect();
        let node_port = self.port.node_port;
        if external.is_empty() && balanced.is_empty() && node_port == 0 {
            return self.hairpin();
        }
        let local = self.service.external_local();
        let outside = self.external(local);
        for address in external {
            self.enter(SERVICES, UNSERVED, address_key(address), outside.clone());
            self.remember_udp(UdpFront::Address(Endpoint::new(address, port)), local, false);
        }
        if !balanced.is_empty() {
            let outside = self.firewall(outside.clone());
            for address in balanced {
                self.enter(SERVICES, UNSERVED, address_key(address), outside.clone());
                self.remember_udp(UdpFront::Address(Endpoint::new(address, port)), local, false);
            }
        }
        if node_port != 0 {
            self.enter(NODE_PORTS, UNSERVED_NODE_PORTS, Key::port(self.protocol, node_port), outside);
            self.remember_udp(UdpFront::NodePort(node_port), local, false);
        }
        self.hairpin();
    }

    /// Lets a key in: to a chain, and where packets may fall out of it untranslated, to their end.
    fn enter(&mut self, map: &'static str, unserved: &'static str, key: Key, target: Target) {
        if let Some(chain) = target.chain {
            self.plan.elements.insert((map, key), Value::Goto(chain));
        }
        if let Some(end) = target.otherwise {
            self.plan.elements.insert((unserved, key), end);
        }
    }

    /// The chain that translates to an endpoint.
    fn target(&mut self, local: bool) -> Target {
        let endpoints = if local { &self.endpoints.local } else { &self.endpoints.cluster };
        if endpoints.is_empty() {
            let end = if self.endpoints.cluster.is_empty() { Value::Goto(REJECT_CHAIN.into()) } else { Value::Drop };
            return Target { chain: None, otherwise: Some(end) };
        }
        let endpoints = endpoints.clone();
        let chain: ChainName = format!("{}/{}", if local { "local" } else { "cluster" }, self.suffix).into();
        if !self.plan.chains.contains_key(&chain) {
            let mut rules = vec![vec![
                Statement::within(Field::DestinationAddress, Ipv4Cidr::new(self.cluster_ip, 32)),
                Statement::outside(Field::SourceAddress, self.context.cluster_cidr),
                Statement::Jump(MARK_CHAIN.into()),
            ]];
            match self.service.affinity_seconds() {
                Some(seconds) => self.sticky(&endpoints, seconds, &mut rules),
                None => rules.push(vec![Statement::Balance(self.choice(local, &endpoints))]),
            }
            self.plan.chains.insert(chain.clone(), rules);
        }
        Target { chain: Some(chain), otherwise: None }
    }

    /// A chain and a set for each endpoint: who is remembered goes where it was, who is not anywhere.
    fn sticky(&mut self, endpoints: &[Endpoint], seconds: u32, rules: &mut Vec<Rule>) {
        let mut chains = Vec::new();
        for endpoint in endpoints {
            let name: ChainName = format!("sticky/{}/{}/{}", self.suffix, endpoint.ip(), endpoint.port()).into();
            rules.push(vec![Statement::Remembered { set: name.clone() }, Statement::Goto(name.clone())]);
            let chain = vec![
                vec![Statement::Remember { set: name.clone(), seconds }],
                vec![Statement::Balance(Choice::One(*endpoint))],
            ];
            self.plan.chains.insert(name.clone(), chain);
            self.plan.sticky.insert(name.clone(), seconds);
            chains.push(name);
        }
        rules.push(vec![Statement::Spread(chains)]);
    }

    /// Enters the endpoints where the chain's rule looks for them.
    fn choice(&mut self, local: bool, endpoints: &[Endpoint]) -> Choice {
        if let [one] = endpoints {
            return Choice::One(*one);
        }
        let (address, protocol, port) = (self.cluster_ip, self.protocol, self.port.port);
        let first = if local { LOCAL_NUMBERS } else { 0 };
        for (number, endpoint) in (first..).zip(endpoints) {
            let key = Key::numbered(address, protocol, port, number);
            self.plan.elements.insert((self.map, key), Value::Endpoint(*endpoint));
        }
        Choice::Among { map: self.map, address, protocol, port, first, count: endpoints.len() as u32 }
    }

    /// The chain for traffic from outside.
    fn external(&mut self, local: bool) -> Target {
        let cluster = self.target(false);
        let Some(cluster_chain) = cluster.chain else { return cluster };
        let mark = || Statement::Jump(MARK_CHAIN.into());
        let mut target = Target { chain: Some(format!("external/{}", self.suffix).into()), otherwise: None };
        let rules = if local {
            let from_here = || Statement::Local { field: Field::SourceAddress, is: true };
            // Who is inside the cluster gets what the cluster has: the policy is about traffic from outside.
            let mut rules = vec![
                vec![
                    Statement::within(Field::SourceAddress, self.context.cluster_cidr),
                    Statement::Goto(cluster_chain.clone()),
                ],
                vec![from_here(), mark()],
                vec![from_here(), Statement::Goto(cluster_chain)],
            ];
            let local = self.target(true);
            rules.extend(local.chain.map(|chain| vec![Statement::Goto(chain)]));
            target.otherwise = local.otherwise;
            rules
        } else {
            vec![vec![mark()], vec![Statement::Goto(cluster_chain)]]
        };
        self.plan.chains.extend(target.chain.clone().map(|chain| (chain, rules)));
        target
    }

    /// Puts the load balancer's source ranges in front.
    fn firewall(&mut self, behind: Target) -> Target {
        let (Some(chain), false) = (&behind.chain, self.service.spec.load_balancer_source_ranges.is_empty()) else {
            return behind;
        };
        let ranges = self.service.spec.load_balancer_source_ranges.iter();
        let mut rules: Vec<Rule> = ranges
            .filter_map(|text| text.trim().parse::<Ipv4Cidr>().ok())
            .map(|range| vec![Statement::within(Field::SourceAddress, range), Statement::Goto(chain.clone())])
            .collect();
        rules.push(vec![Statement::Drop]);
        let firewall: ChainName = format!("firewall/{}", self.suffix).into();
        self.plan.chains.insert(firewall.clone(), rules);
        Target { chain: Some(firewall), otherwise: behind.otherwise }
    }

    /// Notes where UDP clients come in, and which endpoints may answer there.
    fn remember_udp(&mut self, front: UdpFront, local: bool, inside: bool) {
        if self.protocol != crate::netlink::conntrack::UDP {
            return;
        }
        let Endpoints { cluster, local: here, .. } = &self.endpoints;
        let endpoints = match (local, inside) {
            (false, _) => cluster.clone(),
            (true, true) => here.clone(),
            // Under external policy Local, clients inside the cluster are with any endpoint.
            (true, false) => cluster.iter().chain(here.iter()).copied().collect(),
        };
        self.plan.udp.insert(front, endpoints);
    }

    /// A pod that reaches itself through a service must see another address than its own as the source.
    fn hairpin(self) {
        for endpoint in self.endpoints.local.iter() {
            self.plan.elements.insert((HAIRPIN, Key::pair(*endpoint.ip(), *endpoint.ip())), Value::None);
        }
    }
}

/// Where traffic goes, and what becomes of what is not translated there.
#[derive(Clone)]
struct Target {
    chain: Option<ChainName>,
    otherwise: Option<Value>,
}
