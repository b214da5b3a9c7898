//! Where everything lies below `--data-dir`.
//!
//! ```text
//! server/token            the token that workers join with
//! server/tls/             CA, service-account keys, the server's certificates
//! server/db/              the store
//! server/manifests/       applied at start and on change
//! agent/                  the node agent: certificates, containerd, CNI, pods, images to import
//! ```

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where the data lies unless `--data-dir` says otherwise.
pub const DEFAULT: &str = "/var/lib/isopod";

/// The data directory of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The directory at `root`; nothing is made yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory of the server.
    pub fn server(&self, below: &str) -> PathBuf {
        self.root.join("server").join(below)
    }

    /// A file or directory of the node agent.
    pub fn agent(&self, below: &str) -> PathBuf {
        self.root.join("agent").join(below)
    }

    /// The server's token file.
    pub fn token(&self) -> PathBuf {
        self.server("token")
    }

    /// The file of a token for workers alone, if there is one.
    pub fn agent_token(&self) -> PathBuf {
        self.server("agent-token")
    }

    /// Whether this is the default place, whose neighbours (`/run/flannel`, `/var/log/pods`) may have their usual names.
    pub fn is_default(&self) -> bool {
        self.root == Path::new(DEFAULT)
    }

    /// A short word that differs between data directories: names sockets, cgroups and namespaces of clusters that share a machine.
    /// Empty for the default directory.
    pub fn suffix(&self) -> String {
        if self.is_default() {
            return String::new();
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.root.as_os_str().as_encoded_bytes());
        digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Makes a directory and its parents, readable by the owner alone.
pub fn create_private(dir: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| Error::File {
        doing: "cannot make the directory",
        path: dir.into(),
        source,
    })
}

/// Replaces a file's content in one step: either the old content is there afterwards or the new, with `mode`, on disk.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = |doing| move |source| Error::File { doing, path: path.into(), source };
    if let Some(parent) = path.parent() {
        create_private(parent)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed("cannot replace the file")(e)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .map_err(failed("cannot make the file"))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("cannot write the file"))?;
    std::fs::rename(&new, path).map_err(failed("cannot replace the file"))?;
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        std::fs::File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed("cannot sync the directory"))?;
    }
    Ok(())
}

/// The content of a text file; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { doing: "cannot read the file", path: path.into(), source }),
    }
}
