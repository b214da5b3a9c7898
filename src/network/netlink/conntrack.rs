//! Connection tracking: the UDP entries whose endpoint is gone must go, or a client that keeps its port stays with it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::errno::Errno;

use super::{Socket, attribute, attributes, is};

const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
const CTA_TUPLE_ORIGINAL: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
/// `struct nfgenmsg` for IPv4.
const HEADER: [u8; 4] = [2, 0, 0, 0];
/// The protocol number of UDP.
pub(crate) const UDP: u8 = 17;

/// One tracked connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) protocol: u8,
    /// Where the first packet wanted to go.
    pub(crate) original_destination: SocketAddrV4,
    /// Who answers, which after DNAT is the endpoint.
    pub(crate) reply_source: SocketAddrV4,
    original: Vec<u8>,
    id: Vec<u8>,
}

/// All tracked IPv4 connections.
pub(crate) fn connections(socket: &mut Socket) -> io::Result<Vec<Connection>> {
    let answers = socket.dump(GET, |m| m.raw(&HEADER))?;
    Ok(answers.iter().filter_map(|payload| parse(payload.get(4..)?)).collect())
}

/// Forgets a connection; one that is gone already is fine.
pub(crate) fn delete(socket: &mut Socket, connection: &Connection) -> io::Result<()> {
    let done = socket.execute(DELETE, 0, |m| {
        m.raw(&HEADER);
        m.nest(CTA_TUPLE_ORIGINAL, |m| m.raw(&connection.original));
        if !connection.id.is_empty() {
            m.attr(CTA_ID, &connection.id);
        }
    });
    match done {
        Err(error) if is(&error, Errno::ENOENT) => Ok(()),
        done => done,
    }
}

fn parse(payload: &[u8]) -> Option<Connection> {
    let original = attribute(payload, CTA_TUPLE_ORIGINAL)?;
    let (protocol, _, original_destination) = tuple(original)?;
    let (_, reply_source, _) = tuple(attribute(payload, CTA_TUPLE_REPLY)?)?;
    let id = attribute(payload, CTA_ID).unwrap_or_default().to_vec();
    Some(Connection { protocol, original_destination, reply_source, original: original.to_vec(), id })
}

/// Protocol, source and destination; ports are zero for protocols without.
fn tuple(bytes: &[u8]) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
    let ip = attribute(bytes, CTA_TUPLE_IP)?;
    let address = |kind| Some(Ipv4Addr::from(*attribute(ip, kind)?.first_chunk::<4>()?));
    let (mut protocol, mut source_port, mut destination_port) = (0, 0, 0);
    for (kind, value) in attributes(attribute(bytes, CTA_TUPLE_PROTO)?) {
        let port = || value.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
        match kind {
            1 => protocol = *value.first()?,
            2 => source_port = port(),
            3 => destination_port = port(),
            _ => {}
        }
    }
    let source = SocketAddrV4::new(address(1)?, source_port);
    Some((protocol, source, SocketAddrV4::new(address(2)?, destination_port)))
}
