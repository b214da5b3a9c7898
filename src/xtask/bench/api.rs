//! The API over TLS: what many clients get out of one server. Runs without a node: nothing else writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::{ListOptions, Operation, Patch, Reply, User, WatchEvent, WatchOptions};
use client::{Client, Https, kinds};
use futures::StreamExt;
use serde_json::{Value, json};

use super::figure;
use super::machine::Machine;

const NAMESPACE: &str = "default";

pub(super) fn run(binary: &Path) -> Result<()> {
    let mut machine = Machine::new(binary)?;
    let (pid, _) =
        machine.start(&["--disable-agent", "--disable-scheduler", "--disable-controller-manager"], &["API server"])?;
    // The client must be in the server's network namespace: a thread of its own enters it.
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    let kubeconfig = machine.kubeconfig();
    let measured = std::thread::spawn(move || -> Result<()> {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
        // Workers inherit the namespace of the thread that makes them.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(measure(&kubeconfig))
    });
    measured.join().map_err(|_| anyhow::anyhow!("the benchmark panicked"))?
}

async fn measure(kubeconfig: &Path) -> Result<()> {
    let connect =
        async || anyhow::Ok(Client::new(Arc::new(Https::from_kubeconfig(kubeconfig).await?), User::default()));
    let client = connect().await?;
    for (clients, total) in [(1, 2_000), (16, 8_000), (64, 20_000)] {
        let mut all = Vec::new();
        for _ in 0..clients {
            // A connection each, as separate clients have.
            all.push(connect().await?);
        }
        let (rate, latencies) = creates(&all, total).await?;
        let name = format!("{clients} clients");
        figure("api", &format!("durable creates, {name}"), rate, "1/s");
        figure("api", &format!("durable create p50, {name}"), percentile(&latencies, 50), "ms");
        figure("api", &format!("durable create p99, {name}"), percentile(&latencies, 99), "ms");
    }
    let mut latencies = Vec::new();
    for _ in 0..2_000 {
        let began = Instant::now();
        client.get(&kinds::config_maps(), NAMESPACE, "c-1-0").await.context("get")?;
        latencies.push(began.elapsed());
    }
    figure("api", "get p50", percentile(&latencies, 50), "ms");
    lists(&client).await?;
    watchers(&client).await
}

async fn creates(clients: &[Client], total: usize) -> Result<(f64, Vec<Duration>)> {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let workers = clients.iter().cloned().map(|client| {
        let (next, group) = (next.clone(), clients.len());
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    return Ok(latencies);
                }
                let object = json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c-{group}-{n}"), "namespace": NAMESPACE},
                    "data": {"key": "x".repeat(800)},
                });
                let began = Instant::now();
                client.create(&kinds::config_maps(), NAMESPACE, object).await?;
                latencies.push(began.elapsed());
            }
        })
    });
    let mut latencies = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        latencies.extend(worker.await?.map_err(|e: api::Status| e)?);
    }
    Ok((total as f64 / began.elapsed().as_secs_f64(), latencies))
}

fn pod(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p-{n}"), "namespace": "pods", "labels": {"app": "bench", "n": n.to_string()}},
        "spec": {"containers": [{
            "name": "main", "image": "registry.example/app:1", "env": [{"name": "A", "value": "b"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}, "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
        }]},
    })
}

async fn lists(client: &Client) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pods"}});
    client.create(&kinds::namespaces(), "", namespace).await?;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "pods"}});
    // The controller that makes it does not run here.
    client.create(&kinds::service_accounts(), "pods", account).await?;
    let mut pending = futures::stream::iter(0..5_000)
        .map(|n| async move { client.create(&kinds::pods(), "pods", pod(n)).await })
        .buffer_unordered(32);
    while let Some(created) = pending.next().await {
        created.context("creating pods")?;
    }
    let mut latencies = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let list = client.list(&kinds::pods(), "", ListOptions::default()).await?;
        if list.items.len() != 5_000 {
            bail!("expected 5000 pods, got {}", list.items.len());
        }
        latencies.push(began.elapsed());
    }
    figure("api", "list of 5000 pods p50, client's decoding included", percentile(&latencies, 50), "ms");
    Ok(())
}

/// One write, a thousand watchers: how long until the last has it. All streams share a few connections, as HTTP/2 clients' do.
async fn watchers(client: &Client) -> Result<()> {
    const WATCHERS: usize = 1_000;
    let (sender, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..WATCHERS {
        let options = WatchOptions {
            list: ListOptions { field_selector: "metadata.name=watched".into(), ..ListOptions::default() },
            ..WatchOptions::default()
        };
        let reply = client.call(&kinds::config_maps(), NAMESPACE, "", "", Operation::Watch(options)).await?;
        let Reply::Watch(mut stream) = reply else { bail!("the answer was no watch") };
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                if matches!(event, WatchEvent::Added(_) | WatchEvent::Modified(_))
                    && sender.send(Instant::now()).is_err()
                {
                    return;
                }
            }
        });
    }
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched", "namespace": NAMESPACE}});
    client.create(&kinds::config_maps(), NAMESPACE, object).await?;
    for _ in 0..WATCHERS {
        arrivals.recv().await.context("a watcher ended")?;
    }
    let mut last = Vec::new();
    for round in 0..20 {
        let began = Instant::now();
        let patch = Patch::Merge(json!({"data": {"round": round.to_string()}}));
        client.patch(&kinds::config_maps(), NAMESPACE, "watched", "", patch).await?;
        let mut latest = began;
        for _ in 0..WATCHERS {
            let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await?;
            latest = latest.max(arrival.context("a watcher ended")?);
        }
        last.push(latest - began);
    }
    figure("api", "one write to the last of 1000 watchers p50", percentile(&last, 50), "ms");
    figure("api", "one write to the last of 1000 watchers p99", percentile(&last, 99), "ms");
    Ok(())
}

fn percentile(latencies: &[Duration], percent: usize) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
