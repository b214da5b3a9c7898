//! The container runtime as the node agent sees it.
//!
//! [`Runtime`] is the contract; [`Cri`] fulfils it with containerd, [`FakeRuntime`] in memory. [`containerd`] starts and keeps a
//! containerd of our own, [`images`] fills it from archives, [`pause`] is the program that holds a pod's namespaces, [`spdy`] the
//! protocol of live streams.
//!
//! Invariants: no type of the CRI's or containerd's generated code is public here; this crate uses none of ours; every call on the runtime is
//! bounded in time, every buffer in size; stopping anything of ours never stops a container.

pub mod containerd;
mod contract;
mod cri;
mod error;
pub mod fake;
pub mod images;
mod netns;
pub mod pause;
mod session;
pub mod spdy;
mod streaming;
pub mod types;

use std::path::Path;

pub use contract::{Call, EXEC_OUTPUT_LIMIT, Runtime};
pub use cri::{Cri, Timeouts};
pub use error::{Error, Result};
pub use fake::FakeRuntime;
pub use session::{Reader, Session, SessionEnd, StreamOptions, TerminalSize, Writer};

/// The longest path a Unix socket can have on Linux: 108 bytes with the closing NUL.
pub const SOCKET_PATH_MAX: usize = 107;

fn socket_path_too_long(path: &Path) -> String {
    format!(
        "the socket path {} is {} bytes long, the kernel allows {SOCKET_PATH_MAX}: choose a shorter data directory",
        path.display(),
        path.as_os_str().len()
    )
}
