//! The checkpoint in sled.
//!
//! sled is asked for one thing: to keep a set of keys and values on disk, changed by one atomic flush at a time. It is
//! open only while it loads or saves, for three reasons. It never gives up the memory of a leaf once written to, so an
//! open one would hold all values a second time. After a failed flush it can neither go on nor be dropped, because its
//! destructor waits for that flush: such a one is leaked, and the next checkpoint goes whole into a fresh directory.
//! And a store at rest has none of its threads.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Changed, Checkpoint, Digest, Mark, room_for};
use crate::durable::disk::{LOCK_PATIENCE, free_bytes, sync_directory};
use crate::index::Entries;
use crate::{Entry, StoreError};

/// Entries a leaf, which is what a flush rewrites: small, since changes lie scattered.
type Db = ::sled::Db<LEAF>;

const LEAF: usize = 64;

const CACHE_BYTES: usize = 1 << 20;
/// Under all keys: entries are at `k` and their key.
const MARK: &[u8] = b"a";
const ENTRY: u8 = b'k';
const VERSION: u64 = 1;

pub(in crate::durable) struct SledCheckpoint {
    parent: PathBuf,
    /// Which directory holds the last good checkpoint, if there is one.
    generation: Option<u64>,
    /// Kept between two saves that follow each other at once.
    db: Option<Db>,
    /// Whether a save has failed, so that the directory cannot be trusted any further.
    failed: bool,
}

impl SledCheckpoint {
    /// A checkpoint in directories of its own under `parent`.
    pub(in crate::durable) fn new(parent: &Path) -> SledCheckpoint {
        SledCheckpoint { parent: parent.to_owned(), generation: None, db: None, failed: false }
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.parent.join(format!("checkpoint-{generation}"))
    }

    fn open(&self, generation: u64) -> Result<Db, StoreError> {
        let path = self.path(generation);
        let config = ::sled::Config::new()
            .path(&path)
            .cache_capacity_bytes(CACHE_BYTES)
            .flush_every_ms(None)
            .zstd_compression_level(1);
        let deadline = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            match contain(&path, || config.open())? {
                Ok(db) => break db,
                // Our own lock is held, so what holds sled's is on its way out.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PATIENCE / 50);
                }
                Err(error) => return Err(damaged(&path, error)),
            }
        };
        close_to_others(&path).map_err(|error| StoreError::io("set the mode of", &path, error))?;
        Ok(db)
    }

    /// The generations on disk, the newest first.
    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.parent)? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_prefix("checkpoint-")?.parse::<u64>().ok()));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Removes all generations but the one in use.
    fn sweep(&self) {
        for generation in self.generations().unwrap_or_default() {
            if Some(generation) != self.generation
                && let Err(error) = fs::remove_dir_all(self.path(generation))
            {
                tracing::warn!(generation, %error, "cannot remove an old checkpoint");
            }
        }
    }

    fn save_into(
        &mut self,
        generation: u64,
        entries: &Entries,
        changed: Option<&Changed>,
        mark: Mark,
    ) -> io::Result<()> {
        let db = self.db.as_ref().expect("opened by save");
        match changed {
            Some(changed) => {
                for key in changed {
                    match entries.get(key) {
                        Some(entry) => db.insert(key_bytes(key), entry_bytes(entry))?,
                        None => db.remove(key_bytes(key))?,
                    };
                }
            }
            None => {
                for entry in entries.values() {
                    db.insert(key_bytes(&entry.key), entry_bytes(entry))?;
                }
            }
        }
        db.insert(MARK, mark_bytes(mark))?;
        db.flush()?;
        close_to_others(&self.path(generation))?;
        sync_directory(&self.parent)
    }

    /// Refuses a save that would run out of space half way.
    fn room(&self, bytes: u64) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::io("ask for the space left at", &self.parent, error);
        let free = free_bytes(&self.parent).map_err(failed)?;
        if free < bytes { Err(failed(io::ErrorKind::StorageFull.into())) } else { Ok(()) }
    }
}

impl Checkpoint for SledCheckpoint {
    fn load(&mut self, each: &mut dyn FnMut(Entry)) -> Result<Option<Mark>, StoreError> {
        let generations = self.generations().map_err(|error| StoreError::io("list", &self.parent, error))?;
        for generation in generations {
            let path = self.path(generation);
            let db = self.open(generation)?;
            // Without a mark it is a first save into a fresh directory that a crash has cut short.
            let Some(mark) = contain(&path, || db.get(MARK))?.map_err(|error| damaged(&path, error))? else {
                continue;
            };
            let mark = read_mark(&mark).ok_or_else(|| corrupt(&path, "its mark cannot be read"))?;
            let mut digest = Digest::default();
            contain(&path, || {
                for pair in db.range([ENTRY].as_slice()..) {
                    let (key, value) = pair.map_err(|error| damaged(&path, error))?;
                    let entry = read_entry(&key, &value).ok_or_else(|| corrupt(&path, "an entry cannot be read"))?;
                    digest.add(&entry);
                    each(entry);
                }
                Ok::<(), StoreError>(())
            })??;
            if digest != mark.digest {
                let what = format!("{} entries belong there, {} are there", mark.digest.entries, digest.entries);
                return Err(corrupt(&path, what));
            }
            self.generation = Some(generation);
            drop(db);
            self.sweep();
            return Ok(Some(mark));
        }
        Ok(None)
    }

    fn save(&mut self, entries: &Entries, changed: &Changed, mark: Mark) -> Result<(), StoreError> {
        let whole = self.failed || self.generation.is_none();
        let generation = match self.generation {
            Some(generation) if !self.failed => generation,
            _ => self.generations().ok().and_then(|found| found.first().copied()).unwrap_or(0) + 1,
        };
        let size = |entry: &Entry| (entry.key.len() + entry.value.len() + 32) as u64;
        let all: u64 = entries.values().map(size).sum();
        // Each changed key rewrites its leaf: at worst all of them, at best those of average size.
        let average = all / (entries.len() as u64).max(1);
        let touched = changed.len() as u64 * LEAF as u64 * average;
        let added: u64 = changed.iter().filter_map(|key| entries.get(key)).map(size).sum();
        self.room(room_for(if whole { all } else { all.min(touched + added) }))?;
        if self.db.is_none() {
            self.db = Some(self.open(generation)?);
        }
        let path = self.path(generation);
        let changed = (!whole).then_some(changed);
        let saved = contain(&path, || self.save_into(generation, entries, changed, mark))
            .and_then(|saved| saved.map_err(|error| StoreError::io("write", &path, error)));
        if let Err(error) = saved {
            self.failed = true;
            std::mem::forget(self.db.take());
            return Err(error);
        }
        self.generation = Some(generation);
        if whole {
            self.failed = false;
            self.sweep();
        }
        Ok(())
    }

    fn rest(&mut self) {
        if let Some(db) = self.db.take() {
            // Nothing is left to flush, but dropping flushes all the same.
            if let Err(error) = contain(&self.parent, || drop(db)) {
                tracing::warn!(%error, "the checkpoint did not close cleanly");
            }
        }
    }
}

/// Runs sled code, whose assertions are panics.
fn contain<T>(path: &Path, run: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic: Box<dyn Any + Send>| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        corrupt(path, format!("sled gave up: {message}"))
    })
}

/// What a failed read of sled means: its checksums report damage as invalid data.
fn damaged(path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => corrupt(path, error.to_string()),
        _ => StoreError::io("read", path, error),
    }
}

fn corrupt(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), offset: 0, what: what.into() }
}

/// sled makes its files with the mode of the process.
fn close_to_others(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            close_to_others(&entry.path())?;
        } else if kind.is_file() && entry.metadata()?.permissions().mode() & 0o777 != 0o600 {
            fs::set_permissions(entry.path(), Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

fn key_bytes(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(ENTRY);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + entry.value.len());
    bytes.extend_from_slice(&entry.create_revision.to_le_bytes());
    bytes.extend_from_slice(&entry.revision.to_le_bytes());
    bytes.extend_from_slice(&entry.value);
    bytes
}

fn read_entry(key: &[u8], value: &[u8]) -> Option<Entry> {
    let (create_revision, rest) = value.split_first_chunk()?;
    let (revision, value) = rest.split_first_chunk()?;
    Some(Entry {
        key: Arc::from(std::str::from_utf8(key.get(1..)?).ok()?),
        value: Bytes::copy_from_slice(value),
        create_revision: u64::from_le_bytes(*create_revision),
        revision: u64::from_le_bytes(*revision),
    })
}

fn mark_bytes(mark: Mark) -> Vec<u8> {
    let Digest { entries, sum } = mark.digest;
    [VERSION, mark.sequence, mark.revision, mark.ceiling, entries, sum].iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn read_mark(bytes: &[u8]) -> Option<Mark> {
    let (numbers, []) = bytes.as_chunks::<8>() else { return None };
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let [VERSION, sequence, revision, ceiling, entries, sum] = numbers[..] else { return None };
    Some(Mark { sequence, revision, ceiling, digest: Digest { entries, sum } })
}
