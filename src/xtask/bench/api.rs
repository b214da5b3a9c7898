//! The API over TLS: what many clients get out of one server. Runs without a node: nothing else writes.
//!
//! The same load can be put on another server (`--kubeconfig`), a kube-apiserver for one; etcd runs beside ours where it is
//! installed, because a durable write cannot be faster in Kubernetes than it is there.

mod etcd;
mod lists;
mod raw;
mod watches;
mod writes;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use api::{Status, User};
use client::{Client, Https, kinds};
use serde_json::json;

use super::figure;
use super::idle::Sample;
use super::machine::Machine;

/// What is measured; all of it if none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// Creates, patches, gets
    Writes,
    /// Many watchers of one object
    Watches,
    /// Lists of many pods
    Lists,
}

/// Where the objects of the benchmark are.
const NAMESPACE: &str = "bench";
/// Clients at a time, and how many requests they share.
const LOADS: [(usize, usize); 4] = [(1, 2_000), (16, 8_000), (64, 20_000), (256, 20_000)];

/// The server that is measured.
struct Target {
    kubeconfig: PathBuf,
    /// Its process, where that is ours to look at.
    process: Option<u32>,
}

impl Target {
    /// A client with a connection of its own.
    async fn client(&self) -> Result<Client> {
        Ok(Client::new(Arc::new(Https::from_kubeconfig(&self.kubeconfig).await?), User::default()))
    }

    fn sample(&self) -> Result<Option<Sample>> {
        self.process.map(Sample::take).transpose()
    }
}

/// Measures `binary`, or the server a kubeconfig names.
pub(super) fn run(binary: &Path, kubeconfig: Option<&Path>, only: Option<Part>) -> Result<()> {
    if let Some(kubeconfig) = kubeconfig {
        let target = Target { kubeconfig: kubeconfig.into(), process: None };
        return runtime()?.block_on(measure(&target, only));
    }
    let mut machine = Machine::new(binary)?;
    let (pid, _) =
        machine.start(&["--disable-agent", "--disable-scheduler", "--disable-controller-manager"], &["API server"])?;
    // The client must be in the server's network namespace: a thread of its own enters it.
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    let target = Target { kubeconfig: machine.kubeconfig(), process: Some(pid) };
    let measured = std::thread::spawn(move || -> Result<()> {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
        // Workers inherit the namespace of the thread that makes them.
        runtime()?.block_on(measure(&target, only))
    });
    measured.join().map_err(|_| anyhow::anyhow!("the benchmark panicked"))?
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn measure(target: &Target, only: Option<Part>) -> Result<()> {
    let client = target.client().await?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    client.create(&kinds::namespaces(), "", namespace).await.context("the namespace")?;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}});
    // The controller that makes it does not run here; a whole cluster has it already.
    let _ = client.create(&kinds::service_accounts(), NAMESPACE, account).await;
    let wanted = |part| only.is_none_or(|only| only == part);
    if wanted(Part::Writes) {
        writes::run(target).await.context("writes")?;
    }
    if wanted(Part::Watches) {
        watches::run(target).await.context("watches")?;
    }
    if wanted(Part::Lists) {
        lists::run(target).await.context("lists")?;
    }
    Ok(())
}

/// Lets all clients make requests until `total` are made; requests a second, and how long each took.
async fn load<C, F, T>(
    clients: Vec<C>,
    total: usize,
    request: impl Fn(C, usize) -> F + Copy + Send + Sync + 'static,
) -> Result<Load>
where
    C: Clone + Send + 'static,
    F: Future<Output = Result<T>> + Send,
    T: Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let workers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let next = next.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        return anyhow::Ok(latencies);
                    }
                    let began = Instant::now();
                    request(client.clone(), n).await?;
                    latencies.push(began.elapsed());
                }
            })
        })
        .collect();
    let mut latencies = Vec::with_capacity(total);
    for worker in workers {
        latencies.extend(worker.await??);
    }
    Ok(Load { rate: total as f64 / began.elapsed().as_secs_f64(), latencies })
}

/// What a load came to.
struct Load {
    rate: f64,
    latencies: Vec<Duration>,
}

impl Load {
    fn tell(&self, what: &str) {
        figure("api", what, self.rate, "1/s");
        figure("api", &format!("{what}, p50"), percentile(&self.latencies, 50), "ms");
        figure("api", &format!("{what}, p99"), percentile(&self.latencies, 99), "ms");
    }
}

/// A status as an error of the benchmark.
fn failed(status: Status) -> anyhow::Error {
    status.into()
}

fn percentile(latencies: &[Duration], percent: usize) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
