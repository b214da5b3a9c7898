//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

/// Why the node agent could not start, or could not do something for a pod.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call on the API failed.
    #[error("{0}")]
    Api(Box<api::Status>),
    /// A call on the container runtime failed.
    #[error("{0}")]
    Runtime(#[from] runtime::Error),
    /// A file operation failed. The text is fit for an event.
    #[error("{what} {path}: {source}", path = .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: io::Error,
    },
    /// The node lacks something containers need.
    #[error("{0}")]
    Preflight(String),
    /// What a pod asks for is missing or impossible; the text is upstream's and goes into its status.
    #[error("{0}")]
    Invalid(String),
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<api::Status> for Error {
    fn from(status: api::Status) -> Self {
        Self::Api(Box::new(status))
    }
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }

    pub(crate) fn errno(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(nix::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source: source.into() }
    }
}

pub(crate) fn invalid<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(why.into()))
}
