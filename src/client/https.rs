//! The client's transport over HTTPS: what node agents, and `--loopback=https`, use.
//!
//! `kube` reads kubeconfigs and speaks TLS; requests go over HTTP/2, so that a node's dozens of watches share a few
//! connections, and pings tell a dead server from a quiet one. Besides the API server's HTTP part this is the only place
//! that spells paths of the API.

mod connection;
mod path;
mod reply;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{Operation, Reply, Request, Resource, Status};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use watch_cache::Cache;

use crate::Transport;
use crate::reflector::{self, Source};
pub(crate) use connection::Connections;

/// Requests and answers as HTTP, for other ways to carry them.
pub mod wire {
    pub use super::path::http_request as request;
    pub use super::reply::{reply, watch};
}

/// How long the answer of anything but a watch may take: the server gives up by itself after a minute.
const TIMEOUT: Duration = Duration::from_secs(65);
/// How many changes a cache remembers; consumers in agents are few and quick.
pub(crate) const HISTORY: usize = 512;

/// Why no transport could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or lacks something.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The server's URL is none.
    #[error("the server's URL is not valid")]
    Url(#[from] http::uri::InvalidUri),
    /// The CA bundle is no PEM.
    #[error("the CA bundle is not valid PEM")]
    Ca(#[from] rustls_pki_types::pem::Error),
    /// Certificate and key do not make a TLS identity.
    #[error("the client's certificate and key cannot be used")]
    Identity(#[source] Box<kube::Error>),
}

/// The API over HTTPS. Cheap to clone. Dropping the last clone stops its caches.
#[derive(Clone)]
pub struct Https {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// What the transport and its reflectors share.
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    /// The caches of whole kinds live as long as the transport.
    whole: Mutex<HashMap<Kind, Arc<Cache>>>,
    /// Caches of selections live as long as their readers.
    selected: Mutex<HashMap<Selection, Weak<Cache>>>,
    pub(crate) stop: CancellationToken,
}

type Kind = (Box<str>, Box<str>, Box<str>);

/// A part of a kind that has a cache of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selection {
    kind: Kind,
    pub(crate) namespace: String,
    pub(crate) field_selector: String,
    pub(crate) label_selector: String,
}

impl Selection {
    /// All of a kind.
    pub(crate) fn whole(resource: &Resource) -> Self {
        let nothing = String::new;
        Self { kind: kind(resource), namespace: nothing(), field_selector: nothing(), label_selector: nothing() }
    }
}

impl Https {
    /// A transport to `server_url`, which must prove itself to the CA bundle; the client proves itself by certificate and
    /// key, all PEM. Connects with the first request.
    pub fn new(server_url: &str, ca_pem: &[u8], cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, ConnectError> {
        let config = connection::config(server_url, ca_pem)?;
        Self::over(connection::with_identity(config, cert_pem, key_pem))
    }

    /// A transport to the current context of a kubeconfig.
    pub async fn from_kubeconfig(path: &Path) -> Result<Self, ConnectError> {
        let kubeconfig = kube::config::Kubeconfig::read_from(path)?;
        Self::over(kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?)
    }

    fn over(config: kube::Config) -> Result<Self, ConnectError> {
        let stop = CancellationToken::new();
        let shared = Shared {
            connections: Connections::new(config)?,
            whole: Mutex::default(),
            selected: Mutex::default(),
            stop: stop.clone(),
        };
        Ok(Self { shared: Arc::new(shared), _stop: Arc::new(stop.drop_guard()) })
    }

    /// The server's URL.
    pub fn server(&self) -> String {
        self.shared.connections.server()
    }

    /// Presents another certificate from the next connection on, for a rotated one. Requests and watches under way end
    /// on their old connections; watches come back on new ones when the server ends them, within minutes.
    pub fn replace_identity(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<(), ConnectError> {
        self.shared.connections.replace_identity(cert_pem, key_pem)
    }
}

impl Shared {
    pub(crate) async fn call(&self, request: Request) -> Result<Reply, Status> {
        let sent = path::http_request(&request)?.map(kube::client::Body::from);
        let watch = matches!(request.operation, Operation::Watch(_));
        let answer = async {
            let (response, lane) = self.connections.send(sent, watch).await?;
            if watch && response.status().is_success() {
                return Ok(Reply::Watch(reply::watch(response, request.resource.clone(), lane)));
            }
            reply::reply(response, &request).await
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(reply) => reply,
            Err(_) => {
                let why = format!("no answer from {} within {} s", self.connections.server(), TIMEOUT.as_secs());
                Err(Status::timeout(why, 1))
            }
        }
    }
}

impl Transport for Https {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, Status>> {
        Box::pin(self.shared.call(request))
    }

    fn cache(&self, resource: &Arc<Resource>) -> Arc<Cache> {
        let mut whole = self.shared.whole.lock();
        let cache = whole.entry(kind(resource)).or_insert_with(|| self.cache_selected(resource, "", "", ""));
        cache.clone()
    }

    /// Exactly the selected objects. Shared by all callers that ask for the same part, and stopped when the last of them
    /// has dropped it.
    fn cache_selected(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        field_selector: &str,
        label_selector: &str,
    ) -> Arc<Cache> {
        let selection = Selection {
            namespace: namespace.to_owned(),
            field_selector: field_selector.to_owned(),
            label_selector: label_selector.to_owned(),
            ..Selection::whole(resource)
        };
        let mut selected = self.shared.selected.lock();
        if let Some(cache) = selected.get(&selection).and_then(Weak::upgrade) {
            return cache;
        }
        selected.retain(|_, cache| cache.strong_count() > 0);
        let cache = Cache::new(resource.clone(), HISTORY);
        selected.insert(selection.clone(), Arc::downgrade(&cache));
        reflector::start(Source::Https(self.shared.clone()), &cache, selection);
        cache
    }

    /// The kinds built in. Custom resources are not discovered over this transport.
    fn resources(&self) -> Vec<Arc<Resource>> {
        api::resource::builtin().to_vec()
    }
}

fn kind(resource: &Resource) -> Kind {
    (resource.group.clone(), resource.version.clone(), resource.plural.clone())
}
