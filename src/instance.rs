//! One isopod a data directory: a lock that the kernel lets go when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::settings::Paths;

/// Held while this process is the one of its data directory.
pub(crate) struct Instance {
    _lock: Flock<File>,
}

impl Instance {
    /// Becomes the one process of the data directory, or says which one is.
    pub(crate) fn acquire(paths: &Paths) -> Result<Self> {
        let mut file = open(paths)?;
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            bail!(
                "isopod runs already with data directory {} (process {})",
                paths.data.root().display(),
                holder.trim()
            );
        };
        Self::of(lock)
    }

    /// Refuses where the process of the data directory is a service's: ended, it would be started again.
    pub(crate) fn refuse_service(paths: &Paths) -> Result<()> {
        let Ok(holder) = std::fs::read_to_string(paths.run.join("isopod.pid")) else { return Ok(()) };
        let holder = holder.trim();
        // A file that is left over names a process that is gone, or another.
        let Ok(Err(_)) = open(paths).map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock)) else {
            return Ok(());
        };
        let environment = std::fs::read(format!("/proc/{holder}/environ")).unwrap_or_default();
        let told = |name: &str| environment.split(|byte| *byte == 0).any(|set| set.starts_with(name.as_bytes()));
        // What systemd gives a service that tells when it is ready, and what install.sh gives every service.
        if told("NOTIFY_SOCKET=") || told("ISOPOD_READY_FILE=") {
            bail!(
                "isopod (process {holder}) runs as a service, which would start it again as an empty cluster: \
                 isopod-killall.sh stops everything and keeps the data, isopod-uninstall.sh removes everything"
            );
        }
        Ok(())
    }

    /// Asks the process of the data directory to end, waits until it has, and takes its place, so that no service starts
    /// another meanwhile. `None` where there never was one.
    pub(crate) fn succeed(paths: &Paths) -> Result<Option<Self>> {
        if !paths.run.join("isopod.pid").exists() {
            return Ok(None);
        }
        for attempt in 0..300 {
            let mut file = open(paths)?;
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                return Self::of(lock).map(Some);
            }
            if let Ok(pid) = holder.trim().parse::<i32>() {
                let signal = if attempt < 200 { Signal::SIGTERM } else { Signal::SIGKILL };
                let _ = kill(Pid::from_raw(pid), signal);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the isopod of data directory {} does not end", paths.data.root().display())
    }

    fn of(mut lock: Flock<File>) -> Result<Self> {
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .context("cannot write the pid file")?;
        Ok(Self { _lock: lock })
    }
}

fn open(paths: &Paths) -> Result<File> {
    let path = paths.run.join("isopod.pid");
    std::fs::create_dir_all(&paths.run).with_context(|| format!("cannot make {}", paths.run.display()))?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    file.with_context(|| format!("cannot open {}", path.display()))
}
