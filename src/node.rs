//! This machine as a node: containerd, the pod network, the service proxy, cluster DNS, the kubelet.
//!
//! Servers and workers run the same node, over HTTPS, under the node's own identity.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use api::User;
use apiserver::ServingCertificate;
use bootstrap::join::agent::Membership;
use bootstrap::pki::Pair;
use client::Https;
use client::{Client, kinds};
use runtime::containerd::{Config as ContainerdConfig, Snapshotter, Supervisor};
use runtime::images::{Images, ImportOptions};
use runtime::{Cri, Runtime, Timeouts};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments;
use crate::cli::NodeArgs;
use crate::progress::Progress;
use crate::registries::Registries;
use crate::renewal::{self, NodeCertificates, Signer};
use crate::settings::Paths;
use crate::{ready, version};

/// The kubelet's port.
pub(crate) const KUBELET_PORT: u16 = 10250;

/// What a node needs to know beside its flags.
pub(crate) struct Node {
    /// The flags.
    pub(crate) args: NodeArgs,
    /// Where things lie.
    pub(crate) paths: Paths,
    /// The node's name.
    pub(crate) name: String,
    /// The node's address.
    pub(crate) address: IpAddr,
    /// The API server to talk to.
    pub(crate) server_url: String,
}

impl Node {
    /// What must be true of the machine; nothing is made before.
    pub(crate) fn preflight(args: &NodeArgs) -> Result<()> {
        crate::preflight::root()?;
        crate::preflight::cgroups()?;
        Registries::read(&args.private_registry)?;
        if args.container_runtime_endpoint.is_none() {
            crate::preflight::programs()?;
            crate::preflight::files()?;
        }
        crate::preflight::port(
            Ipv4Addr::UNSPECIFIED.into(),
            KUBELET_PORT,
            "another network namespace: it is the kubelet's",
        )
    }

    /// Starts what needs no cluster yet: the container runtime. Takes most of a node's start, so it runs beside the join.
    pub(crate) async fn start_runtime(&self, progress: &Progress) -> Result<Arc<dyn Runtime>> {
        let network = self.network_config(None)?;
        network::cni::install(
            &network.cni_bin_dir,
            &std::env::current_exe().context("cannot find this program's own file")?,
        )
        .context("cannot install the CNI plugin")?;
        if let Some(endpoint) = &self.args.container_runtime_endpoint {
            let socket = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
            let cri = Cri::new(socket, Timeouts::default())
                .with_context(|| format!("--container-runtime-endpoint {endpoint}"))?;
            let version = cri.version().await.with_context(|| format!("no container runtime answers at {endpoint}"))?;
            tracing::info!(endpoint, ?version, "container runtime found");
            return Ok(Arc::new(cri));
        }
        progress.doing("starting containerd");
        let registries = Registries::read(&self.args.private_registry)?;
        let mut config = containerd_config(&self.paths, &self.args);
        registries.write(&config.registry_dir)?;
        config.credentials = registries.credentials();
        let supervisor = Supervisor::start(config).await.context("containerd does not start")?;
        let cri = supervisor.cri(Timeouts::default())?.pinning([runtime::pause::IMAGE.to_owned()]);
        let images = supervisor.images()?;
        // Dropping it would leave containerd unwatched; it is watched as long as this process lives.
        tokio::spawn(async move {
            let _supervisor = supervisor;
            std::future::pending::<()>().await;
        });
        import_folder(&images, self.paths.data.agent("images")).await;
        progress.done("container runtime");
        Ok(Arc::new(cri))
    }

    /// Runs the node until shutdown, with certificates that `signer` renews. Containers go on running.
    pub(crate) async fn run(
        self,
        membership: Membership,
        signer: Signer,
        runtime: Arc<dyn Runtime>,
        progress: Arc<Progress>,
        shutdown: CancellationToken,
        farewell: String,
    ) -> Result<()> {
        let user = User::new(format!("system:node:{}", self.name), [api::user::NODES]);
        let Pair { cert, key } = &membership.client;
        let https = Https::new(&self.server_url, membership.ca.as_bytes(), cert.as_bytes(), key.as_bytes())
            .context("cannot talk to the API server")?;
        let client = Client::new(Arc::new(https.clone()), user).writing_as("kubelet");
        let Pair { cert, key } = &membership.serving;
        let serving = ServingCertificate::from_pem(cert, key).context(
            "the kubelet's serving certificate is of no use; remove it from the data directory and start again",
        )?;
        let serving = Arc::new(serving);
        let mut tasks = JoinSet::new();
        self.start_network(&membership, &client, &shutdown, &mut tasks)?;

        let (told, port) = oneshot::channel();
        let config = self.kubelet_config(&membership, serving.clone(), &client)?;
        tasks.spawn({
            let (client, shutdown) = (client.clone(), shutdown.clone());
            async move { kubelet::run(config, client, runtime, told, shutdown).await.context("the kubelet cannot run") }
        });
        tasks.spawn({
            let (name, shutdown, paths) = (self.name.clone(), shutdown.clone(), self.paths.clone());
            let address = self.address.to_string();
            async move {
                let registered = tokio::select! {
                    port = port => port.is_ok(),
                    () = shutdown.cancelled() => false,
                };
                if registered {
                    progress.done("node registered");
                    progress.doing("waiting for the node to be Ready");
                    tokio::select! {
                        () = node_ready(&client, &name) => {
                            progress.done("node Ready");
                            progress.finish(&farewell);
                            ready::announce(&paths, &address);
                        }
                        () = shutdown.cancelled() => {}
                    }
                }
                // Not the end of the node.
                shutdown.cancelled().await;
                Ok(())
            }
        });
        let certificates = NodeCertificates {
            signer,
            dir: self.paths.data.agent(""),
            name: self.name,
            addresses: vec![self.address],
            membership,
            client: https,
            serving,
        };
        let stop = shutdown.clone();
        tasks.spawn(async move {
            renewal::run(certificates, stop).await;
            Ok(())
        });
        // The first part that fails ends the node; so does shutdown, after which all end by themselves.
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    shutdown.cancel();
                    return Err(error);
                }
                Err(panic) => {
                    shutdown.cancel();
                    return Err(panic).context("a part of the node panicked");
                }
            }
        }
        Ok(())
    }

    fn start_network(
        &self,
        membership: &Membership,
        client: &Client,
        shutdown: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let config = Arc::new(self.network_config(Some(membership))?);
        let (network_ready, _) = watch::channel(false);
        tasks.spawn({
            let (config, client, shutdown) = (config.clone(), client.clone(), shutdown.clone());
            async move {
                network::flannel::run(config, client, shutdown, network_ready).await;
                Ok(())
            }
        });
        if membership.cluster.kube_proxy {
            let (config, client, shutdown) = (config.clone(), client.clone(), shutdown.clone());
            let (synced, _) = watch::channel(Default::default());
            tasks.spawn(async move {
                network::proxy::run(config, client, shutdown, synced).await;
                Ok(())
            });
        }
        if membership.cluster.dns
            && let IpAddr::V4(address) = membership.cluster.cluster_dns
        {
            network::local_address::ensure(address).context("cannot give the cluster DNS address to this node")?;
            let dns = addons::dns::Config {
                address: address.into(),
                domain: membership.cluster.cluster_domain.clone(),
                resolv_conf: resolv_conf(self.args.resolv_conf.as_deref()),
            };
            let (client, shutdown) = (client.clone(), shutdown.clone());
            tasks.spawn(async move { addons::dns::run(dns, client, shutdown).await.context("cluster DNS cannot run") });
        }
        Ok(())
    }

    fn network_config(&self, membership: Option<&Membership>) -> Result<network::Config> {
        network_config(&self.paths, &self.args, &self.name, self.address, membership)
    }

    fn kubelet_config(
        &self,
        membership: &Membership,
        serving: Arc<ServingCertificate>,
        client: &Client,
    ) -> Result<kubelet::Config> {
        let data = &self.paths.data;
        let cluster = &membership.cluster;
        let options = arguments::of_node(&self.args)?;
        let client_ca = CertificateDer::pem_slice_iter(membership.ca.as_bytes()).collect::<Result<Vec<_>, _>>();
        let caches = client.clone();
        let dns = || if cluster.dns { vec![cluster.cluster_dns] } else { Vec::new() };
        Ok(kubelet::Config {
            node_name: self.name.clone(),
            node_ips: vec![self.address],
            external_ips: self.args.node_external_ip.into_iter().collect(),
            labels: options.labels,
            taints: options.taints,
            register: options.register,
            root_dir: data.agent("kubelet"),
            log_dir: self.paths.pod_logs.clone(),
            log_links: self.paths.log_links.clone(),
            manifest_dir: Some(options.manifest_dir.unwrap_or_else(|| data.agent("pod-manifests"))),
            cluster_dns: options.cluster_dns.unwrap_or_else(dns),
            cluster_domain: options.cluster_domain.unwrap_or_else(|| cluster.cluster_domain.clone()),
            resolv_conf: resolv_conf(options.resolv_conf.as_deref()),
            listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), KUBELET_PORT),
            healthz: options.healthz,
            serving,
            client_ca: client_ca.context("the cluster's CA cannot be read")?,
            cgroup_root: self.paths.cgroup_root.clone(),
            max_pods: options.max_pods,
            provider_id: options.provider_id.unwrap_or_else(|| format!("isopod://{}", self.name)),
            version: version::KUBELET.into(),
            caches: Arc::new(move |resource, namespace, selector| {
                caches.cache_selected(resource, namespace, selector, "")
            }),
            max_parallel_pulls: options.max_parallel_pulls,
            limits: options.limits,
            timing: options.timing,
        })
    }
}

/// The machine's resolver configuration, unless another is said.
fn resolv_conf(said: Option<&Path>) -> PathBuf {
    said.map_or_else(
        || {
            // systemd-resolved's stub listens on loopback, which pods cannot reach: its real servers are elsewhere.
            let real = PathBuf::from("/run/systemd/resolve/resolv.conf");
            if real.exists() { real } else { "/etc/resolv.conf".into() }
        },
        Path::to_owned,
    )
}

/// The node's network, from its flags and from what the cluster told it. Teardown works without the latter.
pub(crate) fn network_config(
    paths: &Paths,
    args: &NodeArgs,
    name: &str,
    address: IpAddr,
    membership: Option<&Membership>,
) -> Result<network::Config> {
    let below = args.container_runtime_endpoint.is_none().then(|| paths.data.agent(""));
    let mut config = network::Config::new(name, below.as_deref());
    config.subnet_env = paths.subnet_env.clone();
    config.interface = args.flannel_iface.clone();
    config.node_ip = match address {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(ip) => bail!("the pod network needs an IPv4 node address, not {ip}: name one with --node-ip"),
    };
    if let Some(Membership { cluster, .. }) = membership {
        config.cluster_cidr = cluster.cluster_cidr.parse().context("the server's cluster CIDR")?;
        config.service_cidr = cluster.service_cidr.parse().context("the server's service CIDR")?;
        config.backend = cluster.flannel_backend.parse().context("the server's flannel backend")?;
        if let IpAddr::V4(dns) = cluster.cluster_dns {
            config.cluster_dns = Some(dns);
        }
    }
    Ok(config)
}

/// Our containerd: its places follow from the data directory.
pub(crate) fn containerd_config(paths: &Paths, args: &NodeArgs) -> ContainerdConfig {
    let agent = paths.data.agent("");
    let network = network::Config::new("", Some(&agent));
    let mut config = ContainerdConfig::below(&agent, &paths.run.join("containerd"));
    config.socket = paths.containerd_socket();
    config.cni_bin_dir = network.cni_bin_dir;
    config.cni_conf_dir = network.cni_conf_dir;
    if let Some(image) = &args.pause_image {
        config.sandbox_image = image.clone();
    }
    config.snapshotter = match args.snapshotter.as_deref() {
        None => Snapshotter::Auto,
        Some("overlayfs") => Snapshotter::Overlayfs,
        Some("native") => Snapshotter::Native,
        Some(other) => Snapshotter::Other(other.into()),
    };
    config
}

/// Imports every archive in the folder. One that is broken is named and left; the node starts all the same.
async fn import_folder(images: &Images, folder: PathBuf) {
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|e| e.path())).filter(|p| p.is_file()).collect();
    files.sort();
    for file in files {
        let imported = async {
            let archive = std::fs::File::open(&file)?;
            anyhow::Ok(images.import(archive, ImportOptions::default()).await?)
        };
        match imported.await {
            Ok(names) => tracing::info!(file = %file.display(), ?names, "images imported"),
            Err(error) => {
                tracing::error!(file = %file.display(), error = %format!("{error:#}"), "an image archive cannot be imported")
            }
        }
    }
}

async fn node_ready(client: &Client, name: &str) {
    #[derive(serde::Deserialize)]
    struct View {
        status: Option<Status>,
    }
    #[derive(serde::Deserialize)]
    struct Status {
        conditions: Option<Vec<Condition>>,
    }
    #[derive(serde::Deserialize)]
    struct Condition {
        r#type: String,
        status: String,
    }
    let cache = client.cache_selected(&kinds::nodes(), "", &format!("metadata.name={name}"), "");
    cache
        .until(|cache| {
            let node = cache.get("", name).and_then(|node| node.view::<View>().ok());
            let conditions = node.and_then(|n| n.status).and_then(|s| s.conditions).unwrap_or_default();
            conditions.iter().any(|c| c.r#type == "Ready" && c.status == "True")
        })
        .await;
}
