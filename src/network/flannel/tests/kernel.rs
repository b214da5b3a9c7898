//! Two nodes on one wire, an API server in memory, traffic between pods.

use std::sync::Arc;
use std::time::Duration;

use client::kinds;
use client::testing::Cluster;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Backend;
use crate::flannel::run;
use crate::forward;
use crate::netlink::Socket;
use crate::testbed::{Background, Node, Pod, eventually};

fn two_nodes() -> (Cluster, Node, Node) {
    let cluster = Cluster::new();
    let (one, two) = (Node::new("n1"), Node::new("n2"));
    one.namespace.wire("eth0", "192.168.5.1/24", &two.namespace, "eth0", "192.168.5.2/24");
    for (name, cidr) in [("n1", "10.42.1.0/24"), ("n2", "10.42.2.0/24")] {
        let node = json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "name": name }, "spec": { "podCIDR": cidr, "podCIDRs": [cidr] } });
        cluster.seed(&kinds::nodes(), node);
    }
    (cluster, one, two)
}

/// Runs flannel on a node and waits until it says that it is ready.
fn start(node: &Node, cluster: &Cluster, backend: Backend) -> Background {
    let mut config = node.config.clone();
    config.backend = backend;
    let (ready, is_ready) = watch::channel(false);
    let client = cluster.client();
    let background = Background::start(&node.namespace, |shutdown: CancellationToken| {
        run(Arc::new(config), client, shutdown, ready)
    });
    eventually("flannel ready", || *is_ready.borrow());
    background
}

/// That each pod reaches the other, and sees it under its own address.
fn reach(one: &Pod, two: &Pod, nodes: [&Node; 2]) {
    for (from, to) in [(one, two), (two, one)] {
        let _server = to.serve(80);
        let answer = from.namespace.ask(&to.at(80));
        let answer = answer.unwrap_or_else(|error| {
            panic!("{error}\n{}\n{}", nodes[0].namespace.explain(), nodes[1].namespace.explain())
        });
        assert!(answer.ends_with(&format!(" {}", from.address)), "{answer} for {}", from.address);
    }
}

#[test]
fn pods_on_two_nodes_reach_each_other_through_either_backend() {
    let (cluster, one, two) = two_nodes();
    let running = [start(&one, &cluster, Backend::Vxlan), start(&two, &cluster, Backend::Vxlan)];
    let (a, b) = (one.pod("a", json!([])), two.pod("b", json!([])));
    eventually("a route to the other node's pods", || {
        one.namespace.look(&["ip", "route"]).contains("10.42.2.0/24 via 10.42.2.0 dev flannel.1 onlink")
            && two.namespace.look(&["ip", "route"]).contains("10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink")
    });
    reach(&a, &b, [&one, &two]);
    let link = one.namespace.look(&["ip", "-d", "link", "show", "flannel.1"]);
    for expect in ["mtu 1450", "vxlan id 1 local 192.168.5.1 dev eth0", "dstport 8472 nolearning"] {
        assert!(link.contains(expect), "{expect} in {link}");
    }
    let node = cluster.value(&kinds::nodes(), "", "n1");
    let annotation = |name: &str| node["metadata"]["annotations"][format!("flannel.alpha.coreos.com/{name}")].clone();
    assert_eq!(annotation("backend-type"), "vxlan");
    assert_eq!(annotation("public-ip"), "192.168.5.1");
    assert_eq!(annotation("kube-subnet-manager"), "true");
    assert!(annotation("backend-data").as_str().unwrap().starts_with("{\"VNI\":1,\"VtepMAC\":\""));
    assert_eq!(node["status"]["conditions"][0]["type"], "NetworkUnavailable");
    assert_eq!(node["status"]["conditions"][0]["status"], "False");
    assert_eq!(node["status"]["conditions"][0]["reason"], "FlannelIsUp");
    let env = std::fs::read_to_string(&one.config.subnet_env).unwrap();
    assert_eq!(
        env,
        "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    );

    // Nothing is written again when nothing changed, nor after a restart.
    drop(running);
    cluster.take_log();
    let running = [start(&one, &cluster, Backend::Vxlan), start(&two, &cluster, Backend::Vxlan)];
    reach(&a, &b, [&one, &two]);
    assert_eq!(cluster.take_log(), Vec::<String>::new());

    drop(running);
    let running = [start(&one, &cluster, Backend::HostGw), start(&two, &cluster, Backend::HostGw)];
    eventually("a route via the other node", || {
        one.namespace.look(&["ip", "route"]).contains("10.42.2.0/24 via 192.168.5.2 dev eth0")
            && two.namespace.look(&["ip", "route"]).contains("10.42.1.0/24 via 192.168.5.1 dev eth0")
    });
    assert!(!one.namespace.look(&["ip", "link"]).contains("flannel.1"));
    reach(&a, &b, [&one, &two]);

    // A node that leaves takes its route along.
    let client = cluster.client();
    let gone = async move { client.delete(&kinds::nodes(), "", "n2", Default::default()).await };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(gone).unwrap();
    eventually("the route to go", || !one.namespace.look(&["ip", "route"]).contains("10.42.2.0/24"));
    drop(running);

    // What is not ours stays, however alike.
    one.namespace.look(&["ip", "route", "add", "10.99.0.0/24", "via", "192.168.5.2"]);
    one.namespace.look(&["ip", "link", "add", "cni1", "type", "bridge"]);
    one.namespace.look(&["nft", "add table ip isopod-other"]);
    let before = one.namespace.explain();
    one.namespace.run(|| crate::teardown(&one.config)).unwrap();
    let after = one.namespace.explain();
    for theirs in ["10.99.0.0/24 via 192.168.5.2", "cni1", "table ip isopod-other", "192.168.5.1/24"] {
        assert!(after.contains(theirs), "{theirs} is gone from {before}\nin {after}");
    }
    for ours in ["isopod-network", "isopod-hostport", "flannel.1", "cni0", "10.42.", "veth"] {
        assert!(!after.contains(ours), "{ours} is left of {before}\nin {after}");
    }
    assert!(!one.config.subnet_env.exists());
    one.namespace.run(|| crate::teardown(&one.config)).unwrap();
}

#[test]
fn pod_traffic_that_leaves_the_cluster_takes_the_nodes_address() {
    let (cluster, mut one, two) = two_nodes();
    let outside = crate::testbed::Namespace::new();
    one.namespace.wire("up0", "172.20.0.1/24", &outside, "eth0", "172.20.0.2/24");
    one.config.interface = Some("eth0".into());
    // Up once, and then nobody puts things right behind the test's back.
    drop([start(&one, &cluster, Backend::Vxlan), start(&two, &cluster, Backend::Vxlan)]);
    let (a, _server) = (one.pod("a", json!([])), outside.serve("outside", "172.20.0.2:80"));
    assert_eq!(a.namespace.ask("172.20.0.2:80").unwrap(), "outside 172.20.0.1", "{}", one.namespace.explain());

    // Docker's machines drop what nobody accepts; an accept in a table of our own does not count there.
    let theirs =
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; };
        add rule ip filter FORWARD ip saddr 192.0.2.1 accept";
    one.namespace.look(&["nft", theirs]);
    assert!(a.namespace.ask_within("172.20.0.2:80", Duration::from_millis(300)).is_err());
    let mut socket = one.namespace.run(|| Socket::netfilter().unwrap());
    let cluster = one.config.cluster_cidr;
    forward::open(&mut socket, cluster).unwrap();
    forward::open(&mut socket, cluster).unwrap();
    assert_eq!(a.namespace.ask("172.20.0.2:80").unwrap(), "outside 172.20.0.1", "{}", one.namespace.explain());
    let rules = || one.namespace.look(&["nft", "list", "chain", "ip", "filter", "FORWARD"]);
    assert_eq!(rules().matches("isopod").count(), 2, "{}", rules());
    forward::close(&mut socket).unwrap();
    assert!(!rules().contains("isopod") && rules().contains("192.0.2.1 accept"), "{}", rules());
}

#[test]
fn without_bridge_netfilter_pods_of_one_bridge_still_reach_each_others_ports() {
    let (cluster, one, _two) = two_nodes();
    // Up once, and then nobody sets the switch back.
    drop(start(&one, &cluster, Backend::Vxlan));
    let ports = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]);
    let (client, server) = (one.pod("client", json!([])), one.pod("server", ports));
    let _server = server.serve(80);
    let seen = || client.namespace.ask_within("192.168.5.1:8080", Duration::from_secs(1)).unwrap_or_default();
    assert_eq!(seen(), format!("server {}", client.address));
    // As on a kernel without it: answers go straight over the bridge, where nothing translates them back.
    let scope = |bridge_filter| crate::masquerade::Scope {
        cluster: one.config.cluster_cidr,
        subnet: "10.42.1.0/24".parse().unwrap(),
        masquerade: true,
        bridge_filter,
    };
    one.namespace.run(|| crate::sysctl::set("net/bridge/bridge-nf-call-iptables", "0").unwrap());
    assert_eq!(seen(), "");
    one.namespace.run(|| crate::masquerade::ensure(&scope(false), None).unwrap());
    assert_eq!(seen(), "server 10.42.1.1", "{}", one.namespace.explain());
}
