use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::attach::veth_name;
use super::ipam::{Addresses, Owner};
use super::*;
use crate::cidr::Ipv4Cidr;
use crate::error::Error;
use crate::netlink::{Socket, route};
use crate::testbed::{Namespace, Node, ask_udp};

fn call(variables: &[(&str, &str)], input: &str) -> (Value, bool) {
    let environment = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let (answer, ok) = run(&environment, input.as_bytes());
    (if answer.is_empty() { Value::Null } else { serde_json::from_str(&answer).unwrap() }, ok)
}

#[test]
fn answers_speak_the_protocol() {
    let check = |variables: &[(&str, &str)], input: &str, expect: Result<Value, u32>| {
        let (answer, ok) = call(variables, input);
        match expect {
            Ok(value) => assert_eq!((answer, ok), (value, true), "{variables:?} {input}"),
            Err(code) => assert_eq!((&answer["code"], ok), (&json!(code), false), "{variables:?} {input}: {answer}"),
        }
    };
    let versions = json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    let version = &[("CNI_COMMAND", "VERSION")];
    check(version, r#"{"cniVersion":"1.0.0"}"#, Ok(json!({"cniVersion":"1.0.0","supportedVersions":versions})));
    check(version, r#"{"cniVersion":"0.4.0"}"#, Ok(json!({"cniVersion":"0.4.0","supportedVersions":versions})));
    check(version, "no JSON", Err(6));

    let add =
        |id, netns, name| [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", id), ("CNI_NETNS", netns), ("CNI_IFNAME", name)];
    let network = r#"{"cniVersion":"1.0.0","name":"cbr0","type":"isopod-cni","subnetFile":"/nonexistent/subnet.env"}"#;
    check(&[("CNI_COMMAND", "MOVE")], network, Err(4));
    check(&[], network, Err(4));
    check(&add("c1", "/proc/self/ns/net", "eth0"), network, Err(11));
    check(&add("", "/proc/self/ns/net", "eth0"), network, Err(4));
    check(&add("../x", "/proc/self/ns/net", "eth0"), network, Err(4));
    check(&add("c1", "", "eth0"), network, Err(4));
    check(&add("c1", "/proc/self/ns/net", "an-interface-name"), network, Err(4));
    check(&add("c1", "/proc/self/ns/net", "a/b"), network, Err(4));
    check(&add("c1", "/x", "eth0"), r#"{"cniVersion":"0.1.0","name":"cbr0"}"#, Err(1));
    check(&add("c1", "/x", "eth0"), r#"{"cniVersion":"2.0.0","name":"cbr0"}"#, Err(1));
    check(&add("c1", "/x", "eth0"), r#"{"cniVersion":"1.0.0","name":"../etc"}"#, Err(7));
    check(&add("c1", "/x", "eth0"), r#"{"cniVersion":"1.0.0","name":"cbr0","bridge":"a b"}"#, Err(7));
    check(&[("CNI_COMMAND", "STATUS")], &network.replace("1.0.0", "1.1.0"), Err(50));
    check(&[("CNI_COMMAND", "GC")], &network.replace("1.0.0", "1.1.0"), Err(7));
}

#[test]
fn results_follow_the_version_asked_for() {
    let node = Node::new("n1");
    node.ready("10.42.7.0/24");
    let namespace = Namespace::new();
    for (version, family) in [("0.3.1", json!("4")), ("0.4.0", json!("4")), ("1.0.0", Value::Null)] {
        let config = String::from_utf8(node.cni_config(json!({}))).unwrap().replace("1.0.0", version);
        let (answer, ok) = node.cni("ADD", "c1", &namespace.path(), config.as_bytes());
        assert!(ok, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let address = answer["ips"][0]["address"].as_str().unwrap().to_owned();
        let octet: u8 = address["10.42.7.".len()..].split('/').next().unwrap().parse().unwrap();
        let host = veth_name("c1", "eth0");
        let mut ip = json!({ "interface": 2, "address": format!("10.42.7.{octet}/24"), "gateway": "10.42.7.1" });
        if !family.is_null() {
            ip["version"] = family;
        }
        let expect = json!({
            "cniVersion": version,
            "interfaces": [
                { "name": "cni0", "mac": "0a:58:0a:2a:07:01" },
                { "name": host, "mac": mac_text(hashed_mac(&host)) },
                { "name": "eth0", "mac": format!("0a:58:0a:2a:07:{octet:02x}"), "sandbox": namespace.path() },
            ],
            "ips": [ip],
            "dns": {},
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.42.7.1" }],
        });
        assert_eq!(answer, expect);
        let (answer, ok) = node.cni("DEL", "c1", &namespace.path(), config.as_bytes());
        assert!(ok && answer.is_empty(), "{answer}");
    }
}

#[test]
fn pods_of_a_node_reach_each_other_and_leave_nothing() {
    let node = Node::new("n1");
    node.ready("10.42.1.0/24");
    let (one, two) = (node.pod("one", json!([])), node.pod("two", json!([])));
    assert_ne!(one.address, two.address);
    let _server = two.serve(80);
    assert_eq!(one.namespace.ask(&two.at(80)).unwrap(), format!("two {}", one.address));
    assert_eq!(node.namespace.ask(&two.at(80)).unwrap(), "two 10.42.1.1");
    let link = one.namespace.run(|| route::link(&mut Socket::route().unwrap(), "eth0").unwrap().unwrap());
    assert_eq!(link.mtu, 1450);

    let config = node.cni_config(json!({}));
    let (answer, ok) = node.cni("CHECK", "one", &one.namespace.path(), &config);
    assert!(ok, "{answer}");
    node.remove(&one);
    let (answer, ok) = node.cni("CHECK", "one", &one.namespace.path(), &config);
    assert!(!ok, "{answer}");
    node.remove(&one);
    // The namespace is gone, and the runtime does not even know its path any more.
    drop(two);
    assert_eq!(node.cni("DEL", "two", "", &config), (String::new(), true));

    let state = node.config.cni_state_dir.join("cbr0");
    let left: Vec<_> = std::fs::read_dir(state).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().parse::<Ipv4Addr>().is_err()), "{left:?}");
    assert!(!node.namespace.explain().contains("veth"), "{}", node.namespace.explain());
}

#[test]
fn host_ports_lead_to_the_pod_and_go_with_it() {
    let node = Node::new("n1");
    node.ready("10.42.1.0/24");
    let outside = Namespace::new();
    node.namespace.wire("up0", "192.168.9.1/24", &outside, "eth0", "192.168.9.2/24");
    let mappings = json!([
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8080, "containerPort": 80, "protocol": "udp" },
        { "HostPort": 8081, "ContainerPort": 80, "Protocol": "TCP", "HostIP": "192.168.9.1" },
        { "containerPort": 81, "protocol": "tcp" },
    ]);
    let pod = node.pod("web", mappings.clone());
    let _server = pod.serve(80);
    let client = node.pod("client", json!([]));
    let check = |from: &Namespace, to: &str, seen_as: &str| {
        let answer = from.ask(to).unwrap_or_else(|error| panic!("{to}: {error}\n{}", node.namespace.explain()));
        assert_eq!(answer, format!("web {seen_as}"), "{to}\n{}", node.namespace.explain());
    };
    check(&outside, "192.168.9.1:8080", "192.168.9.2");
    check(&outside, "192.168.9.1:8081", "192.168.9.2");
    check(&node.namespace, "192.168.9.1:8080", "192.168.9.1");
    check(&node.namespace, "127.0.0.1:8080", "10.42.1.1");
    check(&client.namespace, "192.168.9.1:8080", &client.address.to_string());
    check(&pod.namespace, "192.168.9.1:8080", "10.42.1.1");
    assert_eq!(ask_udp(&outside.udp("0.0.0.0:0"), "192.168.9.1:8080").unwrap(), "web 192.168.9.2");

    // Taken: refused as a whole, without a trace.
    let second = Namespace::new();
    let config = node.cni_config(json!({ "portMappings": mappings }));
    let (answer, ok) = node.cni("ADD", "second", &second.path(), &config);
    assert!(!ok, "{answer}");
    check(&outside, "192.168.9.1:8080", "192.168.9.2");

    // As if the pod had gone without DEL: its ports are free for the next one.
    std::fs::remove_file(node.config.cni_state_dir.join("cbr0").join(pod.address.to_string())).unwrap();
    let (answer, ok) = node.cni("ADD", "second", &second.path(), &config);
    assert!(ok, "{answer}");
    assert_eq!(node.cni("DEL", "second", &second.path(), &config), (String::new(), true));
    node.remove(&pod);
    assert!(outside.ask("192.168.9.1:8080").is_err(), "{}", node.namespace.explain());
    let (answer, ok) = node.cni("ADD", "second", &second.path(), &config);
    assert!(ok, "{answer}");
}

#[test]
fn garbage_of_containers_nobody_knows_is_collected() {
    let node = Node::new("n1");
    node.ready("10.42.1.0/24");
    let ports = |port: u16| json!([{ "hostPort": port, "containerPort": 80 }]);
    let (one, two) = (node.pod("one", ports(81)), node.pod("two", ports(82)));
    let mut config: Value = serde_json::from_slice(&node.cni_config(json!({}))).unwrap();
    config["cniVersion"] = "1.1.0".into();
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "two", "ifname": "eth0" }]);
    let (answer, ok) = node.cni("GC", "", "", config.to_string().as_bytes());
    assert!(ok, "{answer}");
    let state = node.config.cni_state_dir.join("cbr0");
    assert!(!state.join(one.address.to_string()).exists());
    assert!(state.join(two.address.to_string()).exists());
    let explained = node.namespace.explain();
    assert!(explained.contains("tcp . 82") && !explained.contains("tcp . 81"), "{explained}");
    let live = HashSet::new();
    assert_eq!(node.namespace.run(|| reclaim(&node.config, &live)).unwrap(), ["two"]);
    let explained = node.namespace.explain();
    assert!(!explained.contains("tcp . 82") && !explained.contains("veth"), "{explained}");
}

#[test]
fn the_loopback_plugin_brings_lo_up() {
    let namespace = Namespace::new();
    let path = namespace.path();
    let variables =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_NETNS", path.as_str()), ("CNI_IFNAME", "lo")];
    let input = r#"{"cniVersion":"0.3.1","name":"cni-loopback","type":"loopback"}"#;
    let (answer, ok) = call(&variables, input);
    assert!(ok, "{answer}");
    assert_eq!(answer["ips"][0]["address"], "127.0.0.1/8");
}

#[test]
fn the_plugin_is_found_under_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let (bin, exe) = (directory.path().join("bin"), directory.path().join("isopod"));
    std::fs::write(&exe, "").unwrap();
    install(&bin, &exe).unwrap();
    install(&bin, &exe).unwrap();
    for name in ["isopod-cni", "loopback"] {
        assert_eq!(std::fs::read_link(bin.join(name)).unwrap(), exe);
        assert!(is_plugin_name(bin.join(name).as_os_str()));
    }
    assert!(!is_plugin_name(exe.as_os_str()));
    uninstall(&bin).unwrap();
    assert_eq!(std::fs::read_dir(&bin).unwrap().count(), 0);
    // The distribution's own loopback plugin stays.
    std::fs::write(bin.join("loopback"), "theirs").unwrap();
    install(&bin, &exe).unwrap();
    uninstall(&bin).unwrap();
    assert_eq!(std::fs::read_to_string(bin.join("loopback")).unwrap(), "theirs");
}

const SUBNET: Ipv4Cidr = Ipv4Cidr { address: Ipv4Addr::new(10, 42, 1, 1), prefix: 28 };

fn allocate(directory: &Path, container: &str, namespace: &str) -> Result<Ipv4Addr, Error> {
    let owner = Owner { container, interface: "eth0" };
    Addresses::lock(directory, "net")?.allocate(SUBNET, owner, namespace)
}

#[test]
fn leaked_addresses_are_taken_back_when_all_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..13 {
        let namespace = if n == 5 { "/nonexistent/netns" } else { "/" };
        allocate(directory.path(), &format!("c{n}"), namespace).unwrap();
    }
    let leaked = allocate(directory.path(), "new", "/").unwrap();
    assert_eq!(leaked, Ipv4Addr::new(10, 42, 1, 7));
    let full = allocate(directory.path(), "another", "/");
    assert!(matches!(full, Err(Error::NotReady(_))), "{full:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the order of ADDs and DELs: no address twice, none of the network's own, none lost.
    #[test]
    fn addresses_belong_to_one_container_each(steps in prop::collection::vec((0usize..16, any::<bool>()), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut model: std::collections::HashMap<usize, Ipv4Addr> = Default::default();
        for (container, add) in steps {
            let name = format!("c{container}");
            if add {
                match allocate(directory.path(), &name, "/") {
                    Ok(address) => {
                        prop_assert!(SUBNET.contains(address) && address != SUBNET.address);
                        prop_assert!(address != SUBNET.network().address && address != SUBNET.last());
                        prop_assert!(model.iter().all(|(other, taken)| *other == container || *taken != address));
                        prop_assert_eq!(*model.entry(container).or_insert(address), address);
                    }
                    Err(_) => prop_assert!(model.len() == 13 && !model.contains_key(&container)),
                }
            } else {
                let owner = Owner { container: &name, interface: "eth0" };
                Addresses::lock(directory.path(), "net").unwrap().release(owner).unwrap();
                model.remove(&container);
            }
        }
    }
}
