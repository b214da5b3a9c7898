//! Protobuf's bytes: tags, varints, lengths.

use super::ProtobufError;

/// How a field's value is written: the low bits of its tag.
mod wire_type {
    pub(super) const VARINT: u64 = 0;
    pub(super) const FIXED64: u64 = 1;
    pub(super) const BYTES: u64 = 2;
    pub(super) const FIXED32: u64 = 5;
}

/// A field as it stands in the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Data<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Data<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Data::Bytes(bytes) => Ok(bytes),
            Data::Number(_) => Err(ProtobufError::Wire("wrong wireType")),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| ProtobufError::Wire("string field contains invalid UTF-8"))
    }

    pub(super) fn number(self) -> Result<u64, ProtobufError> {
        match self {
            Data::Number(number) => Ok(number),
            Data::Bytes(_) => Err(ProtobufError::Wire("wrong wireType")),
        }
    }
}

/// Walks through the fields of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// The next field's number and data; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Data<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(ProtobufError::Wire("illegal tag"))?;
        let data = match tag & 7 {
            wire_type::VARINT => Data::Number(self.varint()?),
            wire_type::FIXED64 => Data::Number(self.fixed::<8>().map(u64::from_le_bytes)?),
            wire_type::BYTES => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Data::Bytes(self.take(length)?)
            }
            wire_type::FIXED32 => Data::Number(self.fixed::<4>().map(u32::from_le_bytes)?.into()),
            _ => return Err(ProtobufError::Wire("illegal wireType")),
        };
        Ok(Some((number, data)))
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(ProtobufError::Wire(if self.rest.len() < 10 { "unexpected EOF" } else { "integer overflow" }))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::Wire("unexpected EOF"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ProtobufError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| ProtobufError::Wire("unexpected EOF"))
    }
}

/// Writes a message back to front: a length is known by the time it is due, so nothing is measured or moved. Fields are
/// written from the last to the first, into a buffer that is filled from its end and kept for the next message.
#[derive(Debug, Default)]
pub(super) struct Writer {
    buffer: Vec<u8>,
    /// Where what is written begins.
    start: usize,
}

impl Writer {
    pub(super) fn clear(&mut self) {
        self.start = self.buffer.len();
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Room for `count` bytes in front of what is written.
    #[inline]
    pub(super) fn room(&mut self, count: usize) -> &mut [u8] {
        if count > self.start {
            self.grow(count);
        }
        let end = self.start;
        self.start -= count;
        &mut self.buffer[self.start..end]
    }

    #[cold]
    fn grow(&mut self, count: usize) {
        let more = count.max(self.buffer.len()).max(4096);
        let mut larger = vec![0; self.buffer.len() + more];
        larger[self.start + more..].copy_from_slice(self.written());
        self.buffer = larger;
        self.start += more;
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    pub(super) fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.raw(bytes);
        self.close(number, bytes.len());
    }

    #[inline]
    pub(super) fn varint_field(&mut self, number: u32, value: u64) {
        self.varint(value);
        self.tag(number, wire_type::VARINT);
    }

    pub(super) fn fixed64_field(&mut self, number: u32, value: u64) {
        self.raw(&value.to_le_bytes());
        self.tag(number, wire_type::FIXED64);
    }

    /// Ends a field whose content is written: its length and its tag.
    #[inline]
    pub(super) fn close(&mut self, number: u32, length: usize) {
        self.varint(length as u64);
        self.tag(number, wire_type::BYTES);
    }

    #[inline]
    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.room(1)[0] = value as u8;
        } else {
            self.long_varint(value);
        }
    }

    fn long_varint(&mut self, mut value: u64) {
        let room = self.room(varint_len(value));
        for byte in room.iter_mut() {
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
        if let Some(last) = room.last_mut() {
            *last &= 0x7f;
        }
    }
}

/// How many bytes a number takes.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number to what is written front to back.
pub(super) fn append_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
