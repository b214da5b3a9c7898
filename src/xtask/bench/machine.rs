//! A machine of its own for a measured server: a network namespace and a data directory, gone afterwards.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Machine {
    binary: PathBuf,
    namespace: String,
    pub(super) data: PathBuf,
    server: Option<Child>,
}

impl Machine {
    pub(super) const ADDRESS: &str = "10.97.0.1";

    pub(super) fn new(binary: &Path) -> Result<Self> {
        let namespace = format!("isobench{}", std::process::id());
        ip(&["netns", "add", &namespace])?;
        let data = std::env::temp_dir().join(&namespace);
        let machine = Self { binary: binary.canonicalize()?, namespace, data, server: None };
        let peer = format!("ib{}", std::process::id() % 100_000);
        ip(&["-n", &machine.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", &peer])?;
        ip(&["-n", &machine.namespace, "addr", "add", &format!("{}/24", Self::ADDRESS), "dev", "eth0"])?;
        for link in ["lo", "eth0", peer.as_str()] {
            ip(&["-n", &machine.namespace, "link", "set", link, "up"])?;
        }
        Ok(machine)
    }

    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig.yaml")
    }

    pub(super) fn kubectl(&self, line: &str) -> Result<String> {
        let mut command = self.command("kubectl");
        let output = command.arg("--kubeconfig").arg(self.kubeconfig()).args(line.split(' ')).output()?;
        if !output.status.success() {
            bail!("kubectl {line}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the server; returns the process id and, for each of the wanted steps, when it was reached.
    pub(super) fn start(&mut self, extra: &[&str], steps: &[&str]) -> Result<(u32, Vec<Duration>)> {
        let began = Instant::now();
        let mut command = self.command(&self.binary);
        command.args(["server", "--node-name", "bench", "--node-ip", Self::ADDRESS, "--data-dir"]).arg(&self.data);
        command.arg("--write-kubeconfig").arg(self.kubeconfig()).args(extra);
        // How full the machine's disk is says nothing about what is measured.
        command.args([
            "--eviction-hard",
            "nodefs.available<1Mi,nodefs.inodesFree<10",
            "--image-gc-high-threshold",
            "100",
        ]);
        let mut child = command.env("RUST_LOG", "info").stderr(Stdio::piped()).stdin(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stderr.take().context("the server has no standard error")?).lines();
        let (sender, lines_there) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The receiver is gone once all steps were seen; the pipe must be read all the same.
                let _ = sender.send((Instant::now(), line));
            }
        });
        let pid = child.id();
        self.server = Some(child);
        let mut reached = Vec::new();
        let mut seen = Vec::new();
        while reached.len() < steps.len() {
            let Ok((at, line)) = lines_there.recv_timeout(PATIENCE) else {
                bail!("the server did not reach {:?}:\n{}", steps[reached.len()], seen.join("\n"));
            };
            if line.contains("isopod::progress") && line.contains(steps[reached.len()]) {
                reached.push(at - began);
            }
            seen.push(line);
        }
        Ok((pid, reached))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = self.command(&self.binary).args(["reset", "--yes", "--data-dir"]).arg(&self.data).output();
        let _ = ip(&["netns", "del", &self.namespace]);
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("the benchmark needs iproute2 and root")?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
