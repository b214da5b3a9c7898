//! Measures the durable store, and etcd beside it when there is one: one line of JSON for each figure.
//!
//! `bench [directory]` puts its files into a fresh directory under `directory` (the current one if left out), because
//! what is measured is a disk, and removes it at the end.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use embedded_store::{Change, Durability, DurableOptions, DurableStore, Expect, Range, Store, Write};
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const VALUE_BYTES: usize = 1024;
/// Concurrent clients, and how many keys they create together.
const LOADS: [(usize, usize); 3] = [(1, 10_000), (16, 60_000), (64, 120_000)];
/// Set for a child that only opens a store and says what that took.
const REOPEN: &str = "STORE_BENCH_REOPEN";

fn main() -> Result<(), Failure> {
    if let Some(directory) = std::env::var_os(REOPEN) {
        return reopen(Path::new(&directory));
    }
    let parent = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ours = runtime.block_on(creates(directory.path()))?;
    reopened(directory.path(), "store")?;
    reopened(directory.path(), "filled")?;
    runtime.block_on(idle(directory.path()))?;
    match runtime.block_on(etcd(directory.path()))? {
        Some(theirs) => {
            for ((clients, _), (ours, theirs)) in LOADS.iter().zip(ours.iter().zip(&theirs)) {
                say("creates_ratio_to_etcd", *clients, "isopod/etcd", ours / theirs, "×")?;
            }
        }
        None => say("creates_ratio_to_etcd", 0, "etcd is not on PATH", f64::NAN, "×")?,
    }
    Ok(())
}

/// One figure.
fn say(figure: &str, clients: usize, of: &str, value: f64, unit: &str) -> Result<(), Failure> {
    let value = if value.is_finite() { format!("{value:.3}") } else { "null".into() };
    let line = format!(r#"{{"figure":"{figure}","of":"{of}","clients":{clients},"value":{value},"unit":"{unit}"}}"#);
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Lets `clients` tasks create `keys` keys and says how fast that was. `create` gets a key.
async fn load<C, F>(of: &str, clients: usize, keys: usize, create: C) -> Result<f64, Failure>
where
    C: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let create = Arc::new(create);
    let begin = Instant::now();
    let tasks = (0..clients).map(|_| {
        let (next, create) = (next.clone(), create.clone());
        tokio::spawn(async move {
            let mut latencies = Vec::with_capacity(keys / clients);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return Ok::<_, Failure>(latencies);
                }
                // Not in key order, as names are not.
                let scattered = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let key = format!("/registry/pods/bench-{clients}/{scattered:016x}");
                let begin = Instant::now();
                create(key).await?;
                latencies.push(begin.elapsed());
            }
        })
    });
    let mut latencies: Vec<Duration> = Vec::with_capacity(keys);
    for client in tasks.collect::<Vec<_>>() {
        latencies.extend(client.await??);
    }
    let rate = keys as f64 / begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    say("creates_per_second", clients, of, rate, "1/s")?;
    say("create_latency_p50", clients, of, percentile(0.50), "µs")?;
    say("create_latency_p99", clients, of, percentile(0.99), "µs")?;
    Ok(rate)
}

fn value() -> Bytes {
    // Half of it repeats, as objects do.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let noise = (0..VALUE_BYTES / 2).map(|_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as u8
    });
    noise.chain(std::iter::repeat_n(b'x', VALUE_BYTES / 2)).collect::<Vec<u8>>().into()
}

async fn creates(directory: &Path) -> Result<Vec<f64>, Failure> {
    let mut rates = Vec::new();
    let store = DurableStore::open(directory.join("store"), DurableOptions::default())?;
    for (clients, keys) in LOADS {
        let rate = load("isopod", clients, keys, {
            let store = store.clone();
            move |key| {
                let store = store.clone();
                async move {
                    let change = Change::Put(value());
                    store.write(Write { key, expect: Expect::Absent, change, durability: Durability::Synced }).await?;
                    Ok(())
                }
            }
        });
        rates.push(rate.await?);
    }
    say("disk_after_creates", 0, "isopod", disk_bytes(&directory.join("store"))? as f64 / 1e6, "MB")?;
    let begin = Instant::now();
    store.close().await?;
    say("close", 0, "isopod", begin.elapsed().as_secs_f64() * 1e3, "ms")?;

    // What an idle cluster's memory is judged by: 100 000 values of 1 KiB, nothing else.
    let store = DurableStore::open(directory.join("filled"), DurableOptions::default())?;
    let writes = (0..100_000).map(|number| {
        let (key, change) = (format!("/registry/configmaps/filled/{number:06}"), Change::Put(value()));
        store.write(Write { key, expect: Expect::Any, change, durability: Durability::Synced })
    });
    for result in futures::future::join_all(writes).await {
        result?;
    }
    store.close().await?;
    Ok(rates)
}

/// Opens a store in a process of its own, so that what it takes is only that.
fn reopened(directory: &Path, name: &str) -> Result<(), Failure> {
    let status = Command::new(std::env::current_exe()?).env(REOPEN, directory.join(name)).status()?;
    if status.success() { Ok(()) } else { Err(format!("reopening failed: {status}").into()) }
}

fn reopen(directory: &Path) -> Result<(), Failure> {
    let before = resident()?;
    let begin = Instant::now();
    let store = DurableStore::open(directory, DurableOptions::default())?;
    let took = begin.elapsed();
    let page = futures::executor::block_on(store.list(Range::default()))?;
    let bytes: usize = page.entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum();
    let of = format!("{} keys, {} MB", page.entries.len(), bytes / 1_000_000);
    drop(page);
    say("reopen", 0, &of, took.as_secs_f64() * 1e3, "ms")?;
    say("resident_peak_of_reopen", 0, &of, (proc("status", "VmHWM")? * 1024 - before) as f64 / 1e6, "MB")?;
    // The allocator gives memory back while it is used, not while everything rests.
    for size in 0..100 {
        drop(std::hint::black_box(vec![vec![0_u8; size * 50]; 100]));
        std::thread::sleep(Duration::from_millis(10));
    }
    say("resident_after_reopen", 0, &of, (resident()? - before) as f64 / 1e6, "MB")
}

/// The writes of one idle day: a lease renewed every 10 s, of which three share a sync, and a status every 5 minutes.
async fn idle(directory: &Path) -> Result<(), Failure> {
    const LEASE_SYNCS: usize = 24 * 60 * 60 / 30;
    const STATUS_EVERY: usize = 10;
    let store = DurableStore::open(directory.join("idle"), DurableOptions::default())?;
    let write = async |key: &str, bytes: usize| {
        let change = Change::Put(vec![b'x'; bytes].into());
        let write = Write { key: key.into(), expect: Expect::Any, change, durability: Durability::Synced };
        store.write(write).await
    };
    write("/registry/leases/kube-node-lease/node", 500).await?;
    let before = written()?;
    for round in 0..LEASE_SYNCS {
        write("/registry/leases/kube-node-lease/node", 500).await?;
        if round % STATUS_EVERY == 0 {
            write("/registry/minions/node", 4000).await?;
        }
    }
    say("idle_day_writes", 0, "isopod", (written()? - before) as f64 / 1e6, "MB")?;
    // After that line, which may itself go to a file.
    let after = written()?;
    let cpu = processor_ticks()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    say("idle_writes_without_writers", 0, "isopod", (written()? - after) as f64, "bytes in 2 s")?;
    say("idle_processor_without_writers", 0, "isopod", (processor_ticks()? - cpu) as f64, "ticks in 2 s")?;
    store.close().await?;
    Ok(())
}

/// The same load on etcd, if there is one.
async fn etcd(directory: &Path) -> Result<Option<Vec<f64>>, Failure> {
    let port = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
    let (client_url, peer_url) = (format!("http://127.0.0.1:{}", port()?), format!("http://127.0.0.1:{}", port()?));
    let spawned = Command::new("etcd")
        .arg("--data-dir")
        .arg(directory.join("etcd"))
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("default={peer_url}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = match spawned {
        Ok(child) => Killed(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let client = loop {
        let connected = async {
            let mut client = Client::connect([&client_url], None).await?;
            client.get("/", None).await?;
            Ok::<_, etcd_client::Error>(client)
        };
        match connected.await {
            Ok(client) => break client,
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut rates = Vec::new();
    for (clients, keys) in LOADS {
        let rate = load("etcd", clients, keys / 4, {
            let client = client.clone();
            move |key| {
                let mut client = client.clone();
                async move {
                    let absent = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
                    let put = TxnOp::put(key, value().to_vec(), None);
                    let response = client.txn(Txn::new().when([absent]).and_then([put])).await?;
                    if response.succeeded() { Ok(()) } else { Err("the key exists".into()) }
                }
            }
        });
        rates.push(rate.await?);
    }
    Ok(Some(rates))
}

/// A child that does not outlive the measurement.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about either.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn disk_bytes(path: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.symlink_metadata()?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    std::fs::read_dir(path)?.map(|entry| disk_bytes(&entry?.path())).sum()
}

/// A number from a file of `/proc/self` with lines of `name: number …`.
fn proc(file: &str, name: &str) -> Result<u64, Failure> {
    let content = std::fs::read_to_string(format!("/proc/self/{file}"))?;
    let line = content.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim_start_matches(':').split_whitespace().next().ok_or("no number")?.parse()?)
}

fn resident() -> Result<u64, Failure> {
    Ok(proc("status", "VmRSS")? * 1024)
}

fn written() -> Result<u64, Failure> {
    proc("io", "write_bytes")
}

fn processor_ticks() -> Result<u64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
