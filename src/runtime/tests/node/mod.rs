//! A supervised containerd in a directory of its own, with a busybox image, and nothing left of it afterwards, whatever happens.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::containerd::{Config, Supervisor, remove_all_pods, reset};
use runtime::images::archive::{Archive, Entry};
use runtime::types::*;
use runtime::{Cri, Runtime, Timeouts};

pub(crate) const BUSYBOX: &str = "docker.io/library/busybox:test";

pub(crate) struct Node {
    dir: tempfile::TempDir,
    pub(crate) supervisor: Option<Supervisor>,
    pub(crate) cri: Cri,
}

pub(crate) fn config(dir: &Path) -> Config {
    Config::below(&dir.join("data"), &dir.join("run"))
}

impl Node {
    /// A running containerd that knows busybox.
    pub(crate) async fn start() -> Node {
        Node::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(dir: tempfile::TempDir) -> Node {
        let cri = Cri::new(config(dir.path()).socket, Timeouts::default()).unwrap();
        // Made first, so that its end cleans up even if the start fails.
        let mut node = Node { dir, supervisor: None, cri };
        let supervisor =
            Supervisor::start(config(node.path())).await.expect("these tests need containerd, runc and root");
        node.cri = supervisor.cri(Timeouts::default()).unwrap();
        let options = runtime::images::ImportOptions::default();
        let archive = std::io::Cursor::new(busybox().build());
        assert_eq!(supervisor.images().unwrap().import(archive, options).await.unwrap(), [BUSYBOX]);
        node.supervisor = Some(supervisor);
        node
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn supervisor(&self) -> &Supervisor {
        self.supervisor.as_ref().unwrap()
    }

    /// A sandbox on the host network: pods with a network of their own are the network's tests.
    pub(crate) fn sandbox(&self, name: &str) -> SandboxSpec {
        let mut spec = SandboxSpec {
            metadata: SandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            },
            log_directory: self.path().join("logs").join(name),
            labels: Map::from([("app".into(), name.into())]),
            cgroup_parent: format!("/isopod-test-{}/{name}", std::process::id()),
            ..SandboxSpec::default()
        };
        spec.security.namespaces.network = NamespaceMode::Node;
        std::fs::create_dir_all(&spec.log_directory).unwrap();
        spec
    }

    /// A container that runs a shell script.
    pub(crate) fn container(&self, name: &str, script: &str) -> ContainerSpec {
        let mut security = SecurityContext::default().with_default_proc_mount();
        security.namespaces.network = NamespaceMode::Node;
        security.namespaces.pid = NamespaceMode::Container;
        ContainerSpec {
            metadata: ContainerMetadata { name: name.into(), attempt: 0 },
            image: BUSYBOX.into(),
            command: vec!["sh".into(), "-c".into(), script.into()],
            env: vec![EnvVar::new("GREETING", "hello there")],
            log_path: format!("{name}.log").into(),
            security,
            ..ContainerSpec::default()
        }
    }

    /// Runs a container in a sandbox and returns its id.
    pub(crate) async fn run(&self, sandbox_id: &str, sandbox: &SandboxSpec, spec: &ContainerSpec) -> String {
        let id = self.cri.create_container(sandbox_id, spec, sandbox).await.unwrap();
        self.cri.start_container(&id).await.unwrap();
        id
    }

    /// Waits until a container's log holds a line.
    pub(crate) async fn logged(&self, sandbox: &SandboxSpec, name: &str, line: &str) {
        let file: PathBuf = sandbox.log_directory.join(format!("{name}.log"));
        until(&format!("{line:?} in the log"), async || {
            std::fs::read_to_string(&file).is_ok_and(|text| text.contains(line))
        })
        .await;
    }

    pub(crate) async fn state(&self, id: &str) -> ContainerState {
        self.cri.container_status(id).await.unwrap().state
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let (config, cri) = (config(self.path()), self.cri.clone());
        drop(self.supervisor.take());
        // Within a runtime there is no waiting for another one; a thread of its own may.
        let cleanup = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let _ = cri;
                if let Ok(fresh) =
                    Cri::new(&config.socket, Timeouts { request: Duration::from_secs(10), ..Timeouts::default() })
                {
                    let _ = remove_all_pods(&fresh).await;
                }
                reset(&config).await
            })
        });
        let cleaned = cleanup.join();
        if !std::thread::panicking() {
            cleaned.unwrap().unwrap();
        }
        remove_cgroups();
    }
}

/// Removes the cgroups of this test process: containerd leaves those of pods, and one that was killed those of containers.
pub(crate) fn remove_cgroups() {
    let name = format!("isopod-test-{}", std::process::id());
    let roots = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for root in roots.chain([PathBuf::from("/sys/fs/cgroup")]) {
        remove_tree(&root.join(&name));
    }
}

/// A cgroup is a directory that cannot be emptied, but goes when none is below it.
fn remove_tree(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}

/// The host's static busybox as an image.
pub(crate) fn busybox() -> Archive {
    let program = std::fs::read("/bin/busybox").expect("these tests need the package busybox-static");
    let mut entries = vec![Entry::file("bin/busybox", 0o755, program), Entry::directory("tmp", 0o1777)];
    let names = ["sh", "cat", "echo", "sleep", "stty", "id", "ls", "kill", "touch", "true", "tty", "env", "head", "wc"];
    entries.extend(names.map(|name| Entry::symlink(format!("bin/{name}"), "busybox")));
    Archive {
        name: BUSYBOX.into(),
        entries,
        cmd: vec!["sh".into()],
        env: vec!["PATH=/bin".into()],
        ..Archive::default()
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Nothing may hang: a test that would, fails instead.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("this should not take so long")
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
