//! What the flags come to: parsed, checked against each other, defaults filled in. Nothing here touches the machine.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bootstrap::data_dir::DataDir;
use bootstrap::join::ClusterSettings;
use network::Ipv4Cidr;

use crate::cli::{FlannelBackend, NodeArgs, ServerArgs};

/// Components `--disable` knows.
const DISABLABLE: [&str; 1] = ["coredns"];
/// What k3s packages and isopod does not: disabled already.
const ABSENT: [&str; 5] = ["local-storage", "metrics-server", "runtimes", "servicelb", "traefik"];

/// What a server is asked to be.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    /// What every node is told.
    pub(crate) cluster: ClusterSettings,
    /// All services' addresses.
    pub(crate) service_cidr: Ipv4Cidr,
    /// Ports for NodePort services.
    pub(crate) node_ports: RangeInclusive<u16>,
    /// The address of the `kubernetes` Service.
    pub(crate) kubernetes_ip: IpAddr,
    /// Whether nodes serve cluster DNS.
    pub(crate) dns: bool,
}

impl ServerSettings {
    /// Checks the flags; errors name the flag and the value.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let cluster_cidr = cidr("--cluster-cidr", &args.cluster_cidr)?;
        let service_cidr = cidr("--service-cidr", &args.service_cidr)?;
        if cluster_cidr.covers(&service_cidr) || service_cidr.covers(&cluster_cidr) {
            bail!("--cluster-cidr {cluster_cidr} and --service-cidr {service_cidr} overlap");
        }
        if cluster_cidr.prefix > 24 {
            bail!("--cluster-cidr {cluster_cidr} is too small: every node gets a /24 of it");
        }
        if service_cidr.prefix > 28 || service_cidr.prefix < 12 {
            bail!("--service-cidr {service_cidr}: its prefix must lie between /12 and /28");
        }
        args.familiar.check()?;
        let known = |name: &&String| DISABLABLE.contains(&name.as_str()) || ABSENT.contains(&name.as_str());
        if let Some(unknown) = args.disable.iter().find(|name| !known(name)) {
            bail!("--disable {unknown}: there is no such component; there is {}", DISABLABLE.join(", "));
        }
        let cluster_dns = match args.cluster_dns {
            Some(IpAddr::V4(ip)) if service_cidr.contains(ip) => IpAddr::V4(ip),
            Some(ip) => bail!("--cluster-dns {ip} does not lie in --service-cidr {service_cidr}"),
            None => service_cidr.nth(10).into(),
        };
        let dns = !args.disable.iter().any(|name| name == "coredns");
        Ok(Self {
            cluster: ClusterSettings {
                cluster_cidr: cluster_cidr.to_string(),
                service_cidr: service_cidr.to_string(),
                cluster_dns,
                cluster_domain: args.cluster_domain.trim_end_matches('.').to_owned(),
                flannel_backend: backend(args.flannel_backend).into(),
                kube_proxy: !args.disable_kube_proxy,
                dns,
            },
            service_cidr,
            node_ports: port_range(&args.service_node_port_range)?,
            kubernetes_ip: service_cidr.nth(1).into(),
            dns,
        })
    }
}

fn cidr(flag: &str, text: &str) -> Result<Ipv4Cidr> {
    text.parse().with_context(|| format!("{flag} {text:?} is no IPv4 range such as 10.42.0.0/16"))
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>> {
    let parsed = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    match parsed {
        Some(range) if !range.is_empty() && *range.start() > 0 => Ok(range),
        _ => bail!("--service-node-port-range {text:?} is no range such as 30000-32767"),
    }
}

fn backend(flag: FlannelBackend) -> &'static str {
    match flag {
        FlannelBackend::Vxlan => "vxlan",
        FlannelBackend::HostGw => "host-gw",
        FlannelBackend::None => "none",
    }
}

/// Where a node keeps what does not lie in its data directory. Nodes that share a machine differ in all of it.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The data directory.
    pub(crate) data: DataDir,
    /// Sockets, pid files, the flag that the node is ready.
    pub(crate) run: PathBuf,
    /// Container logs.
    pub(crate) pod_logs: PathBuf,
    /// Links to container logs by name; only at the default place.
    pub(crate) log_links: Option<PathBuf>,
    /// Flannel's file.
    pub(crate) subnet_env: PathBuf,
    /// The root of all pods' cgroups.
    pub(crate) cgroup_root: String,
}

impl Paths {
    /// The places of the node whose state lies in `data_dir`.
    pub(crate) fn new(data_dir: &std::path::Path) -> Result<Self> {
        let absolute = std::path::absolute(data_dir).with_context(|| format!("--data-dir {}", data_dir.display()))?;
        let data = DataDir::new(absolute);
        let suffix = data.suffix();
        Ok(if data.is_default() {
            Self {
                data,
                run: "/run/isopod".into(),
                pod_logs: "/var/log/pods".into(),
                log_links: Some("/var/log/containers".into()),
                subnet_env: "/run/flannel/subnet.env".into(),
                cgroup_root: "/".into(),
            }
        } else {
            let run = PathBuf::from(format!("/run/isopod-{suffix}"));
            Self {
                pod_logs: data.agent("log/pods"),
                log_links: None,
                subnet_env: run.join("flannel/subnet.env"),
                cgroup_root: format!("/isopod-{suffix}"),
                run,
                data,
            }
        })
    }

    /// The same, from the flags every node has.
    pub(crate) fn of(args: &NodeArgs) -> Result<Self> {
        Self::new(&args.data_dir)
    }

    /// The socket of the node's own containerd.
    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd/containerd.sock")
    }

    /// Where the administrator's kubeconfig goes by default.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        if self.data.is_default() { "/etc/isopod/isopod.yaml".into() } else { self.data.server("isopod.yaml") }
    }
}
