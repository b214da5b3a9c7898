//! Work in another network namespace, without moving the calling thread.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns};

/// Runs `work` on a thread of its own that has entered `namespace`, and returns its result. Sockets `work` opens and
/// returns stay in that namespace.
pub(crate) fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("network-namespace".into())
            .spawn_scoped(scope, || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                work()
            })?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside the network namespace panicked")))
    })
}
