//! Images made at test time: there is no registry.

use std::path::PathBuf;
use std::sync::OnceLock;

/// An archive of `busybox.local/busybox:1`: Debian's static busybox with its applets, and nothing else.
pub(crate) fn busybox() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("isopod-test-busybox-{}.tar", std::process::id()));
        std::fs::write(&path, archive()).unwrap();
        path
    })
    .clone()
}

fn archive() -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed by tests/run");
    runtime::images::archive::busybox_archive("busybox.local/busybox:1", &busybox)
}
