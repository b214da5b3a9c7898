//! Images made at test time: there is no registry.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use runtime::images::archive::{Archive, Entry};

static PATH: OnceLock<PathBuf> = OnceLock::new();

/// An archive of `busybox.local/busybox:1`: Debian's static busybox with its applets, and nothing else.
pub(crate) fn busybox() -> PathBuf {
    PATH.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("isopod-test-busybox-{}.tar", std::process::id()));
        std::fs::write(&path, archive("busybox.local/busybox:1")).unwrap();
        path
    })
    .clone()
}

/// Removes the archive, if it was made.
pub(crate) fn forget() {
    if let Some(path) = PATH.get() {
        // The run is over; what cannot be removed is a file in the temporary directory.
        let _ = std::fs::remove_file(path);
    }
}

/// The archive under another name.
pub(crate) fn archive(name: &str) -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed by tests/run");
    let applets = Command::new("/bin/busybox").arg("--list").output().expect("busybox runs").stdout;
    let applets = String::from_utf8(applets).expect("applets have plain names");
    let mut entries = vec![Entry::file("bin/busybox", 0o755, busybox), Entry::directory("tmp", 0o1777)];
    entries.extend(
        applets.lines().filter(|name| *name != "busybox").map(|name| Entry::symlink(format!("bin/{name}"), "busybox")),
    );
    Archive { name: name.into(), entries, cmd: vec!["sh".into()], ..Archive::default() }.build()
}
