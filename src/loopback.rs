//! The client's transport inside the server: straight into the API server's chain, with the caller's identity.

use std::sync::{Arc, OnceLock};

use api::{Operation, Reply, Request, Resource, Status};
use apiserver::ApiServer;
use client::{Elsewhere, Transport, wire};
use futures::future::BoxFuture;
use tokio::sync::watch;
use watch_cache::Cache;

/// The API server as a transport. It is set once, right after it is built and before anything calls.
pub(crate) struct Loopback(pub(crate) Arc<OnceLock<ApiServer>>);

impl Loopback {
    fn api(&self) -> Option<&ApiServer> {
        self.0.get()
    }
}

impl Transport for Loopback {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, Status>> {
        Box::pin(async move {
            let api = self.api().ok_or_else(|| Status::unavailable("the API server is starting"))?;
            if api.is_elsewhere(&request.resource) {
                return pass_on(api, request).await;
            }
            api.call(request).await
        })
    }

    fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        match self.api() {
            Some(api) => api.registry().cache(resource),
            // An empty cache that is never filled: who asks too early waits for ever, and is found in tests.
            None => Cache::new(resource.clone(), 1),
        }
    }

    fn resources(&self) -> Vec<Arc<Resource>> {
        self.api().map(|api| api.registry().catalog().all()).unwrap_or_default()
    }

    fn served(&self) -> Option<watch::Receiver<u64>> {
        self.api().map(|api| api.registry().catalog().changed())
    }

    fn settled(&self) -> BoxFuture<'_, Result<(), Status>> {
        Box::pin(async move {
            match self.api() {
                Some(api) => api.settled().await,
                None => Err(Status::unavailable("the API server is starting")),
            }
        })
    }

    fn elsewhere(&self) -> Elsewhere {
        let (resources, stale) = self.api().map(ApiServer::elsewhere).unwrap_or_default();
        Elsewhere { resources, stale }
    }

    fn elsewhere_changed(&self) -> Option<watch::Receiver<u64>> {
        self.api().map(ApiServer::elsewhere_changed)
    }
}

/// What another API server answers goes there as HTTP.
async fn pass_on(api: &ApiServer, request: Request) -> Result<Reply, Status> {
    let answer = api.pass_on(request.user.clone(), wire::request(&request)?).await;
    if matches!(request.operation, Operation::Watch(_)) && answer.status().is_success() {
        return Ok(Reply::Watch(wire::watch(answer, request.resource, ())));
    }
    wire::reply(answer, &request).await
}
