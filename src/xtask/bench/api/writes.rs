//! Durable writes: creates and updates by few and many clients, server-side apply, and what larger objects cost.

use anyhow::{Context, Result};
use api::{Operation, Patch, WriteOptions};
use client::{Client, kinds};
use serde_json::{Value, json};

use super::{LOADS, Load, NAMESPACE, Target, etcd, failed, load};
use crate::bench::figure;

pub(super) async fn run(target: &Target) -> Result<()> {
    let mut ours = Vec::new();
    for (clients, total) in LOADS {
        let all = target.clients(clients).await?;
        let made = load(all.clone(), total, move |client: Client, n| async move {
            let object = config_map(&format!("c-{clients}-{n}"), 800);
            client.create(&kinds::config_maps(), NAMESPACE, object).await.map_err(failed)
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
    let client = target.client().await?;
    for bytes in [1_000, 10_000, 100_000] {
        let made = load(vec![client.clone()], 500, move |client: Client, n| async move {
            let object = config_map(&format!("s-{bytes}-{n}"), bytes);
            client.create(&kinds::config_maps(), NAMESPACE, object).await.map_err(failed)
        });
        figure("api", &format!("durable creates of {} kB, 1 client", bytes / 1000), made.await?.rate, "1/s");
    }
    let mut get = load(vec![client], 2_000, |client: Client, _| async move {
        client.get(&kinds::config_maps(), NAMESPACE, "c-1-0").await.map_err(failed)
    })
    .await?;
    get.rate = get.rate.round();
    get.tell("get, 1 client");
    Ok(())
}

/// Merge patches and server-side applies of the same change to objects that are there.
async fn updates(all: &[Client], clients: usize, total: usize) -> Result<()> {
    let patched = load(all.to_vec(), total, move |client: Client, n| async move {
        let patch = Patch::Merge(json!({"data": {"round": n.to_string()}}));
        client.patch(&kinds::config_maps(), NAMESPACE, &format!("c-{clients}-{n}"), "", patch).await.map_err(failed)
    });
    let patched = patched.await?;
    patched.tell(&format!("durable merge patches, {clients} clients"));
    let applied: Load = load(all.to_vec(), total, move |client: Client, n| async move {
        let name = format!("c-{clients}-{n}");
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
            "data": {"applied": n.to_string()},
        });
        let options = WriteOptions { field_manager: "bench".into(), ..WriteOptions::default() };
        let operation = Operation::Patch(Patch::Apply(object), options);
        client.call(&kinds::config_maps(), NAMESPACE, &name, "", operation).await.map_err(failed)
    })
    .await
    .context("server-side apply")?;
    applied.tell(&format!("durable server-side applies, {clients} clients"));
    figure("api", &format!("server-side apply to merge patch, {clients} clients"), applied.rate / patched.rate, "x");
    Ok(())
}

fn config_map(name: &str, bytes: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"key": "x".repeat(bytes)},
    })
}
