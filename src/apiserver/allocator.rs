//! What services are given: addresses of the service network and ports of every node. Held in memory, rebuilt from the
//! services at the start; the store decides who gets a service's name, the pools decide who gets its numbers.

mod pool;
mod services;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use api::validation::ip;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::tree::Tree;
use pool::Pool;

/// Both pools of one API server.
#[derive(Debug)]
pub(crate) struct Allocators {
    network: Network,
    addresses: Mutex<Pool>,
    first_port: u16,
    ports: Mutex<Pool>,
    /// Numbers of writes of which nobody knows whether they were made, and since when: they count as taken.
    doubtful: Mutex<Vec<(Instant, Claim)>>,
}

/// How long a write whose caller went away may still be under way.
const DOUBT: Duration = Duration::from_secs(60);

/// The service network: its usable addresses, numbered.
#[derive(Clone, Copy, Debug)]
struct Network {
    /// The network address, as a number.
    base: u128,
    bits: u8,
    v6: bool,
    /// How many addresses can be given out.
    usable: usize,
}

/// One number somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Address(usize),
    Port(usize),
}

/// Numbers taken for a write that is under way. Dropped without [`Hold::keep`], everything is as before.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    allocators: &'a Allocators,
    /// Taken for the new state.
    taken: Vec<Claim>,
    /// No longer needed once the new state is written.
    freed: Vec<Claim>,
    /// Whether the write may have been made without our knowing.
    doubt: bool,
}

impl Allocators {
    /// Empty pools.
    pub(crate) fn new(cidr: (IpAddr, u8), ports: &RangeInclusive<u16>) -> Self {
        let network = Network::new(cidr);
        // Dynamic choices keep out of the lower part as long as they can: that is where people choose by hand.
        let by_hand = |size: usize, divisor: usize, most: usize| {
            if size < 16 { 0 } else { (size / divisor).clamp(16, most) }
        };
        let count = usize::from(ports.end() - ports.start()) + 1;
        Self {
            addresses: Mutex::new(Pool::new(network.usable, by_hand(network.usable, 16, 256))),
            network,
            first_port: *ports.start(),
            ports: Mutex::new(Pool::new(count, by_hand(count, 32, 128))),
            doubtful: Mutex::default(),
        }
    }

    /// The first address of the network: that of the Service `default/kubernetes`.
    pub(crate) fn first_address(&self) -> IpAddr {
        self.network.address(0)
    }

    /// Marks what a service that is in the store holds.
    pub(crate) fn adopt(&self, service: &Value) {
        for claim in self.claims(service) {
            if !self.take(claim) {
                let name = service.text("metadata.name");
                tracing::warn!(
                    namespace = service.text("metadata.namespace"),
                    name,
                    ?claim,
                    "two services hold the same"
                );
            }
        }
    }

    /// A hold for the removal of a service: kept, it gives back what the service held.
    pub(crate) fn giving_up(&self, service: &Value) -> Hold<'_> {
        Hold { allocators: self, taken: Vec::new(), freed: self.claims(service), doubt: false }
    }

    /// Frees the numbers of doubtful writes that no service holds. `services` gives all that there are.
    pub(crate) fn settle(&self, now: Instant, services: impl FnOnce() -> Vec<Value>) {
        let old = |since: &Instant| now.duration_since(*since) >= DOUBT;
        if !self.doubtful.lock().iter().any(|(since, _)| old(since)) {
            return;
        }
        let held: Vec<Claim> = services().iter().flat_map(|service| self.claims(service)).collect();
        let mut doubtful = self.doubtful.lock();
        let settled: Vec<Claim> = doubtful.extract_if(.., |(since, _)| old(since)).map(|(_, claim)| claim).collect();
        drop(doubtful);
        let unheld: Vec<Claim> = settled.into_iter().filter(|claim| !held.contains(claim)).collect();
        tracing::debug!(count = unheld.len(), "numbers of writes that were not made are free again");
        self.free(&unheld);
    }

    /// Everything a service holds.
    fn claims(&self, service: &Value) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut addresses: Vec<&str> = service.items("spec.clusterIPs").iter().filter_map(Value::as_str).collect();
        if addresses.is_empty() {
            addresses.push(service.text("spec.clusterIP"));
        }
        claims.extend(
            addresses.into_iter().filter_map(|text| self.network.place(ip::parse_ip(text)?)).map(Claim::Address),
        );
        let ports = service.items("spec.ports").iter().filter_map(|port| port.int("nodePort"));
        for port in ports.chain(service.int("spec.healthCheckNodePort")) {
            if let Some(claim) = self.port_claim(port).filter(|claim| !claims.contains(claim)) {
                claims.push(claim);
            }
        }
        claims
    }

    /// The claim of a port of the range.
    fn port_claim(&self, port: i64) -> Option<Claim> {
        let place = usize::try_from(port - i64::from(self.first_port)).ok()?;
        (place < self.ports.lock().size()).then_some(Claim::Port(place))
    }

    fn port(&self, place: usize) -> u16 {
        self.first_port + u16::try_from(place).unwrap_or(0)
    }

    fn take(&self, claim: Claim) -> bool {
        match claim {
            Claim::Address(place) => self.addresses.lock().take(place),
            Claim::Port(place) => self.ports.lock().take(place),
        }
    }

    fn free(&self, claims: &[Claim]) {
        for claim in claims {
            match claim {
                Claim::Address(place) => self.addresses.lock().free(*place),
                Claim::Port(place) => self.ports.lock().free(*place),
            }
        }
    }
}

impl Hold<'_> {
    /// The write begins. Until its outcome is known, a caller that goes away (a client that hangs up) leaves its numbers
    /// taken: the store may make the write all the same.
    pub(crate) fn begin(&mut self) {
        self.doubt = true;
    }

    /// The write was not made.
    pub(crate) fn fail(&mut self) {
        self.doubt = false;
    }

    /// The write was made: its numbers stay, those it gave up are free.
    pub(crate) fn keep(mut self) {
        self.doubt = false;
        self.taken.clear();
        self.allocators.free(&self.freed);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.doubt {
            let (now, claims) = (Instant::now(), self.taken.drain(..).chain(self.freed.drain(..)));
            self.allocators.doubtful.lock().extend(claims.map(|claim| (now, claim)));
        } else {
            self.allocators.free(&self.taken);
        }
    }
}

impl Network {
    /// At most so many addresses of a network are used.
    const MOST: u128 = 1 << 20;

    fn new((address, bits): (IpAddr, u8)) -> Self {
        let network = ip::mask(address, bits);
        let (base, v6) = match network {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), false),
            IpAddr::V6(v6) => (v6.to_bits(), true),
        };
        let width = if v6 { 128 } else { 32 };
        let size = 1u128.checked_shl(width - u32::from(bits)).unwrap_or(u128::MAX);
        // Neither the network's own address nor, in IPv4, the broadcast address.
        let usable = size.saturating_sub(if v6 { 1 } else { 2 }).min(Self::MOST);
        Self { base, bits, v6, usable: usize::try_from(usable).unwrap_or(0) }
    }

    fn address(&self, place: usize) -> IpAddr {
        let number = self.base + 1 + place as u128;
        match self.v6 {
            true => IpAddr::from(number.to_be_bytes()),
            // An IPv4 network's addresses fit.
            false => IpAddr::from(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()),
        }
    }

    /// The number of an address, if it can be given out.
    fn place(&self, address: IpAddr) -> Option<usize> {
        let number = match address {
            IpAddr::V4(v4) if !self.v6 => u128::from(v4.to_bits()),
            IpAddr::V6(v6) if self.v6 => v6.to_bits(),
            _ => return None,
        };
        let place = usize::try_from(number.checked_sub(self.base + 1)?).ok()?;
        (place < self.usable).then_some(place)
    }

    fn family(&self) -> &'static str {
        if self.v6 { "IPv6" } else { "IPv4" }
    }

    fn cidr(&self) -> String {
        let base = match self.v6 {
            true => IpAddr::from(self.base.to_be_bytes()),
            false => IpAddr::from(u32::try_from(self.base).unwrap_or(0).to_be_bytes()),
        };
        format!("{base}/{}", self.bits)
    }
}
