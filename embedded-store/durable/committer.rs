//! The committer: the one thread that orders, logs and publishes writes.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select, unbounded};
use tokio::sync::oneshot;

use super::DurableOptions;
use super::background::{self, Done, Save, Saved};
use super::checkpoint::{Changed, Checkpoint, Digest, Mark, room_for};
use super::disk::Disk;
use super::frame::Record;
use super::log::{Log, Refused, Replayed, make};
use super::turn::Turn;
use crate::index::Index;
use crate::{Durability, Event, Revision, StoreError, Write, Written};

/// How much one commit takes from the queue, in bytes and in writes: a bound on how long the first has to wait.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_WRITES: usize = 8192;
/// How much may be deferred before it is synced all the same.
const DEFERRED_BYTES: usize = 512 << 10;
/// How many revisions a commit reserves for deferred writes, which hand them out before they are on disk.
const RESERVE: Revision = 1 << 16;
/// How many times `checkpoint_bytes` of log may come together while one checkpoint is being saved.
const OUTRUN: u64 = 8;
/// How long to wait after a checkpoint or a spare segment failed.
const RETRY: Duration = Duration::from_secs(1);
/// How much may be saved to one open checkpoint before its memory is let go.
const BUSY_BYTES: u64 = 64 << 20;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the committer is asked.
pub(super) enum Message {
    Write(Write, Reply<Written>),
    /// To be answered when all that came before is.
    Settle(Reply<()>),
    Close(Reply<()>),
}

/// What the committer starts from.
pub(super) struct Start {
    pub(super) index: Arc<Index>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) checkpoint: Box<dyn Checkpoint>,
    pub(super) replayed: Replayed,
    pub(super) changed: Changed,
    pub(super) revision: Revision,
    pub(super) options: DurableOptions,
    pub(super) lock: Option<File>,
    /// Where the committer leaves word when it can write no more.
    pub(super) broken: Arc<OnceLock<Arc<io::Error>>>,
}

pub(super) struct Committer {
    index: Arc<Index>,
    disk: Arc<dyn Disk>,
    options: DurableOptions,
    log: Log,
    /// Out of the house while it saves.
    checkpoint: Option<Box<dyn Checkpoint>>,
    messages: Receiver<Message>,
    done: (Sender<Done>, Receiver<Done>),
    /// The revision of the last write.
    revision: Revision,
    /// No revision above this one may be handed out before the next frame is synced.
    ceiling: Revision,
    /// Whether deferred writes are in use, so that frames reserve revisions for them.
    deferring: bool,
    /// The last deferred write of each key: visible, but not in the log yet.
    deferred: HashMap<Arc<str>, Event>,
    deferred_bytes: usize,
    due: Option<Instant>,
    /// The keys in the log since the last checkpoint began, and how much log that is.
    changed: Changed,
    uncovered: Arc<AtomicU64>,
    /// Not before this may another checkpoint be tried, after one that failed.
    retry_at: Option<Instant>,
    /// How many bytes the live entries take in the log, which bounds what a checkpoint needs.
    live_bytes: u64,
    making_spare: bool,
    spare_at: Option<Instant>,
    /// Whether the last commit was refused, so that only the first one is logged.
    refusing: bool,
    broken: Arc<OnceLock<Arc<io::Error>>>,
    closing: Option<Reply<()>>,
    lock: Option<File>,
    turn: Turn,
}

/// A batch that has been decided and not yet happened.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    /// The last event of each key, as a position in `events`.
    last: HashMap<Arc<str>, usize>,
    replies: Vec<(Reply<Written>, Result<Written, StoreError>)>,
    settled: Vec<Reply<()>>,
    bytes: usize,
    synced: bool,
    deferred: bool,
}

impl Committer {
    pub(super) fn new(start: Start, messages: Receiver<Message>) -> Committer {
        let Start { index, disk, checkpoint, replayed, changed, revision, options, lock, broken } = start;
        let (entries, _) = index.snapshot();
        let live_bytes = entries.values().map(|entry| Record::put(entry).len() as u64).sum();
        Committer {
            index,
            disk,
            options,
            log: replayed.log,
            checkpoint: Some(checkpoint),
            messages,
            done: unbounded(),
            revision,
            ceiling: revision,
            deferring: false,
            deferred: HashMap::new(),
            deferred_bytes: 0,
            due: None,
            changed,
            uncovered: Arc::new(AtomicU64::new(replayed.uncovered)),
            retry_at: None,
            live_bytes,
            making_spare: false,
            spare_at: None,
            refusing: false,
            broken,
            closing: None,
            lock,
            turn: Turn::default(),
        }
    }

    /// Runs until the store is closed or dropped.
    pub(super) fn run(mut self) {
        let (messages, done) = (self.messages.clone(), self.done.1.clone());
        while self.closing.is_none() {
            let due = self.due.map_or_else(never, at);
            select! {
                recv(messages) -> message => match message {
                    Ok(Message::Write(write, reply)) => self.commit(write, reply),
                    // The writes before it are committed, batch by batch.
                    Ok(Message::Settle(reply)) => answer(reply, Ok(())),
                    Ok(Message::Close(reply)) => self.closing = Some(reply),
                    Err(_) => break,
                },
                recv(done) -> done => self.finish(done.expect("the committer holds a sender")),
                recv(due) -> _ => self.sync_deferred(),
            }
            self.tend();
        }
        self.close();
    }

    /// Commits one write and those that have queued up behind it.
    fn commit(&mut self, write: Write, reply: Reply<Written>) {
        let mut batch = Batch::default();
        self.decide(&mut batch, write, reply);
        while batch.bytes < BATCH_BYTES && batch.events.len() < BATCH_WRITES {
            match self.messages.try_recv() {
                Ok(Message::Write(write, reply)) => self.decide(&mut batch, write, reply),
                Ok(Message::Settle(reply)) => batch.settled.push(reply),
                Ok(Message::Close(reply)) => {
                    self.closing = Some(reply);
                    break;
                }
                Err(_) => break,
            }
        }
        let settled = take(&mut batch.settled);
        if !batch.events.is_empty() {
            self.happen(batch);
        }
        settled.into_iter().for_each(|reply| answer(reply, Ok(())));
    }

    /// Logs and publishes a batch, or refuses it as a whole.
    fn happen(&mut self, batch: Batch) {
        self.deferring |= batch.deferred;
        let revision = self.revision + batch.events.len() as u64;
        let defer = !batch.synced && revision <= self.ceiling && self.deferred_bytes + batch.bytes <= DEFERRED_BYTES;
        if defer {
            self.defer(&batch);
        } else if let Err(refused) = self.append_or_relieve(&batch, revision) {
            let error = StoreError::from(refused);
            batch.replies.into_iter().for_each(|(reply, _)| answer(reply, Err(error.clone())));
            return;
        }
        self.turn.learn(batch.events.len());
        self.revision = revision;
        for event in &batch.events {
            self.live_bytes += event.after().map_or(0, |entry| Record::put(entry).len() as u64);
            self.live_bytes -= event.previous.as_ref().map_or(0, |entry| Record::put(entry).len() as u64);
        }
        self.index.publish(batch.events);
        batch.replies.into_iter().for_each(|(reply, result)| answer(reply, result));
    }

    /// Adds a write to the batch, or answers it at once where the batch makes no difference.
    fn decide(&self, batch: &mut Batch, write: Write, reply: Reply<Written>) {
        if let Some(error) = self.broken.get() {
            return answer(reply, Err(StoreError::Poisoned(error.clone())));
        }
        let pending = batch.last.get(write.key.as_str()).map(|&position| &batch.events[position]);
        let current = match pending {
            Some(event) => event.after().cloned(),
            None => self.index.current(&write.key),
        };
        let revision = self.revision + batch.events.len() as u64 + 1;
        match Event::decide(current.as_ref(), &write, revision) {
            Ok(event) => {
                batch.synced |= write.durability == Durability::Synced;
                batch.deferred |= write.durability == Durability::Deferred;
                batch.bytes += Record::of(&event).len();
                batch.replies.push((reply, Ok(event.written())));
                batch.last.insert(event.entry.key.clone(), batch.events.len());
                batch.events.push(event);
            }
            // What it conflicts with is not durable yet, so nobody may hear of it yet.
            Err(conflict) if pending.is_some() => batch.replies.push((reply, Err(conflict))),
            Err(conflict) => answer(reply, Err(conflict)),
        }
    }

    /// Remembers a batch of deferred writes until the next frame.
    fn defer(&mut self, batch: &Batch) {
        for &position in batch.last.values() {
            let event = &batch.events[position];
            self.deferred_bytes += Record::of(event).len();
            if let Some(replaced) = self.deferred.insert(event.entry.key.clone(), event.clone()) {
                self.deferred_bytes -= Record::of(&replaced).len();
            }
        }
        self.due.get_or_insert_with(|| Instant::now() + self.options.deferred_delay);
    }

    /// Appends the batch, after a checkpoint if the log has no space to grow or has outrun the one being saved.
    fn append_or_relieve(&mut self, batch: &Batch, revision: Revision) -> Result<(), Refused> {
        if self.checkpoint.is_none() && self.uncovered.load(Ordering::Relaxed) >= OUTRUN * self.options.checkpoint_bytes
        {
            self.relieve();
        }
        match self.append(batch, revision) {
            Err(Refused::Failed(StoreError::Full(_))) if self.relieve() => self.append(batch, revision),
            result => result,
        }
    }

    /// Waits for a checkpoint, started now if none is under way; whether it let go of log.
    fn relieve(&mut self) -> bool {
        if self.checkpoint.is_some() && !self.start_checkpoint() {
            return false;
        }
        while self.checkpoint.is_none() {
            self.finish_next();
        }
        self.retry_at.is_none()
    }

    fn finish_next(&mut self) {
        let done = self.done.1.recv().expect("the committer holds a sender");
        self.finish(done);
    }

    /// Logs and syncs the batch together with all that is deferred.
    fn append(&mut self, batch: &Batch, revision: Revision) -> Result<(), Refused> {
        let ceiling = if self.deferring { revision + RESERVE } else { revision };
        let deferred = self.deferred.iter().filter(|(key, _)| !batch.last.contains_key(*key)).map(|(_, event)| event);
        let events = deferred.chain(batch.last.values().map(|&position| &batch.events[position]));
        match self.log.append(ceiling, events.map(Record::of), room_for(self.live_bytes)) {
            Ok(bytes) => {
                self.ceiling = ceiling;
                self.uncovered.fetch_add(bytes, Ordering::Relaxed);
                self.changed.extend(take(&mut self.deferred).into_keys());
                self.changed.extend(batch.last.keys().cloned());
                self.deferred_bytes = 0;
                self.due = None;
                self.refusing = false;
                Ok(())
            }
            Err(refused) => {
                match &refused {
                    Refused::Failed(error) if !self.refusing => {
                        tracing::warn!(error = error as &dyn std::error::Error, "commits are refused");
                    }
                    Refused::Failed(_) => {}
                    Refused::Broken(error) => {
                        tracing::error!(%error, "the store's log cannot be written, no more writes are taken");
                        let _ = self.broken.set(error.clone());
                    }
                }
                self.refusing = true;
                let retry = || Instant::now() + self.options.deferred_delay.max(RETRY);
                self.due = (!self.deferred.is_empty() && self.broken.get().is_none()).then(retry);
                Err(refused)
            }
        }
    }

    fn sync_deferred(&mut self) {
        // A refusal has been logged, and the next try has been set.
        let _ = self.append_or_relieve(&Batch::default(), self.revision);
    }

    /// Starts what is due in the background.
    fn tend(&mut self) {
        if self.broken.get().is_some() {
            return;
        }
        if !self.making_spare
            && self.spare_at.is_none_or(|at| Instant::now() >= at)
            && let Some((name, bytes)) = self.log.wants_spare()
        {
            let (disk, reserve) = (self.disk.clone(), room_for(self.live_bytes));
            self.making_spare = true;
            background::spawn(self.done.0.clone(), move || {
                let result = make(&*disk, &name, bytes, reserve);
                Done::Spare { name, result }
            });
        }
        if self.uncovered.load(Ordering::Relaxed) >= self.options.checkpoint_bytes {
            self.start_checkpoint();
        }
    }

    /// Starts to save a checkpoint, unless one is under way, has just failed, or would let go of nothing; whether it did.
    fn start_checkpoint(&mut self) -> bool {
        if self.uncovered.load(Ordering::Relaxed) == 0 || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let Some((checkpoint, save)) = self.prepare_checkpoint() else { return false };
        let (uncovered, due) = (self.uncovered.clone(), self.options.checkpoint_bytes);
        background::spawn(self.done.0.clone(), move || {
            let mut saved = save.run(checkpoint);
            // Opening it again costs more than keeping it for the next one, if that is due already.
            if saved.bytes > BUSY_BYTES || uncovered.load(Ordering::Relaxed) < due {
                saved.checkpoint.rest();
            }
            Done::Saved(saved)
        });
        true
    }

    /// The checkpoint, if it is not out already, and what to save to it: the state as of now.
    ///
    /// That includes what is deferred. It is logged again later, which changes nothing then.
    fn prepare_checkpoint(&mut self) -> Option<(Box<dyn Checkpoint>, Save)> {
        let checkpoint = self.checkpoint.take()?;
        let (entries, revision) = self.index.snapshot();
        let (sequence, ceiling) = (self.log.last_sequence(), self.ceiling);
        let mark = Mark { sequence, revision, ceiling, digest: Digest::default() };
        let bytes = self.uncovered.swap(0, Ordering::Relaxed);
        let mut changed = take(&mut self.changed);
        changed.extend(self.deferred.keys().cloned());
        Some((checkpoint, Save { entries, changed, mark, bytes }))
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Spare { name, result } => {
                self.making_spare = false;
                self.spare_at = result.is_err().then(|| Instant::now() + RETRY);
                match result {
                    Ok(()) => self.log.add_spare(name),
                    Err(error) => tracing::debug!(%error, "cannot make a log segment ahead of need"),
                }
            }
            Done::Saved(Saved { checkpoint, changed, sequence, bytes, result }) => {
                self.checkpoint = Some(checkpoint);
                match result {
                    Ok(()) => {
                        self.retry_at = None;
                        self.log.release(sequence);
                    }
                    Err(error) => {
                        let uncovered = self.uncovered.fetch_add(bytes, Ordering::Relaxed) + bytes;
                        self.retry_at = Some(Instant::now() + RETRY);
                        self.changed.extend(changed);
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            log_bytes = uncovered,
                            "no checkpoint could be made, the log keeps growing"
                        );
                    }
                }
            }
        }
    }

    /// Leaves everything on disk, with a checkpoint if it was asked to close, and lets go of the directory.
    fn close(mut self) {
        self.deferring = false;
        if self.broken.get().is_none() && (!self.deferred.is_empty() || self.ceiling != self.revision) {
            // Gives back the revisions reserved and not used.
            self.sync_deferred();
        }
        while self.making_spare || self.checkpoint.is_none() {
            self.finish_next();
        }
        let mut unsynced = !self.deferred.is_empty();
        let save = self.broken.get().is_none() && (unsynced || self.closing.is_some() && !self.changed.is_empty());
        if let Some((checkpoint, save)) = save.then(|| self.prepare_checkpoint()).flatten() {
            let mut saved = save.run(checkpoint);
            saved.checkpoint.rest();
            unsynced &= saved.result.is_err();
            self.finish(Done::Saved(saved));
        }
        self.index.close();
        let Committer { closing, broken, lock, log, checkpoint, .. } = self;
        drop((log, checkpoint, lock));
        if let Some(reply) = closing {
            let result = match broken.get() {
                Some(error) => Err(StoreError::Poisoned(error.clone())),
                None if unsynced => Err(StoreError::Full(Arc::new(io::ErrorKind::StorageFull.into()))),
                None => Ok(()),
            };
            answer(reply, result);
        }
    }
}

/// The caller may have gone; the write happened all the same.
fn answer<T>(reply: Reply<T>, result: Result<T, StoreError>) {
    let _ = reply.send(result);
}
