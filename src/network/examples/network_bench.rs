//! How long the node's network takes, as JSON lines: the proxy's first transaction and one for a changed endpoint, and
//! a pod's attachment and detachment through the real plugin process.
//!
//! `cargo run -p isopod-network --example network_bench -- [services] [endpoints a service] [repetitions]`, as root. Everything
//! happens in a network namespace of its own.

#![allow(clippy::print_stdout, reason = "the lines are the example's result")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Patch;
use client::kinds;
use client::testing::Cluster;
use network::proxy::Synced;
use network::{Config, cni, proxy};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    // The runtime's processes: this binary under the plugin's name.
    if std::env::args_os().next().is_some_and(|name| cni::is_plugin_name(&name)) {
        return cni::main();
    }
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let number = |at: usize, otherwise: usize| numbers.get(at).copied().unwrap_or(otherwise);
    let (services, endpoints, repetitions) = (number(0, 1000), number(1, 10), number(2, 50));
    unshare(CloneFlags::CLONE_NEWNET).expect("root, for a network namespace");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config::new("bench", Some(directory.path()));
    attachments(&config, directory.path(), repetitions);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(service_changes(config, services, endpoints, repetitions));
    ExitCode::SUCCESS
}

async fn service_changes(config: Config, services: usize, endpoints: usize, repetitions: usize) {
    let cluster = Cluster::new();
    for service in 0..services {
        cluster.seed(&kinds::endpoint_slices(), slice(service, endpoints));
        cluster.seed(&kinds::services(), service_object(service));
    }
    let (sender, mut synced) = watch::channel(Synced::default());
    let shutdown = CancellationToken::new();
    let client = cluster.client();
    let started = Instant::now();
    let running = tokio::spawn(proxy::run(Arc::new(config), client.clone(), shutdown.clone(), sender));
    let first = next(&mut synced, 0).await;
    let line = json!({
        "benchmark": "proxy-start",
        "services": services,
        "endpoints": services * endpoints,
        "from_start_ms": started.elapsed().as_secs_f64() * 1e3,
        "transaction_ms": first.took.as_secs_f64() * 1e3,
        "bytes": first.bytes,
    });
    println!("{line}");
    let (mut transactions, mut seen, mut bytes) = (Vec::new(), Vec::new(), 0);
    for repetition in 0..repetitions {
        let before = synced.borrow().transactions;
        let count = endpoints + 1 - repetition % 2;
        let patch = Patch::Merge(json!({ "endpoints": slice(0, count)["endpoints"] }));
        let started = Instant::now();
        client.patch(&kinds::endpoint_slices(), "bench", "s0-x", "", patch).await.expect("a patch");
        let last = next(&mut synced, before).await;
        seen.push(started.elapsed());
        transactions.push(last.took);
        bytes = last.bytes;
    }
    report("proxy-change-transaction", services, &mut transactions, bytes);
    report("proxy-change-seen", services, &mut seen, bytes);
    shutdown.cancel();
    running.await.expect("the proxy");
}

async fn next(synced: &mut watch::Receiver<Synced>, after: u64) -> Synced {
    *synced.wait_for(|synced| synced.transactions > after).await.expect("the proxy runs")
}

fn report(name: &str, services: usize, times: &mut [Duration], bytes: usize) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let line = json!({
        "benchmark": name, "services": services, "samples": times.len(),
        "p50_ms": at(0.5), "p99_ms": at(0.99), "bytes": bytes,
    });
    println!("{line}");
}

fn address(number: usize) -> String {
    format!("10.42.{}.{}", number / 250 % 250, number % 250 + 2)
}

fn service_object(number: usize) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": { "namespace": "bench", "name": format!("s{number}") },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": format!("10.43.{}.{}", number / 250, number % 250 + 1),
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }],
        },
    })
}

fn slice(service: usize, endpoints: usize) -> Value {
    let endpoints: Vec<_> = (0..endpoints)
        .map(|n| json!({ "addresses": [address(service * 7 + n)], "nodeName": "n", "conditions": { "ready": true } }))
        .collect();
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "namespace": "bench",
            "name": format!("s{service}-x"),
            "labels": { "kubernetes.io/service-name": format!("s{service}") },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
        "endpoints": endpoints,
    })
}

/// Attaches and detaches one pod again and again, a process each time.
fn attachments(config: &Config, directory: &Path, repetitions: usize) {
    let exe = std::env::current_exe().expect("this binary's path");
    cni::install(&config.cni_bin_dir, &exe).expect("the plugin's link");
    let env = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
    std::fs::create_dir_all(config.subnet_env.parent().expect("a directory")).expect("a directory");
    std::fs::write(&config.subnet_env, env).expect("subnet.env");
    let network = json!({
        "cniVersion": "1.0.0", "name": "cbr0", "type": cni::PLUGIN_NAME,
        "subnetFile": config.subnet_env, "dataDir": directory.join("networks"),
    });
    let pod = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("root, for a network namespace");
        std::fs::File::open("/proc/thread-self/ns/net").expect("a network namespace")
    });
    let pod = pod.join().expect("a thread");
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&pod));
    let run = |command: &str| {
        let started = Instant::now();
        let mut plugin = Command::new(config.cni_bin_dir.join(cni::PLUGIN_NAME))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", "bench")
            .env("CNI_NETNS", &path)
            .env("CNI_IFNAME", "eth0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the plugin");
        plugin.stdin.take().expect("a pipe").write_all(network.to_string().as_bytes()).expect("the plugin reads");
        let output = plugin.wait_with_output().expect("the plugin ends");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stdout));
        started.elapsed()
    };
    let (mut adds, mut deletes): (Vec<_>, Vec<_>) = (0..repetitions).map(|_| (run("ADD"), run("DEL"))).unzip();
    report("cni-add", 0, &mut adds, 0);
    report("cni-del", 0, &mut deletes, 0);
}
