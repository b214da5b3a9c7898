//! What containerd is told.

use std::path::{Path, PathBuf};

use super::preflight::Programs;
use crate::{Error, Result, SOCKET_PATH_MAX};

/// Where a supervised containerd keeps its things, and how it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Images, snapshots, metadata: survives reboots.
    pub root: PathBuf,
    /// Runtime state of this boot: shims' bundles, network namespaces, runc's state. On a tmpfs.
    pub state: PathBuf,
    /// The gRPC socket. containerd makes another beside it, named with `.ttrpc` at its end.
    pub socket: PathBuf,
    /// Holds the generated `config.toml` and the pid file.
    pub config_dir: PathBuf,
    /// Its own log. Kept below some tens of megabytes together with one older file, `.1`.
    pub log_file: PathBuf,
    /// Where containerd, its shim and runc are looked for, and what it looks up programs in itself: the form of `PATH`.
    pub path: String,
    /// CNI plugin programs.
    pub cni_bin_dir: PathBuf,
    /// CNI configuration. Should be empty for all but one of the containerds of a machine, or each its own.
    pub cni_conf_dir: PathBuf,
    /// Image that holds a pod's namespaces; the one of [`crate::pause`] is imported at start.
    pub sandbox_image: String,
    /// How images become filesystems.
    pub snapshotter: Snapshotter,
    /// Per-registry `hosts.toml` files (mirrors, certificates), in a directory for each.
    pub registry_dir: PathBuf,
    /// Credentials for registries, beside those a pull brings.
    pub credentials: Vec<Credentials>,
    /// Cgroup for containerd itself, such as `/isopod`; None leaves it in ours.
    pub cgroup: Option<String>,
}

/// Who we are to one registry: a name and a password, both in base64 as docker keeps them, or a token. Empty is none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The registry: a host, with its port where it has one.
    pub host: String,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// `name:password` in base64.
    pub auth: String,
    /// A token to get tokens with.
    pub identity_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("host", &self.host).finish_non_exhaustive()
    }
}

/// How images become filesystems.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Snapshotter {
    /// overlayfs where it works, native otherwise.
    #[default]
    Auto,
    /// Layers stacked by the kernel.
    Overlayfs,
    /// Whole copies: works everywhere, needs much space.
    Native,
    /// Another by name, whose plugin must exist in containerd.
    Other(String),
}

impl Config {
    /// The usual places below a data directory (`/var/lib/isopod`) and a directory for the state of this boot (`/run/isopod`).
    pub fn below(data: &Path, run: &Path) -> Config {
        Config {
            root: data.join("containerd"),
            state: run.join("containerd"),
            socket: run.join("containerd.sock"),
            config_dir: data.join("containerd-config"),
            log_file: data.join("logs/containerd.log"),
            path: std::env::var("PATH")
                .unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            cni_bin_dir: data.join("cni/bin"),
            cni_conf_dir: data.join("cni/conf"),
            sandbox_image: crate::pause::IMAGE.to_owned(),
            snapshotter: Snapshotter::Auto,
            registry_dir: data.join("registries"),
            credentials: Vec::new(),
            cgroup: None,
        }
    }

    /// Whether the kernel and containerd's configuration language can express this.
    pub(super) fn check(&self) -> Result<()> {
        const SUFFIX: usize = ".ttrpc".len();
        if self.socket.as_os_str().len() + SUFFIX > SOCKET_PATH_MAX {
            return Err(Error::Config(format!(
                "the socket path {} is {} bytes long, containerd can use {}: choose a shorter directory",
                self.socket.display(),
                self.socket.as_os_str().len(),
                SOCKET_PATH_MAX - SUFFIX
            )));
        }
        let paths = [
            &self.root,
            &self.state,
            &self.socket,
            &self.config_dir,
            &self.log_file,
            &self.cni_bin_dir,
            &self.cni_conf_dir,
            &self.registry_dir,
        ];
        for path in paths {
            if !path.is_absolute() || path.to_str().is_none() {
                return Err(Error::Config(format!("{} must be an absolute path of valid UTF-8", path.display())));
            }
        }
        Ok(())
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.toml")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.config_dir.join("containerd.pid")
    }

    /// The configuration file. Version 2 is understood by all releases from 1.5 on; 2.x translates it when it starts.
    pub(super) fn toml(&self, snapshotter: &str, found: &Programs) -> String {
        let path = |path: &Path| toml_string(&path.to_string_lossy());
        let cgroup = self
            .cgroup
            .as_deref()
            .map(|cgroup| format!("[cgroup]\n  path = {}\n", toml_string(cgroup)))
            .unwrap_or_default();
        format!(
            r#"# Written at every start; changes are lost.
version = 2
root = {root}
state = {state}
oom_score = {oom_score}
# Snapshotters that fail to load on most machines, and the restart of containers that Kubernetes does itself.
disabled_plugins = [
  "io.containerd.internal.v1.restart",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]
{cgroup}[grpc]
  address = {socket}
  # Room for what an exec_sync may return, and for lists of many containers.
  max_send_message_size = {max_message}
[debug]
  address = ""
  level = "info"
[metrics]
  address = ""
[plugins."io.containerd.internal.v1.opt"]
  path = {opt}
# On by default since 2.0, with one socket for the whole machine.
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {sandbox_image}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_tcp_service = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = {restrict_oom}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {cni_bin}
    conf_dir = {cni_conf}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = {registry}
{credentials}  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = {snapshotter}
    default_runtime_name = "runc"
    disable_snapshot_annotations = true
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = {runc}
        Root = {runc_root}
        SystemdCgroup = false
"#,
            root = path(&self.root),
            state = path(&self.state),
            socket = path(&self.socket),
            max_message = crate::cri::MAX_MESSAGE,
            opt = path(&self.root.join("opt")),
            sandbox_image = toml_string(&self.sandbox_image),
            cni_bin = path(&self.cni_bin_dir),
            cni_conf = path(&self.cni_conf_dir),
            registry = path(&self.registry_dir),
            credentials = self.credentials.iter().map(credentials).collect::<String>(),
            snapshotter = toml_string(snapshotter),
            runc = path(&found.runc),
            oom_score = if found.may_lower_oom_score { -999 } else { 0 },
            restrict_oom = !found.may_lower_oom_score,
            runc_root = path(&self.state.join("runc")),
        )
    }
}

/// The part of the configuration that holds one registry's credentials.
fn credentials(of: &Credentials) -> String {
    let host = toml_string(&of.host);
    let mut text = format!("    [plugins.\"io.containerd.grpc.v1.cri\".registry.configs.{host}.auth]\n");
    for (key, value) in [
        ("username", &of.username),
        ("password", &of.password),
        ("auth", &of.auth),
        ("identitytoken", &of.identity_token),
    ] {
        if !value.is_empty() {
            text += &format!("      {key} = {}\n", toml_string(value));
        }
    }
    text
}

/// A TOML basic string.
pub fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
