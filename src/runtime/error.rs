//! The one error type of this crate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the container runtime, or our handling of it, failed.
///
/// Variants exist where a caller branches: a pod worker treats [`Error::NotFound`] on removal as done, waits on
/// [`Error::Unavailable`], and reports everything else on the pod.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox, container or image does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A sandbox or container of that name and attempt exists already, or is being made by another call.
    #[error("{0}")]
    AlreadyExists(String),
    /// The object is in a state that does not allow the call, such as exec in a container that has exited.
    #[error("{0}")]
    InvalidState(String),
    /// The runtime does not answer: not started yet, restarting, or gone. Trying again later makes sense.
    #[error("container runtime is not available: {0}")]
    Unavailable(String),
    /// The call, or the command of an `exec_sync`, took longer than it was given.
    #[error("{what} did not finish within {after:?}")]
    DeadlineExceeded {
        /// The call that was made.
        what: &'static str,
        /// What it was given.
        after: Duration,
    },
    /// This version of the runtime does not know the call.
    #[error("the container runtime does not implement {0}")]
    Unimplemented(&'static str),
    /// Programs the runtime needs are not installed.
    #[error(
        "{} not found on PATH ({path}); install them first, for example: apt-get install containerd runc, dnf install containerd runc, \
         or the release archives of containerd and runc unpacked below /usr/local",
        .missing.join(", ")
    )]
    MissingPrograms {
        /// Their names.
        missing: Vec<String>,
        /// The search path that was used.
        path: String,
    },
    /// A setting cannot work, for example a socket path longer than the kernel allows.
    #[error("{0}")]
    Config(String),
    /// An image archive is malformed, hostile or incomplete.
    #[error("image archive: {0}")]
    Archive(String),
    /// A local file or socket operation failed.
    #[error("{what}: {path}", path = .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// Anything else; the text is the runtime's own and fit for a pod's status.
    #[error("{0}")]
    Other(String),
}

/// The result of every call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the object named in the call does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound(_))
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::DeadlineExceeded { .. })
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { what, path, source }
    }

    /// Translates a gRPC status. containerd answers many conditions as UNKNOWN, so the text decides where the code does not.
    pub(crate) fn from_status(what: &'static str, after: Duration, status: tonic::Status) -> Error {
        use tonic::Code;
        let message = status.message().to_owned();
        match status.code() {
            // The sandbox is there, its process is not.
            Code::NotFound if what == "create_container" && message.contains("no running task") => {
                Error::InvalidState(message)
            }
            Code::NotFound => Error::NotFound(message),
            Code::AlreadyExists => Error::AlreadyExists(message),
            // UNKNOWN up to 1.7, FAILED_PRECONDITION from 2.0 on.
            Code::Unknown | Code::FailedPrecondition if message.contains("is reserved for") => {
                Error::AlreadyExists(message)
            }
            Code::FailedPrecondition => Error::InvalidState(message),
            Code::Unavailable | Code::Cancelled => Error::Unavailable(message),
            Code::DeadlineExceeded => Error::DeadlineExceeded { what, after },
            Code::Unimplemented => Error::Unimplemented(what),
            Code::Unknown | Code::Internal if is_transport_failure(&status) => Error::Unavailable(message),
            Code::Unknown if is_wrong_state(&message) => Error::InvalidState(message),
            Code::Unknown if message.contains("context deadline exceeded") && what == "exec_sync" => {
                Error::DeadlineExceeded { what, after }
            }
            _ => Error::Other(message),
        }
    }
}

/// containerd's words for "not in this state", of all its versions.
fn is_wrong_state(message: &str) -> bool {
    ["is in CONTAINER_", "is not running", "is not ready", "already in removing state"]
        .iter()
        .any(|words| message.contains(words))
}

/// A broken connection reaches us as UNKNOWN or INTERNAL with the transport's error as source; a status that the server sent has none.
fn is_transport_failure(status: &tonic::Status) -> bool {
    std::error::Error::source(status).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_what_callers_branch_on() {
        let check = |code, text: &str, expect: fn(&Error) -> bool| {
            let error = Error::from_status("exec_sync", Duration::from_secs(1), tonic::Status::new(code, text));
            assert!(expect(&error), "{code:?} {text}: {error:?}");
        };
        check(tonic::Code::NotFound, "no such container", Error::is_not_found);
        check(tonic::Code::Unavailable, "connect", Error::is_transient);
        check(tonic::Code::Unknown, "timeout 1s exceeded: context deadline exceeded", |e| {
            matches!(e, Error::DeadlineExceeded { .. })
        });
        check(tonic::Code::Unknown, "name \"a_b\" is reserved for \"c\"", |e| matches!(e, Error::AlreadyExists(_)));
        check(tonic::Code::Unknown, "anything", |e| matches!(e, Error::Other(_)));
        check(tonic::Code::Unimplemented, "", |e| matches!(e, Error::Unimplemented("exec_sync")));
    }
}
