//! Watches: how soon one write reaches all of them, and what they cost while nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use api::{ListOptions, Operation, Patch, Reply, WatchEvent, WatchOptions};
use client::{Client, kinds};
use futures::StreamExt;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{NAMESPACE, Target, percentile};
use crate::bench::figure;

/// Streams on one connection, as one program's informers have.
const STREAMS: usize = 100;
const ROUNDS: usize = 20;

pub(super) async fn run(target: &Target) -> Result<()> {
    let client = target.client().await?;
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched", "namespace": NAMESPACE}});
    client.create(&kinds::config_maps(), NAMESPACE, object).await?;
    let (sender, mut arrivals) = unbounded_channel();
    let mut there = 0;
    let mut kept = Vec::new();
    for watchers in [1_000, 10_000] {
        let before = target.sample()?;
        let added = watchers - there;
        for connection in target.clients(added / STREAMS).await? {
            for _ in 0..STREAMS {
                watch(&connection, sender.clone()).await?;
            }
            kept.push(connection);
        }
        for _ in 0..added {
            arrivals.recv().await.context("a watcher ended")?;
        }
        there = watchers;
        if let (Some(before), Some(after)) = (before, target.sample()?) {
            let memory = (after.resident - before.resident) / (added as f64 / 1000.0);
            figure("api", &format!("memory of 1000 idle watches, among {watchers}"), memory, "MB");
            let span = Duration::from_secs(5);
            tokio::time::sleep(span).await;
            if let Some(later) = target.sample()? {
                figure(
                    "api",
                    &format!("processor, {watchers} idle watches"),
                    later.busy_since(&after, span),
                    "% of a core",
                );
            }
        }
        rounds(&client, watchers, &mut arrivals).await?;
    }
    Ok(())
}

async fn watch(client: &Client, sender: UnboundedSender<Instant>) -> Result<()> {
    let options = WatchOptions {
        list: ListOptions { field_selector: "metadata.name=watched".into(), ..ListOptions::default() },
        ..WatchOptions::default()
    };
    let reply = client.call(&kinds::config_maps(), NAMESPACE, "", "", Operation::Watch(options)).await?;
    let Reply::Watch(mut stream) = reply else { bail!("the answer was no watch") };
    tokio::spawn(async move {
        while let Some(event) = stream.next().await {
            if matches!(event, WatchEvent::Added(_) | WatchEvent::Modified(_)) && sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// One write, many watchers: how long until the last has it.
async fn rounds(client: &Client, watchers: usize, arrivals: &mut UnboundedReceiver<Instant>) -> Result<()> {
    let mut last = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        let patch = Patch::Merge(json!({"data": {"round": format!("{watchers}-{round}")}}));
        client.patch(&kinds::config_maps(), NAMESPACE, "watched", "", patch).await?;
        let mut latest = began;
        for _ in 0..watchers {
            let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await?;
            latest = latest.max(arrival.context("a watcher ended")?);
        }
        last.push(latest - began);
    }
    for percent in [50, 99] {
        let name = format!("one write to the last of {watchers} watchers, p{percent}");
        figure("api", &name, percentile(&last, percent), "ms");
    }
    Ok(())
}
