//! Keeping it running.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::preflight::{self, Programs};
use super::process::{self, Found, Process};
use super::{Config, Snapshotter};
use crate::images::Images;
use crate::{Cri, Error, Result, Runtime, Timeouts};

/// How long containerd may take until it serves the CRI. It loads all containers first.
const READY: Duration = Duration::from_secs(120);
/// How long one found running may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(20);
/// Between looks at the log's size.
const LOG_CHECK: Duration = Duration::from_secs(60);
/// Waits between restarts: from, up to, and the time of good service after which it starts over.
const BACKOFF: (Duration, Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(30), Duration::from_secs(60));

/// A containerd that is kept running. Dropping it leaves containerd running, unwatched.
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    state: watch::Receiver<State>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

/// How it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Running {
        /// Its process.
        pid: i32,
    },
    /// It ended and will be started again.
    Restarting,
    /// It was stopped.
    Stopped,
}

impl Supervisor {
    /// Finds our containerd running or starts it, waits until it serves the CRI, and imports the sandbox image.
    ///
    /// # Errors
    /// [`Error::MissingPrograms`] and [`Error::Config`] need a person; others carry the end of containerd's log.
    pub async fn start(config: Config) -> Result<Supervisor> {
        config.check()?;
        let programs = preflight::programs(&config.path)?;
        let private = [&config.root, &config.state, &config.config_dir];
        let shared = [&config.cni_bin_dir, &config.cni_conf_dir, &config.registry_dir];
        let parents = [config.socket.parent(), config.log_file.parent()].into_iter().flatten();
        for (dir, mode) in
            private.map(|dir| (dir.as_path(), 0o700)).into_iter().chain(shared.map(|dir| (dir.as_path(), 0o755)))
        {
            make_dir(dir, mode)?;
        }
        for dir in parents {
            make_dir(dir, 0o755)?;
        }
        let process = match adopt(&config, &programs).await? {
            Some(process) => process,
            None => {
                write_config(&config, &programs)?;
                start(&config, &programs).await?
            }
        };
        Images::new(&config.socket)?.ensure_pause().await?;
        let (state_sender, state) = watch::channel(State::Running { pid: process.pid });
        let (stop, stops) = mpsc::channel(1);
        let watch = Watch { config: config.clone(), programs, state: state_sender, stops };
        tokio::spawn(watch.run(process));
        Ok(Supervisor { config, state, stop })
    }

    /// The socket it serves on.
    pub fn socket(&self) -> &Path {
        &self.config.socket
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A client of its CRI. Images of the sandbox's name show as pinned whatever containerd's version.
    pub fn cri(&self, timeouts: Timeouts) -> Result<Cri> {
        Ok(Cri::new(&self.config.socket, timeouts)?.pinning([self.config.sandbox_image.clone()]))
    }

    /// A client of its image store.
    pub fn images(&self) -> Result<Images> {
        Images::new(&self.config.socket)
    }

    /// How it is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Ends containerd. Containers keep running, their output waits; the next start takes them over.
    pub async fn stop(self) {
        let (done, stopped) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

/// The task that watches the process.
struct Watch {
    config: Config,
    programs: Programs,
    state: watch::Sender<State>,
    stops: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Watch {
    async fn run(mut self, mut process: Process) {
        let mut backoff = BACKOFF.0;
        loop {
            let since = Instant::now();
            match self.watch(&mut process).await {
                // Nobody supervises any more: containerd runs on.
                Ended::Abandoned => return,
                Ended::Stop(done) => {
                    process.stop(GRACE).await;
                    self.stopped(done);
                    return;
                }
                Ended::Died => {}
            }
            if since.elapsed() >= BACKOFF.2 {
                backoff = BACKOFF.0;
            }
            self.state.send_replace(State::Restarting);
            tracing::warn!(
                pid = process.pid,
                log = process::last_words(&self.config.log_file),
                "containerd ended, restarting it"
            );
            let again = async {
                loop {
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                    match start(&self.config, &self.programs).await {
                        Ok(process) => return process,
                        Err(error) => tracing::warn!(%error, retry_in = ?backoff, "containerd cannot be started"),
                    }
                }
            };
            process = tokio::select! {
                process = again => process,
                request = self.stops.recv() => {
                    let Some(done) = request else { return };
                    // One that was just being started is in the pid file.
                    if let Some(Found::Current(mut half) | Found::Outdated(mut half)) = Process::find(&self.config, &self.programs.containerd) {
                        half.stop(GRACE).await;
                    }
                    self.stopped(done);
                    return;
                }
            };
            tracing::info!(pid = process.pid, "containerd runs again");
            self.state.send_replace(State::Running { pid: process.pid });
        }
    }

    fn stopped(&self, done: oneshot::Sender<()>) {
        let _ = std::fs::remove_file(self.config.pid_file());
        self.state.send_replace(State::Stopped);
        // Whoever asked may have given up.
        let _ = done.send(());
    }

    async fn watch(&mut self, process: &mut Process) -> Ended {
        loop {
            tokio::select! {
                () = process.ended() => return Ended::Died,
                request = self.stops.recv() => return request.map_or(Ended::Abandoned, Ended::Stop),
                () = tokio::time::sleep(LOG_CHECK) => {
                    if let Err(error) = process::rotate(&self.config.log_file) {
                        tracing::warn!(%error, "containerd's log grows");
                    }
                }
            }
        }
    }
}

enum Ended {
    Died,
    Stop(oneshot::Sender<()>),
    Abandoned,
}

/// Takes over the running one if it is what we would start; stops it if it is not.
async fn adopt(config: &Config, programs: &Programs) -> Result<Option<Process>> {
    let mut outdated = match Process::find(config, &programs.containerd) {
        None => return Ok(None),
        Some(Found::Outdated(process)) => process,
        Some(Found::Current(mut process)) => {
            // The snapshotter is decided anew only with a new containerd: images are already in the old one's form.
            let written = std::fs::read_to_string(config.config_file()).unwrap_or_default();
            let same = match &config.snapshotter {
                Snapshotter::Auto => ["overlayfs", "native"].iter().any(|name| written == config.toml(name, programs)),
                _ => written == config.toml(preflight::snapshotter(config)?, programs),
            };
            if same && ready(config, &mut process, ANSWER).await.is_ok() {
                tracing::info!(pid = process.pid, "found containerd running");
                return Ok(Some(process));
            }
            process
        }
    };
    tracing::info!(pid = outdated.pid, "the containerd that runs is outdated and is replaced");
    outdated.stop(GRACE).await;
    Ok(None)
}

fn write_config(config: &Config, programs: &Programs) -> Result<()> {
    let text = config.toml(preflight::snapshotter(config)?, programs);
    std::fs::write(config.config_file(), text).map_err(Error::io("cannot write", config.config_file()))
}

async fn start(config: &Config, programs: &Programs) -> Result<Process> {
    let mut process = Process::spawn(config, &programs.containerd)?;
    match ready(config, &mut process, READY).await {
        Ok(()) => {
            tracing::info!(pid = process.pid, socket = %config.socket.display(), "containerd runs");
            Ok(process)
        }
        Err(error) => {
            process.stop(GRACE).await;
            let _ = std::fs::remove_file(config.pid_file());
            Err(error)
        }
    }
}

/// Waits until it serves the CRI and can run containers.
async fn ready(config: &Config, process: &mut Process, limit: Duration) -> Result<()> {
    let cri = Cri::new(&config.socket, Timeouts { request: Duration::from_secs(5), ..Timeouts::default() })?;
    let mut last = String::new();
    let answers = async {
        loop {
            match cri.status().await {
                Ok(status) => match status.not_ready {
                    None => return,
                    Some(reason) => last = reason,
                },
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let what = tokio::select! {
        result = tokio::time::timeout(limit, answers) => match result {
            Ok(()) => return Ok(()),
            Err(_) => format!("containerd does not get ready: {last}"),
        },
        () = process.ended() => "containerd ended while starting".to_owned(),
    };
    Err(Error::Unavailable(format!(
        "{what}; its log {} ends with: {}",
        config.log_file.display(),
        process::last_words(&config.log_file)
    )))
}

fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(Error::io("cannot create", dir))
}
