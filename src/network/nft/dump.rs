//! Reading back what the kernel has.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::errno::Errno;

use super::batch::HEADER;
use super::{Element, Key, Value};
use crate::netlink::{Socket, attribute, attributes, cstr, is};

const GET_TABLE: u16 = 10 << 8 | 1;
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_RULE: u16 = 10 << 8 | 7;
const GET_ELEMENT: u16 = 10 << 8 | 13;

/// The number the kernel gave the table when it was made, or `None` if there is none of that name. A table that was
/// deleted and made again has another one.
pub(crate) fn table_handle(socket: &mut Socket, table: &str) -> io::Result<Option<u64>> {
    let answer = socket.get(GET_TABLE, 0, |m| {
        m.raw(&HEADER);
        m.text(1, table);
    });
    match answer {
        Ok(payloads) => Ok(payloads.iter().find_map(|payload| {
            attribute(payload.get(4..)?, 4)?.first_chunk().map(|handle| u64::from_be_bytes(*handle))
        })),
        Err(error) if is(&error, Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a base chain drops what its rules do not accept; `None` when there is no such chain.
pub(crate) fn drops_by_default(socket: &mut Socket, table: &str, chain: &str) -> io::Result<Option<bool>> {
    let answer = socket.get(GET_CHAIN, 0, |m| {
        m.raw(&HEADER);
        m.text(1, table);
        m.text(3, chain);
    });
    match answer {
        Ok(payloads) => Ok(payloads.first().map(|payload| {
            // The policy's verdict: 0 is drop. A chain without a hook has none.
            let policy = payload.get(4..).and_then(|attributes| attribute(attributes, 5));
            policy.is_some_and(|policy| policy == [0; 4])
        })),
        Err(error) if is(&error, Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The numbers of a chain's rules that bear this comment.
pub(crate) fn rules_with_comment(socket: &mut Socket, table: &str, chain: &str, comment: &str) -> io::Result<Vec<u64>> {
    let dump = socket.dump(GET_RULE, |m| {
        m.raw(&HEADER);
        m.text(1, table);
        m.text(2, chain);
    });
    let payloads = match dump {
        Err(error) if is(&error, Errno::ENOENT) => return Ok(Vec::new()),
        dump => dump?,
    };
    let handles = payloads.iter().filter_map(|payload| {
        let attributes = payload.get(4..)?;
        let found = attribute(attributes, 7).and_then(|data| data.get(2..)).map(cstr);
        let handle = u64::from_be_bytes(*attribute(attributes, 3)?.first_chunk()?);
        (found.as_deref() == Some(comment)).then_some(handle)
    });
    Ok(handles.collect())
}

/// The elements of a set with their comments; none when the set does not exist. Verdicts are not read back.
pub(crate) fn elements(socket: &mut Socket, table: &str, set: &str) -> io::Result<Vec<Element>> {
    let dump = socket.dump(GET_ELEMENT, |m| {
        m.raw(&HEADER);
        m.text(1, table);
        m.text(2, set);
    });
    let payloads = match dump {
        Err(error) if is(&error, Errno::ENOENT) => return Ok(Vec::new()),
        dump => dump?,
    };
    let lists = payloads.iter().filter_map(|payload| attribute(payload.get(4..)?, 3));
    Ok(lists.flat_map(attributes).filter_map(|(_, element)| parse(element)).collect())
}

fn parse(element: &[u8]) -> Option<Element> {
    let key = Key::from_bytes(attribute(attribute(element, 1)?, 1)?)?;
    let value = attribute(element, 2).and_then(|data| attribute(data, 1)).and_then(|data| {
        let data = data.first_chunk::<8>()?;
        let address = Ipv4Addr::new(data[0], data[1], data[2], data[3]);
        Some(Value::Endpoint(SocketAddrV4::new(address, u16::from_be_bytes([data[4], data[5]]))))
    });
    let comment = attribute(element, 6).and_then(|data| data.get(2..)).map(cstr);
    Some(Element { key, value: value.unwrap_or(Value::None), comment })
}
