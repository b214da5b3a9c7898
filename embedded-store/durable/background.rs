//! What the committer has done beside it: saving checkpoints and making segments ahead of need.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::checkpoint::{Changed, Checkpoint, Digest, Mark};
use crate::StoreError;
use crate::index::Entries;

/// What a background thread has finished.
pub(super) enum Done {
    Saved(Saved),
    Spare { name: String, result: io::Result<()> },
}

/// A checkpoint to be saved: the state as of one commit.
pub(super) struct Save {
    pub(super) entries: Entries,
    pub(super) changed: Changed,
    /// All but the digest, which takes a walk over the entries.
    pub(super) mark: Mark,
    /// How much log it covers.
    pub(super) bytes: u64,
}

/// The end of a [`Save`], with what the committer needs to go on either way.
pub(super) struct Saved {
    pub(super) checkpoint: Box<dyn Checkpoint>,
    pub(super) changed: Changed,
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) result: Result<(), StoreError>,
}

impl Save {
    pub(super) fn run(self, mut checkpoint: Box<dyn Checkpoint>) -> Saved {
        let Save { entries, changed, mark, bytes } = self;
        let begin = Instant::now();
        let mark = Mark { digest: Digest::of(&entries), ..mark };
        let result = checkpoint.save(&entries, &changed, mark);
        let (sequence, ok, took) = (mark.sequence, result.is_ok(), begin.elapsed());
        tracing::debug!(sequence, keys = changed.len(), ?took, ok, "checkpoint");
        Saved { checkpoint, changed, sequence, bytes, result }
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// Runs something on a thread of its own, or right here if there is none to be had, and sends what came of it.
pub(super) fn spawn(done: Sender<Done>, run: impl FnOnce() -> Done + Send + 'static) {
    let task: Arc<Mutex<Option<Task>>> = Arc::new(Mutex::new(Some(Box::new(move || {
        // The committer waits for the answer before it ends, so it is there to take it.
        let _ = done.send(run());
    }))));
    let taken = task.clone();
    let spawned = std::thread::Builder::new().name("store-background".into()).spawn(move || run_once(&taken));
    if let Err(error) = spawned {
        tracing::warn!(%error, "cannot start a thread");
        run_once(&task);
    }
}

fn run_once(task: &Mutex<Option<Task>>) {
    let task = task.lock().take();
    if let Some(run) = task {
        run();
    }
}
