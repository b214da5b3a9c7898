//! The one generic registry: carries out requests of every kind against the store and the watch caches.
//!
//! Everything behind authorization is here. Reads come from the caches, brought up to date where the request asks for the
//! present state; writes go to the store by compare-and-swap and come back to everybody through the feed.

mod admitted;
mod apply;
mod binding;
mod components;
mod continuation;
mod create;
pub(crate) mod custom;
mod delete;
mod devices;
mod error;
mod eviction;
mod intake;
mod metadata;
mod ownership;
mod part;
mod read;
mod selection;
#[cfg(test)]
pub(crate) mod tests;
mod update;
mod versions;
mod watch;
mod write;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::{List, ListOptions, Object, Operation, Reply, Request, Resource, Status};
use embedded_store::{Store, StoreError};
use watch_cache::Cache;

use crate::admission::{self, Plugin};
use crate::aggregation::Aggregator;
use crate::allocator::Allocators;
use crate::authorization::Authorizer;
use crate::catalog::{Catalog, CustomKind};
use crate::charges::Charges;
use crate::encryption::Encryption;
use crate::endpoints::ServiceEndpoints;
use crate::feed::Feed;
use crate::metrics::writes::Writes;
use crate::webhook;
use crate::{RuntimeConfig, bootstrap_objects, maintenance};

use part::Part;
use update::Intent;

pub(crate) use admitted::show_value;
pub(crate) use error::causes;
pub(crate) use intake::{package_of, read_sub_object, unknown_kind};
pub(crate) use metadata::generate as generate_name;
pub(crate) use ownership::of_token_request;
pub(crate) use versions::autoscaler_into_v2;
pub use watch::{Delivery, Verdict, Watch};

/// What the registry has to be told.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The addresses of Services: network and prefix length.
    pub service_cidr: (IpAddr, u8),
    /// The ports of Services of type NodePort and LoadBalancer.
    pub node_ports: RangeInclusive<u16>,
    /// The domain of cluster DNS.
    pub cluster_domain: String,
    /// Where this API server answers: the endpoint of the Service `default/kubernetes`.
    pub advertise: SocketAddr,
    /// How many changes of each kind are remembered for watches.
    pub history: usize,
    /// How long an Event lives after its last write.
    pub event_ttl: Duration,
    /// How much history the store keeps; it is compacted as often.
    pub compaction: Duration,
    /// Admission beside the built-in plugins, before ResourceQuota: webhooks, policies, checks that need the authorizer.
    pub plugins: Vec<Plugin>,
    /// Names of plugins that take no part.
    pub disabled_plugins: Vec<String>,
    /// What is encrypted in the store; `None` where nothing is.
    pub encryption: Option<Arc<Encryption>>,
    /// Which versions of built-in kinds are served.
    pub served: RuntimeConfig,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            service_cidr: (IpAddr::V4(Ipv4Addr::new(10, 43, 0, 0)), 16),
            node_ports: 30000..=32767,
            cluster_domain: "cluster.local".into(),
            advertise: SocketAddr::from(([127, 0, 0, 1], 6443)),
            history: 4096,
            event_ttl: Duration::from_secs(3600),
            compaction: Duration::from_secs(300),
            plugins: Vec::new(),
            disabled_plugins: Vec::new(),
            encryption: None,
            served: RuntimeConfig::default(),
        }
    }
}

/// Why the registry did not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    /// An object every cluster has could not be made.
    #[error("cannot make the objects every cluster has")]
    Bootstrap(#[source] Box<Status>),
}

/// The registry of one API server. Dropping it ends its background tasks; the store stays open.
#[derive(Debug)]
pub struct Registry {
    store: Handle,
    /// The store as it is on disk.
    disk: Handle,
    feed: Arc<Feed>,
    catalog: Catalog,
    plugins: Vec<Plugin>,
    writes: Arc<Writes>,
    allocators: Allocators,
    charges: Charges,
    webhooks: Arc<webhook::Client>,
    maintenance: parking_lot::Mutex<Option<tokio::task::AbortHandle>>,
    authorizer: OnceLock<Arc<Authorizer>>,
    aggregator: OnceLock<Arc<Aggregator>>,
    config: RegistryConfig,
}

/// The store, with a `Debug` that keeps quiet.
struct Handle(Arc<dyn Store>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Registry {
    /// Fills the caches from the store and makes the objects every cluster has.
    pub async fn start(store: Arc<dyn Store>, config: RegistryConfig) -> Result<Arc<Self>, RegistryError> {
        let disk = Handle(store.clone());
        let store = config.encryption.as_ref().map_or(store.clone(), |encryption| encryption.over(store));
        let catalog = Catalog::new(&config.served);
        let mut disabled_plugins = config.disabled_plugins.clone();
        disabled_plugins.extend(admission::idle(&catalog).map(str::to_owned));
        // What is not served keeps its objects, and has its caches.
        let rows = api::resource::builtin().iter().cloned();
        let stored = rows.filter(|row| row.stored && row.stored_as.is_none());
        let feed = Arc::new(Feed::start(store.clone(), stored, config.history).await?);
        let webhooks = Arc::new(webhook::Client::new(endpoints(&feed)));
        let plugins = admission::plugins(&config.plugins, &disabled_plugins);
        let writes = Arc::new(Writes::new(plugins.iter().map(|plugin| plugin.name)));
        let registry = Arc::new(Self {
            webhooks,
            allocators: Allocators::new(config.service_cidr, &config.node_ports),
            charges: Charges::default(),
            plugins,
            writes,
            store: Handle(store),
            disk,
            feed,
            catalog,
            maintenance: parking_lot::Mutex::default(),
            authorizer: OnceLock::new(),
            aggregator: OnceLock::new(),
            config,
        });
        registry.adopt_services();
        bootstrap_objects::ensure(&registry).await.map_err(|status| RegistryError::Bootstrap(Box::new(status)))?;
        registry.catch_up().await.map_err(|status| RegistryError::Bootstrap(Box::new(status)))?;
        let task = tokio::spawn(maintenance::run(Arc::downgrade(&registry)));
        *registry.maintenance.lock() = Some(task.abort_handle());
        Ok(registry)
    }

    /// Marks what the services in the store hold as taken.
    fn adopt_services(&self) {
        self.services().iter().for_each(|service| self.allocators.adopt(service));
    }

    /// Every service, as the cache shows it.
    pub(crate) fn services(&self) -> Vec<serde_json::Value> {
        let services = self.cached("", "v1", "services").list("");
        let read = |service: Arc<Object>| match service.to_value() {
            Ok(service) => Some(service),
            Err(error) => {
                tracing::error!(%error, key = service.meta.key(), "a service cannot be read");
                None
            }
        };
        services.into_iter().filter_map(read).collect()
    }

    /// Carries out one request that was authenticated and authorized. The one door for all verbs and subresources, except
    /// those that are answered before it: reviews, `serviceaccounts/token`, and what is proxied to nodes.
    pub async fn call(&self, request: &Request) -> Result<Reply, Status> {
        let resource = &request.resource;
        match (&*resource.plural, request.subresource.as_str(), &request.operation) {
            ("bindings", "", Operation::Create(body, options))
            | ("pods", "binding", Operation::Create(body, options))
                if resource.is_core() =>
            {
                return self.bind(request, body, options).await;
            }
            ("pods", "eviction", Operation::Create(body, options)) if resource.is_core() => {
                return self.evict(request, body, options).await;
            }
            ("componentstatuses", "", Operation::List(options)) => {
                let items = components::statuses(resource, options)?;
                return Ok(Reply::List(List { items, ..List::default() }));
            }
            ("componentstatuses", "", Operation::Get { .. }) => {
                let all = components::statuses(resource, &ListOptions::default())?;
                let found = all.into_iter().find(|one| *one.meta.name == *request.name);
                let object = found.ok_or_else(|| error::not_found(resource, &request.name))?;
                return Ok(Reply::Object { object, created: false, warnings: Vec::new() });
            }
            _ if !resource.stored => return Err(Status::method_not_allowed()),
            _ => {}
        }
        let part = Part::of(resource, &request.subresource).ok_or_else(Status::no_such_path)?;
        match &request.operation {
            Operation::Get { resource_version } => {
                let object = self.get_part(request, part, resource_version.as_deref()).await?;
                Ok(Reply::Object { object, created: false, warnings: Vec::new() })
            }
            Operation::Update(body, options) => self.update(request, part, Intent::Put(body), options).await,
            Operation::Patch(patch, options) => self.update(request, part, Intent::Patch(patch), options).await,
            _ if part != Part::Main => Err(Status::method_not_allowed()),
            Operation::List(options) => Ok(Reply::List(self.list(request, options).await?)),
            Operation::Watch(_) => Ok(Reply::Watch(self.watch(request).await?.into_stream())),
            Operation::Create(body, options) => self.create(request, body.clone(), options).await,
            Operation::Delete(options) => self.delete(request, options).await,
            Operation::DeleteCollection(options, which) => self.delete_collection(request, options, which).await,
        }
    }

    /// Whether the store takes writes; else why it does not, and will not before a restart.
    pub(crate) fn can_write(&self) -> Result<(), String> {
        self.disk.0.well().map_err(|error| error.to_string())
    }

    /// The client that calls webhooks of every sort.
    pub fn webhooks(&self) -> &Arc<webhook::Client> {
        &self.webhooks
    }

    /// Where services are served.
    pub(crate) fn endpoints(&self) -> ServiceEndpoints {
        endpoints(&self.feed)
    }

    /// The shared cache of a kind. A row that shows another row's objects (`events.k8s.io`, `autoscaling/v1`) has that row's
    /// cache, and the objects in it have that row's form; so has every further version of a custom resource.
    ///
    /// [`Cache::revision`] is that of the kind's last change, not of the store: the caches get no progress notes.
    pub fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        let storage = resource.storage();
        // A kind that was taken away a moment ago has no objects, and its cache stays as empty as it is.
        self.feed.cache(&storage.store_prefix()).unwrap_or_else(|| Cache::new(storage, 1))
    }

    /// The cache of a built-in kind.
    pub(crate) fn cached(&self, group: &str, version: &str, plural: &str) -> Arc<Cache> {
        builtin_cache(&self.feed, group, version, plural)
    }

    /// Serves these custom kinds by these rows, in place of those they had. Returns when the caches of new kinds are filled; the
    /// objects of kinds that are no longer served stay in the store. What a call costs does not depend on the other kinds.
    pub async fn serve(&self, kinds: &[CustomKind]) -> Result<(), Status> {
        for row in kinds.iter().flat_map(|kind| &kind.rows) {
            // One cache holds the objects of all versions, as they are stored.
            let stored = row.custom.as_ref().is_none_or(|custom| custom.is_storage());
            if stored || self.feed.cache(&row.store_prefix()).is_none() {
                self.feed.add(row.clone(), self.config.history).await.map_err(error::store)?;
            }
        }
        let before = self.catalog.custom();
        self.catalog.replace(kinds);
        for kind in kinds.iter().filter(|kind| kind.rows.is_empty()) {
            before.named(&kind.name).iter().for_each(|row| self.feed.remove(&row.store_prefix()));
        }
        Ok(())
    }

    /// The resource table as it is now.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How long writes take.
    pub(crate) fn writes(&self) -> &Arc<Writes> {
        &self.writes
    }

    /// The admission plugins, in the order of their turns.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// Who may do what, for admission that asks; `None` until an API server stands in front of the registry.
    pub(crate) fn authorizer(&self) -> Option<&Arc<Authorizer>> {
        self.authorizer.get()
    }

    /// What is known of other API servers, for admission that is parameterized by what they hold; `None` until an API server
    /// stands in front of the registry.
    pub(crate) fn aggregator(&self) -> Option<&Arc<Aggregator>> {
        self.aggregator.get()
    }

    /// Called once, by the API server in front.
    pub(crate) fn set_aggregator(&self, aggregator: Arc<Aggregator>) {
        if self.aggregator.set(aggregator).is_err() {
            tracing::error!("two API servers in front of one registry; the first one's aggregator stays");
        }
    }

    /// Called once, by the API server in front.
    pub(crate) fn set_authorizer(&self, authorizer: Arc<Authorizer>) {
        if self.authorizer.set(authorizer).is_err() {
            tracing::error!("two API servers in front of one registry; the first one's authorizer stays");
        }
    }

    /// The revision all caches are complete up to.
    pub(crate) fn applied(&self) -> u64 {
        self.feed.applied()
    }

    /// The store under it.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store.0
    }

    /// What services are given.
    pub(crate) fn allocators(&self) -> &Allocators {
        &self.allocators
    }

    /// A namespace, as the cache shows it.
    pub(crate) fn namespace(&self, name: &str) -> Option<Arc<Object>> {
        self.feed.cache("/registry/namespaces/")?.get_key(name)
    }

    /// A namespace as it is in the store at this moment: nothing may slip in behind its end.
    pub(crate) async fn namespace_now(&self, name: &str) -> Result<Option<Arc<Object>>, Status> {
        let key = format!("/registry/namespaces/{name}");
        let Some(entry) = self.store().get(&key).await.map_err(error::store)? else { return Ok(None) };
        if let Some(cached) = self.namespace(name).filter(|cached| cached.meta.resource_version == entry.revision) {
            return Ok(Some(cached));
        }
        let Some(row) = self.catalog.get("", "v1", "namespaces") else { return Ok(None) };
        Ok(crate::feed::object(&entry, &row).map(Arc::new))
    }

    /// What the registry was told at its start.
    pub fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// The charges of quotas that are underway.
    pub(crate) fn charges(&self) -> &Charges {
        &self.charges
    }

    /// Waits until the caches show everything that was charged to a quota before the call.
    pub async fn settled(&self) -> Result<(), Status> {
        self.charges.settled().await;
        // A client that hung up took its token along, while the store may have been asked to write already.
        self.store.0.settle().await.map_err(error::store)?;
        self.catch_up().await
    }

    /// Waits until the caches show everything that was written before the call.
    pub async fn catch_up(&self) -> Result<(), Status> {
        let revision = self.store.0.revision().await.map_err(error::store)?;
        self.feed.wait_for(revision).await;
        Ok(())
    }
}

fn builtin_cache(feed: &Feed, group: &str, version: &str, plural: &str) -> Arc<Cache> {
    let row = api::resource::find(group, version, plural);
    // Callers name rows of the table, and those are cached from the beginning.
    row.and_then(|row| feed.cache(&row.storage().store_prefix()))
        .unwrap_or_else(|| unreachable!("{group}/{version} {plural} is no built-in row"))
}

fn endpoints(feed: &Feed) -> ServiceEndpoints {
    ServiceEndpoints {
        services: builtin_cache(feed, "", "v1", "services"),
        slices: builtin_cache(feed, "discovery.k8s.io", "v1", "endpointslices"),
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(task) = self.maintenance.lock().take() {
            task.abort();
        }
    }
}
