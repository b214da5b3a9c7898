//! Sets and maps, their keys and values.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;

use super::{ChainName, Endpoint};

/// A part of a packet that makes up a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    SourceAddress,
    DestinationAddress,
    Protocol,
    DestinationPort,
    /// No part of a packet: a number the rule makes, in the machine's order.
    Number,
}

impl Field {
    /// The type's number in nft's own numbering, by which `nft list` knows how to print.
    pub(super) fn type_number(self) -> u32 {
        match self {
            Self::SourceAddress | Self::DestinationAddress => 7,
            Self::Protocol => 12,
            Self::DestinationPort => 13,
            Self::Number => 19,
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::SourceAddress | Self::DestinationAddress => "ipv4_addr",
            Self::Protocol => "inet_proto",
            Self::DestinationPort => "inet_service",
            Self::Number => "mark",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceAddress => "ip saddr",
            Self::DestinationAddress => "ip daddr",
            Self::Protocol => "meta l4proto",
            Self::DestinationPort => "th dport",
            Self::Number => "number",
        })
    }
}

/// What a set's keys lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Nothing: a plain set.
    None,
    /// A verdict map.
    Verdict,
    /// Address and port to translate to.
    Endpoint,
}

/// The declaration of a named set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: Cow<'static, str>,
    pub(crate) key: &'static [Field],
    pub(crate) data: Data,
    /// Entries are made by packets and forgotten after so many seconds.
    pub(crate) timeout: Option<u32>,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.data == Data::None { "set" } else { "map" };
        write!(f, "{word} {} {{ type ", self.name)?;
        for (n, field) in self.key.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { " . " }, field.type_name())?;
        }
        match self.data {
            Data::None => {}
            Data::Verdict => f.write_str(" : verdict")?,
            Data::Endpoint => f.write_str(" : ipv4_addr . inet_service")?,
        }
        if let Some(seconds) = self.timeout {
            write!(f, "; flags dynamic,timeout; timeout {seconds}s")?;
        }
        f.write_str(" }")
    }
}

/// A key of up to four fields, each padded to four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    bytes: [u8; 16],
    length: u8,
}

impl Key {
    /// For maps on destination address, protocol and port.
    pub(crate) fn service(address: Ipv4Addr, protocol: u8, port: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&address.octets());
        bytes[4] = protocol;
        bytes[8..10].copy_from_slice(&port.to_be_bytes());
        Self { bytes, length: 12 }
    }

    /// For maps on protocol and port.
    pub(crate) fn port(protocol: u8, port: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[0] = protocol;
        bytes[4..6].copy_from_slice(&port.to_be_bytes());
        Self { bytes, length: 8 }
    }

    /// For maps on destination address, protocol, port and a number.
    pub(crate) fn numbered(address: Ipv4Addr, protocol: u8, port: u16, number: u32) -> Self {
        let mut key = Self::service(address, protocol, port);
        key.bytes[12..].copy_from_slice(&number.to_ne_bytes());
        Self { length: 16, ..key }
    }

    /// For sets of address pairs.
    pub(crate) fn pair(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&source.octets());
        bytes[4..8].copy_from_slice(&destination.octets());
        Self { bytes, length: 8 }
    }

    /// A key as the kernel had it.
    pub(super) fn from_bytes(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, length: from.len() as u8 })
    }

    /// The key as the kernel wants it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Prints the key as a set with these fields has it.
    pub(crate) fn display(&self, fields: &[Field]) -> String {
        let mut text = String::new();
        for (field, part) in fields.iter().zip(self.bytes.chunks(4)) {
            if !text.is_empty() {
                text.push_str(" . ");
            }
            text.push_str(&match field {
                Field::SourceAddress | Field::DestinationAddress => {
                    Ipv4Addr::new(part[0], part[1], part[2], part[3]).to_string()
                }
                Field::Protocol => protocol_name(part[0]),
                Field::DestinationPort => u16::from_be_bytes([part[0], part[1]]).to_string(),
                Field::Number => u32::from_ne_bytes([part[0], part[1], part[2], part[3]]).to_string(),
            });
        }
        text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.bytes())
    }
}

/// What an element leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    None,
    Goto(ChainName),
    Drop,
    Endpoint(Endpoint),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Goto(chain) => write!(f, " : goto {chain}"),
            Self::Drop => f.write_str(" : drop"),
            Self::Endpoint(endpoint) => write!(f, " : {} . {}", endpoint.ip(), endpoint.port()),
        }
    }
}

/// One element of a named set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Key,
    pub(crate) value: Value,
    /// Kept by the kernel beside the element; says whose it is.
    pub(crate) comment: Option<String>,
}

/// `tcp`, `udp`, `sctp`, or the number.
pub(crate) fn protocol_name(protocol: u8) -> String {
    match protocol {
        6 => "tcp".into(),
        17 => "udp".into(),
        132 => "sctp".into(),
        other => other.to_string(),
    }
}

/// An endpoint as map data: address, then port, each padded to four bytes.
pub(super) fn endpoint_bytes(endpoint: &Endpoint) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&endpoint.ip().octets());
    bytes[4..6].copy_from_slice(&endpoint.port().to_be_bytes());
    bytes
}
