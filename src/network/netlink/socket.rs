//! A blocking netlink socket. It belongs to the network namespace of the thread that opened it, for as long as it lives.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::buffer::{Buffer, messages, ne32};

/// Ask for every object there is.
const DUMP: u16 = 0x300;
/// Replace an existing object.
pub(crate) const REPLACE: u16 = 0x100;
/// Fail when the object exists.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// Create the object if it does not exist.
pub(crate) const CREATE: u16 = 0x400;
/// Add to the end.
pub(crate) const APPEND: u16 = 0x800;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP_INTERRUPTED: u16 = 0x10;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
/// How often a dump that raced with changes is taken again before the caller hears of it.
const DUMP_ATTEMPTS: usize = 8;
/// The kernel answers from memory; an answer that takes longer than this never comes.
const ANSWER_SECONDS: i64 = 10;

/// See the module's text.
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket to links, addresses, routes and neighbours.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// A socket to nftables and conntrack.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; 1 << 16] })
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn execute(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.get(kind, flags, body).map(drop)
    }

    /// Sends one request, returns the payloads that came before its acknowledgement.
    pub(crate) fn get(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Buffer)) -> io::Result<Vec<Vec<u8>>> {
        let sequence = self.next_sequence();
        let mut request = Buffer::default();
        request.message(kind, flags | REQUEST | ACK, sequence, body);
        self.send(&request.bytes)?;
        self.answers(sequence).map(|(answers, _)| answers)
    }

    /// Asks for all objects, again when they changed meanwhile.
    pub(crate) fn dump(&mut self, kind: u16, body: impl Fn(&mut Buffer)) -> io::Result<Vec<Vec<u8>>> {
        for _ in 0..DUMP_ATTEMPTS {
            let sequence = self.next_sequence();
            let mut request = Buffer::default();
            request.message(kind, DUMP | REQUEST, sequence, &body);
            self.send(&request.bytes)?;
            if let (answers, false) = self.answers(sequence)? {
                return Ok(answers);
            }
        }
        Err(Errno::EINTR.into())
    }

    /// Sends a batch of netfilter messages and reads what the kernel has to say about it. `last` is the sequence
    /// number of the one message that asks for an acknowledgement. The error carries the sequence number it is about.
    pub(crate) fn batch(&mut self, batch: &[u8], last: u32) -> Result<(), (u32, io::Error)> {
        let plain = |error: io::Error| (0, error);
        // A batch is one datagram, and must fit into the send buffer with some room for the kernel's accounting.
        setsockopt(&self.fd, sockopt::SndBufForce, &(batch.len() * 2 + (1 << 16))).map_err(|e| plain(e.into()))?;
        self.send(batch).map_err(plain)?;
        let mut acknowledged = false;
        let mut failure = None;
        loop {
            // A batch is worked off inside `send`: every answer is already there.
            let length = match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    failure.get_or_insert((0, error.into()));
                    continue;
                }
            };
            for message in messages(&self.buffer[..length]) {
                if message.kind != MESSAGE_ERROR {
                    continue;
                }
                match code(message.payload) {
                    0 => acknowledged |= message.sequence == last,
                    code => {
                        failure.get_or_insert((message.sequence, io::Error::from_raw_os_error(code)));
                    }
                }
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if acknowledged => Ok(()),
            None => Err(plain(io::Error::other("the kernel did not acknowledge the batch"))),
        }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Payloads up to the end of the answer, and whether the dump was disturbed.
    fn answers(&mut self, sequence: u32) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let mut answers = Vec::new();
        let mut disturbed = false;
        loop {
            let length = match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for message in messages(&self.buffer[..length]) {
                if message.sequence != sequence {
                    continue;
                }
                disturbed |= message.flags & DUMP_INTERRUPTED != 0;
                match message.kind {
                    MESSAGE_ERROR | MESSAGE_DONE => match code(message.payload) {
                        0 => return Ok((answers, disturbed)),
                        code => return Err(io::Error::from_raw_os_error(code)),
                    },
                    _ => answers.push(message.payload.to_vec()),
                }
            }
        }
    }
}

/// Whether the kernel answered with that error number.
pub(crate) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// The (positive) error number of an acknowledgement.
fn code(payload: &[u8]) -> i32 {
    (ne32(payload) as i32).wrapping_neg()
}
