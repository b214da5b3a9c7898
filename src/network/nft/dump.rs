//! Reading back what the kernel has.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::errno::Errno;

use super::batch::HEADER;
use super::{Element, Key, Value};
use crate::netlink::{Socket, attribute, attributes, cstr, is};

const GET_TABLE: u16 = 10 << 8 | 1;
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
