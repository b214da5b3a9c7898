//! One line of a log in the CRI's form: `2026-01-02T03:04:05.000000006Z stdout F text`.

use jiff::Timestamp;

/// A parsed line; its text has no line end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry<'a> {
    pub(crate) time: &'a [u8],
    pub(crate) is_stderr: bool,
    /// The writer's line goes on in the next entry of the same stream.
    pub(crate) partial: bool,
    pub(crate) text: &'a [u8],
}

/// Parses a line, with or without its line end; None if it is malformed.
pub(crate) fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (time, rest) = split(line)?;
    let (stream, rest) = split(rest)?;
    let (tags, text) = split(rest).unwrap_or((rest, b""));
    let is_stderr = match stream {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    Some(Entry { time, is_stderr, partial: tags.split(|b| *b == b':').next() == Some(b"P"), text })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

impl Entry<'_> {
    /// When it was written.
    pub(crate) fn timestamp(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}
