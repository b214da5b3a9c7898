//! Traffic through the rules, from objects in an API server to answers of pods.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use api::{Patch, Resource};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::proxy::Synced;
use crate::testbed::{Background, Namespace, Node, Pod, ask_udp, eventually};

/// A node with the proxy running, a neighbour outside the cluster, and the objects.
struct Scene {
    cluster: Cluster,
    synced: watch::Receiver<Synced>,
    outside: Namespace,
    proxy: Option<Background>,
    node: Node,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::new();
        let mut node = Node::new("n1");
        node.ready("10.42.1.0/24");
        node.config.node_ip = Some("192.168.9.1".parse().unwrap());
        let outside = Namespace::new();
        node.namespace.wire("up0", "192.168.9.1/24", &outside, "eth0", "192.168.9.2/24");
        let (proxy, synced) = start(&node, &cluster);
        Self { cluster, synced, outside, proxy: Some(proxy), node }
    }

    /// Ends the proxy and starts another one.
    fn restart(&mut self) {
        self.proxy = None;
        let (proxy, synced) = start(&self.node, &self.cluster);
        (self.proxy, self.synced) = (Some(proxy), synced);
    }

    /// Makes a change and waits for the transaction that follows.
    fn change(&self, change: impl FnOnce()) {
        let before = self.synced.borrow().transactions;
        change();
        eventually("a transaction", || self.synced.borrow().transactions > before);
    }

    /// A service `default/web` with that spec, and pods behind its port 80; served by the time this returns.
    fn service(&self, spec: Value, pods: &[&Pod]) {
        self.change(|| {
            let mut service = json!({
                "kind": "Service", "apiVersion": "v1",
                "metadata": { "namespace": "default", "name": "web" },
                "spec": { "type": "ClusterIP", "clusterIP": "10.43.0.9", "ports": [
                    { "name": "t", "port": 80, "nodePort": 30080, "protocol": "TCP" },
                    { "name": "u", "port": 80, "nodePort": 30080, "protocol": "UDP" },
                ] },
            });
            service["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            // Endpoints alone need no rules: one transaction for both.
            self.cluster.seed(&kinds::endpoint_slices(), slice(pods));
            self.cluster.seed(&kinds::services(), service);
        });
    }

    /// Other pods are behind the service.
    fn endpoints(&self, pods: &[&Pod]) {
        self.change(|| {
            self.patch(&kinds::endpoint_slices(), "web-1", json!({ "endpoints": slice(pods)["endpoints"] }))
        });
    }

    /// Patches an object of the namespace `default`.
    fn patch(&self, resource: &Arc<Resource>, name: &str, patch: Value) {
        let client = self.cluster.client();
        let done = async move { client.patch(resource, "default", name, "", Patch::Merge(patch)).await };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(done).unwrap();
    }

    fn ask(&self, from: &Namespace, to: &str) -> String {
        from.ask(to).unwrap_or_else(|error| panic!("{to}: {error}\n{}", self.node.namespace.explain()))
    }

    fn check(&self, from: &Namespace, to: &str, expect: &str) {
        assert_eq!(self.ask(from, to), expect, "{to}\n{}", self.node.namespace.explain());
    }

    fn refused(&self, from: &Namespace, to: &str) {
        let error = from.ask_within(to, Duration::from_secs(5)).map_err(|error| error.kind());
        assert_eq!(error, Err(ErrorKind::ConnectionRefused), "{to}\n{}", self.node.namespace.explain());
    }

    fn dropped(&self, from: &Namespace, to: &str) {
        let error = from.ask_within(to, Duration::from_millis(300)).map_err(|error| error.kind());
        assert_eq!(error, Err(ErrorKind::TimedOut), "{to}\n{}", self.node.namespace.explain());
    }
}

/// Runs the proxy on a node, and waits for its first transaction.
fn start(node: &Node, cluster: &Cluster) -> (Background, watch::Receiver<Synced>) {
    let (sender, synced) = watch::channel(Synced::default());
    let (config, client) = (Arc::new(node.config.clone()), cluster.client());
    let proxy = Background::start(&node.namespace, |shutdown| crate::proxy::run(config, client, shutdown, sender));
    eventually("the first transaction", || synced.borrow().transactions > 0);
    (proxy, synced)
}

fn slice(pods: &[&Pod]) -> Value {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| json!({ "addresses": [pod.address], "nodeName": "n1", "conditions": { "ready": true } }))
        .collect();
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": { "namespace": "default", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
        "addressType": "IPv4",
        "ports": [
            { "name": "t", "protocol": "TCP", "port": 8080 },
            { "name": "u", "protocol": "UDP", "port": 8080 },
        ],
        "endpoints": endpoints,
    })
}

#[test]
fn services_are_reached_from_pods_from_the_node_and_from_outside() {
    let scene = Scene::new();
    let node = &scene.node;
    let (server, client) = (node.pod("web", json!([])), node.pod("client", json!([])));
    let _server = server.serve(8080);
    scene.service(json!({ "type": "NodePort", "externalIPs": ["192.168.9.77"] }), &[&server]);
    let own = &node.namespace;
    // From a pod to a neighbour on the same bridge, to itself, and from the node, which has no default route.
    scene.check(&client.namespace, "10.43.0.9:80", &format!("web {}", client.address));
    scene.check(&server.namespace, "10.43.0.9:80", "web 10.42.1.1");
    scene.check(own, "10.43.0.9:80", "web 10.42.1.1");
    // Node ports, from everywhere and on every address of the node.
    scene.check(&scene.outside, "192.168.9.1:30080", "web 10.42.1.1");
    scene.check(&client.namespace, "192.168.9.1:30080", "web 10.42.1.1");
    scene.check(&client.namespace, "10.42.1.1:30080", "web 10.42.1.1");
    scene.check(own, "192.168.9.1:30080", "web 10.42.1.1");
    // An external address; the neighbour sends it our way.
    scene.outside.route("192.168.9.77/32", "192.168.9.1");
    scene.check(&scene.outside, "192.168.9.77:80", "web 10.42.1.1");
    assert_eq!(ask_udp(&client.namespace.udp("0.0.0.0:0"), "10.43.0.9:80").unwrap(), format!("web {}", client.address));
    // A port the service does not have.
    scene.refused(&client.namespace, "10.43.0.9:81");
    scene.refused(own, "10.43.0.9:81");
}

#[test]
fn what_nobody_serves_is_refused_or_dropped() {
    let scene = Scene::new();
    let client = scene.node.pod("client", json!([]));
    scene.service(json!({ "type": "NodePort" }), &[]);
    scene.refused(&client.namespace, "10.43.0.9:80");
    scene.refused(&scene.node.namespace, "10.43.0.9:80");
    scene.refused(&scene.outside, "192.168.9.1:30080");
    let udp = client.namespace.udp("0.0.0.0:0");
    udp.connect("10.43.0.9:80").unwrap();
    udp.send(b"?").unwrap();
    let error = udp.recv(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!(error, Err(ErrorKind::ConnectionRefused), "{}", scene.node.namespace.explain());

    // The only endpoint is elsewhere: under policy Local, traffic from outside is not ours to answer.
    let elsewhere = scene.node.pod("web", json!([]));
    let _server = elsewhere.serve(8080);
    scene.change(|| {
        let mut endpoint = slice(&[&elsewhere]);
        endpoint["endpoints"][0]["nodeName"] = "n2".into();
        scene.patch(&kinds::endpoint_slices(), "web-1", json!({ "endpoints": endpoint["endpoints"] }));
    });
    scene.check(&client.namespace, "10.43.0.9:80", &format!("web {}", client.address));
    let local = json!({ "spec": { "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local" } });
    scene.change(|| scene.patch(&kinds::services(), "web", local));
    scene.dropped(&scene.outside, "192.168.9.1:30080");
    scene.dropped(&client.namespace, "10.43.0.9:80");
    scene.check(&client.namespace, "192.168.9.1:30080", &format!("web {}", client.address));
}

#[test]
fn policy_local_keeps_the_clients_address() {
    let scene = Scene::new();
    let server = scene.node.pod("web", json!([]));
    let _server = server.serve(8080);
    let spec = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30999 });
    scene.service(spec, &[&server]);
    scene.check(&scene.outside, "192.168.9.1:30080", "web 192.168.9.2");
    let health = scene.outside.run(|| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect("192.168.9.1:30999").unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: lb\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.contains("\"localEndpoints\":1"), "{health}");
}

#[test]
fn choices_are_spread_and_with_affinity_remembered() {
    let mut scene = Scene::new();
    let pods: Vec<_> = ["a", "b", "c"].map(|name| scene.node.pod(name, json!([]))).into();
    let servers: Vec<_> = pods.iter().map(|pod| pod.serve(8080)).collect();
    let client = scene.node.pod("client", json!([]));
    let answers = |scene: &Scene, count: usize| -> HashSet<String> {
        (0..count).map(|_| scene.ask(&client.namespace, "10.43.0.9:80")).collect()
    };
    let all: Vec<_> = pods.iter().collect();
    scene.service(json!({}), &all);
    let mut seen = HashSet::new();
    eventually("all three to be chosen", || {
        seen.extend(answers(&scene, 1));
        seen.len() == 3
    });

    // Switched on while it runs: the first choice stays.
    let sticky = json!({ "spec": { "sessionAffinity": "ClientIP" } });
    scene.change(|| scene.patch(&kinds::services(), "web", sticky));
    let first = answers(&scene, 20);
    assert_eq!(first.len(), 1, "{first:?}\n{}", scene.node.namespace.explain());
    scene.restart();
    assert_eq!(answers(&scene, 20), first);
    // Another endpoint goes: still the same. The chosen one goes: another, which stays.
    let name = first.iter().next().unwrap().split(' ').next().unwrap().to_owned();
    let chosen = ["a", "b", "c"].iter().position(|n| *n == name).unwrap();
    let other = (chosen + 1) % 3;
    let without = |gone: &[usize]| -> Vec<&Pod> {
        pods.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, pod)| pod).collect()
    };
    scene.endpoints(&without(&[other]));
    assert_eq!(answers(&scene, 20), first);
    scene.endpoints(&without(&[chosen]));
    let second = answers(&scene, 20);
    assert!(second.len() == 1 && second != first, "{second:?} after {first:?}");
    drop(servers);
}

#[test]
fn udp_clients_leave_an_endpoint_that_is_gone() {
    let scene = Scene::new();
    let (one, two) = (scene.node.pod("one", json!([])), scene.node.pod("two", json!([])));
    let _servers = [one.serve(8080), two.serve(8080)];
    let client = scene.node.pod("client", json!([]));
    scene.service(json!({ "type": "NodePort" }), &[&one]);
    let (inside, outside) = (client.namespace.udp("0.0.0.0:0"), scene.outside.udp("0.0.0.0:0"));
    let answers = || {
        let inside = ask_udp(&inside, "10.43.0.9:80").unwrap_or_default();
        let outside = ask_udp(&outside, "192.168.9.1:30080").unwrap_or_default();
        [inside, outside].map(|answer| answer.split(' ').next().unwrap_or_default().to_owned())
    };
    assert_eq!(answers(), ["one", "one"]);
    scene.endpoints(&[&two]);
    // From the same ports as before: connection tracking must have forgotten them.
    assert_eq!(answers(), ["two", "two"], "{}", scene.node.namespace.explain());
}

#[test]
fn a_deleted_table_comes_back_and_a_deleted_service_goes() {
    let scene = Scene::new();
    let server = scene.node.pod("web", json!([]));
    let _server = server.serve(8080);
    scene.service(json!({}), &[&server]);
    scene.node.namespace.look(&["nft", "delete", "table", "ip", "isopod-proxy"]);
    // The next change finds the table gone and writes all of it.
    scene.change(|| {
        scene.patch(
            &kinds::endpoint_slices(),
            "web-1",
            json!({ "metadata": { "labels": { "kubernetes.io/service-name": "other" } } }),
        )
    });
    scene.refused(&scene.node.namespace, "10.43.0.9:80");
    scene.change(|| {
        scene.patch(
            &kinds::endpoint_slices(),
            "web-1",
            json!({ "metadata": { "labels": { "kubernetes.io/service-name": "web" } } }),
        )
    });
    scene.check(&scene.node.namespace, "10.43.0.9:80", "web 10.42.1.1");
    scene.change(|| {
        let api = scene.cluster.client();
        let done = async move { api.delete(&kinds::services(), "default", "web", Default::default()).await };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(done).unwrap();
    });
    let left = scene.node.namespace.look(&["nft", "list", "table", "ip", "isopod-proxy"]);
    assert!(!left.contains("default/web") && !left.contains("10.43.0.9"), "{left}");
}

#[test]
fn services_of_another_proxy_are_left_alone() {
    let scene = Scene::new();
    let (server, mine) = (scene.node.pod("web", json!([])), scene.node.pod("mine", json!([])));
    let _server = server.serve(8080);
    scene.change(|| {
        let service = |name: &str, ip: &str, labels: Value| {
            let ports = json!([{ "name": "t", "port": 80, "protocol": "TCP" }]);
            let spec = json!({ "type": "ClusterIP", "clusterIP": ip, "ports": ports });
            let metadata = json!({ "namespace": "default", "name": name, "labels": labels });
            json!({ "kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec })
        };
        let other = json!({ "service.kubernetes.io/service-proxy-name": "dns" });
        scene.cluster.seed(&kinds::endpoint_slices(), slice(&[&server]));
        scene.cluster.seed(&kinds::services(), service("dns", "10.43.0.10", other));
        scene.cluster.seed(&kinds::services(), service("web", "10.43.0.9", json!({})));
    });
    let own = &scene.node.namespace;
    let address = "10.43.0.10".parse().unwrap();
    own.run(|| crate::local_address::ensure(address).and_then(|()| crate::local_address::ensure(address))).unwrap();
    // Served by the node itself on the service's address.
    let _dns = own.serve("dns", "10.43.0.10:53");
    scene.check(&mine.namespace, "10.43.0.10:53", &format!("dns {}", mine.address));
    scene.check(own, "10.43.0.10:53", "dns 10.43.0.10");
    scene.check(&mine.namespace, "10.43.0.9:80", &format!("web {}", mine.address));
    own.run(|| crate::local_address::remove(address)).unwrap();
    scene.refused(&mine.namespace, "10.43.0.10:53");
}

#[test]
fn the_tools_people_look_with_can_show_everything() {
    let scene = Scene::new();
    let mappings = json!([{ "hostPort": 8080, "containerPort": 80 }, { "hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "192.168.9.1" }]);
    let (one, two) = (scene.node.pod("one", mappings), scene.node.pod("two", json!([])));
    scene.service(json!({ "type": "NodePort", "externalTrafficPolicy": "Local" }), &[&one, &two]);
    for affinity in ["None", "ClientIP"] {
        if affinity != "None" {
            let patch = json!({ "spec": { "sessionAffinity": affinity } });
            scene.change(|| scene.patch(&kinds::services(), "web", patch));
        }
        let text = scene.node.namespace.look(&["nft", "list", "ruleset"]);
        assert!(text.contains("chain local/default/web/udp/u") && text.contains("one/eth0"), "{text}");
        let json: Value = serde_json::from_str(&scene.node.namespace.look(&["nft", "-j", "list", "ruleset"])).unwrap();
        assert!(json["nftables"].as_array().unwrap().len() > 30, "{json}");
    }
}
