//! service-cidr-controller: says which networks of services are in use, and holds those that are to be deleted.
//!
//! Watches: service CIDRs, IP addresses.
//! Writes: the condition Ready and the finalizer of service CIDRs.
//! Invariant: a service CIDR goes only when every address allocated from it lies in another one too.

use std::net::IpAddr;
use std::sync::Arc;

use api::tree::Tree;
use api::{Object, Patch};
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use jiff::Timestamp;
use serde_json::{Value, json};
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::expectations::seen;
use crate::pods::{Condition, set_condition};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

pub(crate) fn controller(setup: &Setup) -> Controller<Cidrs> {
    let client = setup.client.clone();
    let state =
        Cidrs { cidrs: client.cache(&kinds::service_cidrs()), addresses: client.cache(&kinds::ip_addresses()), client };
    Controller::new("service-cidr-controller", Arc::new(state), reconcile)
        .watch(&kinds::service_cidrs(), of_cidr)
        .watch(&kinds::ip_addresses(), |state: &Cidrs, change: &Change, keys: &mut Keys<'_>| {
            if change.kind == ChangeKind::Deleted {
                state.add_deleting(keys);
            }
        })
}

pub(crate) struct Cidrs {
    client: Client,
    cidrs: Arc<Cache>,
    addresses: Arc<Cache>,
}

fn of_cidr(state: &Cidrs, change: &Change, keys: &mut Keys<'_>) {
    itself(state, change, keys);
    // A new network may hold the addresses of one that waits to go.
    state.add_deleting(keys);
}

async fn reconcile(state: Arc<Cidrs>, name: Key) -> Result {
    let Some(cidr) = state.cidrs.get_key(&name) else { return Ok(Outcome::Done) };
    let held = cidr.meta.finalizers.iter().any(|finalizer| &**finalizer == FINALIZER);
    if !cidr.meta.is_deleting() {
        if !held {
            state.patch(&cidr, "", json!({ "metadata": { "finalizers": [FINALIZER] } })).await?;
        }
        return state.show(&cidr, "True", "", "Kubernetes Service CIDR is ready").await;
    }
    if !held {
        return Ok(Outcome::Done);
    }
    if state.is_needed(&cidr)? {
        let why =
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        return state.show(&cidr, "False", "Terminating", why).await;
    }
    state.patch(&cidr, "", json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [FINALIZER] } })).await?;
    Ok(Outcome::Done)
}

impl Cidrs {
    fn add_deleting(&self, keys: &mut Keys<'_>) {
        self.cidrs.list("").iter().filter(|cidr| cidr.meta.is_deleting()).for_each(|cidr| keys.object(cidr));
    }

    /// Whether an address lies in this network and in no other that stays.
    fn is_needed(&self, cidr: &Object) -> std::result::Result<bool, api::ObjectError> {
        let mine = networks(&cidr.to_value()?);
        let mut others = Vec::new();
        for other in self.cidrs.list("").iter().filter(|o| o.meta.uid != cidr.meta.uid && !o.meta.is_deleting()) {
            others.extend(networks(&other.to_value()?));
        }
        let within = |networks: &[(IpAddr, u8)], address| networks.iter().any(|network| contains(*network, address));
        let mut addresses = self.addresses.list("").into_iter().filter_map(|address| address.meta.name.parse().ok());
        Ok(addresses.any(|address| within(&mine, address) && !within(&others, address)))
    }

    async fn show(&self, cidr: &Object, status: &str, reason: &str, message: &str) -> Result {
        let tree = cidr.to_value()?;
        let old: Vec<Condition> = serde_json::from_value(tree["status"]["conditions"].clone()).unwrap_or_default();
        let mut new = old.clone();
        set_condition(
            &mut new,
            Condition {
                kind: "Ready".into(),
                status: status.into(),
                last_transition_time: Some(Timestamp::now()),
                reason: Some(reason.into()),
                message: Some(message.into()),
            },
        );
        if new != old {
            self.patch(cidr, "status", json!({ "status": { "conditions": new } })).await?;
        }
        Ok(Outcome::Done)
    }

    async fn patch(&self, cidr: &Object, subresource: &str, mut patch: Value) -> std::result::Result<(), api::Status> {
        patch["metadata"]["uid"] = (&*cidr.meta.uid).into();
        let written =
            self.client.patch(self.cidrs.resource(), "", &cidr.meta.name, subresource, Patch::Strategic(patch));
        match written.await {
            Ok(written) => seen(&self.cidrs, &written).await,
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status),
        }
        Ok(())
    }
}

fn networks(cidr: &Value) -> Vec<(IpAddr, u8)> {
    let parse = |cidr: &Value| {
        let (address, prefix) = cidr.as_str()?.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok()?))
    };
    cidr.items("spec.cidrs").iter().filter_map(parse).collect()
}

fn contains((base, prefix): (IpAddr, u8), address: IpAddr) -> bool {
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(prefix.min(32));
            base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(prefix.min(128));
            base.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Running;
    use api::DeleteOptions;
    use client::testing::Cluster;

    #[tokio::test(start_paused = true)]
    async fn a_network_stays_while_its_addresses_are_used() {
        let cluster = Cluster::new();
        let (client, cidrs, addresses) = (cluster.client(), kinds::service_cidrs(), kinds::ip_addresses());
        let cidr = |name: &str, cidr: &str| json!({ "metadata": { "name": name }, "spec": { "cidrs": [cidr] } });
        client.create(&cidrs, "", cidr("more", "10.50.0.0/24")).await.unwrap();
        client.create(&addresses, "", json!({ "metadata": { "name": "10.50.0.7" } })).await.unwrap();
        client.create(&addresses, "", json!({ "metadata": { "name": "10.43.0.1" } })).await.unwrap();
        let running = Running::start(&cluster, &["service-cidr-controller"], Options::default());
        let ready = |status: &'static str| move |all: &[Value]| all[0]["status"]["conditions"][0]["status"] == status;
        running.until(&cidrs, ready("True")).await;
        client.delete(&cidrs, "", "more", DeleteOptions::default()).await.unwrap();
        running.until(&cidrs, ready("False")).await;
        client.delete(&addresses, "", "10.50.0.7", DeleteOptions::default()).await.unwrap();
        running.until(&cidrs, <[Value]>::is_empty).await;
        running.stop().await;
    }

    #[test]
    fn addresses_are_found_in_their_network() {
        let check = |network: &str, address: &str, expect: bool| {
            let network = networks(&json!({ "spec": { "cidrs": [network] } }))[0];
            assert_eq!(contains(network, address.parse().unwrap()), expect, "{network:?} {address}");
        };
        check("10.43.0.0/16", "10.43.255.1", true);
        check("10.43.0.0/16", "10.44.0.1", false);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("fd00::/112", "fd00::ffff", true);
        check("fd00::/112", "10.43.0.1", false);
    }
}
