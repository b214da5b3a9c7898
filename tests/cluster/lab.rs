//! Machines: network namespaces with a leg each on one switch, and isopod processes in them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::kubectl::Kubectl;

/// The binary under test.
pub(crate) const ISOPOD: &str = env!("CARGO_BIN_EXE_isopod");

/// How long anything may take on a noisy machine before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A switch and what is plugged into it.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    tag: String,
    machines: Mutex<Vec<Arc<Machine>>>,
    pair: OnceLock<Pair>,
}

/// The cluster most scenarios share: a server that is a node, and a worker.
pub(crate) struct Pair {
    pub(crate) server: Arc<Machine>,
    pub(crate) worker: Arc<Machine>,
    pub(crate) kubectl: Kubectl,
}

/// One machine.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) data: PathBuf,
    namespace: String,
    process: Mutex<Option<Child>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        // A short path: Unix sockets lie below it.
        let dir = tempfile::Builder::new().prefix("iso").rand_bytes(4).tempdir_in("/tmp").unwrap();
        let tag = format!("iso{}", std::process::id());
        let lab = Self { dir, tag, machines: Mutex::default(), pair: OnceLock::new() };
        let switch = lab.switch();
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "br0", "up"]);
        lab
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.tag)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new machine on the switch: an address, no default route.
    pub(crate) fn machine(&self, name: &str) -> Arc<Machine> {
        let mut machines = self.machines.lock().unwrap();
        let number = machines.len() + 1;
        let namespace = format!("{}-{name}", self.tag);
        let address = format!("10.99.0.{number}");
        let switch = self.switch();
        let port = format!("p{number}");
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &namespace]);
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
        ip(&["-n", &namespace, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
        ip(&["-n", &namespace, "link", "set", "eth0", "up"]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        let machine = Arc::new(Machine {
            name: name.into(),
            address,
            data: self.dir.path().join(name),
            namespace,
            process: Mutex::default(),
            log: Arc::default(),
        });
        machines.push(machine.clone());
        machine
    }

    /// The shared cluster, started at its first use.
    pub(crate) fn pair(&self) -> &Pair {
        self.pair.get_or_init(|| {
            let (server, worker) = (self.machine("server"), self.machine("worker"));
            for machine in [&server, &worker] {
                machine.provide_images();
            }
            server.start_server(&[]);
            let kubectl = Kubectl::new(&server);
            worker.start_agent(&server);
            Pair { server, worker, kubectl }
        })
    }

    /// The last log lines of every machine, for a failure's message.
    pub(crate) fn evidence(&self) -> String {
        let machines = self.machines.lock().unwrap();
        let tail = |machine: &Arc<Machine>| {
            let log = machine.log.lock().unwrap();
            let from = log.len().saturating_sub(60);
            format!("--- {} ---\n{}\n", machine.name, log[from..].join("\n"))
        };
        machines.iter().map(tail).collect()
    }
}

impl Drop for Lab {
    #[expect(clippy::print_stderr, reason = "the one place left to say that the lab was not cleaned up")]
    fn drop(&mut self) {
        for machine in self.machines.lock().unwrap().drain(..) {
            machine.kill();
            let reset = machine.command(ISOPOD).args(["reset", "--yes", "--data-dir"]).arg(&machine.data).output();
            if let Ok(output) = reset.as_ref()
                && !output.status.success()
            {
                eprintln!("reset of {}: {}", machine.name, String::from_utf8_lossy(&output.stderr));
            }
            let _ = Command::new("ip").args(["netns", "del", &machine.namespace]).output();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.switch()]).output();
    }
}

impl Machine {
    /// A command that runs on this machine. What kubectl and Helm remember of a server ends with the lab: the next cluster has the same
    /// address and other resources.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command.env("KUBECACHEDIR", self.data.with_extension("kubectl"));
        command
    }

    /// Runs a command on this machine to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        self.command(program).args(args).output().unwrap()
    }

    /// Puts the test images where the node imports them at its start.
    pub(crate) fn provide_images(&self) {
        let folder = self.data.join("agent/images");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(crate::images::busybox(), folder.join("busybox.tar")).unwrap();
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig.yaml")
    }

    /// Starts `isopod server`; returns at once.
    pub(crate) fn start_server(&self, extra: &[&str]) {
        let mut command = self.isopod("server");
        command.arg("--write-kubeconfig").arg(self.kubeconfig()).args(extra);
        self.start(command);
        wait("the kubeconfig", || self.kubeconfig().exists().then_some(()));
    }

    /// Starts `isopod agent`; returns at once.
    pub(crate) fn start_agent(&self, server: &Machine) {
        let token = wait("the token", || std::fs::read_to_string(server.data.join("server/token")).ok());
        self.start_agent_with(&format!("https://{}:6443", server.address), token.trim());
    }

    /// The same with a token of the scenario's own.
    pub(crate) fn start_agent_with(&self, url: &str, token: &str) {
        let mut command = self.isopod("agent");
        command.args(["--server", url, "--token", token]);
        self.start(command);
    }

    /// `isopod <subcommand>` with what every node of the lab needs.
    pub(crate) fn isopod(&self, subcommand: &str) -> Command {
        let mut command = self.command(ISOPOD);
        command.args([subcommand, "--node-name", &self.name, "--node-ip", &self.address, "--data-dir"]).arg(&self.data);
        // The disk is the machine's, and how full it is says nothing about what is tested.
        command.args([
            "--eviction-hard",
            "nodefs.available<1Mi,nodefs.inodesFree<10",
            "--image-gc-high-threshold",
            "100",
        ]);
        command
    }

    fn start(&self, mut command: Command) {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = self.log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        *self.process.lock().unwrap() = Some(child);
    }

    /// Waits until this machine's isopod has logged a line with all of these words.
    pub(crate) fn wait_for_log(&self, words: &[&str]) {
        let said = |line: &String| words.iter().all(|word| line.contains(word));
        wait(&format!("{} to log {words:?}", self.name), || self.log.lock().unwrap().iter().any(said).then_some(()));
    }

    /// kill -9, as a power cut would. Containers are not touched.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that ends with the scenario, whatever becomes of it.
pub(crate) struct Background(pub(crate) Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `condition` holds and returns what it found.
pub(crate) fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("iproute2 is installed by tests/run");
    assert!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
}
