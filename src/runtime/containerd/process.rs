//! The process: started into a session of its own, or found running.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::Config;
use crate::{Error, Result};

/// Past this size the log is rotated.
const LOG_LIMIT: u64 = 10 << 20;

/// A running containerd.
pub(super) struct Process {
    pub(super) pid: i32,
    kind: Kind,
}

enum Kind {
    /// Started by us.
    Child(Child),
    /// Started by a process of ours that is gone; its end shows on a pidfd.
    Adopted(AsyncFd<OwnedFd>),
}

impl Process {
    /// Starts containerd and notes it in the pid file.
    pub(super) fn spawn(config: &Config, program: &Path) -> Result<Process> {
        rotate(&config.log_file)?;
        let open = File::options().create(true).append(true).open(&config.log_file);
        let log = open.map_err(Error::io("cannot open containerd's log", &config.log_file))?;
        let err = log.try_clone().map_err(Error::io("cannot open containerd's log", &config.log_file))?;
        let mut command = tokio::process::Command::new(program);
        command
            .arg("--config")
            .arg(config.config_file())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err)
            .current_dir("/")
            .env_clear()
            .env("PATH", &config.path);
        // What a pull needs to get through a proxy. Our service manager's variables stay away: containerd would report ready in our name.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // SAFETY: setsid is async-signal-safe and touches nothing of ours.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into))
        };
        let child = command.spawn().map_err(Error::io("cannot start", program))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let note = format!("{pid} {}\n", start_time(pid).unwrap_or_default());
        std::fs::write(config.pid_file(), note).map_err(Error::io("cannot write", config.pid_file()))?;
        Ok(Process { pid, kind: Kind::Child(child) })
    }

    /// Finds the one the pid file notes. Whether it is still the right one is told apart by [`Found`].
    pub(super) fn find(config: &Config, program: &Path) -> Option<Found> {
        let note = std::fs::read_to_string(config.pid_file()).ok()?;
        let (pid, started) = note.trim().split_once(' ')?;
        let pid: i32 = pid.parse().ok().filter(|pid| *pid > 1)?;
        // A recycled pid has another start time, and is not run with our configuration.
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == config.config_file().as_os_str().as_encoded_bytes());
        if start_time(pid)?.to_string() != started || !ours {
            return None;
        }
        let fd = pidfd(pid)?;
        // SAFETY: an OwnedFd is the same open descriptor as long as it lives.
        #[allow(unsafe_code)]
        let fd = unsafe { AsyncFd::register(fd) }.ok()?;
        let process = Process { pid, kind: Kind::Adopted(fd) };
        // A program replaced by an upgrade shows as deleted.
        let same_program = std::fs::canonicalize(program).is_ok_and(|program| read_link(pid, "exe") == Some(program));
        let same_network = read_link(pid, "ns/net").is_some()
            && read_link(pid, "ns/net") == std::fs::read_link("/proc/self/ns/net").ok();
        Some(if same_program && same_network { Found::Current(process) } else { Found::Outdated(process) })
    }

    /// Resolves when it has ended.
    pub(super) async fn ended(&mut self) {
        match &mut self.kind {
            Kind::Child(child) => drop(child.wait().await),
            Kind::Adopted(fd) => drop(fd.readable().await),
        }
    }

    /// TERM, then KILL after `grace`; returns when it has ended.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            tracing::warn!(pid = self.pid, "containerd does not end by itself and is killed");
            self.signal(Signal::SIGKILL);
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        match &self.kind {
            // Its pid is its own until it has been waited for.
            Kind::Child(child) if child.id().is_some() => drop(kill(Pid::from_raw(self.pid), signal)),
            Kind::Child(_) => {}
            Kind::Adopted(fd) => {
                // SAFETY: the descriptor is open as long as it is borrowed, and no siginfo is passed.
                #[allow(unsafe_code)]
                unsafe {
                    libc::syscall(
                        libc::SYS_pidfd_send_signal,
                        fd.get_ref().as_raw_fd(),
                        signal as i32,
                        std::ptr::null::<libc::siginfo_t>(),
                        0_u32,
                    )
                };
            }
        }
    }
}

/// What the pid file led to.
pub(super) enum Found {
    /// What we would start ourselves.
    Current(Process),
    /// Ours, but of another time: replaced by an upgrade, or in another network namespace.
    Outdated(Process),
}

/// Start of a process in clock ticks since boot; None if there is none.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields are counted behind the name, which may hold anything: state is the third, the start the 22nd.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn read_link(pid: i32, name: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/{name}")).ok()
}

fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes two integers; a non-negative result is a descriptor that nobody else owns.
    #[allow(unsafe_code)]
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Keeps the log within bounds: past the limit its contents become the older file. It is copied and emptied, because containerd has it open.
pub(super) fn rotate(log: &Path) -> Result<()> {
    if std::fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_LIMIT) {
        let mut older = log.as_os_str().to_owned();
        older.push(".1");
        std::fs::copy(log, older).map_err(Error::io("cannot rotate", log))?;
        File::options()
            .write(true)
            .open(log)
            .and_then(|file| file.set_len(0))
            .map_err(Error::io("cannot rotate", log))?;
    }
    Ok(())
}

/// The end of the log, for an error's text.
pub(super) fn last_words(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || {
        let mut file = File::open(log)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(4096)))?;
        let mut tail = Vec::new();
        file.take(4096).read_to_end(&mut tail)?;
        std::io::Result::Ok(tail)
    };
    let tail = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let lines: Vec<&str> = text.lines().rev().filter(|line| !line.contains("level=info")).take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
