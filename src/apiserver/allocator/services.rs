//! What a new or changed service asks for, and what it gets.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::ip;
use serde_json::{Value, json};

use super::{Allocators, Claim, Hold};
use crate::strategy;
use crate::tree::Tree;

impl Allocators {
    /// Gives a service what it needs and writes it into `new`; `old` is the service as it is. The complaints are
    /// upstream's.
    pub(crate) fn allocate(&self, new: &mut Value, old: Option<&Value>) -> Result<Hold<'_>, ErrorList> {
        let wrong = strategy::addresses(new, old);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let before = old.map(|old| self.claims(old)).unwrap_or_default();
        let mut hold = Hold { allocators: self, taken: Vec::new(), freed: Vec::new(), doubt: false };
        self.address(new, old, &before, &mut hold)?;
        self.node_ports(new, old, &before, &mut hold)?;
        let after = self.claims(new);
        hold.freed = before.into_iter().filter(|claim| !after.contains(claim)).collect();
        Ok(hold)
    }

    fn address(
        &self,
        service: &mut Value,
        old: Option<&Value>,
        before: &[Claim],
        hold: &mut Hold<'_>,
    ) -> Result<(), ErrorList> {
        if service.text("spec.type") == "ExternalName" {
            return Ok(());
        }
        self.families(service, old)?;
        // Who has an address keeps it: that it may not change is said elsewhere.
        let has_one =
            |service: &Value| service.text("spec.type") != "ExternalName" && service.at("spec.clusterIP").is_some();
        if old.is_some_and(has_one) {
            return Ok(());
        }
        let asked = match service.text("spec.clusterIP") {
            "" => service.items("spec.clusterIPs").first().and_then(Value::as_str).unwrap_or_default(),
            asked => asked,
        };
        let path = Path::root("spec").child("clusterIPs");
        let address = match asked {
            "None" => "None".to_owned(),
            "" => {
                let Some(place) = self.addresses.lock().take_any() else {
                    return Err(vec![Error::internal(&path, "failed to allocate a serviceIP: range is full")].into());
                };
                hold.taken.push(Claim::Address(place));
                self.network.address(place).to_string()
            }
            asked => {
                let refuse = |why: String| {
                    let why = format!("failed to allocate IP {asked}: {why}");
                    ErrorList::from(vec![Error::invalid(&path, json!([asked]), why)])
                };
                let place = ip::parse_ip(asked).and_then(|address| self.network.place(address)).ok_or_else(|| {
                    let range = self.network.cidr();
                    refuse(format!(
                        "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {range}"
                    ))
                })?;
                if !before.contains(&Claim::Address(place)) {
                    if !self.addresses.lock().take(place) {
                        return Err(refuse("provided IP is already allocated".into()));
                    }
                    hold.taken.push(Claim::Address(place));
                }
                asked.to_owned()
            }
        };
        service.put("spec.clusterIPs", json!([address]));
        service.put("spec.clusterIP", address);
        Ok(())
    }

    /// One family, that of the network. A headless service that selects nothing may have addresses of both.
    fn families(&self, service: &mut Value, old: Option<&Value>) -> Result<(), ErrorList> {
        let family = self.network.family();
        let unselected = service.text("spec.clusterIP") == "None" && service.at("spec.selector").is_none();
        service.default_to("spec.ipFamilyPolicy", if unselected { "RequireDualStack" } else { "SingleStack" });
        let policy = service.text("spec.ipFamilyPolicy").to_owned();
        self.one_or_two(service, old, &policy)?;
        let other = if family == "IPv4" { "IPv6" } else { "IPv4" };
        if unselected {
            service.default_to("spec.ipFamilies", json!([family]));
            let first = service.items("spec.ipFamilies").first().cloned().unwrap_or_default();
            if policy != "SingleStack" && service.items("spec.ipFamilies").len() < 2 {
                let second = if first == family { other } else { family };
                service.put("spec.ipFamilies", json!([first, second]));
            }
            return Ok(());
        }
        let path = Path::root("spec");
        let mut errors = ErrorList::new();
        if policy == "RequireDualStack" {
            let why = "this cluster is not configured for dual-stack services";
            errors.push(Error::invalid(&path.child("ipFamilyPolicy"), policy, why));
        }
        for (at, asked) in service.items("spec.ipFamilies").iter().enumerate().filter(|(_, asked)| *asked != family) {
            let path = path.child("ipFamilies").index(at);
            errors.push(Error::invalid(&path, asked.clone(), "not configured on this cluster"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        service.put("spec.ipFamilies", json!([family]));
        Ok(())
    }

    /// As many addresses and families as the policy means. Who changes it to one, and nothing else, gives up the second.
    fn one_or_two(&self, service: &mut Value, old: Option<&Value>, policy: &str) -> Result<(), ErrorList> {
        let (family, path) = (self.network.family(), Path::root("spec"));
        let mut errors = ErrorList::new();
        for (field, released, several) in
            [("clusterIPs", "cluster IP", "cluster IPs"), ("ipFamilies", "IP family", "IP families")]
        {
            let at = format!("spec.{field}");
            let (now, before) = (service.items(&at).to_vec(), old.map_or(&[][..], |old| old.items(&at)));
            let wrong = |why: String| Error::invalid(&path.child("ipFamilyPolicy"), policy, why);
            if policy != "SingleStack" {
                if !now.is_empty() && now.len() < before.len() {
                    errors.push(wrong(format!("must be 'SingleStack' to release the secondary {released}")));
                }
            } else if now.len() > 1 && now == before {
                service.put(&at, json!([now[0]]));
            } else if now.len() == 2 {
                let why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
                errors.push(wrong(format!("{why} {several} are specified")));
            }
        }
        let alone = [service.at("spec.clusterIP").cloned().unwrap_or_default()];
        let addresses = match service.items("spec.clusterIPs") {
            [] if alone[0].is_string() => &alone[..],
            addresses => addresses,
        };
        let unnamed = addresses.iter().enumerate().skip(service.items("spec.ipFamilies").len());
        for (at, address) in unnamed.filter(|(_, address)| *address != "None") {
            let is_v6 = address.as_str().and_then(ip::parse_ip).is_some_and(|address| address.is_ipv6());
            let asked = if is_v6 { "IPv6" } else { "IPv4" };
            if asked != family {
                let path = path.child("clusterIPs").index(at);
                errors.push(Error::invalid(
                    &path,
                    addresses.to_vec(),
                    format!("{asked} is not configured on this cluster"),
                ));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn node_ports(
        &self,
        service: &mut Value,
        old: Option<&Value>,
        before: &[Claim],
        hold: &mut Hold<'_>,
    ) -> Result<(), ErrorList> {
        let is_new = old.is_none();
        let kind = service.text("spec.type").to_owned();
        let needed = match kind.as_str() {
            "NodePort" => true,
            "LoadBalancer" => service.at("spec.allocateLoadBalancerNodePorts") != Some(&Value::Bool(false)),
            _ => false,
        };
        // Of other services they are forbidden, which is said elsewhere.
        if !matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            return Ok(());
        }
        let path = Path::root("spec").child("ports");
        // Ports of one number, under several protocols, have one node port in a new service.
        let mut given: Vec<(i64, i64)> = service.items("spec.ports").iter().filter_map(asks).collect();
        let mut claimed: Vec<(i64, i64)> = Vec::new();
        for (at, port) in service.items_mut("spec.ports").iter_mut().enumerate() {
            match asks(port) {
                Some(both) if is_new && claimed.contains(&both) => {}
                Some(both) => {
                    let taken = if is_new { &[][..] } else { &hold.taken[..] };
                    let before: Vec<Claim> = before.iter().chain(taken).copied().collect();
                    self.claim_port(both.1, &path.index(at).child("nodePort"), &before, hold)?;
                    claimed.push(both);
                }
                None if needed => {
                    let number = port.int("port").unwrap_or(0);
                    let same =
                        given.iter().filter(|_| is_new).find(|(port, _)| *port == number).map(|(_, given)| *given);
                    let node_port = match same {
                        Some(node_port) => node_port,
                        None => i64::from(self.any_port(&path.index(at).child("nodePort"), hold)?),
                    };
                    given.push((number, node_port));
                    port.put("nodePort", node_port);
                }
                None => {}
            }
        }
        let is_checked = |service: &Value| {
            service.text("spec.externalTrafficPolicy") == "Local" && service.text("spec.type") == "LoadBalancer"
        };
        // Who has one may not change it, which is said elsewhere.
        let local = is_checked(service) && !old.is_some_and(is_checked);
        let path = Path::root("spec").child("healthCheckNodePort");
        match service.int("spec.healthCheckNodePort").filter(|port| *port != 0) {
            Some(asked) if local => self.claim_port(asked, &path, before, hold)?,
            None if local => {
                let port = self.any_port(&path, hold)?;
                service.put("spec.healthCheckNodePort", port);
            }
            _ => {}
        }
        Ok(())
    }

    fn any_port(&self, path: &Path, hold: &mut Hold<'_>) -> Result<u16, ErrorList> {
        let full = || ErrorList::from(vec![Error::internal(path, "failed to allocate a nodePort: range is full")]);
        let place = self.ports.lock().take_any().ok_or_else(full)?;
        hold.taken.push(Claim::Port(place));
        Ok(self.port(place))
    }

    fn claim_port(&self, asked: i64, path: &Path, before: &[Claim], hold: &mut Hold<'_>) -> Result<(), ErrorList> {
        let refuse = |why: String| ErrorList::from(vec![Error::invalid(path, asked, why)]);
        let Some(claim) = self.port_claim(asked) else {
            let last = self.port(self.ports.lock().size() - 1);
            let range = format!("{}-{last}", self.first_port);
            return Err(refuse(format!(
                "provided port is not in the valid range. The range of valid ports is {range}"
            )));
        };
        if before.contains(&claim) {
            return Ok(());
        }
        if !self.take(claim) {
            return Err(refuse("provided port is already allocated".into()));
        }
        hold.taken.push(claim);
        Ok(())
    }
}

/// Port and node port of a port that asks for one.
fn asks(port: &Value) -> Option<(i64, i64)> {
    Some((port.int("port").unwrap_or(0), port.int("nodePort").filter(|port| *port != 0)?))
}
