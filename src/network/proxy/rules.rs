//! All services' plans, what the kernel has of them, and the transaction that closes the gap.
//!
//! The cost of a transaction follows the services that changed: nothing else is looked at.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::base;
use super::plan::{ServicePlan, Slot, UdpFront};
use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Result, chain};
use crate::netlink::{Socket, conntrack};
use crate::nft::{self, Batch, Chain, Element, Endpoint, Value};

/// A service's key, `namespace/name`.
pub(super) type ServiceKey = Arc<str>;

/// See the module's text.
pub(super) struct Rules {
    service_cidr: Ipv4Cidr,
    /// What there should be, by service.
    plans: HashMap<ServiceKey, ServicePlan>,
    /// What the kernel has of the services that changed since the last transaction.
    pending: HashMap<ServiceKey, Option<ServicePlan>>,
    /// Who wants what in a map's place. Two services may want the same external address and port: the first by name
    /// has it, and the next one as soon as the first is gone.
    claims: HashMap<Slot, Vec<(ServiceKey, Value)>>,
    /// Health check ports and what they report, for the services that have one.
    health: HashMap<ServiceKey, (u16, usize)>,
    /// What the kernel has in the maps.
    installed: HashMap<Slot, Value>,
    /// The endpoint maps the kernel has.
    maps: HashSet<&'static str>,
    /// The table as the kernel numbers it; `None` when it must be written whole.
    handle: Option<u64>,
}

/// What a transaction did, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) services: usize,
    pub(super) bytes: usize,
    pub(super) whole: bool,
}

impl Rules {
    pub(super) fn new(service_cidr: Ipv4Cidr) -> Self {
        Self {
            service_cidr,
            plans: HashMap::new(),
            pending: HashMap::new(),
            claims: HashMap::new(),
            health: HashMap::new(),
            installed: HashMap::new(),
            maps: HashSet::new(),
            handle: None,
        }
    }

    /// Takes over what a service needs now; `None` when it is gone.
    pub(super) fn set(&mut self, service: &ServiceKey, plan: Option<ServicePlan>) {
        if self.plans.get(service) == plan.as_ref() {
            return;
        }
        for (slot, value) in plan.iter().flat_map(|plan| &plan.elements) {
            let claims = self.claims.entry(*slot).or_default();
            let at = claims.partition_point(|(key, _)| key < service);
            match claims.get_mut(at) {
                Some((key, old)) if key == service => *old = value.clone(),
                _ => claims.insert(at, (service.clone(), value.clone())),
            }
        }
        let kept = |slot: &Slot| plan.as_ref().is_some_and(|plan| plan.elements.contains_key(slot));
        let old = self.plans.remove(service);
        for slot in old.iter().flat_map(|old| old.elements.keys()).filter(|slot| !kept(slot)) {
            if let Entry::Occupied(mut claims) = self.claims.entry(*slot) {
                claims.get_mut().retain(|(key, _)| key != service);
                if claims.get().is_empty() {
                    claims.remove();
                }
            }
        }
        self.health.remove(service);
        self.health.extend(plan.as_ref().and_then(|plan| plan.health).map(|health| (service.clone(), health)));
        self.plans.extend(plan.map(|plan| (service.clone(), plan)));
        self.pending.entry(service.clone()).or_insert(old);
    }

    /// The services there are.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.plans.keys()
    }

    /// Every health check port, with its service and how many local endpoints it reports.
    pub(super) fn health(&self) -> impl Iterator<Item = (u16, &ServiceKey, usize)> {
        self.health.iter().map(|(key, (port, count))| (*port, key, *count))
    }

    /// Whether the table is not the one last written: somebody deleted it, and maybe made it again.
    pub(super) fn lost(&mut self, socket: &mut Socket) -> Result<bool> {
        let handle = nft::table_handle(socket, super::TABLE).doing(|| "reading the proxy's nftables table".into())?;
        if handle.is_none() || handle != self.handle {
            self.handle = None;
        }
        Ok(self.handle.is_none())
    }

    /// Brings the kernel up to date in one transaction, if it is not. After a failure the next one writes everything.
    pub(super) fn commit(&mut self, socket: &mut Socket) -> Result<Option<Written>> {
        let whole = self.handle.is_none();
        if self.pending.is_empty() && !whole {
            return Ok(None);
        }
        let batch = if whole { self.whole(socket)? } else { self.difference() };
        let written = Written { services: self.pending.len(), bytes: batch.len(), whole };
        if let Err(error) = batch.commit(socket) {
            self.handle = None;
            self.installed.clear();
            return Err(error);
        }
        if whole {
            self.handle =
                nft::table_handle(socket, super::TABLE).doing(|| "reading the proxy's nftables table".into())?;
            self.installed = self.claims.iter().map(|(slot, claims)| (*slot, claims[0].1.clone())).collect();
        }
        let pending = std::mem::take(&mut self.pending);
        if let Err(error) = self.forget_clients(socket, &pending) {
            // The rules stand; what is left are UDP clients of endpoints that are gone, until their entries expire.
            tracing::warn!(error = chain(&error), "connection tracking not cleaned up");
        }
        Ok(Some(written))
    }

    /// Everything, in the place of whatever there is.
    fn whole(&mut self, socket: &mut Socket) -> Result<Batch> {
        let mut batch = Batch::replace(&base::table(self.service_cidr));
        self.maps.clear();
        add_maps(&mut batch, &mut self.maps, self.claims.keys());
        for plan in self.plans.values() {
            for (name, seconds) in &plan.sticky {
                batch.add_set(&base::sticky_set(name, *seconds));
                // Clients stay with their endpoints while the agent restarts; their time starts again.
                let clients = nft::elements(socket, super::TABLE, name).doing(|| format!("reading set {name}"))?;
                batch.add_elements(name, clients.iter());
            }
            for chain in plan.chains.keys() {
                batch.add_chain(&Chain { name: chain.clone(), hook: None, rules: Vec::new() });
            }
        }
        let elements = self.claims.iter().map(|(slot, claims)| (*slot, claims[0].1.clone()));
        add_elements(&mut batch, elements.collect());
        for plan in self.plans.values() {
            for (name, rules) in &plan.chains {
                batch.add_rules(&Chain { name: name.clone(), hook: None, rules: rules.clone() });
            }
        }
        Ok(batch)
    }

    /// The changes of the pending services. References decide the order: what is led to comes before what leads
    /// there, and goes after it.
    fn difference(&mut self) -> Batch {
        let none = ServicePlan::default();
        let mut batch = Batch::new(super::TABLE);
        let changes: Vec<(&ServicePlan, &ServicePlan)> = self
            .pending
            .iter()
            .map(|(key, old)| (old.as_ref().unwrap_or(&none), self.plans.get(key).unwrap_or(&none)))
            .collect();
        let with = |name: &nft::ChainName, rules| Chain { name: name.clone(), hook: None, rules };

        for (old, new) in &changes {
            for (name, seconds) in new.sticky.iter().filter(|(name, _)| !old.sticky.contains_key(*name)) {
                batch.add_set(&base::sticky_set(name, *seconds));
            }
            for name in new.chains.keys().filter(|name| !old.chains.contains_key(*name)) {
                batch.add_chain(&with(name, Vec::new()));
            }
        }
        let touched: BTreeSet<Slot> =
            changes.iter().flat_map(|(old, new)| old.elements.keys().chain(new.elements.keys())).copied().collect();
        add_maps(&mut batch, &mut self.maps, touched.iter());
        let (mut gone, mut come) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for slot in touched {
            let wanted = self.claims.get(&slot).map(|claims| &claims[0].1);
            let present = self.installed.get(&slot);
            if wanted == present {
                continue;
            }
            if present.is_some() {
                gone.entry(slot.0).or_default().push(slot.1);
            }
            match wanted {
                Some(value) => {
                    come.push((slot, value.clone()));
                    self.installed.insert(slot, value.clone());
                }
                None => {
                    self.installed.remove(&slot);
                }
            }
        }
        for (map, keys) in &gone {
            batch.delete_elements(map, keys.iter());
        }
        for (old, new) in &changes {
            for (name, _) in old.chains.iter().filter(|(name, rules)| new.chains.get(*name) != Some(rules)) {
                batch.flush_chain(name);
            }
        }
        for (old, new) in &changes {
            for (name, rules) in new.chains.iter().filter(|(name, rules)| old.chains.get(*name) != Some(rules)) {
                batch.add_rules(&with(name, rules.clone()));
            }
        }
        add_elements(&mut batch, come);
        for (old, new) in &changes {
            for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
                batch.delete_chain(name);
            }
            for name in old.sticky.keys().filter(|name| !new.sticky.contains_key(*name)) {
                batch.delete_set(name);
            }
        }
        batch
    }

    /// Makes the kernel forget UDP connections to endpoints that are gone: nothing else ends them.
    fn forget_clients(&self, socket: &mut Socket, pending: &HashMap<ServiceKey, Option<ServicePlan>>) -> Result<()> {
        let mut fronts: HashMap<UdpFront, HashSet<Endpoint>> = HashMap::new();
        for (key, old) in pending {
            let new = self.plans.get(key);
            let changed = old.as_ref().map(|old| &old.udp) != new.map(|new| &new.udp);
            if changed {
                let fronts_of = |plan: &ServicePlan| plan.udp.keys().copied().collect::<Vec<_>>();
                for front in old.iter().chain(new).flat_map(fronts_of) {
                    let endpoints = new.and_then(|new| new.udp.get(&front));
                    fronts.entry(front).or_default().extend(endpoints.iter().flat_map(|e| e.iter()));
                }
            }
        }
        if fronts.is_empty() {
            return Ok(());
        }
        let doing = || "cleaning up connection tracking".to_owned();
        for connection in conntrack::connections(socket).doing(doing)? {
            if connection.protocol == conntrack::UDP && stale(&fronts, &connection) {
                conntrack::delete(socket, &connection).doing(doing)?;
                tracing::debug!(
                    service = %connection.original_destination,
                    endpoint = %connection.reply_source,
                    "forgot a UDP connection"
                );
            }
        }
        Ok(())
    }
}

/// Whether a connection came in at one of the fronts and is with somebody who is no endpoint there.
fn stale(fronts: &HashMap<UdpFront, HashSet<SocketAddrV4>>, connection: &conntrack::Connection) -> bool {
    let to = connection.original_destination;
    let endpoints = fronts.get(&UdpFront::Address(to)).or_else(|| fronts.get(&UdpFront::NodePort(to.port())));
    endpoints.is_some_and(|endpoints| !endpoints.contains(&connection.reply_source))
}

/// Adds the endpoint maps among the slots' that are not there yet.
fn add_maps<'a>(batch: &mut Batch, present: &mut HashSet<&'static str>, slots: impl Iterator<Item = &'a Slot>) {
    for (name, _) in slots {
        if let Some(set) = base::endpoint_set(name)
            && present.insert(name)
        {
            batch.add_set(&set);
        }
    }
}

/// Adds elements, set by set.
fn add_elements(batch: &mut Batch, elements: Vec<(Slot, Value)>) {
    let mut by_set: HashMap<&'static str, Vec<Element>> = HashMap::new();
    for ((set, key), value) in elements {
        by_set.entry(set).or_default().push(Element { key, value, comment: None });
    }
    for (set, elements) in &by_set {
        batch.add_elements(set, elements.iter());
    }
}

/// For tests and logs: everything there should be, printed.
#[cfg(test)]
impl std::fmt::Display for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = base::table(self.service_cidr);
        let mut elements: Vec<_> = self.claims.iter().map(|(slot, claims)| (*slot, &claims[0].1)).collect();
        elements.sort();
        for ((set, key), value) in elements {
            let declared = table.set(set).cloned().or_else(|| base::endpoint_set(set));
            let name = if table.set(set).is_some() { set } else { "endpoints" };
            writeln!(f, "{name}: {}{value}", key.display(declared.map_or(&[][..], |set| set.key)))?;
        }
        let mut plans: Vec<_> = self.plans.iter().collect();
        plans.sort_by_key(|(key, _)| *key);
        for (_, plan) in plans {
            for (name, seconds) in &plan.sticky {
                writeln!(f, "{}", base::sticky_set(name, *seconds))?;
            }
            for (name, rules) in &plan.chains {
                write!(f, "{}", Chain { name: name.clone(), hook: None, rules: rules.clone() })?;
            }
        }
        Ok(())
    }
}
