//! The bytes of the log: segments of frames of records. All numbers are little-endian.
//!
//! ```text
//! segment  "isopodL1" first-sequence:8 salt:8 crc:4 0:4           then frames, then whatever was there before
//! frame    salt:8 sequence:8 ceiling:8 length:4 crc:4             then records, `length` bytes
//! record   kind:1 key-length:4 value-length:4 create-revision:8 revision:8 key value
//! ```
//!
//! A frame is one group commit: it is there whole or not at all. Segments are used again without being cleared, so what
//! lies behind the last frame can be anything, a client's value included. The salt, drawn anew each time a segment is
//! taken into use and never shown to clients, is what tells this use's frames from such bytes.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::{Entry, Event, EventKind, Revision};

pub(super) const SEGMENT_HEADER: usize = 32;
pub(super) const FRAME_HEADER: usize = 32;
const RECORD_HEADER: usize = 25;
const MAGIC: &[u8; 8] = b"isopodL1";
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The sequence of its first frame.
    pub(super) first: u64,
    pub(super) salt: u64,
}

impl Segment {
    /// A new use of a segment, with a salt nobody can guess.
    pub(super) fn new(first: u64) -> Segment {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(first);
        // Never zero, which is what an unused segment is full of.
        Segment { first, salt: hasher.finish() | 1 }
    }

    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Segment> {
        let head = bytes.get(..SEGMENT_HEADER)?;
        let valid = head.starts_with(MAGIC) && crc32fast::hash(&head[..24]) == u32_at(head, 24);
        valid.then(|| Segment { first: u64_at(head, 8), salt: u64_at(head, 16) })
    }
}

/// One group commit as it is read back.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) salt: u64,
    pub(super) sequence: u64,
    /// No revision above this one has been handed out by the time of the next frame.
    pub(super) ceiling: Revision,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, if its checksum says it is one.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let head = bytes.get(..FRAME_HEADER)?;
        let payload = bytes.get(FRAME_HEADER..FRAME_HEADER.checked_add(u32_at(head, 24) as usize)?)?;
        let frame = Frame { salt: u64_at(head, 0), sequence: u64_at(head, 8), ceiling: u64_at(head, 16), payload };
        (frame.salt != 0 && checksum(&head[..28], payload) == u32_at(head, 28)).then_some(frame)
    }

    /// How many bytes of the segment it takes.
    pub(super) fn len(&self) -> usize {
        FRAME_HEADER + self.payload.len()
    }

    /// Its records, or `None` where the bytes are no record although the checksum is right.
    pub(super) fn records(&self) -> impl Iterator<Item = Option<Record<'a>>> {
        let mut rest = self.payload;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = Record::decode(rest);
            rest = record.as_ref().map_or(&[], |record| &rest[record.len()..]);
            Some(record)
        })
    }
}

/// Fills in the head of a frame whose records are already behind it.
pub(super) fn seal(frame: &mut [u8], salt: u64, sequence: u64, ceiling: Revision) {
    let (head, payload) = frame.split_at_mut(FRAME_HEADER);
    let length = u32::try_from(payload.len()).expect("the committer bounds its batches far below 4 GiB");
    head[..8].copy_from_slice(&salt.to_le_bytes());
    head[8..16].copy_from_slice(&sequence.to_le_bytes());
    head[16..24].copy_from_slice(&ceiling.to_le_bytes());
    head[24..28].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&head[..28], payload);
    head[28..].copy_from_slice(&crc.to_le_bytes());
}

/// What one key became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) kind: EventKind,
    pub(super) key: &'a str,
    /// Empty for a delete.
    pub(super) value: &'a [u8],
    pub(super) create_revision: Revision,
    pub(super) revision: Revision,
}

impl<'a> Record<'a> {
    pub(super) fn of(event: &'a Event) -> Record<'a> {
        let record = Record::put(&event.entry);
        match event.kind {
            EventKind::Put => record,
            EventKind::Delete => Record { kind: EventKind::Delete, value: &[], ..record },
        }
    }

    /// The record that would set `entry`.
    pub(super) fn put(entry: &'a Entry) -> Record<'a> {
        Record {
            kind: EventKind::Put,
            key: &entry.key,
            value: &entry.value,
            create_revision: entry.create_revision,
            revision: entry.revision,
        }
    }

    /// How many bytes of the frame it takes.
    pub(super) fn len(&self) -> usize {
        RECORD_HEADER + self.key.len() + self.value.len()
    }

    pub(super) fn encode(&self, frame: &mut Vec<u8>) {
        let length = |bytes: usize| u32::try_from(bytes).expect("limits are far below 4 GiB").to_le_bytes();
        frame.push(match self.kind {
            EventKind::Put => PUT,
            EventKind::Delete => DELETE,
        });
        frame.extend_from_slice(&length(self.key.len()));
        frame.extend_from_slice(&length(self.value.len()));
        frame.extend_from_slice(&self.create_revision.to_le_bytes());
        frame.extend_from_slice(&self.revision.to_le_bytes());
        frame.extend_from_slice(self.key.as_bytes());
        frame.extend_from_slice(self.value);
    }

    fn decode(bytes: &'a [u8]) -> Option<Record<'a>> {
        let head = bytes.get(..RECORD_HEADER)?;
        let kind = match head[0] {
            PUT => EventKind::Put,
            DELETE => EventKind::Delete,
            _ => return None,
        };
        let rest = &bytes[RECORD_HEADER..];
        let (key, rest) = rest.split_at_checked(u32_at(head, 1) as usize)?;
        let value = rest.get(..u32_at(head, 5) as usize)?;
        let key = std::str::from_utf8(key).ok()?;
        Some(Record { kind, key, value, create_revision: u64_at(head, 9), revision: u64_at(head, 17) })
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
