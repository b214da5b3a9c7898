//! The driver on disk: a write-ahead log with group commit, and a checkpoint that lets the log stay short.
//!
//! One thread, the committer, orders all writes. It takes what has queued up, decides each write against the index and
//! the writes before it, appends one frame to the log, syncs once, and only then shows the batch to readers and tells
//! the writers. Reads never wait for it. When the log has grown by `checkpoint_bytes`, a snapshot of the index is saved
//! in the background and the segments it covers are used again. A store nobody writes to writes nothing and runs nothing.
//!
//! In its directory: `lock`, `log/` (see `log.rs`), `checkpoint-<generation>/` (see `checkpoint.rs`).

mod background;
mod checkpoint;
mod committer;
mod disk;
mod frame;
mod log;
#[cfg(test)]
mod tests;
mod turn;

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Sender;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::index::{Entries, Index};
use crate::{Entry, EventKind, Limits, Page, Range, Revision, Store, StoreError, Watch, Write, Written};
use checkpoint::{Changed, Checkpoint, SledCheckpoint};
use committer::{Committer, Message, Start};
use disk::{Directory, Disk};
use frame::Record;

/// How a store on disk behaves.
#[derive(Clone, Debug)]
pub struct DurableOptions {
    /// The sizes it accepts.
    pub limits: Limits,
    /// How long a `Durability::Deferred` write may wait for its sync.
    pub deferred_delay: Duration,
    /// The length of a log segment. A larger commit gets a larger one of its own.
    pub segment_bytes: u64,
    /// How much log makes a checkpoint due. More of it means fewer bytes written and a longer replay at the start.
    pub checkpoint_bytes: u64,
}

impl Default for DurableOptions {
    fn default() -> Self {
        DurableOptions {
            limits: Limits::default(),
            deferred_delay: Duration::from_secs(30),
            segment_bytes: 4 << 20,
            checkpoint_bytes: 16 << 20,
        }
    }
}

/// A store in a directory. Dropping it syncs what is deferred, and waits for that; [`close`](Store::close) also makes a
/// checkpoint, so that the next start has nothing to replay.
pub struct DurableStore {
    index: Arc<Index>,
    limits: Limits,
    messages: Option<Sender<Message>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    /// Why nothing can be written any more, if that is so.
    broken: Arc<OnceLock<Arc<io::Error>>>,
}

impl DurableStore {
    /// Opens the store in `directory`, which is made if it does not exist; its parent must. Blocks while it reads all
    /// values into memory. Fails with `Locked` if another process has it open, with `Corrupt` rather than lose data.
    pub fn open(directory: impl AsRef<Path>, options: DurableOptions) -> Result<Arc<DurableStore>, StoreError> {
        let directory = directory.as_ref();
        Directory::open(directory)?;
        let lock = disk::lock(directory)?;
        let log = Arc::new(Directory::open(&directory.join("log"))?);
        let checkpoint = Box::new(SledCheckpoint::new(directory));
        DurableStore::start(log, checkpoint, options, Some(lock))
    }

    fn start(
        disk: Arc<dyn Disk>,
        mut checkpoint: Box<dyn Checkpoint>,
        options: DurableOptions,
        lock: Option<File>,
    ) -> Result<Arc<DurableStore>, StoreError> {
        let begin = Instant::now();
        let mut entries = Entries::new();
        let mark = checkpoint.load(&mut |entry| {
            entries.insert(entry.key.clone(), entry);
        })?;
        let mut revision = mark.map_or(1, |mark| mark.revision);
        let mut changed = Changed::default();
        let sequence = mark.map(|mark| mark.sequence);
        let replayed = log::replay(disk.clone(), options.segment_bytes, sequence, |record| {
            revision = revision.max(record.revision);
            changed.insert(redo(&mut entries, record));
        })?;
        let ceiling = replayed.ceiling.or(mark.map(|mark| mark.ceiling)).unwrap_or(1);
        // What was handed out before a crash, and lost with it, is never handed out again.
        let revision = revision.max(ceiling);
        let (count, replayed_bytes) = (entries.len(), replayed.uncovered);
        let index = Arc::new(Index::new(entries, revision, &options.limits));
        let limits = options.limits;
        let (messages, receiver) = crossbeam_channel::unbounded();
        let broken = Arc::new(OnceLock::new());
        let start = Start {
            index: index.clone(),
            disk,
            checkpoint,
            replayed,
            changed,
            revision,
            options,
            lock,
            broken: broken.clone(),
        };
        let committer = Committer::new(start, receiver);
        let committer = std::thread::Builder::new()
            .name("store-committer".into())
            .spawn(move || committer.run())
            .map_err(|error| StoreError::io("start a thread for", "the store", error))?;
        tracing::info!(revision, entries = count, replayed_bytes, took = ?begin.elapsed(), "store opened");
        let committer = Mutex::new(Some(committer));
        Ok(Arc::new(DurableStore { index, limits, messages: Some(messages), committer, broken }))
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        let messages = self.messages.as_ref().ok_or(StoreError::Closed)?;
        messages.send(message).map_err(|_| StoreError::Closed)
    }
}

/// Does to `entries` what a record says was done, and returns the key.
fn redo(entries: &mut Entries, record: Record<'_>) -> Arc<str> {
    let known = entries.get_key_value(record.key).map(|(key, _)| key.clone());
    let key = known.unwrap_or_else(|| Arc::from(record.key));
    match record.kind {
        EventKind::Put => {
            let entry = Entry {
                key: key.clone(),
                value: Bytes::copy_from_slice(record.value),
                create_revision: record.create_revision,
                revision: record.revision,
            };
            entries.insert(key.clone(), entry);
        }
        EventKind::Delete => {
            entries.remove(&key);
        }
    }
    key
}

impl Store for DurableStore {
    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        ready(self.index.revision()).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(self.index.get(key)).boxed()
    }

    fn list<'a>(&'a self, range: Range<'a>) -> BoxFuture<'a, Result<Page, StoreError>> {
        ready(self.index.list(range)).boxed()
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Written, StoreError>> {
        async move {
            self.limits.admit(&write)?;
            let (reply, answer) = oneshot::channel();
            self.send(Message::Write(write, reply))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (reply, answer) = oneshot::channel();
            self.send(Message::Settle(reply))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
    }

    fn watch(&self, prefix: &str, after: Revision) -> BoxFuture<'_, Result<Watch, StoreError>> {
        ready(self.index.watch(prefix, after)).boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(self.index.compact(before)).boxed()
    }

    fn oldest(&self) -> Revision {
        self.index.oldest()
    }

    fn well(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |error| Err(StoreError::Poisoned(error.clone())))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let (reply, answer) = oneshot::channel();
            self.send(Message::Close(reply))?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        // Without a sender the committer ends, after a last sync.
        self.messages = None;
        if let Some(committer) = self.committer.lock().take()
            && committer.join().is_err()
        {
            tracing::error!("the store's committer panicked");
        }
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableStore")
    }
}
