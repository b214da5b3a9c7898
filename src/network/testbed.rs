//! Nodes, pods and wires for tests: network namespaces nobody else can see, gone with the values that hold them.
//!
//! Tests run as root. What the kernel lacks makes them fail with its name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::cidr::Ipv4Cidr;
use crate::config::Config;
use crate::netlink::route::{self, Route, VethEnd};
use crate::netlink::{Socket, namespace};
use crate::subnet_env::SubnetEnv;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace.
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// A new one, with `lo` up.
    pub(crate) fn new() -> Self {
        let file = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests need root: CLONE_NEWNET");
            File::open("/proc/thread-self/ns/net").expect("/proc/thread-self/ns/net")
        });
        let made = Self { file: file.join().expect("namespace thread") };
        made.run(|| {
            let mut socket = Socket::route().unwrap();
            let lo = route::link(&mut socket, "lo").unwrap().unwrap();
            route::set_up(&mut socket, lo.index).unwrap();
        });
        made
    }

    /// Runs `work` inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::inside(&self.file, || Ok(work())).expect("work inside the namespace")
    }

    /// A path that opens the namespace, as `CNI_NETNS` wants it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// Runs a command inside and returns what it printed; for looking, never for acting.
    pub(crate) fn look(&self, command: &[&str]) -> String {
        self.run(|| match std::process::Command::new(command[0]).args(&command[1..]).output() {
            Ok(output) => {
                String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
            }
            Err(error) => format!("{command:?}: {error}"),
        })
    }

    /// The state of nftables, links and routes, for the message of a failed assertion.
    pub(crate) fn explain(&self) -> String {
        let commands: [&[&str]; 4] =
            [&["nft", "list", "ruleset"], &["ip", "addr"], &["ip", "route"], &["bridge", "fdb"]];
        commands.map(|command| self.look(command)).join("\n")
    }

    /// Lays a wire to another namespace and gives both ends an address.
    pub(crate) fn wire(&self, name: &str, address: &str, other: &Self, other_name: &str, other_address: &str) {
        let target = other.file.as_fd();
        self.run(|| {
            let mut socket = Socket::route().unwrap();
            let host = VethEnd { name, mac: crate::cni::hashed_mac(&format!("{name}{address}")) };
            let peer =
                VethEnd { name: other_name, mac: crate::cni::hashed_mac(&format!("{other_name}{other_address}")) };
            route::add_veth(&mut socket, &host, &peer, 1500, target).expect("kernel feature veth");
            configure(&mut socket, name, address);
        });
        other.run(|| {
            let mut socket = Socket::route().unwrap();
            configure(&mut socket, other_name, other_address);
            route::settle(&mut socket, other_name, |link| link.operational).unwrap();
        });
        self.run(|| route::settle(&mut Socket::route().unwrap(), name, |link| link.operational).unwrap());
    }

    /// Adds a route.
    pub(crate) fn route(&self, destination: &str, gateway: &str) {
        self.run(|| {
            let mut socket = Socket::route().unwrap();
            let gateway: Ipv4Addr = gateway.parse().unwrap();
            let addresses = route::addresses(&mut socket).unwrap();
            let device = addresses.iter().find(|(_, a)| a.prefix < 32 && a.contains(gateway)).unwrap().0;
            let route = Route {
                destination: destination.parse().unwrap(),
                gateway: Some(gateway),
                device,
                onlink: false,
                source: None,
                metric: 0,
                kernel: false,
            };
            route::add_route(&mut socket, &route).unwrap();
        });
    }

    /// Connects over TCP, and returns what the server says.
    pub(crate) fn ask(&self, to: &str) -> io::Result<String> {
        self.ask_within(to, PATIENCE)
    }

    /// Likewise, with less patience.
    pub(crate) fn ask_within(&self, to: &str, patience: Duration) -> io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.run(|| {
            let mut stream = TcpStream::connect_timeout(&to, patience)?;
            stream.set_read_timeout(Some(patience))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// A UDP socket inside.
    pub(crate) fn udp(&self, address: &str) -> UdpSocket {
        let socket = self.run(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    }

    /// Serves TCP and UDP at an address inside: every client is told `name` and the address it was seen with.
    pub(crate) fn serve(&self, name: &str, address: &str) -> Server {
        let (tcp, udp) = self.run(|| (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap()));
        udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let listener = tcp.try_clone().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (said, stopped) = (name.to_owned(), stop.clone());
        let tcp = std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = tcp.accept() {
                let _ = write!(stream, "{said} {}", peer.ip());
            }
        });
        let said = name.to_owned();
        let udp = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(format!("{said} {}", peer.ip()).as_bytes(), peer);
                }
            }
        });
        Server { listener, stop, threads: vec![tcp, udp] }
    }
}

fn configure(socket: &mut Socket, name: &str, address: &str) {
    let link = route::link(socket, name).unwrap().unwrap();
    route::add_address(socket, link.index, address.parse().unwrap()).unwrap();
    route::set_up(socket, link.index).unwrap();
}

/// Sends one datagram and returns the answer.
pub(crate) fn ask_udp(socket: &UdpSocket, to: &str) -> io::Result<String> {
    socket.send_to(b"?", to)?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A server; it stops when it is dropped.
pub(crate) struct Server {
    listener: TcpListener,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread in `accept`.
        let _ = nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A node: a namespace with a directory of its own.
pub(crate) struct Node {
    pub(crate) namespace: Namespace,
    pub(crate) config: Config,
    _directory: tempfile::TempDir,
}

impl Node {
    /// A node of that name; pods get addresses of `subnet` once [`Node::ready`] was called, or flannel is up.
    pub(crate) fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::new(name, Some(directory.path()));
        Self { namespace: Namespace::new(), config, _directory: directory }
    }

    /// Writes `subnet.env` without flannel.
    pub(crate) fn ready(&self, subnet: &str) {
        let subnet: Ipv4Cidr = subnet.parse().unwrap();
        let subnet = Ipv4Cidr::new(subnet.nth(1), subnet.prefix);
        let env = SubnetEnv { network: self.config.cluster_cidr, subnet, mtu: 1450, masquerade: true };
        env.write(&self.config.subnet_env).unwrap();
        self.namespace.run(|| crate::sysctl::prepare_node().unwrap());
    }

    /// The configuration the runtime hands to the plugin.
    pub(crate) fn cni_config(&self, runtime_config: serde_json::Value) -> Vec<u8> {
        crate::cni::write_conflist(&self.config).unwrap();
        let path = self.config.cni_conf_dir.join(crate::cni::CONFLIST_FILE);
        let list: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut plugin = list["plugins"][0].clone();
        plugin["name"] = list["name"].clone();
        plugin["cniVersion"] = list["cniVersion"].clone();
        plugin["runtimeConfig"] = runtime_config;
        plugin.to_string().into_bytes()
    }

    /// Runs the plugin as the runtime does, for a container.
    pub(crate) fn cni(&self, command: &str, container: &str, netns: &str, config: &[u8]) -> (String, bool) {
        let variables = |name: &str| match name {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" => Some(container.to_owned()),
            "CNI_NETNS" => Some(netns.to_owned()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            _ => None,
        };
        self.namespace.run(|| crate::cni::run(&variables, config))
    }

    /// A pod attached to this node, with port mappings if any.
    pub(crate) fn pod(&self, name: &str, port_mappings: serde_json::Value) -> Pod {
        let namespace = Namespace::new();
        let config = self.cni_config(serde_json::json!({ "portMappings": port_mappings }));
        let (answer, ok) = self.cni("ADD", name, &namespace.path(), &config);
        assert!(ok, "ADD: {answer}");
        let result: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let address: Ipv4Cidr = result["ips"][0]["address"].as_str().unwrap().parse().unwrap();
        Pod { namespace, address: address.address, name: name.into(), config }
    }

    /// Detaches a pod.
    pub(crate) fn remove(&self, pod: &Pod) {
        let (answer, ok) = self.cni("DEL", &pod.name, &pod.namespace.path(), &pod.config);
        assert!(ok, "DEL: {answer}");
    }
}

/// A pod: a namespace with an address of the cluster.
pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
    name: String,
    config: Vec<u8>,
}

impl Pod {
    /// The pod's address with a port.
    pub(crate) fn at(&self, port: u16) -> String {
        SocketAddrV4::new(self.address, port).to_string()
    }

    /// Serves on a port of the pod, under the pod's name.
    pub(crate) fn serve(&self, port: u16) -> Server {
        self.namespace.serve(&self.name, &self.at(port))
    }
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Something asynchronous that runs inside a namespace; it is shut down when this is dropped.
pub(crate) struct Background {
    shutdown: tokio_util::sync::CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts what `make` makes, on a thread with a runtime of its own inside `namespace`.
    pub(crate) fn start<F: Future<Output = ()>>(
        namespace: &Namespace,
        make: impl FnOnce(tokio_util::sync::CancellationToken) -> F + Send + 'static,
    ) -> Self {
        let shutdown = tokio_util::sync::CancellationToken::new();
        let (token, file) = (shutdown.clone(), namespace.file.try_clone().unwrap());
        let thread = std::thread::spawn(move || {
            nix::sched::setns(file.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(make(token));
        });
        Self { shutdown, thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
