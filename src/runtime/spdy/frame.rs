//! Frames on the wire.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub(super) const HEAD_LEN: usize = 8;
pub(super) const MAX_ID: u32 = 0x7fff_ffff;
pub(super) const INITIAL_WINDOW: i64 = 64 << 10;

pub(super) const FLAG_FIN: u8 = 1;
const FLAG_UNIDIRECTIONAL: u8 = 2;
const VERSION: u16 = 3;
const SETTINGS_INITIAL_WINDOW: u32 = 7;

/// Status codes of RST_STREAM that matter here.
pub(super) const REFUSED_STREAM: u32 = 3;
pub(super) const CANCEL: u32 = 5;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// The first eight bytes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Data { id: u32, fin: bool, len: usize },
    Control { kind: u16, flags: u8, len: usize },
}

/// A control frame; header blocks are still compressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    SynStream {
        id: u32,
        fin: bool,
        unidirectional: bool,
        block: Bytes,
    },
    SynReply {
        id: u32,
        fin: bool,
        block: Bytes,
    },
    RstStream {
        id: u32,
        status: u32,
    },
    InitialWindow(u32),
    Ping(u32),
    GoAway,
    Headers {
        id: u32,
        fin: bool,
        block: Bytes,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    /// Of a kind that may be ignored.
    Other,
}

pub(super) fn head(bytes: [u8; HEAD_LEN]) -> io::Result<Head> {
    let mut bytes = &bytes[..];
    let first = bytes.get_u32();
    let second = bytes.get_u32();
    let (flags, len) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
    if first & 0x8000_0000 == 0 {
        return match first {
            0 => Err(malformed("data for stream 0")),
            id => Ok(Head::Data { id, fin: flags & FLAG_FIN != 0, len }),
        };
    }
    let (version, kind) = (((first >> 16) & 0x7fff) as u16, (first & 0xffff) as u16);
    if version != VERSION {
        return Err(malformed("not SPDY version 3"));
    }
    Ok(Head::Control { kind, flags, len })
}

pub(super) fn control(kind: u16, flags: u8, mut payload: Bytes) -> io::Result<Control> {
    let short = |_| malformed("a control frame is too short");
    let fin = flags & FLAG_FIN != 0;
    let id = |payload: &mut Bytes| match payload.try_get_u32().map_err(short)? & MAX_ID {
        0 => Err(malformed("a control frame for stream 0")),
        id => Ok(id),
    };
    Ok(match kind {
        SYN_STREAM => {
            let id = id(&mut payload)?;
            // Associated stream, priority, slot: none of it means anything here.
            if payload.remaining() < 6 {
                return Err(malformed("a control frame is too short"));
            }
            payload.advance(6);
            Control::SynStream { id, fin, unidirectional: flags & FLAG_UNIDIRECTIONAL != 0, block: payload }
        }
        SYN_REPLY => Control::SynReply { id: id(&mut payload)?, fin, block: payload },
        HEADERS => Control::Headers { id: id(&mut payload)?, fin, block: payload },
        RST_STREAM => Control::RstStream { id: id(&mut payload)?, status: payload.try_get_u32().map_err(short)? },
        PING => Control::Ping(payload.try_get_u32().map_err(short)?),
        GOAWAY => Control::GoAway,
        WINDOW_UPDATE => {
            let id = payload.try_get_u32().map_err(short)? & MAX_ID;
            Control::WindowUpdate { id, delta: payload.try_get_u32().map_err(short)? & MAX_ID }
        }
        SETTINGS => {
            let count = payload.try_get_u32().map_err(short)?;
            let mut found = Control::Other;
            for _ in 0..count {
                let key = payload.try_get_u32().map_err(short)? & 0x00ff_ffff;
                let value = payload.try_get_u32().map_err(short)?;
                if key == SETTINGS_INITIAL_WINDOW {
                    found = Control::InitialWindow(value & MAX_ID);
                }
            }
            found
        }
        _ => Control::Other,
    })
}

pub(super) fn put_data(out: &mut BytesMut, id: u32, fin: bool, data: &[u8]) {
    out.put_u32(id);
    out.put_u32((u32::from(if fin { FLAG_FIN } else { 0 }) << 24) | data.len() as u32);
    out.put_slice(data);
}

pub(super) fn put_syn_stream(out: &mut BytesMut, id: u32, block: &[u8]) {
    put_control(out, SYN_STREAM, 10 + block.len());
    out.put_u32(id);
    out.put_bytes(0, 6);
    out.put_slice(block);
}

pub(super) fn put_syn_reply(out: &mut BytesMut, id: u32, block: &[u8]) {
    put_control(out, SYN_REPLY, 4 + block.len());
    out.put_u32(id);
    out.put_slice(block);
}

pub(super) fn put_rst_stream(out: &mut BytesMut, id: u32, status: u32) {
    put_control(out, RST_STREAM, 8);
    out.put_u32(id);
    out.put_u32(status);
}

pub(super) fn put_window_update(out: &mut BytesMut, id: u32, delta: u32) {
    put_control(out, WINDOW_UPDATE, 8);
    out.put_u32(id);
    out.put_u32(delta);
}

pub(super) fn put_ping(out: &mut BytesMut, id: u32) {
    put_control(out, PING, 4);
    out.put_u32(id);
}

pub(super) fn put_goaway(out: &mut BytesMut, last: u32) {
    put_control(out, GOAWAY, 8);
    out.put_u32(last);
    out.put_u32(0);
}

fn put_control(out: &mut BytesMut, kind: u16, len: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(len as u32);
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
