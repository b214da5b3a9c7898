//! Plans as data, and two nodes in namespaces of their own.

mod kernel;

use serde_json::{Value, json};

use super::node::NodeView;
use super::plan::plan;
use super::underlay::{Underlay, select};
use crate::cidr::Ipv4Cidr;
use crate::config::{Backend, Config};
use crate::error::Error;
use crate::netlink::route::{Link, Route};

/// A Node as flannel would annotate it.
fn node(name: &str, cidr: &str, ip: &str, backend: &str, mac: Option<&str>) -> NodeView {
    let data = mac.map_or("null".into(), |mac| json!({ "VNI": 1, "VtepMAC": mac }).to_string());
    let value: Value = json!({
        "metadata": {
            "name": name,
            "annotations": {
                "flannel.alpha.coreos.com/backend-type": backend,
                "flannel.alpha.coreos.com/backend-data": data,
                "flannel.alpha.coreos.com/public-ip": ip,
            },
        },
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr] },
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn nodes_become_routes_neighbours_and_forwarding_entries() {
    let check = |backend, nodes: &[NodeView], expect: &str| {
        let mut config = Config::new("n1", None);
        config.backend = backend;
        let underlay = Underlay { index: 2, mtu: 1500, address: "192.168.1.1/24".parse().unwrap() };
        let text = plan(&config, &underlay, "10.42.0.0/24".parse().unwrap(), nodes).to_string();
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&text), lines(expect.trim()));
    };
    let (n2, n3) = (Some("02:00:00:00:00:02"), Some("02:00:00:00:00:03"));
    let tunnel = "flannel.1 id 1 local 192.168.1.1 dev 2 dstport 8472 mtu 1450 56:2d:f1:a3:af:d9\naddress 10.42.0.0/32";
    let tunnel = |rest: &str| format!("{tunnel}{rest}\npod mtu 1450");
    check(Backend::Vxlan, &[], &tunnel(""));
    check(
        Backend::Vxlan,
        &[
            node("n1", "10.42.0.0/24", "192.168.1.1", "vxlan", n2),
            node("n2", "10.42.1.0/24", "192.168.1.2", "vxlan", n2),
            // Over a router: a tunnel does not mind.
            node("n3", "10.42.2.0/24", "172.16.0.3", "vxlan", n3),
        ],
        &tunnel(
            "\nroute 10.42.1.0/24 via 10.42.1.0\nroute 10.42.2.0/24 via 10.42.2.0\
             \nneigh 10.42.1.0 lladdr 02:00:00:00:00:02\nneigh 10.42.2.0 lladdr 02:00:00:00:00:03\
             \nfdb 02:00:00:00:00:03 dst 172.16.0.3\nfdb 02:00:00:00:00:02 dst 192.168.1.2",
        ),
    );
    // Not yet said enough, of another backend, outside the cluster, or ours: nothing to do with them.
    let incomplete = [
        node("n2", "", "192.168.1.2", "vxlan", n2),
        node("n3", "10.42.3.0/24", "", "vxlan", n2),
        node("n4", "10.42.4.0/24", "192.168.1.4", "vxlan", None),
        node("n5", "10.42.5.0/24", "192.168.1.5", "host-gw", None),
        node("n6", "10.99.6.0/24", "192.168.1.6", "vxlan", n2),
        node("n7", "10.42.0.0/24", "192.168.1.7", "vxlan", n2),
        node("n8", "10.42.8.0/24", "192.168.1.8", "vxlan", Some("zz")),
    ];
    check(Backend::Vxlan, &incomplete, &tunnel(""));
    check(
        Backend::HostGw,
        &[
            node("n2", "10.42.1.0/24", "192.168.1.2", "host-gw", None),
            node("n3", "10.42.2.0/24", "172.16.0.3", "host-gw", None),
            node("n4", "10.42.3.0/24", "192.168.1.4", "vxlan", n3),
        ],
        "route 10.42.1.0/24 via 192.168.1.2\npod mtu 1500",
    );
}

#[test]
fn the_interface_is_chosen_by_name_address_route_or_because_it_is_alone() {
    let link = |index: u32, name: &str| Link { index, name: name.into(), mtu: 1500, up: true, ..Link::default() };
    let links =
        [Link { loopback: true, ..link(1, "lo") }, link(2, "eth0"), link(3, "eth1"), link(4, "cni0"), link(5, "eth2")];
    let address = |index, text: &str| (index, text.parse::<Ipv4Cidr>().unwrap());
    let lo = address(1, "127.0.0.1/8");
    let two = [lo, address(2, "192.168.1.1/24"), address(3, "10.0.0.1/8"), address(3, "10.0.0.2/8")];
    let one = [lo, address(3, "10.0.0.1/8"), address(4, "10.42.0.1/24")];
    let default = |device, metric| Route {
        destination: "0.0.0.0/0".parse().unwrap(),
        gateway: None,
        device,
        onlink: false,
        source: None,
        metric,
        kernel: false,
    };
    let check = |interface: Option<&str>,
                 ip: Option<&str>,
                 addresses: &[(u32, Ipv4Cidr)],
                 routes: &[Route],
                 expect: Result<&str, &str>| {
        let mut config = Config::new("n1", None);
        config.interface = interface.map(Into::into);
        config.node_ip = ip.map(|ip| ip.parse().unwrap());
        let found = select(&config, &links, addresses, routes)
            .map(|underlay| format!("{} {}", underlay.index, underlay.address));
        let found = found.map_err(|error| match error {
            Error::NotReady(_) => "not ready",
            _ => "invalid",
        });
        assert_eq!(found.as_deref().map_err(|error| *error), expect, "{interface:?} {ip:?} {routes:?}");
    };
    let routes = [default(3, 100), default(2, 0)];
    check(Some("eth1"), None, &two, &routes, Ok("3 10.0.0.1/8"));
    check(Some("eth1"), Some("10.0.0.2"), &two, &routes, Ok("3 10.0.0.2/8"));
    check(Some("eth9"), None, &two, &routes, Err("invalid"));
    check(Some("eth2"), None, &two, &routes, Err("not ready"));
    check(None, None, &two, &routes, Ok("2 192.168.1.1/24"));
    check(None, Some("10.0.0.2"), &two, &[], Ok("3 10.0.0.2/8"));
    check(None, Some("10.9.9.9"), &two, &[], Err("not ready"));
    check(None, None, &two, &[], Err("invalid"));
    check(None, None, &one, &[], Ok("3 10.0.0.1/8"));
    check(None, None, &[lo], &[], Err("not ready"));
}
