//! A disk in memory that fails on demand and forgets, at a crash, what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::durable::checkpoint::{Changed, Checkpoint, Mark};
use crate::durable::disk::{Disk, DiskFile};
use crate::index::Entries;
use crate::{Entry, StoreError};

/// What a crash leaves or loses as a whole.
const SECTOR: usize = 512;

#[derive(Clone)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    files: BTreeMap<String, Content>,
    next_inode: u64,
    /// Renames that a crash may still undo, the last first.
    set_aside: Vec<(String, String)>,
    checkpoint: Option<(BTreeMap<Arc<str>, Entry>, Mark)>,
    /// How many operations have changed something, and at which one the machine crashes.
    steps: u64,
    crash_at: u64,
    syncs: u64,
    full: bool,
    /// Whether so little space is left that only a checkpoint may use it.
    tight: bool,
    /// Whether a checkpoint was told of fewer keys than had changed.
    incomplete: bool,
    failing_syncs: bool,
    failing_saves: bool,
    /// How many checkpoints were saved, and how many were refused.
    saves: (usize, usize),
    random: u64,
}

#[derive(Clone)]
struct Content {
    /// What an open file goes by, since its name may change.
    inode: u64,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl FaultyDisk {
    pub(super) fn new(seed: u64) -> FaultyDisk {
        FaultyDisk(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            next_inode: 0,
            set_aside: Vec::new(),
            checkpoint: None,
            steps: 0,
            crash_at: u64::MAX,
            syncs: 0,
            full: false,
            tight: false,
            incomplete: false,
            failing_syncs: false,
            failing_saves: false,
            saves: (0, 0),
            random: seed | 1,
        })))
    }

    /// Another machine with the same content.
    pub(super) fn duplicate(&self) -> FaultyDisk {
        FaultyDisk(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    pub(super) fn crash_at(&self, step: u64) {
        let mut state = self.0.lock();
        state.crash_at = state.steps + step;
    }

    pub(super) fn crashed(&self) -> bool {
        let state = self.0.lock();
        state.steps >= state.crash_at
    }

    pub(super) fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    pub(super) fn set_tight(&self) {
        self.0.lock().tight = true;
    }

    pub(super) fn fail_syncs(&self) {
        self.0.lock().failing_syncs = true;
    }

    pub(super) fn fail_saves(&self, failing: bool) {
        self.0.lock().failing_saves = failing;
    }

    pub(super) fn saves(&self) -> (usize, usize) {
        self.0.lock().saves
    }

    pub(super) fn assert_sound(&self) {
        assert!(!self.0.lock().incomplete, "a checkpoint was told of fewer keys than had changed");
    }

    pub(super) fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// The machine starts again: of what was not synced, any sectors may be there.
    pub(super) fn reboot(&self) {
        let mut state = self.0.lock();
        state.crash_at = u64::MAX;
        state.failing_syncs = false;
        while let Some((from, to)) = state.set_aside.pop() {
            if state.roll().is_multiple_of(2) {
                break;
            }
            if let Some(content) = state.files.remove(&to) {
                state.files.insert(from, content);
            }
        }
        state.set_aside.clear();
        let names: Vec<String> = state.files.keys().cloned().collect();
        for name in names {
            let odds = state.roll() % 5;
            let unsynced = std::mem::take(&mut state.files.get_mut(&name).expect("just listed").unsynced);
            for (at, bytes) in unsynced {
                let mut from = 0;
                while from < bytes.len() {
                    let to = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
                    if state.roll() % 4 < odds {
                        let content = &mut state.files.get_mut(&name).expect("just listed").synced;
                        content[at + from..at + to].copy_from_slice(&bytes[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

impl State {
    fn roll(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }

    /// Counts an operation. `Err` after the crash; during it `Ok` with whether the operation still took place.
    fn step(&mut self) -> io::Result<bool> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > self.crash_at {
            return Err(io::Error::other("the machine has crashed"));
        }
        Ok(self.steps < self.crash_at || self.roll().is_multiple_of(2))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let content = self.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut Content> {
        self.files.values_mut().find(|content| content.inode == inode).ok_or(io::ErrorKind::NotFound.into())
    }

    /// The result of the operation counted last.
    fn result(&self) -> io::Result<()> {
        if self.steps >= self.crash_at { Err(io::Error::other("the machine crashes")) } else { Ok(()) }
    }
}

impl Disk for FaultyDisk {
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().files.keys().cloned().collect())
    }

    fn free(&self) -> io::Result<u64> {
        let state = self.0.lock();
        Ok(if state.full || state.tight { 0 } else { u64::MAX / 2 })
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        let happens = state.step()?;
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let crashing = state.result().is_err();
        let bytes = if crashing { bytes / 2 } else { bytes };
        if happens {
            state.next_inode += 1;
            let content = Content { inode: state.next_inode, synced: vec![0; bytes as usize], unsynced: Vec::new() };
            state.files.insert(name.to_owned(), content);
        }
        state.result()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.step()? {
            state.rename(from, to)?;
            state.set_aside.clear();
        }
        state.result()
    }

    fn set_aside(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.step()? {
            state.rename(from, to)?;
            state.set_aside.push((from.to_owned(), to.to_owned()));
        }
        state.result()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.step()? {
            state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        }
        state.result()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.0.lock();
        let content = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = content.synced.clone();
        for (at, unsynced) in &content.unsynced {
            bytes[*at..at + unsynced.len()].copy_from_slice(unsynced);
        }
        Ok(bytes)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.0.lock().files.get(name).ok_or(io::ErrorKind::NotFound)?.inode;
        Ok(Box::new(FaultyFile { disk: self.clone(), inode }))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: u64,
}

impl DiskFile for FaultyFile {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step()?;
        let content = state.file(self.inode)?;
        assert!(at as usize + bytes.len() <= content.synced.len(), "a segment never grows");
        content.unsynced.push((at as usize, bytes.to_vec()));
        state.result()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let happens = state.step()?;
        state.syncs += 1;
        if state.failing_syncs {
            return Err(io::Error::other("the sync failed"));
        }
        let content = state.file(self.inode)?;
        if happens {
            for (at, bytes) in std::mem::take(&mut content.unsynced) {
                content.synced[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
        state.result()
    }
}

/// A checkpoint on the same machine.
pub(super) struct FaultyCheckpoint(pub(super) FaultyDisk);

impl Checkpoint for FaultyCheckpoint {
    fn load(&mut self, each: &mut dyn FnMut(Entry)) -> Result<Option<Mark>, StoreError> {
        let state = self.0.0.lock();
        let Some((entries, mark)) = &state.checkpoint else { return Ok(None) };
        entries.values().cloned().for_each(each);
        Ok(Some(*mark))
    }

    fn save(&mut self, entries: &Entries, changed: &Changed, mark: Mark) -> Result<(), StoreError> {
        let mut state = self.0.0.lock();
        let failed = |error| StoreError::io("save", "checkpoint", error);
        let happens = state.step().map_err(failed)?;
        if state.full || state.failing_saves {
            state.saves.1 += 1;
            return Err(failed(io::ErrorKind::StorageFull.into()));
        }
        state.saves.0 += 1;
        let mut saved = state.checkpoint.take();
        if happens {
            let mut next = saved.map(|(saved, _)| saved).unwrap_or_default();
            for key in changed {
                match entries.get(key) {
                    Some(entry) => next.insert(key.clone(), entry.clone()),
                    None => next.remove(key),
                };
            }
            state.incomplete |= !next.values().eq(entries.values());
            saved = Some((next, mark));
        }
        state.checkpoint = saved;
        state.result().map_err(failed)
    }

    fn rest(&mut self) {}
}
