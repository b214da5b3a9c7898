//! The write-ahead log: a chain of segments, each a file of fixed length that frames are written into one after another.
//!
//! Segments are written full of zeros before use and used again after a checkpoint covers them. So a commit overwrites
//! blocks that exist already: `fdatasync` has no metadata to write, and a commit costs the disk little more than itself.
//!
//! Names: `log-<first sequence>` in use, `spare-<number>` waiting, `new` being made.

mod replay;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::frame::{FRAME_HEADER, Record, SEGMENT_HEADER, Segment, seal};
use crate::error::out_of_space;
use crate::{Revision, StoreError};

pub(super) use replay::{Replayed, replay};

/// How many covered segments are kept for use again.
const SPARES: usize = 8;
/// The memory an idle log keeps for its next frame.
const IDLE_BUFFER: usize = 256 << 10;

pub(super) struct Log {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    active: Option<Active>,
    sealed: VecDeque<Sealed>,
    spares: Spares,
    next_sequence: u64,
    /// The last sequence the checkpoint covers, 0 without one.
    covered: u64,
    buffer: Vec<u8>,
}

/// The segment that is written to.
struct Active {
    name: String,
    file: Box<dyn DiskFile>,
    bytes: u64,
    segment: Segment,
    /// Where the next frame goes; 0 as long as the head is not written either.
    offset: u64,
}

/// A full segment that no checkpoint covers yet.
struct Sealed {
    name: String,
    bytes: u64,
    last: u64,
    /// Where its frames end.
    end: u64,
}

/// Segments ready for use.
#[derive(Default)]
struct Spares {
    names: Vec<String>,
    made: u64,
}

/// Why a frame was not written.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// Nothing happened, and the next one may go through: there is no space, say.
    Failed(StoreError),
    /// What the disk now holds is unknown.
    Broken(Arc<io::Error>),
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> StoreError {
        match refused {
            Refused::Failed(error) => error,
            Refused::Broken(error) => StoreError::Poisoned(error),
        }
    }
}

impl Log {
    /// The sequence of the last frame written.
    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Writes one frame and syncs it. Returns how many bytes of log it took. A new segment is only made if it leaves
    /// `reserve` bytes of the disk free.
    pub(super) fn append<'a>(
        &mut self,
        ceiling: Revision,
        records: impl Iterator<Item = Record<'a>>,
        reserve: u64,
    ) -> Result<u64, Refused> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(SEGMENT_HEADER + FRAME_HEADER, 0);
        records.for_each(|record| record.encode(&mut buffer));
        let written = self.write(&mut buffer, ceiling, reserve);
        buffer.shrink_to(IDLE_BUFFER);
        self.buffer = buffer;
        written
    }

    /// Writes the frame in `buffer`, which has room for the head of a segment before it.
    fn write(&mut self, buffer: &mut [u8], ceiling: Revision, reserve: u64) -> Result<u64, Refused> {
        let bytes = (buffer.len() - SEGMENT_HEADER) as u64;
        if self.active.as_ref().is_none_or(|active| active.offset.max(SEGMENT_HEADER as u64) + bytes > active.bytes) {
            self.roll(SEGMENT_HEADER as u64 + bytes, reserve)?;
        }
        let active = self.active.as_mut().expect("a roll leaves an active segment");
        let (head, frame) = buffer.split_at_mut(SEGMENT_HEADER);
        seal(frame, active.segment.salt, self.next_sequence, ceiling);
        head.copy_from_slice(&active.segment.encode());
        let (out, end) = match active.offset {
            0 => (&*buffer, buffer.len() as u64),
            offset => (&buffer[SEGMENT_HEADER..], offset + bytes),
        };
        if let Err(error) = active.file.write(active.offset, out) {
            if !out_of_space(&error) {
                return Err(broken(error));
            }
            // The frame may be there all the same, and must not be found if the next one goes elsewhere.
            let erased = active.file.write(end - bytes, &[0; FRAME_HEADER]).and_then(|()| active.file.sync());
            erased.map_err(broken)?;
            return Err(Refused::Failed(StoreError::Full(Arc::new(error))));
        }
        active.file.sync().map_err(broken)?;
        active.offset = end;
        self.next_sequence += 1;
        Ok(bytes)
    }

    /// Seals the active segment and takes another one of at least `least` bytes into use.
    fn roll(&mut self, least: u64, reserve: u64) -> Result<(), Refused> {
        let bytes = least.max(self.segment_bytes);
        let segment = Segment::new(self.next_sequence);
        let name = log_name(segment.first);
        let disk = self.disk.clone();
        let failed = |doing, error| Refused::Failed(StoreError::io(doing, disk.path(&name), error));
        let covered =
            self.active.as_ref().filter(|active| self.covered >= self.last_sequence() && active.bytes == bytes);
        let from = match (covered, self.spares.names.last()) {
            (Some(active), _) => active.name.clone(),
            (None, Some(spare)) if bytes == self.segment_bytes => spare.clone(),
            _ => {
                make(&*disk, NEW, bytes, reserve).map_err(|error| failed("create", error))?;
                NEW.to_owned()
            }
        };
        let file = disk.open(&from).map_err(|error| failed("open", error))?;
        self.spares.names.retain(|spare| *spare != from);
        // Should this fail, the name may stand there or not, and no frame may go elsewhere any more.
        disk.rename(&from, &name).map_err(broken)?;
        let sealed = self.active.replace(Active { name, file, bytes, segment, offset: 0 });
        if let Some(Active { name, bytes, offset, .. }) = sealed.filter(|active| active.name != from) {
            self.sealed.push_back(Sealed { name, bytes, last: self.next_sequence - 1, end: offset });
        }
        Ok(())
    }

    /// The name of a spare segment that should be made before it is needed, if one should.
    pub(super) fn wants_spare(&mut self) -> Option<(String, u64)> {
        // Not for a store that has yet to fill its first segment.
        if !self.spares.names.is_empty() || self.sealed.is_empty() {
            return None;
        }
        Some((self.spares.next_name(), self.segment_bytes))
    }

    /// Takes a segment made by [`make`] for later use.
    pub(super) fn add_spare(&mut self, name: String) {
        self.spares.names.push(name);
    }

    /// Lets go of the segments with nothing after `sequence`.
    pub(super) fn release(&mut self, sequence: u64) {
        self.covered = sequence;
        while let Some(segment) = self.sealed.pop_front_if(|segment| segment.last <= sequence) {
            let released = if segment.bytes == self.segment_bytes && self.spares.names.len() < SPARES {
                let spare = self.spares.next_name();
                self.disk.set_aside(&segment.name, &spare).map(|()| self.spares.names.push(spare))
            } else {
                self.disk.remove(&segment.name)
            };
            if let Err(error) = released {
                // It stays and costs space until the next start removes it: no harm, but worth knowing.
                tracing::warn!(segment = segment.name, %error, "cannot release a log segment");
            }
        }
    }
}

impl Spares {
    fn next_name(&mut self) -> String {
        self.made += 1;
        format!("spare-{}", self.made)
    }
}

fn broken(error: io::Error) -> Refused {
    Refused::Broken(Arc::new(error))
}

const NEW: &str = "new";

/// Makes a segment under `name`, or leaves nothing behind.
pub(super) fn make(disk: &dyn Disk, name: &str, bytes: u64, reserve: u64) -> io::Result<()> {
    if disk.free()? < bytes + reserve {
        return Err(io::ErrorKind::StorageFull.into());
    }
    disk.create(name, bytes).inspect_err(|_| {
        // Best effort: what is left is overwritten by the next try, or removed at the next start.
        let _ = disk.remove(name);
    })
}

fn log_name(first: u64) -> String {
    format!("log-{first:016x}")
}
