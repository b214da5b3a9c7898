//! The part of the proxy's table that does not depend on any service.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use super::TABLE;
use crate::cidr::Ipv4Cidr;
use crate::nft::{Chain, Data, Field, Hook, HookPoint, Set, Statement, Table};

/// Destination address, protocol and port to a service port's chain.
pub(super) const SERVICES: &str = "services";
/// Protocol and port, on any address of the node, to a service port's chain.
pub(super) const NODE_PORTS: &str = "nodeports";
/// Like `services`, for what nobody serves: to a rejection or a drop.
pub(super) const UNSERVED: &str = "unserved";
/// Like `nodeports`, for what nobody serves.
pub(super) const UNSERVED_NODE_PORTS: &str = "unserved-nodeports";
/// The maps from a service port's own address, protocol and port, and a number, to an endpoint; see [`endpoint_map`].
static ENDPOINTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..256).map(|n| format!("endpoints-{n:02x}")).collect());
/// Pairs of the same address: this node's endpoints.
pub(super) const HAIRPIN: &str = "hairpin";
/// Marks a packet for masquerade.
pub(super) const MARK_CHAIN: &str = "mark-for-masquerade";
/// Refuses a packet in its protocol's way.
pub(super) const REJECT_CHAIN: &str = "reject";

/// The bit upstream uses, so that other software knows to leave it alone.
const MARK: u32 = 0x4000;
const SERVICE_KEY: &[Field] = &[Field::DestinationAddress, Field::Protocol, Field::DestinationPort];
const ENDPOINT_KEY: &[Field] = &[Field::DestinationAddress, Field::Protocol, Field::DestinationPort, Field::Number];
const PORT_KEY: &[Field] = &[Field::Protocol, Field::DestinationPort];
const PAIR: &[Field] = &[Field::SourceAddress, Field::DestinationAddress];
const LOOPBACK: Ipv4Cidr = Ipv4Cidr { address: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };

/// The table without services.
pub(super) fn table(service_cidr: Ipv4Cidr) -> Table {
    let set = |name: &'static str, key, data| Set { name: name.into(), key, data, timeout: None };
    let local = |is| Statement::Local { field: Field::DestinationAddress, is };
    let on_node = |map| {
        vec![
            Statement::outside(Field::DestinationAddress, LOOPBACK),
            local(true),
            Statement::Dispatch { key: PORT_KEY, map },
        ]
    };
    let look_up = |chain: &str| vec![vec![Statement::Jump(chain.into())]];
    let look_up_new = |chain: &str| vec![vec![Statement::StateNew, Statement::Jump(chain.into())]];
    let chains = vec![
        Chain::new(MARK_CHAIN, None, vec![vec![Statement::MarkSet(MARK)]]),
        Chain::new(
            REJECT_CHAIN,
            None,
            vec![vec![Statement::Protocol(6), Statement::RejectTcpReset], vec![Statement::RejectPortUnreachable]],
        ),
        Chain::new(
            "service-ports",
            None,
            vec![vec![Statement::Dispatch { key: SERVICE_KEY, map: SERVICES }], on_node(NODE_PORTS)],
        ),
        // Behind translation: what still bears a service's address here has no endpoint, or no such port.
        Chain::new(
            "unserved-ports",
            None,
            vec![
                vec![Statement::Dispatch { key: SERVICE_KEY, map: UNSERVED }],
                on_node(UNSERVED_NODE_PORTS),
                vec![
                    Statement::within(Field::DestinationAddress, service_cidr),
                    local(false),
                    Statement::Goto(REJECT_CHAIN.into()),
                ],
            ],
        ),
        Chain::new("prerouting", Hook::nat(HookPoint::Prerouting, -100), look_up("service-ports")),
        Chain::new("output", Hook::nat(HookPoint::Output, -100), look_up("service-ports")),
        Chain::new(
            "postrouting",
            Hook::nat(HookPoint::Postrouting, 100),
            vec![
                vec![Statement::Translated(true), Statement::InSet { key: PAIR, set: HAIRPIN }, Statement::Masquerade],
                vec![Statement::Mark { set: false, bits: MARK }, Statement::Return],
                vec![Statement::MarkClear(MARK)],
                vec![Statement::Masquerade],
            ],
        ),
        Chain::new("filter-input", Hook::filter(HookPoint::Input, -1), look_up_new("unserved-ports")),
        Chain::new("filter-forward", Hook::filter(HookPoint::Forward, -1), look_up_new("unserved-ports")),
        Chain::new("filter-output", Hook::filter(HookPoint::Output, -1), look_up_new("unserved-ports")),
    ];
    Table {
        name: TABLE,
        sets: vec![
            set(SERVICES, SERVICE_KEY, Data::Verdict),
            set(NODE_PORTS, PORT_KEY, Data::Verdict),
            set(UNSERVED, SERVICE_KEY, Data::Verdict),
            set(UNSERVED_NODE_PORTS, PORT_KEY, Data::Verdict),
            set(HAIRPIN, PAIR, Data::None),
        ],
        chains,
        elements: Vec::new(),
    }
}

/// The map a service's endpoints are in; made when the first service needs it. To bind a rule to a map, the kernel
/// walks through all its elements; to find a map, through all maps. So neither one map for all services nor a map each will
/// do: with ten thousand services, a start took a minute with the one, ten seconds with the other.
pub(super) fn endpoint_map(namespace: &str, name: &str) -> &'static str {
    let sum =
        namespace.bytes().chain(name.bytes()).fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    &ENDPOINTS[(sum.wrapping_mul(0x9e37_79b1) >> 24) as usize]
}

/// The declaration of a map made by [`endpoint_map`]; `None` for the names of other maps.
pub(super) fn endpoint_set(name: &'static str) -> Option<Set> {
    let set = || Set { name: name.into(), key: ENDPOINT_KEY, data: Data::Endpoint, timeout: None };
    name.starts_with("endpoints-").then(set)
}

/// The declaration of a set that remembers an endpoint's clients.
pub(super) fn sticky_set(name: &str, seconds: u32) -> Set {
    Set { name: name.to_owned().into(), key: &[Field::SourceAddress], data: Data::None, timeout: Some(seconds) }
}
