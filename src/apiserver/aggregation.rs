//! Aggregation: groups and versions that other API servers serve, behind this one. An APIService names a Service, and
//! requests below `/apis/<group>/<version>` go there, with the user's name in headers and a certificate that vouches for them.
//!
//! [`availability`] finds out who answers, [`discovered`] what they serve, [`registration`] keeps an APIService for every
//! group and version that this server serves itself, [`proxy`] passes requests on.

mod availability;
pub(crate) mod discovered;
mod fetch;
mod identity;
pub(crate) mod listed;
mod objects;
pub(crate) mod priorities;
mod proxy;
mod registration;
pub(crate) mod resources;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api::{Object, ObjectError, Resource};
use arc_swap::ArcSwap;
use base64::Engine;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use watch_cache::Cache;

use crate::Registry;
use crate::endpoints::ServiceEndpoints;
use crate::metrics::table::Counts;
use crate::openapi::OpenApi;
use crate::proxy::Connections;
use crate::trust::{self, Trust, TrustError};
use discovered::Discovered;
use identity::Shown;
use listed::Listed;

pub(crate) use availability::{prepare, run as watch_availability};
pub use identity::FrontProxyIdentity;
pub(crate) use proxy::{serve, until};
pub(crate) use registration::run as register;

/// What is known of other API servers.
#[derive(Debug)]
pub(crate) struct Aggregator {
    services: Arc<Cache>,
    endpoints: ServiceEndpoints,
    identity: Arc<FrontProxyIdentity>,
    remotes: ArcSwap<Remotes>,
    discovered: ArcSwap<Discovered>,
    /// The generation of `discovered`.
    generation: watch::Sender<u64>,
    openapi: OpenApi,
    /// Whether what is built in has had its APIServices since the start.
    registered: AtomicBool,
    /// How often APIServices became unavailable, by name and reason.
    pub(crate) broken: Arc<Counts<2>>,
}

/// The APIServices that are served elsewhere, as of one state.
#[derive(Debug, Default)]
struct Remotes {
    revision: u64,
    shown: Option<Arc<Shown>>,
    all: Vec<Arc<Remote>>,
    /// Those that this server serves itself.
    local: Settled<Arc<Listed>>,
}

/// Objects of one cache, in its order, that need no second look as long as they stay as they are, and what the first look has
/// found. There is an APIService for every group and version, and most never change: whoever goes through all of them compares
/// pointers.
#[derive(Debug)]
struct Settled<T = ()>(Vec<(Arc<Object>, T)>);

impl<T> Default for Settled<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Settled<T> {
    /// To go through all once more, in order.
    fn again(&self) -> Again<'_, T> {
        Again(&self.0)
    }

    fn push(&mut self, object: Arc<Object>, found: T) {
        self.0.push((object, found));
    }
}

/// What is left of the settled ones.
struct Again<'a, T = ()>(&'a [(Arc<Object>, T)]);

impl<'a, T> Again<'a, T> {
    /// Whether the object is settled.
    fn has(&mut self, object: &Arc<Object>) -> bool {
        self.found(object).is_some()
    }

    /// What was found of the object, if it is settled. Asked in the order of the cache.
    fn found(&mut self, object: &Arc<Object>) -> Option<&'a T> {
        while let Some(((first, found), rest)) = self.0.split_first() {
            if Arc::ptr_eq(first, object) {
                self.0 = rest;
                return Some(found);
            }
            if first.meta.name >= object.meta.name {
                return None;
            }
            self.0 = rest;
        }
        None
    }
}

/// One group and version that another API server serves.
#[derive(Debug)]
pub(crate) struct Remote {
    name: String,
    group: String,
    version: String,
    spec: Value,
    group_priority: i64,
    version_priority: i64,
    namespace: String,
    service: String,
    port: u16,
    /// Whether its condition says that it answers.
    available: bool,
    /// The way to it, or why there is none.
    link: Result<Connections, String>,
}

#[derive(Deserialize)]
struct ApiService {
    spec: Value,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    group: String,
    version: String,
    #[serde(default)]
    group_priority_minimum: i64,
    #[serde(default)]
    version_priority: i64,
    service: Option<Service>,
    #[serde(default)]
    ca_bundle: Option<String>,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    insecure: bool,
}

#[derive(Deserialize)]
struct Service {
    namespace: String,
    name: String,
    port: Option<u16>,
}

impl Aggregator {
    /// Without an identity others are called without a certificate, which most refuse.
    pub(crate) fn new(
        registry: &Registry,
        identity: Option<Arc<FrontProxyIdentity>>,
        openapi: OpenApi,
    ) -> Result<Self, TrustError> {
        let identity = match identity {
            Some(identity) => identity,
            None => Arc::new(FrontProxyIdentity::none()?),
        };
        Ok(Self {
            services: registry.cached("apiregistration.k8s.io", "v1", "apiservices"),
            endpoints: registry.endpoints(),
            identity,
            remotes: ArcSwap::default(),
            discovered: ArcSwap::default(),
            generation: watch::Sender::default(),
            openapi,
            registered: AtomicBool::default(),
            broken: Arc::new(Counts::new(
                "aggregator_unavailable_apiservice",
                "How often APIServices became unavailable, by name and reason",
                ["name", "reason"],
            )),
        })
    }

    /// What others serve, as far as it is known.
    pub(crate) fn discovered(&self) -> Arc<Discovered> {
        self.discovered.load_full()
    }

    /// Who serves a path, if it is not this server: what is below a group and version, and its documents.
    pub(crate) fn claiming(&self, path: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes();
        if remotes.all.is_empty() {
            return None;
        }
        if let Some(name) = path.strip_prefix("/openapi/v3/") {
            let (group, version) = self.openapi.elsewhere(name)?;
            return remotes.serving(&group, &version).cloned();
        }
        let mut words = path.strip_prefix("/apis/")?.split('/');
        let (group, version) = (words.next()?, words.next()?);
        remotes.serving(group, version).cloned()
    }

    /// Whether another server serves a group and version.
    pub(crate) fn is_elsewhere(&self, group: &str, version: &str) -> bool {
        self.remotes().serving(group, version).is_some()
    }

    /// The kinds that others serve, each at every version, the preferred one first; and the groups and versions of which
    /// it is not known now.
    pub(crate) fn elsewhere(&self) -> (Vec<Arc<Resource>>, Vec<String>) {
        let (remotes, discovered) = (self.remotes(), self.discovered());
        let known = |remote: &Remote| discovered.versions.iter().any(|version| version.fresh && version.is_of(remote));
        let (known, stale): (Vec<&Arc<Remote>>, Vec<_>) = remotes.all.iter().partition(|remote| known(remote));
        let current: Vec<_> = discovered
            .versions
            .iter()
            .filter(|version| known.iter().any(|remote| version.is_of(remote)))
            .cloned()
            .collect();
        let mut rows = Vec::new();
        for group in crate::discovery::grouped(Vec::new(), &current) {
            let versions = group.versions.into_iter().filter_map(|(_, content)| content.into_remote());
            rows.extend(versions.flat_map(|version| version.rows().collect::<Vec<_>>()));
        }
        (rows, stale.iter().map(|remote| format!("{}/{}", remote.group, remote.version)).collect())
    }

    /// Changes whenever [`Aggregator::elsewhere`] does.
    pub(crate) fn elsewhere_changed(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Every APIService by its name, and whether it does not answer.
    pub(crate) fn unavailable(&self) -> Vec<(String, bool)> {
        let remotes = self.remotes();
        let silent = |name: &str| remotes.all.iter().any(|remote| remote.name == name && !remote.available);
        self.services
            .list("")
            .iter()
            .map(|service| (service.meta.name.to_string(), silent(&service.meta.name)))
            .collect()
    }

    fn remotes(&self) -> Arc<Remotes> {
        let (revision, shown) = (self.services.revision(), self.identity.shown());
        let known = self.remotes.load_full();
        if known.revision == revision && known.shown.as_ref().is_some_and(|known| Arc::ptr_eq(known, &shown)) {
            return known;
        }
        let same_identity = known.shown.as_ref().is_some_and(|known| Arc::ptr_eq(known, &shown));
        let before = if same_identity { &*known.all } else { &[] };
        let (mut all, mut local, mut settled) = (Vec::new(), Settled::default(), known.local.again());
        for object in self.services.list("") {
            if let Some(found) = settled.found(&object) {
                local.push(object, found.clone());
                continue;
            }
            match Remote::met(&object, &shown, before) {
                Ok(Met::Remote(remote)) => all.push(remote),
                Ok(Met::Local(listed)) => local.push(object, Arc::new(listed)),
                // It was decoded when it was written.
                Err(error) => tracing::error!(%error, name = &*object.meta.name, "an APIService cannot be read"),
            }
        }
        let remotes = Arc::new(Remotes { revision, shown: Some(shown), all, local });
        self.remotes.store(remotes.clone());
        remotes
    }
}

/// What an APIService is about.
enum Met {
    Remote(Arc<Remote>),
    /// What this server serves itself.
    Local(Listed),
}

impl Remotes {
    fn serving(&self, group: &str, version: &str) -> Option<&Arc<Remote>> {
        self.all.iter().find(|remote| remote.group == group && remote.version == version)
    }
}

impl Remote {
    fn met(object: &Object, shown: &Shown, before: &[Arc<Self>]) -> Result<Met, ObjectError> {
        let read: ApiService = object.view()?;
        let Spec { group, version, group_priority_minimum, version_priority, service, ca_bundle, insecure } =
            serde_json::from_value::<Spec>(read.spec.clone()).map_err(ObjectError::from)?;
        let Some(service) = service.filter(|_| !group.is_empty()) else {
            let name = object.meta.name.to_string();
            let (group_priority, version_priority) = (group_priority_minimum, version_priority);
            return Ok(Met::Local(Listed { name, group, version, group_priority, version_priority }));
        };
        let conditions = read.status.conditions.unwrap_or_default();
        let available = conditions.iter().any(|c| c.kind == "Available" && c.status == "True");
        let same = before.iter().find(|remote| *remote.name == *object.meta.name && remote.spec == read.spec);
        if let Some(same) = same.filter(|same| same.available == available) {
            return Ok(Met::Remote(same.clone()));
        }
        let link = match same {
            Some(same) => same.link.clone(),
            // The name its certificate has to have.
            None => tls(insecure, ca_bundle.as_deref(), shown)
                .map(|tls| Connections::new(tls, Some(format!("{}.{}.svc", service.name, service.namespace)))),
        };
        Ok(Met::Remote(Arc::new(Self {
            name: object.meta.name.to_string(),
            group,
            version,
            spec: read.spec,
            group_priority: group_priority_minimum,
            version_priority,
            namespace: service.namespace,
            service: service.name,
            port: service.port.unwrap_or(443),
            available,
            link,
        })))
    }
}

fn tls(insecure: bool, ca_bundle: Option<&str>, shown: &Shown) -> Result<Arc<ClientConfig>, String> {
    let bundle = base64::engine::general_purpose::STANDARD.decode(ca_bundle.unwrap_or_default());
    let bundle = bundle.map_err(|_| "the caBundle is not base64".to_owned())?;
    let trust = match (insecure, bundle.is_empty()) {
        (true, _) => Trust::Anyone,
        (false, true) => Trust::Machine,
        (false, false) => Trust::Bundle(&bundle),
    };
    trust::client_config(trust, shown.pair()).map(Arc::new).map_err(|error| error.to_string())
}
