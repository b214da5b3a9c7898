//! What makes a cluster and lets nodes join it: the data directory, the CA and its certificates, kubeconfigs, tokens, the join.
//!
//! Everything here is idempotent: it makes what is missing, keeps what is valid, and renews what is about to expire.

pub mod certificates;
pub mod data_dir;
pub mod join;
pub mod kubeconfig;
pub mod node_password;
pub mod pki;
pub mod signing;
pub mod token;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

/// What can go wrong before a cluster is there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read, made or written.
    #[error("{path}: {doing}", path = .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file is there but holds something else than expected.
    #[error("{path}: {why}", path = .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot issue a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A request is not to be signed, or nothing can sign it.
    #[error("the request cannot be signed: {0}")]
    Request(String),
    /// The token is not of a form we know.
    #[error("the token is malformed: {0}")]
    TokenForm(&'static str),
    /// The server's CA is not the one the token vouches for.
    #[error(
        "the CA of {server} is not the one the token was made for (its hash is {found}, the token says {expected})"
    )]
    OtherCa {
        /// The server asked.
        server: String,
        /// The hash of what it showed.
        found: String,
        /// The hash in the token.
        expected: String,
    },
    /// The server understood and said no.
    #[error("{server} refused the join: {message}")]
    Refused {
        /// The server asked.
        server: String,
        /// Its words.
        message: String,
        /// Whether trying again could help.
        retry: bool,
    },
    /// The server could not be reached or did not speak as expected.
    #[error("cannot talk to {server}: {why}")]
    Unreachable {
        /// The server asked.
        server: String,
        /// What happened.
        why: String,
    },
}

impl Error {
    /// Whether it may pass by itself: the server is away, or not ready yet.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { retry: true, .. })
    }
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
