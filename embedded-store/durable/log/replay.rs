//! Reading the log back: what is whole is replayed, a torn end is cut, and damage anywhere else is an error.

use std::sync::Arc;

use super::{Active, Disk, Log, Sealed, Spares, log_name};
use crate::durable::frame::{FRAME_HEADER, Frame, Record, SEGMENT_HEADER, Segment};
use crate::{Revision, StoreError};

/// What reading the log back found.
pub(in crate::durable) struct Replayed {
    pub(in crate::durable) log: Log,
    /// The ceiling of the last frame, if there is one.
    pub(in crate::durable) ceiling: Option<Revision>,
    /// How many bytes of frames the checkpoint does not cover.
    pub(in crate::durable) uncovered: u64,
}

/// Opens the log on `disk`. `covered` is the last sequence the checkpoint covers, or `None` without one. `each` gets
/// every record after that, in order.
pub(in crate::durable) fn replay(
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    covered: Option<u64>,
    mut each: impl FnMut(Record<'_>),
) -> Result<Replayed, StoreError> {
    let firsts = survey(&*disk, covered)?;
    let mut log = Log {
        disk,
        segment_bytes,
        active: None,
        sealed: Default::default(),
        spares: Spares::default(),
        next_sequence: covered.map_or(1, |covered| covered + 1),
        covered: covered.unwrap_or(0),
        buffer: Vec::new(),
    };
    let mut ceiling = None;
    let mut uncovered = 0;
    let Some(&oldest) = firsts.first() else {
        return match covered {
            None => Ok(Replayed { log, ceiling, uncovered }),
            Some(_) => Err(corrupt(&log, "", 0, "a checkpoint is there, but the log behind it is missing")),
        };
    };
    if oldest > log.next_sequence {
        let what = format!("the log starts at commit {oldest}, commit {} is missing", log.next_sequence);
        return Err(corrupt(&log, &log_name(oldest), 0, what));
    }
    log.next_sequence = oldest;
    for (position, &first) in firsts.iter().enumerate() {
        let name = log_name(first);
        if first != log.next_sequence {
            // The segment before ended too early.
            let before = log.sealed.back().expect("the first segment starts where it starts");
            let what = format!("commit {} is missing", log.next_sequence);
            return Err(corrupt(&log, &before.name, before.end, what));
        }
        let content = log.disk.read(&name).map_err(|error| StoreError::io("read", log.disk.path(&name), error))?;
        let (segment, end) = read(&mut log, &name, &content, first, &mut |frame| {
            ceiling = Some(frame.ceiling);
            if covered.is_some_and(|covered| frame.sequence <= covered) {
                return Some(());
            }
            uncovered += frame.len() as u64;
            frame.records().try_for_each(|record| record.map(&mut each))
        })?;
        let bytes = content.len() as u64;
        if position + 1 < firsts.len() {
            log.sealed.push_back(Sealed { name, bytes, last: log.next_sequence - 1, end });
            continue;
        }
        let file = log.disk.open(&name).map_err(|error| StoreError::io("open", log.disk.path(&name), error))?;
        log.active = Some(Active { name, file, bytes, segment, offset: end });
    }
    match covered {
        Some(covered) if log.next_sequence <= covered => {
            let active = log.active.as_ref().expect("set by the last segment");
            let what = format!("the log ends before commit {covered}, which the checkpoint covers");
            Err(corrupt(&log, &active.name, active.offset, what))
        }
        _ => Ok(Replayed { log, ceiling, uncovered }),
    }
}

/// The first sequences of the segments to read, in order. Everything else is removed: segments that the checkpoint
/// covers whole, and spare ones, which are cheap to make again and look alike whether finished or not.
fn survey(disk: &dyn Disk, covered: Option<u64>) -> Result<Vec<u64>, StoreError> {
    let names = disk.list().map_err(|error| StoreError::io("list", disk.path(""), error))?;
    let first = |name: &String| u64::from_str_radix(name.strip_prefix("log-")?, 16).ok();
    let mut firsts: Vec<u64> = names.iter().filter_map(first).collect();
    firsts.sort_unstable();
    let next = covered.map_or(1, |covered| covered + 1);
    let begin = firsts.iter().rposition(|&first| first <= next).unwrap_or(0);
    firsts.drain(..begin);
    for name in names.iter().filter(|name| first(name).is_none_or(|first| !firsts.contains(&first))) {
        disk.remove(name).map_err(|error| StoreError::io("remove", disk.path(name), error))?;
    }
    Ok(firsts)
}

/// Reads the frames of one segment. Returns its head and where its next frame goes.
fn read(
    log: &mut Log,
    name: &str,
    content: &[u8],
    first: u64,
    each: &mut impl FnMut(&Frame<'_>) -> Option<()>,
) -> Result<(Segment, u64), StoreError> {
    let segment = match Segment::decode(content) {
        Some(segment) if segment.first == first => segment,
        _ => {
            // Taken into use but never written to, unless its first frame is there and only the head is damaged.
            let frame = content.get(SEGMENT_HEADER..).and_then(Frame::decode);
            if frame.is_some_and(|frame| frame.sequence == first) {
                return Err(corrupt(log, name, 0, "the head of the segment is damaged"));
            }
            return Ok((Segment::new(first), 0));
        }
    };
    let mut offset = SEGMENT_HEADER;
    while let Some(frame) = Frame::decode(&content[offset..]) {
        if frame.salt != segment.salt {
            break;
        }
        if frame.sequence != log.next_sequence {
            let what = format!("commit {} stands where commit {} belongs", frame.sequence, log.next_sequence);
            return Err(corrupt(log, name, offset as u64, what));
        }
        if each(&frame).is_none() {
            return Err(corrupt(log, name, offset as u64, "a commit has a record that cannot be read"));
        }
        log.next_sequence += 1;
        offset += frame.len();
    }
    if let Some(later) = find(&content[offset..], segment.salt) {
        let what = format!("commit {} cannot be read, but one at byte {} can", log.next_sequence, offset + later);
        return Err(corrupt(log, name, offset as u64, what));
    }
    // A frame of this use that is not whole: a crash during its write, so nobody was told that it happened.
    if content[offset..].starts_with(&segment.salt.to_le_bytes()) {
        tracing::warn!(segment = name, offset, "cut a commit that a crash had left unfinished");
    }
    // With only the head there, the first frame brings it again.
    let end = if offset == SEGMENT_HEADER { 0 } else { offset as u64 };
    Ok((segment, end))
}

/// Where the next whole frame of this use starts.
fn find(content: &[u8], salt: u64) -> Option<usize> {
    let salt_bytes = salt.to_le_bytes();
    let candidates = content.windows(FRAME_HEADER).enumerate().filter(|(_, window)| window.starts_with(&salt_bytes));
    candidates.map(|(at, _)| at).find(|&at| Frame::decode(&content[at..]).is_some())
}

fn corrupt(log: &Log, name: &str, offset: u64, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { path: log.disk.path(name), offset, what: what.into() }
}
