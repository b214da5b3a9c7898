//! One client of the API over two transports: in process, for what lives in the server, and HTTPS, for node agents.
//!
//! A caller cannot tell which it has. In process, requests enter the API server's chain behind its codec, with the
//! caller's identity, and caches are the API server's own. Over HTTPS, `kube` carries the requests and a reflector fills
//! the caches.

pub mod controller;
pub mod events;
mod https;
pub mod kinds;
pub mod queue;
mod reflector;
pub mod served;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trust;

use std::sync::Arc;
use std::time::Duration;

use api::{
    DeleteOptions, List, ListOptions, Object, Operation, Patch, Reply, Request, Resource, Status, User, WriteOptions,
};
use futures::future::BoxFuture;
use serde_json::Value;
use watch_cache::Cache;

pub use https::{ConnectError, Https, wire};

/// A pause of about this length, so that those who lost a server at the same moment do not come back at the same moment.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}

/// How requests travel. Two implementations: the API server's own handle, and HTTPS.
pub trait Transport: Send + Sync + 'static {
    /// Carries one request through the whole chain.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, Status>>;

    /// The cache of a kind, filled from now on (await [`Cache::synced`] before trusting it). One per kind, shared by all callers.
    fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache>;

    /// A cache that holds at least the objects of a namespace (`""` for all) which both selectors match, in their query
    /// form. It may hold more: readers look at what they read. Drop it when it is no longer needed.
    fn cache_selected(
        &self,
        resource: &Arc<Resource>,
        _namespace: &str,
        _field_selector: &str,
        _label_selector: &str,
    ) -> Arc<Cache> {
        self.cache(resource)
    }

    /// Every kind served at the moment, custom resources included, each at every served version.
    fn resources(&self) -> Vec<Arc<Resource>>;

    /// Changes whenever [`Transport::resources`] does; `None` where it never does.
    fn served(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }

    /// Waits until the caches show everything that was charged to a quota before the call; not at all where nobody can tell.
    fn settled(&self) -> BoxFuture<'_, Result<(), Status>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// What other API servers serve behind this one. Nobody, unless the transport knows of some.
    fn elsewhere(&self) -> Elsewhere {
        Elsewhere::default()
    }

    /// Changes whenever [`Transport::elsewhere`] does; `None` where nobody says so.
    fn elsewhere_changed(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }
}

/// What other API servers serve behind the one that is called. There are no caches of it.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// Each kind at every version, the preferred one first.
    pub resources: Vec<Arc<Resource>>,
    /// The groups and versions, as `group/version`, of which it is not known now what they hold.
    pub stale: Vec<String>,
}

/// A caller: a transport and an identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user: Arc<User>,
    field_manager: Arc<str>,
}

impl Client {
    /// A client that acts as `user`. Over HTTPS the credentials of the transport decide who the server sees.
    pub fn new(transport: Arc<dyn Transport>, user: User) -> Self {
        Self { transport, user: Arc::new(user), field_manager: "isopod".into() }
    }

    /// The same transport under another identity, writing under `field_manager`.
    pub fn acting_as(&self, user: User, field_manager: &str) -> Self {
        Self { transport: self.transport.clone(), user: Arc::new(user), field_manager: field_manager.into() }
    }

    /// The same client, writing under `field_manager`.
    pub fn writing_as(self, field_manager: &str) -> Self {
        Self { field_manager: field_manager.into(), ..self }
    }

    /// The shared cache of a kind.
    pub fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        self.transport.cache(resource)
    }

    /// A cache of part of a kind, where the transport has such: see [`Transport::cache_selected`].
    pub fn cache_selected(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        field_selector: &str,
        label_selector: &str,
    ) -> Arc<Cache> {
        self.transport.cache_selected(resource, namespace, field_selector, label_selector)
    }

    /// A cache of a kind of [`Client::elsewhere`], which the transport has none of: filled through this client's requests as
    /// long as it is held, and nobody else's.
    pub fn reflected(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        let cache = Cache::new(resource.clone(), https::HISTORY);
        let source = reflector::Source::Transport(self.transport.clone(), self.user.clone());
        reflector::start(source, &cache, https::Selection::whole(resource));
        cache
    }

    /// Every kind served at the moment.
    pub fn resources(&self) -> Vec<Arc<Resource>> {
        self.transport.resources()
    }

    /// Waits until the caches show everything that was charged to a quota before the call.
    pub async fn settled(&self) -> Result<(), Status> {
        self.transport.settled().await
    }

    /// What other API servers serve behind this one.
    pub fn elsewhere(&self) -> Elsewhere {
        self.transport.elsewhere()
    }

    /// Any request; the methods below are its common forms.
    pub async fn call(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        operation: Operation,
    ) -> Result<Reply, Status> {
        let request = Request {
            user: self.user.clone(),
            resource: resource.clone(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
            operation,
        };
        self.transport.call(request).await
    }

    async fn object(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        operation: Operation,
    ) -> Result<Arc<Object>, Status> {
        match self.call(resource, namespace, name, subresource, operation).await? {
            Reply::Object { object, .. } => Ok(object),
            _ => Err(Status::internal("the answer was no object")),
        }
    }

    fn options(&self) -> WriteOptions {
        WriteOptions { field_manager: self.field_manager.to_string(), ..WriteOptions::default() }
    }

    /// One object, as of now.
    pub async fn get(&self, resource: &Arc<Resource>, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        self.object(resource, namespace, name, "", Operation::Get { resource_version: None }).await
    }

    /// A collection. Prefer a cache where the kind is asked for again and again.
    pub async fn list(&self, resource: &Arc<Resource>, namespace: &str, options: ListOptions) -> Result<List, Status> {
        match self.call(resource, namespace, "", "", Operation::List(options)).await? {
            Reply::List(list) => Ok(list),
            _ => Err(Status::internal("the answer was no list")),
        }
    }

    /// A new object. Its name stands in the object (`name` or `generateName`).
    pub async fn create(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        object: Value,
    ) -> Result<Arc<Object>, Status> {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.object(resource, namespace, &name, "", Operation::Create(object, self.options())).await
    }

    /// A new sub-object: `binding`, `eviction`, `token`.
    pub async fn create_subresource(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Arc<Object>, Status> {
        self.object(resource, namespace, name, subresource, Operation::Create(object, self.options())).await
    }

    /// A whole object in place of the old one; `metadata.resourceVersion` guards it.
    pub async fn update(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Arc<Object>, Status> {
        self.object(resource, namespace, name, subresource, Operation::Update(object, self.options())).await
    }

    /// A change of an object, or of its `status` where `subresource` says so. Put `metadata.resourceVersion` (or a uid)
    /// into the patch where it must not meet another version (or another object of the same name).
    pub async fn patch(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: Patch,
    ) -> Result<Arc<Object>, Status> {
        self.object(resource, namespace, name, subresource, Operation::Patch(patch, self.options())).await
    }

    /// An object's removal.
    pub async fn delete(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<(), Status> {
        self.call(resource, namespace, name, "", Operation::Delete(options)).await.map(drop)
    }
}
