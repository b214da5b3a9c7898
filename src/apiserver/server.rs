//! The API server as the binary sees it: configuration in, a server out that answers over TLS and in process.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{Reply, Request, Resource, Status, User};
use axum::body::Body;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Registry;
use crate::admission;
use crate::aggregation::{self, Aggregator, FrontProxyIdentity};
use crate::audit::{self, Audit, AuditError, AuditOptions};
use crate::authentication::service_account::ServiceAccounts;
use crate::authentication::x509::{ClientCa, Peer};
use crate::authentication::{
    Authentication, Authenticator, ServiceAccountKeys, TokenLimits, bootstrap_token::BootstrapTokens, legacy_tokens,
    published,
};
use crate::authorization::rbac::Rbac;
use crate::authorization::{AuthorizationMode, Authorizer, NodeCaches, aggregation as roles, bootstrap};
use crate::chain::Chain;
use crate::custom;
use crate::digest_cache::DigestCache;
use crate::discovery::Discovery;
use crate::fairness::{self, Fairness, Flows, InFlight};
use crate::health::HealthCheck;
use crate::http::kept::Kept;
use crate::http::tls::{self, ServingCertificate};
use crate::http::{Extra, listen};
use crate::metrics::{Metrics, MoreMetrics};
use crate::openapi::OpenApi;
use crate::proxy::{KubeletAccess, Proxy};
use crate::reload::{self, ConfigFiles, Reloads};

/// Everything the API server has to be told.
#[derive(Debug)]
pub struct ServerConfig {
    /// The certificate shown to clients.
    pub serving: Arc<ServingCertificate>,
    /// Who vouches for client certificates.
    pub client_ca: Arc<ClientCa>,
    /// Who vouches for front proxies, whose word about users is believed; `None` believes nobody.
    pub front_proxy_ca: Option<Arc<ClientCa>>,
    /// How this server proves itself to aggregated API servers; `None` shows nothing.
    pub front_proxy_client: Option<Arc<FrontProxyIdentity>>,
    /// Keys of service-account tokens.
    pub service_account_keys: Arc<ServiceAccountKeys>,
    /// The issuers of service-account tokens, `https` URLs: the first of new ones, the others of those still good.
    pub issuers: Vec<String>,
    /// The audiences of the API server; empty for the issuers alone.
    pub api_audiences: Vec<String>,
    /// How long service-account tokens live.
    pub token_limits: TokenLimits,
    /// Where the key set of service-account tokens is said to lie; `None` for this server.
    pub jwks_uri: Option<String>,
    /// Everything else by which users prove who they are.
    pub authentication: Authentication,
    /// How to reach kubelets: logs, exec, port-forward and the node proxy.
    pub kubelet: Arc<KubeletAccess>,
    /// Which addresses of pods and nodes clients may be proxied to: [`crate::is_global_unicast`], but where they are all on
    /// loopback.
    pub proxied: fn(std::net::IpAddr) -> bool,
    /// Authorizers, in the order they are asked.
    pub authorization: Vec<AuthorizationMode>,
    /// The files behind both, which are followed.
    pub files: ConfigFiles,
    /// Routes the binary adds, and the path prefixes that lead to them. They authenticate for themselves; requests carry the user
    /// of a valid client certificate as an extension, `Arc<User>`.
    pub extra_routes: Option<(Vec<String>, axum::Router)>,
    /// What the binary adds to `/metrics`.
    pub more_metrics: MoreMetrics,
    /// Checks the binary adds to `/readyz` and the others.
    pub checks: Vec<HealthCheck>,
    /// Which requests are recorded, and where.
    pub audit: AuditOptions,
    /// How many requests are carried out at once.
    pub in_flight: InFlight,
    /// `host:port` that discovery and the OpenID documents name.
    pub advertised: String,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS refuses the configuration.
    #[error("TLS cannot be configured")]
    Tls(#[from] rustls::Error),
    /// Requests cannot be recorded as asked.
    #[error("audit cannot be configured")]
    Audit(#[from] AuditError),
    /// A certificate to be shown to kubelets or aggregated API servers, or a CA, is of no use.
    #[error("the certificate shown to others cannot be used")]
    Kubelet(#[from] crate::proxy::KubeletAccessError),
    /// The certificates of a webhook of authentication or authorization are of no use.
    #[error("the webhook's certificates cannot be used")]
    Webhook(#[source] crate::webhook::TrustError),
}

/// The state all requests share.
pub(crate) struct Server {
    pub(crate) chain: Chain,
    pub(crate) discovery: Discovery,
    pub(crate) openapi: OpenApi,
    pub(crate) proxy: Proxy,
    pub(crate) aggregator: Arc<Aggregator>,
    pub(crate) checks: Vec<HealthCheck>,
    pub(crate) extra: Option<Extra>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) client_ca: Arc<ClientCa>,
    pub(crate) front_proxy_ca: Option<Arc<ClientCa>>,
    pub(crate) jwks_uri: String,
    pub(crate) kept: Kept,
    /// Watches and connections end when it is cancelled.
    pub(crate) draining: CancellationToken,
    background: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.background.iter().for_each(JoinHandle::abort);
    }
}

/// An API server. Cheap to clone; its background tasks end with the last clone.
#[derive(Clone)]
pub struct ApiServer {
    server: Arc<Server>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiServer")
    }
}

impl ApiServer {
    /// Puts the server together and begins to bring the bootstrap roles into the cluster. Binds nothing. Needs a Tokio
    /// runtime, and a registry that has been started.
    pub fn build(config: ServerConfig, registry: Arc<Registry>) -> Result<Self, BuildError> {
        let cache = |group: &str, plural: &str| {
            // The rows named here are built in.
            let row = api::resource::find(group, "v1", plural).cloned();
            row.map(|row| registry.cache(&row)).unwrap_or_else(|| unreachable!("{group}/{plural} is built in"))
        };
        const RBAC: &str = "rbac.authorization.k8s.io";
        let rbac = Arc::new(Rbac::new(
            ["clusterroles", "roles", "clusterrolebindings", "rolebindings"].map(|plural| cache(RBAC, plural)),
        ));
        let graph = NodeCaches {
            pods: cache("", "pods"),
            volumes: cache("", "persistentvolumes"),
            attachments: cache("storage.k8s.io", "volumeattachments"),
            slices: cache("resource.k8s.io", "resourceslices"),
        };
        let issuers = config.issuers.clone();
        let api_audiences = if config.api_audiences.is_empty() { config.issuers.clone() } else { config.api_audiences };
        let (uses, reported) = legacy_tokens::channel();
        let service_accounts = Arc::new(ServiceAccounts {
            keys: config.service_account_keys,
            issuers: config.issuers,
            api_audiences,
            accounts: cache("", "serviceaccounts"),
            pods: cache("", "pods"),
            secrets: cache("", "secrets"),
            nodes: cache("", "nodes"),
            limits: config.token_limits,
            uses,
            verified: DigestCache::new(),
        });
        let bootstrap_tokens = BootstrapTokens { secrets: cache("", "secrets") };
        let webhooks = registry.webhooks();
        let (believed, own) = (config.authentication.clone(), issuers);
        let authenticator = Authenticator::new(config.authentication, service_accounts, bootstrap_tokens, webhooks);
        let authenticator = Arc::new(authenticator.map_err(BuildError::Webhook)?);
        let roles_ready = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut checks = vec![HealthCheck::live("ping", || Ok(())), HealthCheck::live("log", || Ok(()))];
        // Under this name, which monitoring and load balancers know, it is about the store.
        let disk = registry.clone();
        checks.push(HealthCheck::live("etcd", move || disk.can_write()));
        checks.extend(config.checks);
        let ready = roles_ready.clone();
        checks.push(HealthCheck::ready("poststarthook/rbac/bootstrap-roles", move || {
            if ready.load(std::sync::atomic::Ordering::Acquire) { Ok(()) } else { Err("not finished".into()) }
        }));
        let customs_ready = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ready = customs_ready.clone();
        checks.push(HealthCheck::ready("poststarthook/crd-informer-synced", move || {
            if ready.load(std::sync::atomic::Ordering::Acquire) { Ok(()) } else { Err("not finished".into()) }
        }));
        let openapi = OpenApi::new(registry.catalog().builtin().to_vec());
        let draining = CancellationToken::new();
        let shutdown = draining.clone();
        checks.push(HealthCheck::ready("shutdown", move || {
            if shutdown.is_cancelled() { Err("process is shutting down".into()) } else { Ok(()) }
        }));
        let published =
            published::data(&config.client_ca, config.front_proxy_ca.as_deref(), authenticator.request_headers());
        let aggregator = Arc::new(Aggregator::new(&registry, config.front_proxy_client, openapi.clone())?);
        registry.set_aggregator(aggregator.clone());
        const FLOW: &str = "flowcontrol.apiserver.k8s.io";
        let counted = Arc::new(fairness::Metrics::default());
        let seats = (config.in_flight.reads + config.in_flight.writes) as u64;
        let (schemas, levels) = (cache(FLOW, "flowschemas"), cache(FLOW, "prioritylevelconfigurations"));
        let flows = Flows::new(schemas, levels, seats, counted.clone());
        let fairness = Arc::new(Fairness::new(flows, counted.clone()));
        let recorded = audit::Counters::default();
        let audit = Audit::start(config.audit, registry.webhooks(), recorded.clone())?;
        // Before the first task writes: admission asks it.
        let authorizer = Authorizer::new(config.authorization, rbac.clone(), graph, registry.webhooks());
        let authorizer = Arc::new(authorizer.map_err(BuildError::Webhook)?);
        registry.set_authorizer(authorizer.clone());
        let (of_authentication, of_authorization) = (Reloads::default(), Reloads::default());
        let mut background = vec![
            tokio::spawn({
                let (registry, rbac) = (registry.clone(), rbac.clone());
                async move {
                    bootstrap::reconcile(&registry).await;
                    // Ready is who knows them, too: the first to ask are the controllers.
                    if let Err(status) = registry.catch_up().await {
                        tracing::warn!(%status, "the store does not answer");
                    }
                    rbac.compiled_now();
                    roles_ready.store(true, std::sync::atomic::Ordering::Release);
                }
            }),
            tokio::spawn(roles::run(registry.clone(), rbac.clone())),
            tokio::spawn(custom::run(registry.clone(), openapi.clone(), customs_ready)),
            tokio::spawn(published::publish(registry.clone(), published)),
            tokio::spawn(admission::policy::status::run(registry.clone())),
            tokio::spawn(aggregation::register(aggregator.clone(), registry.clone())),
            tokio::spawn(aggregation::watch_availability(aggregator.clone(), registry.clone())),
            tokio::spawn(fairness::upkeep::rebalance(fairness.clone())),
            tokio::spawn(fairness::upkeep::tell(registry.clone(), fairness.clone())),
            tokio::spawn(legacy_tokens::run(registry.clone(), reported)),
        ];
        if let Some(file) = config.files.authentication {
            let (authenticator, client) = (authenticator.clone(), registry.webhooks().clone());
            let reloads = of_authentication.clone();
            let following = reload::authentication(file, believed, own, authenticator, client, reloads);
            background.push(tokio::spawn(following));
        }
        if let Some(file) = config.files.authorization {
            let (authorizer, client) = (authorizer.clone(), registry.webhooks().clone());
            let reloads = of_authorization.clone();
            background.push(tokio::spawn(reload::authorization(file, authorizer, client, reloads)));
        }
        let mut metrics = Metrics::new(&counted, &recorded, &registry);
        metrics.follow("authentication", &of_authentication);
        metrics.follow("authorization", &of_authorization);
        metrics.show(config.more_metrics, aggregator.broken.clone());
        let server = Server {
            tls: Arc::new(tls::config(config.serving)?),
            aggregator,
            proxy: Proxy::new(config.kubelet, registry.endpoints(), config.proxied, &cache)?,
            chain: Chain { authorizer, metrics: Arc::new(metrics), registry, authenticator, fairness, audit },
            jwks_uri: config.jwks_uri.unwrap_or_else(|| format!("https://{}/openid/v1/jwks", config.advertised)),
            discovery: Discovery::new(config.advertised),
            kept: Kept::default(),
            openapi,
            checks,
            extra: config.extra_routes.map(|(prefixes, router)| Extra { prefixes, router }),
            client_ca: config.client_ca,
            front_proxy_ca: config.front_proxy_ca,
            draining,
            background,
        };
        Ok(Self { server: Arc::new(server) })
    }

    /// Answers HTTPS on a listener until `shutdown`, then drains: watches end, other requests may finish. May be called
    /// for several listeners.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        listen::serve(self.server.clone(), listener, shutdown).await;
    }

    /// Carries out a request from this process: the whole chain, `request.user` being believed.
    pub async fn call(&self, request: Request) -> Result<Reply, Status> {
        self.server.chain.call(request).await
    }

    /// Carries out a request from this process that another API server answers, in its HTTP form: the whole chain, and on.
    pub async fn pass_on(&self, user: Arc<User>, request: http::Request<Bytes>) -> http::Response<Body> {
        let peer = Arc::new(Peer::in_process(user));
        crate::http::handle(self.server.clone(), peer, request.map(Body::from)).await
    }

    /// Whether another API server serves a kind.
    pub fn is_elsewhere(&self, resource: &Resource) -> bool {
        !resource.builtin && self.server.aggregator.is_elsewhere(&resource.group, &resource.version)
    }

    /// The kinds that other API servers serve behind this one, each at every version, the preferred one first; and the groups
    /// and versions of which it is not known now what they hold.
    pub fn elsewhere(&self) -> (Vec<Arc<Resource>>, Vec<String>) {
        self.server.aggregator.elsewhere()
    }

    /// Changes whenever [`ApiServer::elsewhere`] does.
    pub fn elsewhere_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.server.aggregator.elsewhere_changed()
    }

    /// Waits until the caches show everything that was charged to a quota before the call.
    pub async fn settled(&self) -> Result<(), Status> {
        self.registry().settled().await
    }

    /// The registry behind the chain, for its caches and its catalog.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.server.chain.registry
    }

    /// The OpenAPI documents, into which custom resources are published.
    pub fn openapi(&self) -> &OpenApi {
        &self.server.openapi
    }

    /// Whether everything `/readyz` asks is well; else what is not.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let failing = |check: &HealthCheck| (check.check)().err().map(|why| format!("{}: {why}", check.name));
        let failed: Vec<String> = self.server.checks.iter().filter_map(failing).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}
