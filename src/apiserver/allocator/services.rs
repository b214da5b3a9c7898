//! What a new or changed service asks for, and what it gets.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::ip;
use serde_json::{Value, json};

use super::{Allocators, Claim, Hold};
use crate::tree::Tree;

impl Allocators {
    /// Gives a service what it needs and writes it into `new`; `old` is the service as it is. The complaints are
    /// upstream's.
    pub(crate) fn allocate(&self, new: &mut Value, old: Option<&Value>) -> Result<Hold<'_>, ErrorList> {
        let before = old.map(|old| self.claims(old)).unwrap_or_default();
        let mut hold = Hold { allocators: self, taken: Vec::new(), freed: Vec::new(), doubt: false };
        self.address(new, &before, &mut hold)?;
        self.node_ports(new, &before, &mut hold)?;
        let after = self.claims(new);
        hold.freed = before.into_iter().filter(|claim| !after.contains(claim)).collect();
        Ok(hold)
    }

    fn address(&self, service: &mut Value, before: &[Claim], hold: &mut Hold<'_>) -> Result<(), ErrorList> {
        if service.text("spec.type") == "ExternalName" {
            return Ok(());
        }
        self.families(service)?;
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
    fn families(&self, service: &mut Value) -> Result<(), ErrorList> {
        let family = self.network.family();
        let unselected = service.text("spec.clusterIP") == "None" && service.at("spec.selector").is_none();
        if unselected {
            let other = if family == "IPv4" { "IPv6" } else { "IPv4" };
            service.default_to("spec.ipFamilyPolicy", "RequireDualStack");
            service.default_to("spec.ipFamilies", json!([family, other]));
            return Ok(());
        }
        let path = Path::root("spec");
        if service.text("spec.ipFamilyPolicy") == "RequireDualStack" {
            let why = "this cluster is not configured for dual-stack services";
            return Err(vec![Error::invalid(&path.child("ipFamilyPolicy"), "RequireDualStack", why)].into());
        }
        for (at, asked) in service.items("spec.ipFamilies").iter().enumerate() {
            if asked != family {
                let path = path.child("ipFamilies").index(at);
                return Err(vec![Error::invalid(&path, asked.clone(), "not configured on this cluster")].into());
            }
        }
        service.default_to("spec.ipFamilyPolicy", "SingleStack");
        service.put("spec.ipFamilies", json!([family]));
        Ok(())
    }

    fn node_ports(&self, service: &mut Value, before: &[Claim], hold: &mut Hold<'_>) -> Result<(), ErrorList> {
        let kind = service.text("spec.type").to_owned();
        let needed = match kind.as_str() {
            "NodePort" => true,
            "LoadBalancer" => service.at("spec.allocateLoadBalancerNodePorts") != Some(&Value::Bool(false)),
            _ => false,
        };
        let path = Path::root("spec").child("ports");
        // Ports of one number, under several protocols, have one node port.
        let mut given: Vec<(i64, i64)> = service.items("spec.ports").iter().filter_map(asks).collect();
        for (at, port) in service.items_mut("spec.ports").iter_mut().enumerate() {
            match asks(port) {
                Some((_, asked)) => self.claim_port(asked, &path.index(at).child("nodePort"), before, hold)?,
                None if needed => {
                    let number = port.int("port").unwrap_or(0);
                    let same = given.iter().find(|(port, _)| *port == number).map(|(_, given)| *given);
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
        let local = service.text("spec.externalTrafficPolicy") == "Local" && kind == "LoadBalancer";
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
        if before.contains(&claim) || hold.taken.contains(&claim) {
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
    Some((port.int("port")?, port.int("nodePort").filter(|port| *port != 0)?))
}
