//! `isopod server`: the control plane, and this machine as a node.

mod mark_control_plane;
#[cfg(test)]
pub(crate) mod testing;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use anyhow::{Context, Result};
use api::User;
use apiserver::{
    ApiServer, ClientCa, Encryption, MoreMetrics, Registry, RegistryConfig, ServerConfig, ServiceAccountKeys,
};
use bootstrap::certificates::Names;
use bootstrap::data_dir::create_private;
use bootstrap::join::server::Joins;
use bootstrap::token::{AGENT_USER, SERVER_USER, TokenFile};
use client::Client;
use client::controller::Gauge;
use controllers::Controllers;
use embedded_store::{DurableOptions, DurableStore, Store};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::Components;
use crate::cli::ServerArgs;
use crate::instance::Instance;
use crate::loopback::Loopback;
use crate::node::Node;
use crate::progress::Progress;
use crate::renewal::{self, AdminKubeconfig, ServerLeaves, Signer, own_membership};
use crate::settings::{Paths, ServerSettings};
use crate::shutdown::on_signal;
use crate::{arguments, cli, node_identity, preflight, ready, secrets_encryption};

/// Paths served beside the API.
const JOIN_PREFIXES: [&str; 2] = [bootstrap::join::CA_PATH, bootstrap::join::JOIN_PATH];

/// A server's parts, made but not running.
struct Server {
    args: ServerArgs,
    settings: ServerSettings,
    components: Components,
    paths: Paths,
    name: String,
    address: IpAddr,
    advertise: IpAddr,
}

/// Parse → build → spawn → wait → drain.
pub(crate) async fn run(args: ServerArgs) -> Result<()> {
    let server = Server::check(args)?;
    let wanted = server.wanted_tokens()?;
    create_private(server.paths.data.root())?;
    let _instance = Instance::acquire(&server.paths)?;
    ready::clear(&server.paths);
    let progress = Arc::new(Progress::begin(&format!("isopod server {}", server.name)));
    let shutdown = CancellationToken::new();
    on_signal(shutdown.clone());

    let leaves = server.leaves(SystemTime::now())?;
    let token = server.tokens(&wanted, leaves.certificates.ca.cert())?;
    let store = server.open_store().await?;
    progress.done("store");

    // The runtime takes the longest: it starts while the control plane does.
    let node = server.node();
    let runtime = tokio::spawn({
        let progress = progress.clone();
        async move {
            match node {
                Some(node) => Ok(Some((node.start_runtime(&progress).await?, node))),
                None => anyhow::Ok(None),
            }
        }
    });
    let plane = server.control_plane(store.clone(), &leaves, token, &shutdown).await?;
    progress.done("API server");
    let mut tasks = JoinSet::new();
    tasks.spawn(renewal::run(leaves, shutdown.clone()));
    server.spawn_loops(&plane, &shutdown, &mut tasks);

    let outcome = tokio::select! {
        runtime = runtime => match runtime.context("starting the container runtime")?? {
            Some((runtime, node)) => server.run_node(node, runtime, &plane, progress.clone(), shutdown.clone()).await,
            None => {
                ready::announce(&server.paths, &server.advertise.to_string());
                progress.finish(&server.farewell());
                shutdown.cancelled().await;
                Ok(())
            }
        },
        () = shutdown.cancelled() => Ok(()),
    };
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    store.close().await.context("the store cannot be closed; it will replay its log at the next start")?;
    outcome
}

/// The control plane, answering.
pub(crate) struct ControlPlane {
    /// Admits nodes.
    pub(crate) joins: Arc<Joins>,
    /// Calls the API in process, as its administrator.
    pub(crate) client: Client,
    /// Signs the tokens kept in Secrets.
    keys: Arc<ServiceAccountKeys>,
    /// The controllers' figures, as soon as there are any.
    gauges: Arc<OnceLock<Vec<Gauge>>>,
}

impl Server {
    /// Everything that can be wrong with the flags and the machine, before anything is made.
    fn check(args: ServerArgs) -> Result<Self> {
        let settings = ServerSettings::new(&args)?;
        let components = Components::new(&args)?;
        arguments::of_node(&args.node)?;
        node_identity::check(&args.node)?;
        if !args.disable_agent {
            Node::preflight(&args.node)?;
        }
        args.write_kubeconfig_group.as_deref().map(node_identity::group).transpose()?;
        preflight::port(args.bind_address, args.https_listen_port, "--https-listen-port")?;
        let paths = Paths::of(&args.node)?;
        let address = node_identity::address(&args.node)?;
        let name = node_identity::name(&args.node, &paths.data)?;
        let advertise = args.advertise_address.unwrap_or(address);
        Ok(Self { settings, components, paths, name, address, advertise, args })
    }

    /// What is said of the server's token and of the workers' own.
    fn wanted_tokens(&self) -> Result<[Option<String>; 2]> {
        let args = &self.args;
        Ok([
            cli::secret("--token-file", args.token.as_ref(), args.token_file.as_deref())?,
            cli::secret("--agent-token-file", args.agent_token.as_ref(), args.agent_token_file.as_deref())?,
        ])
    }

    /// The token that admits workers: their own where there is one, else the server's.
    fn tokens(&self, [server, agent]: &[Option<String>; 2], ca: &str) -> Result<TokenFile> {
        let data = &self.paths.data;
        let token = TokenFile::ensure(&data.token(), SERVER_USER, ca, server.as_deref())?;
        Ok(if agent.is_some() || data.agent_token().exists() {
            TokenFile::ensure(&data.agent_token(), AGENT_USER, ca, agent.as_deref())?
        } else {
            token
        })
    }

    fn port(&self) -> u16 {
        self.args.https_listen_port
    }

    fn url(&self, host: &str) -> String {
        if host.contains(':') {
            format!("https://[{host}]:{}", self.port())
        } else {
            format!("https://{host}:{}", self.port())
        }
    }

    /// Where this machine's own clients reach the API: loopback, unless it listens elsewhere only.
    fn local_url(&self) -> String {
        match self.args.bind_address {
            any if any.is_unspecified() => self.url("127.0.0.1"),
            one => self.url(&one.to_string()),
        }
    }

    fn leaves(&self, now: SystemTime) -> Result<ServerLeaves> {
        let mut addresses =
            vec![IpAddr::from([127, 0, 0, 1]), self.address, self.advertise, self.settings.kubernetes_ip];
        let mut extra = Vec::new();
        for san in &self.args.tls_san {
            match san.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => extra.push(san.clone()),
            }
        }
        addresses.extend(Some(self.args.bind_address).filter(|ip| !ip.is_unspecified()));
        addresses.sort();
        addresses.dedup();
        let cluster_domain = self.settings.cluster.cluster_domain.clone();
        let names = Names { node_name: self.name.clone(), addresses, extra, cluster_domain };
        let kubeconfig = AdminKubeconfig {
            path: self.kubeconfig(),
            mode: self.args.write_kubeconfig_mode,
            group: self.args.write_kubeconfig_group.as_deref().map(node_identity::group).transpose()?,
            server: self.local_url(),
        };
        ServerLeaves::ensure(self.paths.data.clone(), names, kubeconfig, now)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.args.write_kubeconfig.clone().unwrap_or_else(|| self.paths.kubeconfig())
    }

    async fn open_store(&self) -> Result<Arc<dyn Store>> {
        if self.args.ephemeral {
            return Ok(embedded_store::memory());
        }
        let dir = self.paths.data.server("db");
        create_private(&self.paths.data.server(""))?;
        let open = {
            let dir = dir.clone();
            move || DurableStore::open(&dir, DurableOptions::default())
        };
        let store = tokio::task::spawn_blocking(open).await.context("opening the store")?;
        Ok(store
            .with_context(|| format!("the store in {} cannot be opened; nothing in it was changed", dir.display()))?)
    }

    async fn control_plane(
        &self,
        store: Arc<dyn Store>,
        leaves: &ServerLeaves,
        token: TokenFile,
        shutdown: &CancellationToken,
    ) -> Result<ControlPlane> {
        let options = &self.components.api_server;
        let encryption = self.encryption()?;
        let registry = Registry::start(
            store,
            RegistryConfig {
                service_cidr: (self.settings.service_cidr.network().address.into(), self.settings.service_cidr.prefix),
                node_ports: self.settings.node_ports.clone(),
                cluster_domain: self.settings.cluster.cluster_domain.clone(),
                advertise: SocketAddr::new(self.advertise, self.port()),
                history: options.history,
                event_ttl: options.event_ttl,
                compaction: options.compaction,
                disabled_plugins: options.disabled_plugins.clone(),
                encryption,
                served: options.served.clone(),
                ..RegistryConfig::default()
            },
        );
        let registry = registry.await.context("the registry does not start")?;
        // The join's routes need a client of the server they are part of.
        let late = Arc::new(OnceLock::new());
        let client = Client::new(Arc::new(Loopback(late.clone())), User::new("system:apiserver", [api::user::MASTERS]))
            .writing_as("kube-apiserver");
        let config = self.server_config(leaves)?;
        let keys = config.service_account_keys.clone();
        let joins = Arc::new(Joins {
            ca: leaves.certificates.ca.clone(),
            token,
            names: leaves.names.clone(),
            cluster: self.settings.cluster.clone(),
            client: client.clone(),
        });
        let prefixes = JOIN_PREFIXES.map(str::to_owned).to_vec();
        let gauges = Arc::new(OnceLock::<Vec<Gauge>>::new());
        let shown = gauges.clone();
        let config = ServerConfig {
            extra_routes: Some((prefixes, joins.clone().router())),
            more_metrics: MoreMetrics::new(move || {
                shown.get().map(|all| controllers::metrics(all)).unwrap_or_default()
            }),
            ..config
        };
        let api = ApiServer::build(config, registry).context("the API server cannot be built")?;
        // Set once, here.
        let _ = late.set(api.clone());
        let listen = SocketAddr::new(self.args.bind_address, self.port());
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        tokio::spawn({
            let (api, shutdown) = (api.clone(), shutdown.clone());
            async move { api.serve(listener, shutdown).await }
        });
        while let Err(failing) = api.ready() {
            tracing::debug!(?failing, "not ready yet");
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
                () = shutdown.cancelled() => anyhow::bail!("stopped before the API server was ready: {}", failing.join(", ")),
            }
        }
        Ok(ControlPlane { joins, client, keys, gauges })
    }

    /// The keys of service-account tokens.
    fn keys(&self, leaves: &ServerLeaves) -> Result<Arc<ServiceAccountKeys>> {
        let options = &self.components.api_server;
        let signing = options.signing_key.as_ref().unwrap_or(&leaves.certificates.service_account.key);
        let others: Vec<&str> = options.verifying_keys.iter().map(String::as_str).collect();
        Ok(Arc::new(ServiceAccountKeys::from_pem(signing, &others)?))
    }

    /// What is encrypted in the store: as the administrator's file says, or as our own does.
    fn encryption(&self) -> Result<Option<Arc<Encryption>>> {
        let options = &self.components.api_server;
        let (path, follow) = match &options.encryption_config {
            Some(path) => (Some(path.clone()), options.encryption_reload),
            None if self.args.ephemeral => (None, false),
            None => (secrets_encryption::ensure(&self.paths.data, self.args.secrets_encryption)?, true),
        };
        let Some(path) = path else { return Ok(None) };
        let encryption = Encryption::load(&path);
        let encryption = encryption.with_context(|| format!("the encryption configuration {}", path.display()))?;
        if follow {
            encryption.follow(&path);
        }
        Ok(Some(encryption))
    }

    fn server_config(&self, leaves: &ServerLeaves) -> Result<ServerConfig> {
        let certificates = &leaves.certificates;
        let options = self.components.api_server.clone();
        Ok(ServerConfig {
            audit: options.audit(),
            files: options.files(),
            serving: leaves.serving.clone(),
            client_ca: Arc::new(ClientCa::from_pem(&bundle(certificates.ca.cert(), &options.client_ca))?),
            front_proxy_ca: Some(Arc::new(ClientCa::from_pem(&bundle(
                certificates.front_proxy_ca.cert(),
                &options.front_proxy_ca,
            ))?)),
            front_proxy_client: Some(leaves.front_proxy.clone()),
            service_account_keys: self.keys(leaves)?,
            issuers: options.issuers,
            api_audiences: options.api_audiences,
            token_limits: options.token_limits,
            jwks_uri: options.jwks_uri,
            authentication: options.authentication,
            kubelet: leaves.kubelet.clone(),
            proxied: apiserver::is_global_unicast,
            authorization: options.authorization,
            extra_routes: None,
            more_metrics: MoreMetrics::default(),
            checks: Vec::new(),
            in_flight: options.in_flight,
            advertised: format!("{}:{}", self.advertise, self.port()),
        })
    }

    fn spawn_loops(&self, plane: &ControlPlane, shutdown: &CancellationToken, tasks: &mut JoinSet<()>) {
        if !self.args.disable_controller_manager {
            let options = controllers::Options {
                cluster_cidrs: vec![self.settings.cluster.cluster_cidr.clone()],
                root_ca_pem: plane.joins.ca.cert().to_owned(),
                signer: Some(signer(&plane.joins)),
                secret_tokens: Some(secret_tokens(&plane.keys)),
                ..self.components.controllers.clone()
            };
            let controllers = Controllers::build(&plane.client, options, shutdown);
            // Set once, here.
            let _ = plane.gauges.set(controllers.gauges());
            tasks.spawn(controllers.run());
        }
        if !self.args.disable_scheduler {
            let client =
                plane.client.acting_as(User::new("system:kube-scheduler", Vec::<String>::new()), "kube-scheduler");
            tasks.spawn(scheduler::run(client, shutdown.clone()));
        }
        let (joins, stop) = (plane.joins.clone(), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = joins.forget_deleted_nodes() => {}
                () = stop.cancelled() => {}
            }
        });
        if !self.args.disable_agent {
            let (client, name, stop) = (plane.client.clone(), self.name.clone(), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = mark_control_plane::run(client, name) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        if self.settings.dns {
            let (client, address) = (plane.client.clone(), self.settings.cluster.cluster_dns);
            tasks.spawn(async move {
                if let Err(error) = addons::dns::publish(&client, address).await {
                    tracing::error!(%error, "the kube-dns Service cannot be made");
                }
            });
        }
    }

    fn node(&self) -> Option<Node> {
        (!self.args.disable_agent).then(|| Node {
            args: self.args.node.clone(),
            paths: self.paths.clone(),
            name: self.name.clone(),
            address: self.address,
            server_url: self.local_url(),
        })
    }

    async fn run_node(
        &self,
        node: Node,
        runtime: Arc<dyn runtime::Runtime>,
        plane: &ControlPlane,
        progress: Arc<Progress>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let (joins, dir) = (plane.joins.clone(), self.paths.data.agent(""));
        let membership = own_membership(&joins, &dir, &self.name, &[self.address], SystemTime::now())?;
        tokio::spawn({
            let password = bootstrap::node_password::ensure(&dir.join("node-password"))?;
            let (joins, name, shutdown) = (joins.clone(), self.name.clone(), shutdown.clone());
            async move { shutdown.run_until_cancelled(claim_name(&joins, &name, &password)).await }
        });
        node.run(membership, Signer::Own(joins), runtime, progress, shutdown, self.farewell()).await
    }

    /// What to do next.
    fn farewell(&self) -> String {
        let (kubeconfig, data) = (self.kubeconfig(), &self.paths.data);
        format!(
            "\n  export KUBECONFIG={}\n  kubectl get nodes\n\n  Add a worker, on another machine:\n  isopod agent --server {} --token \"$(cat {} on this one)\"\n",
            kubeconfig.display(),
            self.url(&self.advertise.to_string()),
            if data.agent_token().exists() { data.agent_token() } else { data.token() }.display(),
        )
    }
}

/// The cluster's own certificates, and those that were added.
fn bundle(own: &str, added: &str) -> String {
    [own.trim_end(), added.trim()].join("\n").trim_end().to_owned() + "\n"
}

/// Signs certificate requests with the cluster's CA.
fn signer(joins: &Arc<Joins>) -> controllers::Signer {
    let joins = joins.clone();
    controllers::Signer(Arc::new(move |request, usages, life| {
        let signed = joins.ca.sign_request(request, usages, life, SystemTime::now());
        signed.map_err(|error| error.to_string())
    }))
}

fn secret_tokens(keys: &Arc<ServiceAccountKeys>) -> controllers::SecretTokens {
    let keys = keys.clone();
    controllers::SecretTokens(Arc::new(move |namespace, account, uid, secret| {
        keys.secret_token(namespace, account, uid, secret)
    }))
}

/// Keeps workers from taking the name of the server's node. The first writes of a cluster may have to wait.
async fn claim_name(joins: &Joins, name: &str, password: &str) {
    while let Err(error) = joins.claim(name, password).await {
        tracing::debug!(%error, "the node's name is not claimed yet");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}
