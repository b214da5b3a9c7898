//! One transaction: either everything in it happens, or nothing.

use std::io;

use nix::errno::Errno;

use super::rule::{ANONYMOUS_MAP, CODE_GOTO, write_verdict};
use super::set::endpoint_bytes;
use super::{Chain, Data, Element, HookPoint, Key, Rule, Set, Statement, Table, Value};
use crate::error::{Doing, Result};
use crate::netlink::{APPEND, Buffer, CREATE, Socket, attributes, cstr, is};

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;

/// `struct nfgenmsg` for family `ip`.
pub(super) const HEADER: [u8; 4] = [2, 0, 0, 0];
const ANONYMOUS: u32 = 1;
const CONSTANT: u32 = 2;
const MAP: u32 = 8;
const TIMEOUT: u32 = 16;
const EVAL: u32 = 32;
const TYPE_INTEGER: u32 = 4;
const TYPE_VERDICT: u32 = 0xffff_ff00;
/// Address and port in nft's numbering of concatenated types (six bits each).
const TYPE_ENDPOINT: u32 = 7 << 6 | 13;
/// Elements of one message are one attribute of at most 64 KiB; an element is below 1 KiB.
const ELEMENTS_LIMIT: usize = 60_000;

/// A transaction on one table, collected and then committed.
pub(crate) struct Batch {
    buffer: Buffer,
    table: &'static str,
    sequence: u32,
    sets: u32,
}

impl Batch {
    /// An empty transaction on the table of that name.
    pub(crate) fn new(table: &'static str) -> Self {
        let mut batch = Self { buffer: Buffer::default(), table, sequence: 0, sets: 0 };
        batch.frame(BATCH_BEGIN);
        batch
    }

    /// Creates the table if it does not exist.
    pub(crate) fn add_table(&mut self) {
        self.message(NEW_TABLE, CREATE, |m, table| m.text(1, table));
    }

    /// Deletes the table with everything in it. It must exist.
    pub(crate) fn delete_table(&mut self) {
        self.message(DELETE_TABLE, 0, |m, table| m.text(1, table));
    }

    /// Puts `table` in the place of whatever there was under its name.
    pub(crate) fn replace(table: &Table) -> Self {
        let mut batch = Self::new(table.name);
        batch.add_table();
        batch.delete_table();
        batch.add_table();
        for set in &table.sets {
            batch.add_set(set);
        }
        for chain in &table.chains {
            batch.add_chain(chain);
        }
        for set in &table.sets {
            let elements = table.elements.iter().filter(|(name, _)| *name == set.name);
            batch.add_elements(&set.name, elements.map(|(_, element)| element));
        }
        for chain in &table.chains {
            batch.add_rules(chain);
        }
        batch
    }

    /// Creates a chain, without its rules.
    pub(crate) fn add_chain(&mut self, chain: &Chain) {
        self.message(NEW_CHAIN, CREATE, |m, table| {
            m.text(1, table);
            m.text(3, &chain.name);
            if let Some(hook) = chain.hook {
                m.nest(4, |m| {
                    m.be32(1, hook_number(hook.point));
                    m.be32(2, hook.priority as u32);
                });
                m.be32(5, 1);
                m.text(7, hook.kind);
            }
        });
    }

    /// Removes a chain's rules.
    pub(crate) fn flush_chain(&mut self, name: &str) {
        self.message(DELETE_RULE, 0, |m, table| {
            m.text(1, table);
            m.text(2, name);
        });
    }

    /// Deletes a chain, which must be empty and which nothing may lead to any more.
    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.message(DELETE_CHAIN, 0, |m, table| {
            m.text(1, table);
            m.text(3, name);
        });
    }

    /// Appends a chain's rules; what they lead to must exist.
    pub(crate) fn add_rules(&mut self, chain: &Chain) {
        for rule in &chain.rules {
            self.add_rule(&chain.name, rule);
        }
    }

    /// Puts a rule that bears a comment in front of a chain's rules.
    pub(crate) fn insert_rule(&mut self, chain: &str, rule: &Rule, comment: &str) {
        self.message(NEW_RULE, CREATE, |m, table| {
            m.text(1, table);
            m.text(2, chain);
            m.nest(4, |m| rule.iter().for_each(|statement| statement.write(m, None)));
            m.attr(7, &comment_bytes(comment));
        });
    }

    /// Deletes one rule by the number the kernel gave it.
    pub(crate) fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.message(DELETE_RULE, 0, |m, table| {
            m.text(1, table);
            m.text(2, chain);
            m.attr(3, &handle.to_be_bytes());
        });
    }

    /// Creates a named set.
    pub(crate) fn add_set(&mut self, set: &Set) {
        let id = self.next_set();
        self.message(NEW_SET, CREATE, |m, table| {
            m.text(1, table);
            m.text(2, &set.name);
            let mut flags = if set.data == Data::None { 0 } else { MAP };
            if set.timeout.is_some() {
                flags |= TIMEOUT | EVAL;
            }
            m.be32(3, flags);
            m.be32(4, set.key.iter().fold(0, |number, field| number << 6 | field.type_number()));
            m.be32(5, set.key.len() as u32 * 4);
            match set.data {
                Data::None => {}
                Data::Verdict => m.be32(6, TYPE_VERDICT),
                Data::Endpoint => {
                    m.be32(6, TYPE_ENDPOINT);
                    m.be32(7, 8);
                }
            }
            m.be32(10, id);
            if let Some(seconds) = set.timeout {
                m.attr(11, &(u64::from(seconds) * 1000).to_be_bytes());
            }
        });
    }

    /// Deletes a named set that no rule uses any more.
    pub(crate) fn delete_set(&mut self, name: &str) {
        self.message(DELETE_SET, 0, |m, table| {
            m.text(1, table);
            m.text(2, name);
        });
    }

    /// Adds elements; the chains they lead to must exist.
    pub(crate) fn add_elements<'a>(&mut self, set: &str, elements: impl Iterator<Item = &'a Element>) {
        self.elements(NEW_ELEMENT, CREATE, set, None, elements, |m, element| {
            m.nest(1, |m| m.attr(1, element.key.bytes()));
            match &element.value {
                Value::None => {}
                Value::Goto(chain) => m.nest(2, |m| write_verdict(m, CODE_GOTO, Some(chain))),
                Value::Drop => m.nest(2, |m| write_verdict(m, 0, None)),
                Value::Endpoint(endpoint) => m.nest(2, |m| m.attr(1, &endpoint_bytes(endpoint))),
            }
            if let Some(comment) = &element.comment {
                m.attr(6, &comment_bytes(comment));
            }
        });
    }

    /// Deletes elements, which must be there.
    pub(crate) fn delete_elements<'a>(&mut self, set: &str, keys: impl Iterator<Item = &'a Key>) {
        self.elements(DELETE_ELEMENT, 0, set, None, keys, |m, key| m.nest(1, |m| m.attr(1, key.bytes())));
    }

    /// Commits. On an error nothing has changed.
    pub(crate) fn commit(mut self, socket: &mut Socket) -> Result<()> {
        let done = self.commit_raw(socket).map_err(|(sequence, error)| {
            let hint = match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
                Errno::ENOENT => {
                    " (is a kernel module missing: nft_nat, nft_masq, nft_fib, nft_numgen, nft_reject, nft_ct?)"
                }
                _ => "",
            };
            match self.describe(sequence) {
                Some(text) => io::Error::new(error.kind(), format!("{text}: {error}{hint}")),
                None => error,
            }
        });
        done.doing(|| format!("changing nftables table ip {}", self.table))
    }

    /// Commits the deletion of the table; a table that does not exist is fine.
    pub(crate) fn drop_table(socket: &mut Socket, table: &'static str) -> Result<()> {
        let mut batch = Self::new(table);
        batch.delete_table();
        match batch.commit_raw(socket) {
            Err((_, error)) if is(&error, Errno::ENOENT) => Ok(()),
            done => done.map_err(|(_, error)| error).doing(|| format!("deleting nftables table ip {table}")),
        }
    }

    /// The size of the transaction in bytes.
    pub(crate) fn len(&self) -> usize {
        self.buffer.bytes.len()
    }

    /// An error comes with the number of the message it is about.
    fn commit_raw(&mut self, socket: &mut Socket) -> Result<(), (u32, io::Error)> {
        // The last change asks for the acknowledgement: kernels before 6.10 ignore the flag on the frame.
        let last = self.sequence;
        if last <= 1 {
            return Ok(());
        }
        self.acknowledge_last();
        self.frame(BATCH_END);
        socket.batch(&self.buffer.bytes, last)
    }

    fn acknowledge_last(&mut self) {
        let mut start = 0;
        let bytes = &mut self.buffer.bytes;
        loop {
            let length =
                u32::from_ne_bytes([bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]]) as usize;
            if start + length >= bytes.len() {
                bytes[start + 6] |= ACK as u8;
                return;
            }
            start += length;
        }
    }

    /// Which message an error is about, for people.
    fn describe(&self, sequence: u32) -> Option<String> {
        let mut bytes = &self.buffer.bytes[..];
        while let Some(head) = bytes.first_chunk::<16>() {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if u32::from_ne_bytes([head[8], head[9], head[10], head[11]]) == sequence {
                let names: Vec<_> = attributes(bytes.get(20..length)?)
                    .take(3)
                    .filter(|(kind, _)| *kind <= 3)
                    .map(|(_, v)| cstr(v))
                    .collect();
                return Some(format!("nftables message {} on {}", head[4], names.join(" ")));
            }
            bytes = bytes.get(length..)?;
        }
        None
    }

    fn add_rule(&mut self, chain: &str, rule: &Rule) {
        let anonymous: Vec<_> = rule.iter().map(|statement| self.add_anonymous(statement)).collect();
        self.message(NEW_RULE, CREATE | APPEND, |m, table| {
            m.text(1, table);
            m.text(2, chain);
            m.nest(4, |m| {
                for (statement, anonymous) in rule.iter().zip(anonymous) {
                    statement.write(m, anonymous);
                }
            });
        });
    }

    /// Makes the set a statement brings along, and returns its number in this transaction.
    fn add_anonymous(&mut self, statement: &Statement) -> Option<u32> {
        let Statement::Spread(chains) = statement else { return None };
        let id = self.next_set();
        self.message(NEW_SET, CREATE, |m, table| {
            m.text(1, table);
            m.text(2, ANONYMOUS_MAP);
            m.be32(3, ANONYMOUS | CONSTANT | MAP);
            m.be32(4, TYPE_INTEGER);
            m.be32(5, 4);
            m.be32(6, TYPE_VERDICT);
            m.nest(9, |m| m.be32(1, chains.len() as u32));
            m.be32(10, id);
            // Tells `nft list` that the key is a number in the machine's order.
            m.attr(13, &[0, 4, 1, 0, 0, 0]);
        });
        self.elements(NEW_ELEMENT, CREATE, ANONYMOUS_MAP, Some(id), chains.iter().zip(0u32..), |m, (chain, n)| {
            m.nest(1, |m| m.attr(1, &n.to_ne_bytes()));
            m.nest(2, |m| write_verdict(m, CODE_GOTO, Some(chain)));
        });
        Some(id)
    }

    /// As many messages as the elements need.
    fn elements<T>(
        &mut self,
        kind: u16,
        flags: u16,
        set: &str,
        id: Option<u32>,
        elements: impl Iterator<Item = T>,
        write: impl Fn(&mut Buffer, T),
    ) {
        let mut elements = elements.peekable();
        while elements.peek().is_some() {
            self.message(kind, flags, |m, table| {
                m.text(1, table);
                m.text(2, set);
                if let Some(id) = id {
                    m.be32(4, id);
                }
                let start = m.bytes.len();
                m.nest(3, |m| {
                    while let Some(element) = elements.next_if(|_| m.bytes.len() - start < ELEMENTS_LIMIT) {
                        m.nest(1, |m| write(m, element));
                    }
                });
            });
        }
    }

    fn next_set(&mut self) -> u32 {
        self.sets += 1;
        self.sets
    }

    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Buffer, &str)) {
        self.sequence += 1;
        let table = self.table;
        self.buffer.message(SUBSYSTEM | kind, flags | REQUEST, self.sequence, |m| {
            m.raw(&HEADER);
            body(m, table);
        });
    }

    fn frame(&mut self, kind: u16) {
        self.sequence += 1;
        self.buffer.message(kind, REQUEST, self.sequence, |m| m.raw(&[0, 0, 0, 10]));
    }
}

fn hook_number(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

/// A comment in the form nft's own tools write and read: kind, length, text with NUL.
fn comment_bytes(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(128)];
    let mut bytes = vec![0, text.len() as u8 + 1];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}
