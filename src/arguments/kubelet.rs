//! `--kubelet-arg`, and the flags of the node that are the kubelet's.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use kubelet::{Limits, Taint, Timing};

use super::values::{duration, number, put, switch, words};
use super::{Argument, argument, feature_gates};
use crate::cli::NodeArgs;

/// What may be said about the kubelet.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where pods ask for names; `None` for the cluster's DNS.
    pub(crate) cluster_dns: Option<Vec<IpAddr>>,
    /// The domain pods look names up in; `None` for the cluster's.
    pub(crate) cluster_domain: Option<String>,
    /// Where plain `/healthz` listens.
    pub(crate) healthz: Option<SocketAddr>,
    /// Labels the node registers with.
    pub(crate) labels: BTreeMap<String, String>,
    /// Thresholds of pressure, image collection and log rotation.
    pub(crate) limits: Limits,
    /// Folder of static pods; `None` for the one in the data directory.
    pub(crate) manifest_dir: Option<PathBuf>,
    /// How many images are pulled at once.
    pub(crate) max_parallel_pulls: usize,
    /// Most pods on this node.
    pub(crate) max_pods: u32,
    /// `spec.providerID`; `None` for isopod's own.
    pub(crate) provider_id: Option<String>,
    /// Whether the node makes its Node object.
    pub(crate) register: bool,
    /// The resolver configuration pods inherit; `None` for the machine's.
    pub(crate) resolv_conf: Option<PathBuf>,
    /// Taints the node registers with.
    pub(crate) taints: Vec<Taint>,
    /// Periods.
    pub(crate) timing: Timing,
}

impl Options {
    /// What the flags say.
    pub(super) fn new(args: &NodeArgs) -> Result<Self> {
        let mut options = Self {
            cluster_dns: None,
            cluster_domain: None,
            healthz: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 10248)),
            labels: BTreeMap::new(),
            limits: Limits { image_gc_high: args.image_gc_high_threshold, ..Limits::default() },
            manifest_dir: args.pod_manifest_path.clone(),
            max_parallel_pulls: 4,
            max_pods: args.max_pods,
            provider_id: None,
            register: true,
            resolv_conf: args.resolv_conf.clone(),
            taints: Vec::new(),
            timing: Timing::default(),
        };
        for text in &args.node_label {
            label(&mut options, text).map_err(|why| anyhow::anyhow!("--node-label {text:?} {why}"))?;
        }
        for text in &args.node_taint {
            options.taints.push(taint(text).map_err(|why| anyhow::anyhow!("--node-taint {text:?} {why}"))?);
        }
        if let Some(text) = &args.eviction_hard {
            let limits = options.limits.eviction_hard(text);
            options.limits = limits.map_err(anyhow::Error::msg).context("--eviction-hard")?;
        }
        Ok(options)
    }

    /// What flags and arguments come to together.
    pub(super) fn check(&mut self) -> Result<()> {
        let Limits { image_gc_high: high, image_gc_low: low, .. } = self.limits;
        if high > 100 {
            bail!("--image-gc-high-threshold {high} is more than 100 percent");
        }
        self.limits.image_gc_low = low.min(high);
        Ok(())
    }
}

/// The arguments, by name.
pub(super) const TABLE: &[Argument<Options>] = &[
    argument("cluster-dns", |options, text| put(&mut options.cluster_dns, addresses(text).map(Some))),
    argument("cluster-domain", |options, text| put(&mut options.cluster_domain, Ok(Some(text.into())))),
    argument("container-log-max-files", |options, text| put(&mut options.limits.log_files, number(text, 2..=1000))),
    argument("container-log-max-size", |options, text| put(&mut options.limits.log_size, bytes(text))),
    argument("eviction-hard", |options, text| {
        let limits = options.limits.eviction_hard(text);
        put(&mut options.limits, limits)
    }),
    argument("feature-gates", |_, text| feature_gates::check(text)),
    argument("healthz-port", |options, text| put(&mut options.healthz, healthz(text))),
    argument("image-gc-high-threshold", |options, text| put(&mut options.limits.image_gc_high, number(text, 0..=100))),
    argument("image-gc-low-threshold", |options, text| put(&mut options.limits.image_gc_low, number(text, 0..=100))),
    argument("max-parallel-image-pulls", |options, text| put(&mut options.max_parallel_pulls, number(text, 1..=1000))),
    argument("max-pods", |options, text| put(&mut options.max_pods, number(text, 0..=10_000))),
    argument("node-labels", |options, text| words(text).iter().try_for_each(|word| label(options, word))),
    argument("node-status-report-frequency", |options, text| put(&mut options.timing.node_report, duration(text))),
    argument("node-status-update-frequency", |options, text| put(&mut options.timing.node_status, duration(text))),
    argument("pod-manifest-path", |options, text| put(&mut options.manifest_dir, Ok(Some(text.into())))),
    argument("provider-id", |options, text| put(&mut options.provider_id, Ok(Some(text.into())))),
    argument("register-node", |options, text| put(&mut options.register, switch(text))),
    argument("register-with-taints", |options, text| {
        let taints = words(text).iter().map(|word| taint(word)).collect::<Result<Vec<_>, _>>()?;
        options.taints.extend(taints);
        Ok(())
    }),
    argument("resolv-conf", |options, text| put(&mut options.resolv_conf, Ok(Some(text.into())))),
    argument("serialize-image-pulls", |options, text| {
        if switch(text)? {
            options.max_parallel_pulls = 1;
        }
        Ok(())
    }),
    argument("sync-frequency", |options, text| put(&mut options.timing.resync, duration(text))),
];

fn label(options: &mut Options, text: &str) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("is not key=value")?;
    options.labels.insert(key.into(), value.into());
    Ok(())
}

fn taint(text: &str) -> Result<Taint, String> {
    let parts =
        text.rsplit_once(':').filter(|(_, effect)| ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(effect));
    let (key, effect) = parts.ok_or("is not key=value:NoSchedule|PreferNoSchedule|NoExecute")?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    Ok(Taint { key: key.into(), value: value.into(), effect: effect.into() })
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    words(text).iter().map(|word| word.parse().map_err(|_| format!("{word:?} is no IP address"))).collect()
}

/// 0 is nowhere.
fn healthz(text: &str) -> Result<Option<SocketAddr>, String> {
    let port = number(text, 0..=u16::MAX)?;
    Ok((port > 0).then(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)))
}

fn bytes(text: &str) -> Result<u64, String> {
    let quantity = api::quantity::Quantity::parse(text).ok().and_then(|q| u64::try_from(q.value()).ok());
    quantity.filter(|bytes| *bytes > 0).ok_or_else(|| "expected a size such as 10Mi".to_owned())
}
