//! Which endpoints a service port's traffic goes to.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use super::plan::Context;
use super::view::{ServicePort, SliceEndpoint, SliceView};
use crate::nft::Endpoint;

/// The endpoints of one service port, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// For policy Cluster.
    pub(super) cluster: Arc<[Endpoint]>,
    /// For policy Local: those on this node.
    pub(super) local: Arc<[Endpoint]>,
    /// How many of the local ones are ready, which is what health checks ask.
    pub(super) local_ready: usize,
}

struct Candidate<'a> {
    endpoint: &'a SliceEndpoint,
    ready: bool,
    local: bool,
}

/// Merges the slices and chooses: the ready ones, and if there are none, those that terminate but still serve.
pub(super) fn select<'a>(
    context: &Context,
    port: &ServicePort,
    slices: impl IntoIterator<Item = &'a SliceView>,
) -> Endpoints {
    let candidates = collect(context, port, slices);
    let usable = |from: &[(&SocketAddrV4, &Candidate<'_>)]| -> Vec<(SocketAddrV4, bool)> {
        let ready = from.iter().any(|(_, candidate)| candidate.ready);
        from.iter().filter(|(_, c)| !ready || c.ready).map(|(address, c)| (**address, c.ready)).collect()
    };
    let all: Vec<_> = candidates.iter().collect();
    let local: Vec<_> = candidates.iter().filter(|(_, candidate)| candidate.local).collect();
    let local = usable(&local);
    Endpoints {
        cluster: usable(&near(context, all)).into_iter().map(|(address, _)| address).collect(),
        local_ready: local.iter().filter(|(_, ready)| *ready).count(),
        local: local.into_iter().map(|(address, _)| address).collect(),
    }
}

/// All endpoints that are ready, or terminating and serving; each address once, its best state counting.
fn collect<'a>(
    context: &Context,
    port: &ServicePort,
    slices: impl IntoIterator<Item = &'a SliceView>,
) -> BTreeMap<SocketAddrV4, Candidate<'a>> {
    let mut candidates = BTreeMap::new();
    for slice in slices.into_iter().filter(|slice| slice.address_type == "IPv4") {
        let fits = |p: &&super::view::SlicePort| {
            p.name.as_deref().unwrap_or_default() == port.name && p.protocol() == port.protocol()
        };
        for number in slice.ports.iter().flatten().filter(fits).filter_map(|p| p.port) {
            for endpoint in slice.endpoints.iter().flatten() {
                let conditions = endpoint.conditions;
                let ready = conditions.ready.unwrap_or(true);
                let serving = conditions.serving.unwrap_or(ready);
                let terminating = conditions.terminating.unwrap_or(false);
                let last_resort = serving && terminating;
                if !ready && !last_resort {
                    continue;
                }
                let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else { continue };
                let local = endpoint.node_name.as_deref() == Some(&*context.node_name);
                let candidate = Candidate { endpoint, ready, local };
                let known: &mut Candidate<'_> =
                    candidates.entry(SocketAddrV4::new(address, number)).or_insert_with(|| Candidate { ..candidate });
                if ready && !known.ready {
                    *known = candidate;
                }
            }
        }
    }
    candidates
}

/// Narrows to those hinted at for this node, else for its zone, provided every ready one has such hints and one of them is
/// ours; a half-written set of hints must not leave anybody without an endpoint.
fn near<'m, 'a>(
    context: &Context,
    all: Vec<(&'m SocketAddrV4, &'m Candidate<'a>)>,
) -> Vec<(&'m SocketAddrV4, &'m Candidate<'a>)> {
    let narrow = |ours: &dyn Fn(&Candidate<'_>) -> Option<bool>| {
        let mut ready = all.iter().filter(|(_, candidate)| candidate.ready).map(|(_, candidate)| ours(candidate));
        let complete = ready.clone().all(|hint| hint.is_some()) && ready.any(|hint| hint == Some(true));
        complete.then(|| all.iter().copied().filter(|(_, candidate)| ours(candidate) == Some(true)).collect())
    };
    let named = |names: &[super::view::HintName], name: &str| {
        (!names.is_empty()).then(|| names.iter().any(|hint| hint.name == name))
    };
    let node = |candidate: &Candidate<'_>| named(&candidate.endpoint.hints.as_ref()?.for_nodes, &context.node_name);
    let zone = |candidate: &Candidate<'_>| {
        named(&candidate.endpoint.hints.as_ref()?.for_zones, context.zone.as_deref().unwrap_or_default())
    };
    narrow(&node).or_else(|| context.zone.as_ref().and_then(|_| narrow(&zone))).unwrap_or(all)
}
