//! Tells whoever started us that the node is Ready: systemd through its socket, scripts through a file.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use crate::settings::Paths;

/// Notes that nothing is ready yet.
pub(crate) fn clear(paths: &Paths) {
    for file in files(paths) {
        let _ = std::fs::remove_file(file);
    }
}

/// Notes that the node is ready. `address` is where other nodes reach this one: it is the file's content.
pub(crate) fn announce(paths: &Paths, address: &str) {
    for file in files(paths) {
        let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = made.and_then(|()| std::fs::write(&file, address)) {
            tracing::warn!(file = %file.display(), %error, "cannot note that the node is ready");
        }
    }
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
        if let Err(error) = told {
            tracing::warn!(%error, "cannot tell the service manager that the node is ready");
        }
    }
}

/// Ours, and the one whoever started us looks at: it may not know where ours lies, which follows from the data directory.
fn files(paths: &Paths) -> Vec<PathBuf> {
    let asked = std::env::var_os("ISOPOD_READY_FILE").map(PathBuf::from);
    [Some(paths.run.join("ready")), asked].into_iter().flatten().collect()
}
