//! Watches: how soon one write reaches all of them, and what they cost while nothing happens.

use std::future::poll_fn;
use std::path::Path;
use std::task::{Context as Poller, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use api::Patch;
use client::{Client, kinds};
use h2::RecvStream;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{NAMESPACE, Target, percentile, raw};
use crate::bench::figure;

/// Streams on one connection, as one program's informers have.
const STREAMS: usize = 100;
/// Writes that are measured.
const ROUNDS: usize = 200;
/// So much is read from a connection at a time.
const READ: usize = 32 * 1024;

/// Events that came together on one connection, and when.
struct Arrived {
    events: usize,
    at: Instant,
}

pub(super) async fn run(target: &Target) -> Result<()> {
    let client = target.client().await?;
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched", "namespace": NAMESPACE}});
    client.create(&kinds::config_maps(), NAMESPACE, object).await?;
    let (sender, mut arrivals) = unbounded_channel();
    let mut there = 0;
    for watchers in [1_000, 10_000] {
        let before = target.sample()?;
        let added = watchers - there;
        for _ in 0..added / STREAMS {
            watch(&target.kubeconfig, sender.clone()).await?;
        }
        last_of(added, &mut arrivals).await?;
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

/// Opens a connection with its watches. One task reads all of it, and decodes nothing: it looks for the ends of events.
async fn watch(kubeconfig: &Path, sender: UnboundedSender<Arrived>) -> Result<()> {
    let stream = raw::connect(kubeconfig, b"h2", READ).await?;
    let (mut requests, mut connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(16 << 20)
        .handshake::<_, bytes::Bytes>(stream)
        .await?;
    let uri = format!(
        "https://server/api/v1/namespaces/{NAMESPACE}/configmaps?watch=1&fieldSelector=metadata.name%3Dwatched"
    );
    let mut streams = Vec::with_capacity(STREAMS);
    while streams.len() < STREAMS {
        let open = async {
            requests = requests.clone().ready().await?;
            let request = http::Request::get(&uri).header("accept", "application/json").body(())?;
            let answer = requests.send_request(request, true)?.0.await?;
            ensure!(answer.status().is_success(), "the server answers {}", answer.status());
            Ok(answer.into_body())
        };
        tokio::select! {
            biased;
            stream = open => streams.push(stream?),
            ended = &mut connection => bail!("the connection ended: {ended:?}"),
        }
    }
    tokio::spawn(async move {
        // Whoever hears of no more events says that a watcher ended.
        poll_fn(|cx| {
            if std::pin::Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut events = 0;
            for stream in &mut streams {
                match arrived(stream, cx) {
                    Some(more) => events += more,
                    None => return Poll::Ready(()),
                }
            }
            if events > 0 && sender.send(Arrived { events, at: Instant::now() }).is_err() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        drop(requests);
    });
    Ok(())
}

/// How many events end in what has come; none if the watch has ended.
fn arrived(stream: &mut RecvStream, cx: &mut Poller<'_>) -> Option<usize> {
    let mut events = 0;
    while let Poll::Ready(data) = stream.poll_data(cx) {
        let data = data?.ok()?;
        events += data.iter().filter(|byte| **byte == b'\n').count();
        stream.flow_control().release_capacity(data.len()).ok()?;
    }
    Some(events)
}

/// Waits until all watchers have had an event; when the last one had.
async fn last_of(watchers: usize, arrivals: &mut UnboundedReceiver<Arrived>) -> Result<Instant> {
    let (mut told, mut last) = (0, None);
    while told < watchers {
        let next = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await;
        let arrived =
            next.with_context(|| format!("{told} of {watchers} watchers were told"))?.context("all watchers ended")?;
        told += arrived.events;
        last = last.max(Some(arrived.at));
    }
    ensure!(told == watchers, "{told} events for {watchers} watchers");
    last.context("nobody watches")
}

/// One write, many watchers: how long until the last has it.
async fn rounds(client: &Client, watchers: usize, arrivals: &mut UnboundedReceiver<Arrived>) -> Result<()> {
    let mut last = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        let patch = Patch::Merge(json!({"data": {"round": format!("{watchers}-{round}")}}));
        client.patch(&kinds::config_maps(), NAMESPACE, "watched", "", patch).await?;
        let latest = last_of(watchers, arrivals).await?;
        last.push(latest - began);
    }
    for percent in [50, 99] {
        let name = format!("one write to the last of {watchers} watchers, p{percent}");
        figure("api", &name, percentile(&last, percent), "ms");
    }
    Ok(())
}
