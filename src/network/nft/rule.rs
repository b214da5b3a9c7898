//! Rules: a list of statements, each of which prints itself and writes its expressions.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::set::{Field, protocol_name};
use super::{ChainName, Endpoint};
use crate::cidr::Ipv4Cidr;
use crate::netlink::Buffer;

/// Statements that hold for a packet one after the other.
pub(crate) type Rule = Vec<Statement>;

/// The endpoints of a translation, of which one is chosen at random with equal chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    One(Endpoint),
    /// `count` elements of `map`, whose keys are address, protocol, port and the numbers from `first` on.
    Among {
        map: &'static str,
        address: Ipv4Addr,
        protocol: u8,
        port: u16,
        first: u32,
        count: u32,
    },
}

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The address lies in the network (or not).
    Address {
        field: Field,
        within: bool,
        network: Ipv4Cidr,
    },
    /// The address is one of this machine's own (or not).
    Local {
        field: Field,
        is: bool,
    },
    /// The packet came in through that interface (or not).
    InterfaceIn {
        is: bool,
        name: String,
    },
    /// The packet leaves through that interface (or not).
    InterfaceOut {
        is: bool,
        name: String,
    },
    Protocol(u8),
    /// One of the mark's bits is set (or none).
    Mark {
        set: bool,
        bits: u32,
    },
    MarkSet(u32),
    MarkClear(u32),
    /// The first packet of a connection.
    StateNew,
    /// The connection's destination was translated (or not).
    Translated(bool),
    InSet {
        key: &'static [Field],
        set: &'static str,
    },
    /// Looks the verdict up.
    Dispatch {
        key: &'static [Field],
        map: &'static str,
    },
    /// Looks the endpoint up and translates to it.
    Translate {
        key: &'static [Field],
        map: &'static str,
    },
    /// Translates to one of the endpoints.
    Balance(Choice),
    /// Goes to one of the chains, chosen at random with equal chance.
    Spread(Vec<ChainName>),
    /// The client's address is in the set.
    Remembered {
        set: Arc<str>,
    },
    /// Enters the client's address into the set for so many seconds, or keeps it there for as long again.
    Remember {
        set: Arc<str>,
        seconds: u32,
    },
    /// With random source ports, so that two nodes' choices do not collide.
    Masquerade,
    RejectTcpReset,
    RejectPortUnreachable,
    Jump(ChainName),
    Goto(ChainName),
    Return,
    Accept,
    Drop,
    /// Counts packets and bytes; what `iptables` expects in every rule.
    Counter,
}

impl Statement {
    /// `field` lies in `network`.
    pub(crate) fn within(field: Field, network: Ipv4Cidr) -> Self {
        Self::Address { field, within: true, network }
    }

    /// `field` does not lie in `network`.
    pub(crate) fn outside(field: Field, network: Ipv4Cidr) -> Self {
        Self::Address { field, within: false, network }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |holds: &bool| if *holds { "" } else { "!= " };
        match self {
            Self::Address { field, within, network } => {
                write!(f, "{field} {}", not(within))?;
                if network.prefix == 32 { write!(f, "{}", network.address) } else { write!(f, "{network}") }
            }
            Self::Local { field, is } => {
                let name = if *field == Field::SourceAddress { "saddr" } else { "daddr" };
                write!(f, "fib {name} type {}local", not(is))
            }
            Self::InterfaceIn { is, name } => write!(f, "iifname {}\"{name}\"", not(is)),
            Self::InterfaceOut { is, name } => write!(f, "oifname {}\"{name}\"", not(is)),
            Self::Protocol(protocol) => write!(f, "meta l4proto {}", protocol_name(*protocol)),
            Self::Mark { set, bits } => write!(f, "meta mark & {bits:#x} {} 0", if *set { "!=" } else { "==" }),
            Self::MarkSet(bits) => write!(f, "meta mark set meta mark | {bits:#x}"),
            Self::MarkClear(bits) => write!(f, "meta mark set meta mark & ~{bits:#x}"),
            Self::StateNew => f.write_str("ct state new"),
            Self::Translated(yes) => write!(f, "ct status {}dnat", not(yes)),
            Self::InSet { key, set } => write!(f, "{} @{set}", Fields(key)),
            Self::Dispatch { key, map } => write!(f, "{} vmap @{map}", Fields(key)),
            Self::Translate { key, map } => write!(f, "dnat to {} map @{map}", Fields(key)),
            Self::Balance(Choice::One(one)) => write!(f, "dnat to {one}"),
            Self::Balance(Choice::Among { map, address, protocol, port, first, count }) => {
                write!(f, "dnat to {address} . {} . {port} . ", protocol_name(*protocol))?;
                write!(f, "numgen random mod {count} offset {first} map @{map}")
            }
            Self::Spread(chains) => {
                let gotos: Vec<_> = chains.iter().zip(0..).map(|(chain, n)| format!("{n} : goto {chain}")).collect();
                write!(f, "numgen random mod {} vmap {{ {} }}", chains.len(), gotos.join(", "))
            }
            Self::Remembered { set } => write!(f, "ip saddr @{set}"),
            Self::Remember { set, seconds } => write!(f, "update @{set} {{ ip saddr timeout {seconds}s }}"),
            Self::Masquerade => f.write_str("masquerade fully-random"),
            Self::RejectTcpReset => f.write_str("reject with tcp reset"),
            Self::RejectPortUnreachable => f.write_str("reject with icmp port-unreachable"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Counter => f.write_str("counter"),
        }
    }
}

struct Fields<'a>(&'a [Field]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, field) in self.0.iter().enumerate() {
            write!(f, "{}{field}", if n == 0 { "" } else { " . " })?;
        }
        Ok(())
    }
}

// Expressions work on registers of four bytes; the first is number 8, the verdict's is 0.
const VERDICT: u32 = 0;
const R0: u32 = 8;
const R1: u32 = 9;
const R2: u32 = 10;
const R3: u32 = 11;

const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// In `ct state` a bit; `NF_CT_STATE_BIT(IP_CT_NEW)`.
const STATE_NEW: u32 = 8;
/// `IPS_DST_NAT`.
const STATUS_DNAT: u32 = 0x20;
const RTN_LOCAL: u32 = 2;

const CODE_ACCEPT: i32 = 1;
const CODE_DROP: i32 = 0;
const CODE_JUMP: i32 = -3;
pub(super) const CODE_GOTO: i32 = -4;
const CODE_RETURN: i32 = -5;

impl Statement {
    /// Writes the statement's expressions. `anonymous` is the transaction's number of the set made for this statement,
    /// for statements that carry their own.
    pub(super) fn write(&self, m: &mut Buffer, anonymous: Option<u32>) {
        match self {
            Self::Address { field, within, network } => {
                load(m, *field, R0);
                if network.prefix < 32 {
                    bitwise(m, &network.mask().octets(), &[0; 4]);
                }
                compare(m, if *within { EQUAL } else { NOT_EQUAL }, &network.network().address.octets());
            }
            Self::Local { field, is } => {
                let flag = if *field == Field::SourceAddress { 1 } else { 2 };
                expression(m, "fib", |m| {
                    m.be32(1, R0);
                    m.be32(2, 3);
                    m.be32(3, flag);
                });
                compare(m, if *is { EQUAL } else { NOT_EQUAL }, &RTN_LOCAL.to_ne_bytes());
            }
            Self::InterfaceIn { is, name } => interface(m, META_IIFNAME, *is, name),
            Self::InterfaceOut { is, name } => interface(m, META_OIFNAME, *is, name),
            Self::Protocol(protocol) => {
                load(m, Field::Protocol, R0);
                compare(m, EQUAL, &[*protocol]);
            }
            Self::Mark { set, bits } => {
                meta(m, META_MARK, R0);
                bitwise(m, &bits.to_ne_bytes(), &[0; 4]);
                compare(m, if *set { NOT_EQUAL } else { EQUAL }, &[0; 4]);
            }
            Self::MarkSet(bits) => set_mark(m, !bits, *bits),
            Self::MarkClear(bits) => set_mark(m, !bits, 0),
            Self::StateNew => tracked(m, CT_STATE, STATE_NEW, true),
            Self::Translated(yes) => tracked(m, CT_STATUS, STATUS_DNAT, *yes),
            Self::InSet { key, set } => {
                load_all(m, key);
                lookup(m, set, None, R0, None);
            }
            Self::Dispatch { key, map } => {
                load_all(m, key);
                lookup(m, map, None, R0, Some(VERDICT));
            }
            Self::Translate { key, map } => {
                load_all(m, key);
                lookup(m, map, None, R0, Some(R1));
                destination(m);
            }
            Self::Balance(choice) => choice.write(m),
            Self::Spread(chains) => {
                random(m, R0, 0, chains.len() as u32);
                lookup(m, ANONYMOUS_MAP, anonymous, R0, Some(VERDICT));
            }
            Self::Remembered { set } => {
                load(m, Field::SourceAddress, R0);
                lookup(m, set, None, R0, None);
            }
            Self::Remember { set, seconds } => {
                load(m, Field::SourceAddress, R0);
                expression(m, "dynset", |m| {
                    m.text(1, set);
                    m.be32(3, 1);
                    m.be32(4, R0);
                    m.attr(6, &(u64::from(*seconds) * 1000).to_be_bytes());
                });
            }
            Self::Masquerade => expression(m, "masq", |m| m.be32(1, 0x10)),
            Self::RejectTcpReset => reject(m, 1, 0),
            Self::RejectPortUnreachable => reject(m, 0, 3),
            Self::Jump(chain) => verdict(m, CODE_JUMP, Some(chain)),
            Self::Goto(chain) => verdict(m, CODE_GOTO, Some(chain)),
            Self::Return => verdict(m, CODE_RETURN, None),
            Self::Accept => verdict(m, CODE_ACCEPT, None),
            Self::Drop => verdict(m, CODE_DROP, None),
            Self::Counter => expression(m, "counter", |m| {
                m.attr(1, &[0; 8]);
                m.attr(2, &[0; 8]);
            }),
        }
    }
}

/// The name by which a rule refers to a map made for it alone.
pub(super) const ANONYMOUS_MAP: &str = "__map%d";

impl Choice {
    /// Leaves the endpoint in the second and third register, and translates to it.
    fn write(&self, m: &mut Buffer) {
        match self {
            Self::One(one) => {
                immediate(m, R1, &one.ip().octets());
                immediate(m, R2, &one.port().to_be_bytes());
            }
            Self::Among { map, address, protocol, port, first, count } => {
                immediate(m, R0, &address.octets());
                immediate(m, R1, &[*protocol]);
                immediate(m, R2, &port.to_be_bytes());
                random(m, R3, *first, *count);
                lookup(m, map, None, R0, Some(R1));
            }
        }
        destination(m);
    }
}

/// Puts one of `count` numbers from `first` on into a register.
fn random(m: &mut Buffer, register: u32, first: u32, count: u32) {
    expression(m, "numgen", |m| {
        m.be32(1, register);
        m.be32(2, count);
        m.be32(3, 1);
        m.be32(4, first);
    });
}

fn expression(m: &mut Buffer, name: &str, data: impl FnOnce(&mut Buffer)) {
    m.nest(1, |m| {
        m.text(1, name);
        m.nest(2, data);
    });
}

fn load_all(m: &mut Buffer, key: &[Field]) {
    for (register, field) in (R0..).zip(key) {
        load(m, *field, register);
    }
}

fn load(m: &mut Buffer, field: Field, register: u32) {
    let (base, offset, length) = match field {
        Field::SourceAddress => (NETWORK_HEADER, 12, 4),
        Field::DestinationAddress => (NETWORK_HEADER, 16, 4),
        Field::DestinationPort => (TRANSPORT_HEADER, 2, 2),
        Field::Protocol => return meta(m, META_L4PROTO, register),
        Field::Number => unreachable!("no packet has this field; only maps' declarations name it"),
    };
    expression(m, "payload", |m| {
        m.be32(1, register);
        m.be32(2, base);
        m.be32(3, offset);
        m.be32(4, length);
    });
}

fn meta(m: &mut Buffer, key: u32, register: u32) {
    expression(m, "meta", |m| {
        m.be32(2, key);
        m.be32(1, register);
    });
}

fn bitwise(m: &mut Buffer, mask: &[u8; 4], xor: &[u8; 4]) {
    expression(m, "bitwise", |m| {
        m.be32(1, R0);
        m.be32(2, R0);
        m.be32(3, 4);
        m.nest(4, |m| m.attr(1, mask));
        m.nest(5, |m| m.attr(1, xor));
    });
}

fn compare(m: &mut Buffer, operator: u32, with: &[u8]) {
    expression(m, "cmp", |m| {
        m.be32(1, R0);
        m.be32(2, operator);
        m.nest(3, |m| m.attr(1, with));
    });
}

fn interface(m: &mut Buffer, key: u32, is: bool, name: &str) {
    let mut padded = [0; 16];
    let length = name.len().min(15);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    meta(m, key, R0);
    compare(m, if is { EQUAL } else { NOT_EQUAL }, &padded);
}

fn set_mark(m: &mut Buffer, mask: u32, xor: u32) {
    meta(m, META_MARK, R0);
    bitwise(m, &mask.to_ne_bytes(), &xor.to_ne_bytes());
    expression(m, "meta", |m| {
        m.be32(2, META_MARK);
        m.be32(3, R0);
    });
}

fn tracked(m: &mut Buffer, key: u32, bit: u32, holds: bool) {
    expression(m, "ct", |m| {
        m.be32(2, key);
        m.be32(1, R0);
    });
    bitwise(m, &bit.to_ne_bytes(), &[0; 4]);
    compare(m, if holds { NOT_EQUAL } else { EQUAL }, &[0; 4]);
}

fn lookup(m: &mut Buffer, set: &str, id: Option<u32>, source: u32, destination: Option<u32>) {
    expression(m, "lookup", |m| {
        m.text(1, set);
        m.be32(2, source);
        if let Some(register) = destination {
            m.be32(3, register);
        }
        if let Some(id) = id {
            m.be32(4, id);
        }
    });
}

fn immediate(m: &mut Buffer, register: u32, value: &[u8]) {
    expression(m, "immediate", |m| {
        m.be32(1, register);
        m.nest(2, |m| m.attr(1, value));
    });
}

/// Translates the destination to the second and third register.
fn destination(m: &mut Buffer) {
    expression(m, "nat", |m| {
        m.be32(1, 1);
        m.be32(2, 2);
        m.be32(3, R1);
        m.be32(5, R2);
    });
}

fn reject(m: &mut Buffer, kind: u32, code: u8) {
    expression(m, "reject", |m| {
        m.be32(1, kind);
        m.attr(2, &[code]);
    });
}

fn verdict(m: &mut Buffer, code: i32, chain: Option<&str>) {
    expression(m, "immediate", |m| {
        m.be32(1, VERDICT);
        m.nest(2, |m| write_verdict(m, code, chain));
    });
}

/// A verdict as data of an expression or an element.
pub(super) fn write_verdict(m: &mut Buffer, code: i32, chain: Option<&str>) {
    m.nest(2, |m| {
        m.be32(1, code as u32);
        if let Some(chain) = chain {
            m.text(2, chain);
        }
    });
}
