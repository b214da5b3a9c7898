//! What can go wrong on a node's network.

use std::io;

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel or the file system refused; `action` says what was being done.
    #[error("{action}")]
    System {
        /// What was being done, in words.
        action: String,
        /// What the system answered.
        #[source]
        source: io::Error,
    },
    /// An input (configuration, file, object) is not what it must be.
    #[error("{0}")]
    Invalid(String),
    /// Something that comes by itself is not there yet, such as `subnet.env` or the node's pod CIDR: try again later.
    #[error("{0}")]
    NotReady(String),
    /// The API server could not be asked or refused.
    #[error("{action}")]
    Api {
        /// What was being asked.
        action: String,
        /// What came back.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Several steps of a teardown failed; each stands on a line of its own.
    #[error("{}", .0.join("\n"))]
    Several(Vec<String>),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives a system error the words that say what was being done.
pub(crate) trait Doing<T> {
    /// `action` is only called on failure.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::System { action: action(), source })
    }
}

/// The whole chain of an error in one line, as logs and CNI errors want it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
