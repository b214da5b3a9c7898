//! Tells whoever started us that the node is Ready: systemd through its socket, scripts through a file.

use std::os::unix::net::UnixDatagram;

use crate::settings::Paths;

/// Notes that nothing is ready yet.
pub(crate) fn clear(paths: &Paths) {
    let _ = std::fs::remove_file(paths.run.join("ready"));
}

/// Notes that the node is ready. `address` is where other nodes reach this one.
pub(crate) fn announce(paths: &Paths, address: &str) {
    let write = |name: &str, content: &str| std::fs::write(paths.run.join(name), content);
    if let Err(error) =
        std::fs::create_dir_all(&paths.run).and_then(|()| write("address", address)).and_then(|()| write("ready", ""))
    {
        tracing::warn!(%error, "cannot note that the node is ready");
    }
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
        if let Err(error) = told {
            tracing::warn!(%error, "cannot tell the service manager that the node is ready");
        }
    }
}
