//! Durable writes: creates and updates by few and many clients, server-side apply, and what larger objects cost.

use anyhow::{Context, Result};
use http::{Method, Request, request};
use serde_json::{Value, json};

use super::raw::Sender;
use super::{LOADS, NAMESPACE, Target, etcd, load};
use crate::bench::figure;

pub(super) async fn run(target: &Target) -> Result<()> {
    let mut ours = Vec::new();
    for (clients, total) in LOADS {
        let all = Sender::several(&target.kubeconfig, clients).await?;
        let made = load(all.clone(), total, move |client: Sender, n| async move {
            create(&client, &format!("c-{clients}-{n}"), 800).await
        });
        let made = made.await?;
        made.tell(&format!("durable creates, {clients} clients"));
        ours.push(made.rate);
        updates(&all, clients, total).await?;
    }
    match etcd::creates().await? {
        Some(theirs) => {
            for ((clients, _), (ours, theirs)) in LOADS.iter().zip(ours.iter().zip(&theirs)) {
                figure("api", &format!("etcd puts, {clients} clients"), *theirs, "1/s");
                figure("api", &format!("durable creates over TLS to etcd's, {clients} clients"), ours / theirs, "x");
            }
        }
        None => figure("api", "etcd is not on PATH: no ratio", 0.0, "x"),
    }
    let one = Sender::several(&target.kubeconfig, 1).await?;
    for bytes in [1_000, 10_000, 100_000] {
        let made = load(one.clone(), 500, move |client: Sender, n| async move {
            create(&client, &format!("s-{bytes}-{n}"), bytes).await
        });
        figure("api", &format!("durable creates of {} kB, 1 client", bytes / 1000), made.await?.rate, "1/s");
    }
    let mut get =
        load(
            one,
            2_000,
            |client: Sender, _| async move { client.send(request(Method::GET, "/c-1-0"), "".into()).await },
        )
        .await?;
    get.rate = get.rate.round();
    get.tell("get, 1 client");
    Ok(())
}

/// Merge patches and server-side applies of the same change to objects that are there.
async fn updates(all: &[Sender], clients: usize, total: usize) -> Result<()> {
    let patched = load(all.to_vec(), total, move |client: Sender, n| async move {
        let patch = json!({"data": {"round": n.to_string()}}).to_string();
        let request = request(Method::PATCH, &format!("/c-{clients}-{n}"));
        client.send(request.header("content-type", "application/merge-patch+json"), patch.into()).await
    });
    let patched = patched.await.context("merge patches")?;
    patched.tell(&format!("durable merge patches, {clients} clients"));
    let applied = load(all.to_vec(), total, move |client: Sender, n| async move {
        let name = format!("c-{clients}-{n}");
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
            "data": {"applied": n.to_string()},
        });
        let request = request(Method::PATCH, &format!("/{name}?fieldManager=bench"));
        client.send(request.header("content-type", "application/apply-patch+yaml"), object.to_string().into()).await
    });
    let applied = applied.await.context("server-side apply")?;
    applied.tell(&format!("durable server-side applies, {clients} clients"));
    figure("api", &format!("server-side apply to merge patch, {clients} clients"), applied.rate / patched.rate, "x");
    Ok(())
}

async fn create(client: &Sender, name: &str, bytes: usize) -> Result<()> {
    let request = request(Method::POST, "").header("content-type", "application/json");
    client.send(request, config_map(name, bytes).to_string().into()).await
}

/// A request about the config maps; `path` is what follows them.
fn request(method: Method, path: &str) -> request::Builder {
    let uri = format!("https://server/api/v1/namespaces/{NAMESPACE}/configmaps{path}");
    Request::builder().method(method).uri(uri).header("accept", "application/json")
}

fn config_map(name: &str, bytes: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"key": "x".repeat(bytes)},
    })
}
