//! Lists of many pods in every form clients ask for, and the memory the pods take.

use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use client::kinds;

use super::{NAMESPACE, Target, failed, percentile};
use crate::bench::figure;
use crate::bench::idle::Sample;

/// What clients ask for: kubectl and scripts, controllers, `kubectl get`, the garbage collector, people.
const FORMS: [(&str, &str); 5] = [
    ("JSON", "application/json"),
    ("protobuf", "application/vnd.kubernetes.protobuf"),
    ("Table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ("metadata", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
    ("YAML", "application/yaml"),
];
/// So much is read from the connection at a time.
const READ: usize = 256 * 1024;
/// What is free is given back after a while.
const SETTLING: Duration = Duration::from_secs(10);

pub(super) async fn run(target: &Target) -> Result<()> {
    let client = &target.client().await?;
    let raw = &mut Reader::connect(&target.kubeconfig).await?;
    let mut there = 0;
    for (pods, rounds) in [(5_000, 20), (50_000, 5)] {
        let before = target.sample()?;
        futures::stream::iter(there..pods)
            .map(|n| async move { client.create(&kinds::pods(), NAMESPACE, pod(n)).await.map_err(failed) })
            .buffer_unordered(64)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        if let (Some(before), Some(after)) = (before, target.sample()?) {
            let memory = (after.resident - before.resident) / ((pods - there) as f64 / 1000.0);
            figure("api", &format!("memory of 1000 pods, among {pods}"), memory, "MB");
        }
        there = pods;
        if let Some(process) = target.process {
            tokio::time::sleep(SETTLING).await;
            figure("api", &format!("resident memory with {pods} pods"), Sample::take(process)?.resident, "MB");
            Sample::forget_peak(process)?;
        }
        for (form, accept) in FORMS {
            let mut latencies = Vec::new();
            let mut bytes = 0;
            // One object is a tree at a time: people who read thousands can wait.
            let rounds = if form == "YAML" { 1 } else { rounds };
            for _ in 0..rounds {
                let began = Instant::now();
                bytes = raw.list(accept).await.with_context(|| format!("a list as {form}"))?;
                latencies.push(began.elapsed());
            }
            if matches!(form, "protobuf" | "Table") {
                // Nobody has looked at the objects so before.
                let first = latencies.first().map_or(0.0, |first| first.as_secs_f64() * 1000.0);
                figure("api", &format!("list of {pods} pods as {form}, the first"), first, "ms");
            }
            figure("api", &format!("list of {pods} pods as {form}, p50"), percentile(&latencies, 50), "ms");
            figure("api", &format!("list of {pods} pods as {form}, size"), bytes as f64 / 1e6, "MB");
        }
        if let Some(process) = target.process {
            figure("api", &format!("peak of memory during lists of {pods} pods"), Sample::take(process)?.peak, "MB");
            tokio::time::sleep(SETTLING).await;
            let after = Sample::take(process)?.resident;
            figure("api", &format!("resident memory after lists of {pods} pods"), after, "MB");
        }
    }
    Ok(())
}

/// Asks for lists with as little work of its own as there can be, since it shares the processors with the server: what it takes is
/// in the figures of both servers that are compared.
struct Reader {
    requests: SendRequest<Empty<Bytes>>,
    /// Driven by who waits for the answer, so that no other thread has to be woken for each piece of it.
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
}

impl Reader {
    async fn connect(kubeconfig: &Path) -> Result<Self> {
        let stream = super::raw::connect(kubeconfig, b"http/1.1", READ).await?;
        let (requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { requests, connection: Box::pin(connection) })
    }

    /// Reads a whole list and decodes nothing; its bytes.
    async fn list(&mut self, accept: &str) -> Result<usize> {
        let read = read(&mut self.requests, accept);
        tokio::select! {
            biased;
            bytes = read => bytes,
            ended = &mut self.connection => bail!("the connection ended: {ended:?}"),
        }
    }
}

async fn read(requests: &mut SendRequest<Empty<Bytes>>, accept: &str) -> Result<usize> {
    let uri = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let request = http::Request::get(uri).header("host", "server").header("accept", accept).body(Empty::new())?;
    requests.ready().await?;
    let answer = requests.send_request(request).await?;
    anyhow::ensure!(answer.status().is_success(), "the server answers {}", answer.status());
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, |data| data.len());
    }
    Ok(bytes)
}

fn pod(n: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p-{n}"), "namespace": NAMESPACE, "labels": {"app": "bench", "n": n.to_string()}},
        "spec": {"containers": [{
            "name": "main", "image": "registry.example/app:1", "env": [{"name": "A", "value": "b"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}, "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
        }]},
    })
}
