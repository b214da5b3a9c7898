//! Services, endpoints and pods as DNS looks them up.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api::{Object, meta};
use serde::Deserialize;
use watch_cache::{Cache, ChangeKind, Subscription};

/// What DNS says of one Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Service {
    /// Cluster addresses; none for headless and external ones.
    pub(super) addresses: Vec<IpAddr>,
    /// Name, protocol and port.
    pub(super) ports: Vec<(String, String, u16)>,
    /// Where an ExternalName points.
    pub(super) external_name: Option<String>,
    /// Whether not-ready endpoints are published.
    pub(super) publish_not_ready: bool,
}

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) hostname: Option<String>,
    pub(super) ready: bool,
    pub(super) ports: Arc<[(String, String, u16)]>,
}

/// The index and its places in the caches.
pub(super) struct Index {
    services: Follower,
    slices: Follower,
    state: State,
}

/// What lookups read.
#[derive(Default)]
pub(super) struct State {
    pub(super) services: HashMap<String, Service>,
    /// By `namespace/service`, then by slice.
    pub(super) endpoints: HashMap<String, BTreeMap<String, Vec<Endpoint>>>,
    /// The `namespace/service` that each `namespace/slice` is filed under.
    filed: HashMap<String, String>,
    /// Names of addresses, for reverse lookups: services, and endpoints with host names.
    pub(super) names: HashMap<IpAddr, BTreeMap<String, String>>,
}

/// A cache and how far it has been read.
struct Follower {
    cache: Arc<Cache>,
    subscription: Option<Subscription>,
}

/// `namespace/name`, and the object as it is now; `None` for one that is gone.
type Seen = (String, Option<Arc<Object>>);

impl Follower {
    /// What changed since last time. `true` when everything before must be forgotten.
    fn changes(&mut self) -> (bool, Vec<Seen>) {
        let mut all = Vec::new();
        if let Some(subscription) = &mut self.subscription {
            loop {
                match subscription.ready() {
                    Ok(changes) if changes.is_empty() => return (false, all),
                    Ok(changes) => all.extend(changes.iter().map(|change| {
                        let object = (change.kind != ChangeKind::Deleted).then(|| change.object.clone());
                        (change.object.meta.key(), object)
                    })),
                    // Passed by: start again.
                    Err(_) => break,
                }
            }
        }
        let (snapshot, subscription) = self.cache.subscribe();
        self.subscription = Some(subscription);
        (true, snapshot.range("", None).map(|object| (object.meta.key(), Some(object.clone()))).collect())
    }
}

impl Index {
    /// An index over these caches; read at the first lookup.
    pub(super) fn new(services: Arc<Cache>, slices: Arc<Cache>) -> Self {
        Self {
            services: Follower { cache: services, subscription: None },
            slices: Follower { cache: slices, subscription: None },
            state: State::default(),
        }
    }

    /// The state as of now.
    pub(super) fn current(&mut self) -> &State {
        let (all, changes) = self.services.changes();
        if all {
            self.state.services.clear();
            self.state.names.clear();
        }
        for (key, object) in changes {
            self.state.put_service(&key, object.and_then(|o| o.view::<ServiceView>().ok()));
        }
        let (all, changes) = self.slices.changes();
        if all {
            self.state.endpoints.clear();
            self.state.filed.clear();
        }
        for (key, object) in changes {
            let service =
                object.as_ref().and_then(|o| Some(o.meta.labels.get("kubernetes.io/service-name")?.to_owned()));
            self.state.put_slice(&key, service, object.and_then(|o| o.view::<SliceView>().ok()));
        }
        &self.state
    }
}

impl State {
    fn put_service(&mut self, key: &str, view: Option<ServiceView>) {
        if let Some(old) = self.services.remove(key) {
            for address in old.addresses {
                self.unname(address, key);
            }
        }
        let Some(ServiceView { spec }) = view else { return };
        let addresses: Vec<IpAddr> = match spec.cluster_ips.is_empty() {
            true => spec.cluster_ip.iter().filter_map(|ip| ip.parse().ok()).collect(),
            false => spec.cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
        };
        let (namespace, name) = meta::split_key(key);
        for address in &addresses {
            self.names.entry(*address).or_default().insert(key.to_owned(), format!("{name}.{namespace}.svc"));
        }
        let external_name = spec.external_name.filter(|_| spec.r#type.as_deref() == Some("ExternalName"));
        let ports = spec
            .ports
            .into_iter()
            .map(|p| (p.name.unwrap_or_default(), p.protocol.to_ascii_lowercase(), p.port))
            .collect();
        let service = Service { addresses, ports, external_name, publish_not_ready: spec.publish_not_ready_addresses };
        self.services.insert(key.to_owned(), service);
    }

    fn put_slice(&mut self, key: &str, service: Option<String>, view: Option<SliceView>) {
        let (namespace, slice) = meta::split_key(key);
        if let Some(holder) = self.filed.remove(key)
            && let Some(slices) = self.endpoints.get_mut(&holder)
        {
            let old = slices.remove(slice).unwrap_or_default();
            if slices.is_empty() {
                self.endpoints.remove(&holder);
            }
            for endpoint in old.iter().filter(|e| e.hostname.is_some()) {
                self.unname(endpoint.address, key);
            }
        }
        let (Some(service), Some(view)) = (service, view) else { return };
        let ports: Arc<[_]> = view
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(|p| {
                Some((p.name.unwrap_or_default(), p.protocol.to_ascii_lowercase(), u16::try_from(p.port?).ok()?))
            })
            .collect();
        let mut endpoints = Vec::new();
        for endpoint in view.endpoints.unwrap_or_default() {
            let ready = endpoint.conditions.ready.unwrap_or(true);
            for address in endpoint.addresses.iter().filter_map(|ip| ip.parse().ok()) {
                if let Some(hostname) = &endpoint.hostname {
                    let name = format!("{hostname}.{service}.{namespace}.svc");
                    self.names.entry(address).or_default().insert(key.to_owned(), name);
                }
                endpoints.push(Endpoint { address, hostname: endpoint.hostname.clone(), ready, ports: ports.clone() });
            }
        }
        let holder = meta::key(namespace, &service);
        self.filed.insert(key.to_owned(), holder.clone());
        self.endpoints.entry(holder).or_default().insert(slice.to_owned(), endpoints);
    }

    fn unname(&mut self, address: IpAddr, key: &str) {
        if let Some(names) = self.names.get_mut(&address) {
            names.remove(key);
            if names.is_empty() {
                self.names.remove(&address);
            }
        }
    }
}

#[derive(Deserialize)]
struct ServiceView {
    spec: ServiceSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", default)]
    cluster_ips: Vec<String>,
    external_name: Option<String>,
    #[serde(default)]
    ports: Vec<ServicePort>,
    #[serde(default)]
    publish_not_ready_addresses: bool,
}

#[derive(Deserialize)]
struct ServicePort {
    name: Option<String>,
    #[serde(default = "tcp")]
    protocol: String,
    port: u16,
}

#[derive(Deserialize)]
struct SliceView {
    endpoints: Option<Vec<EndpointView>>,
    ports: Option<Vec<EndpointPort>>,
}

#[derive(Deserialize)]
struct EndpointView {
    #[serde(default)]
    addresses: Vec<String>,
    hostname: Option<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct EndpointPort {
    name: Option<String>,
    #[serde(default = "tcp")]
    protocol: String,
    port: Option<i32>,
}

fn tcp() -> String {
    "TCP".into()
}
