//! The peer of durable writes: etcd, with as many clients and as large values, on the same disk.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use etcd_client::Client;

use super::{LOADS, load};

/// An etcd that ends, and whose data goes, with it.
struct Etcd {
    process: Child,
    data: std::path::PathBuf,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Puts a second, for each of the loads; `None` without an etcd on PATH.
pub(super) async fn creates() -> Result<Option<Vec<f64>>> {
    let (client, peer) = (free_url()?, free_url()?);
    let data = std::env::temp_dir().join(format!("isobench-etcd-{}", std::process::id()));
    let spawned = Command::new("etcd")
        .arg("--data-dir")
        .arg(&data)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(process) = spawned else { return Ok(None) };
    let _etcd = Etcd { process, data };
    ready(&client).await?;
    let mut rates = Vec::new();
    for (clients, total) in LOADS {
        let mut all = Vec::new();
        for _ in 0..clients {
            all.push(Client::connect([&client], None).await?);
        }
        let put = load(all, total / 2, move |mut client: Client, n| async move {
            client
                .put(format!("/registry/configmaps/bench/c-{clients}-{n}"), vec![b'x'; 1_000], None)
                .await
                .context("put")
        });
        rates.push(put.await?.rate);
    }
    Ok(Some(rates))
}

async fn ready(url: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        if let Ok(mut client) = Client::connect([url], None).await
            && client.get("x", None).await.is_ok()
        {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(30) {
            bail!("etcd did not answer");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_url() -> Result<String> {
    Ok(format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}
