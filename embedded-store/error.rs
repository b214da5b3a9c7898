//! What can go wrong, as far as a caller acts on it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Revision};

/// Why the store did not do what it was asked. Clonable, because one failed sync fails every write that shared it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is not what the write expected. Nothing happened.
    #[error("the key is not in the expected state")]
    Conflict {
        /// What the key is instead; `None` when it does not exist.
        current: Option<Entry>,
    },
    /// The revision is no longer in the history.
    #[error("the revision has been compacted, the oldest one available is {oldest}")]
    Compacted {
        /// The oldest revision that can still be asked for.
        oldest: Revision,
    },
    /// The revision does not exist yet.
    #[error("the revision is in the future, the current one is {current}")]
    Future {
        /// The current revision.
        current: Revision,
    },
    /// A key or a value is longer than the store takes.
    #[error("the {what} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest the store takes.
        limit: usize,
    },
    /// No space is left for the log. Nothing happened; writing works again once there is space.
    #[error("no space is left on the store's disk")]
    Full(#[source] Arc<io::Error>),
    /// The disk failed.
    #[error("cannot {doing} {path}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file is damaged where a crash cannot have damaged it. The store does not open rather than lose data in silence.
    #[error("{path} is damaged at byte {offset}: {what}", path = path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Writing or syncing the log failed, so what is on disk is not known any more. Reads go on, and everything
    /// acknowledged is kept; the store takes no writes until it is opened again.
    #[error("the store takes no writes since its log could not be written")]
    Poisoned(#[source] Arc<io::Error>),
    /// Another process has the directory open.
    #[error("{path} is in use by another process", path = path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// A layer over the store, which encrypts values, can make nothing of one.
    #[error("unable to transform key {key:?}: {why}")]
    Unreadable {
        /// The key.
        key: String,
        /// What is wrong, without the value.
        why: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// An `Io` error, or `Full` when the kernel says that is the reason.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> StoreError {
        if out_of_space(&source) {
            return StoreError::Full(Arc::new(source));
        }
        StoreError::Io { doing, path: path.into(), source: Arc::new(source) }
    }
}

/// Whether the kernel refused for lack of space, which passes, rather than for a fault.
pub(crate) fn out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
