//! Making small images without any tool: one layer of given files as an OCI archive.

use serde_json::json;

/// An image with one layer. Equal values build equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Full name with tag.
    pub name: String,
    /// Files, in order; parents of files need not be listed.
    pub entries: Vec<Entry>,
    /// Command that always runs.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// Numeric or named user; empty is root.
    pub user: String,
    /// Processor by its name in manifests, such as `amd64`.
    pub arch: &'static str,
}

impl Default for Archive {
    fn default() -> Self {
        Archive {
            name: String::new(),
            entries: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            user: String::new(),
            arch: crate::pause::Arch::HOST.oci_name(),
        }
    }
}

/// One file of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    path: String,
    mode: u32,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(String),
}

impl Entry {
    /// A regular file of root's.
    pub fn file(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Entry {
        Entry { path: path.into(), mode, kind: Kind::File(bytes.into()) }
    }

    /// A directory of root's.
    pub fn directory(path: impl Into<String>, mode: u32) -> Entry {
        Entry { path: path.into(), mode, kind: Kind::Directory }
    }

    /// A symbolic link.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Entry {
        Entry { path: path.into(), mode: 0o777, kind: Kind::Symlink(target.into()) }
    }
}

impl Archive {
    /// The archive's bytes: an OCI image layout in a tar file.
    pub fn build(&self) -> Vec<u8> {
        let layer = self.layer();
        let config = to_json(&json!({
            "architecture": self.arch,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Cmd": self.cmd, "Env": self.env, "User": self.user },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        }));
        let manifest = to_json(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len() }],
        }));
        let index = to_json(&json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(&manifest),
                "size": manifest.len(),
                "platform": { "architecture": self.arch, "os": "linux" },
                "annotations": { "io.containerd.image.name": self.name },
            }],
        }));
        let layout = to_json(&json!({ "imageLayoutVersion": "1.0.0" }));
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", &digest(bytes)["sha256:".len()..]);
        let files = [
            ("oci-layout".to_owned(), layout),
            ("index.json".to_owned(), index),
            (blob(&manifest), manifest),
            (blob(&config), config),
            (blob(&layer), layer),
        ];
        tar(files.into_iter().map(|(path, bytes)| Entry::file(path, 0o644, bytes)))
    }

    fn layer(&self) -> Vec<u8> {
        tar(self.entries.iter().cloned())
    }
}

/// A tar file of these entries, owned by root, dated to the epoch.
pub(super) fn tar(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        let written = match &entry.kind {
            Kind::File(bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, &entry.path, bytes.as_slice())
            }
            Kind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, &entry.path, std::io::empty())
            }
            Kind::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                builder.append_link(&mut header, &entry.path, target)
            }
        };
        written.expect("writing to memory, with paths of ours");
    }
    builder.into_inner().expect("writing to memory")
}

/// `sha256:<hex>` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex_digest(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

pub(super) fn hex_digest(digest: aws_lc_rs::digest::Digest) -> String {
    use std::fmt::Write;
    digest.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn to_json(value: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value serializes")
}
