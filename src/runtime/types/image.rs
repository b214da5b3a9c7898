//! Images and the disk they use.

use std::path::PathBuf;
use std::time::SystemTime;

/// An image on this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Digest of the image's config: `sha256:…`.
    pub id: String,
    /// Names with tags.
    pub repo_tags: Vec<String>,
    /// Names with digests.
    pub repo_digests: Vec<String>,
    /// Bytes in the content store.
    pub size: u64,
    /// Numeric user of the image's config, for the runAsNonRoot check.
    pub uid: Option<i64>,
    /// Named user of the image's config; set only when `uid` is None.
    pub username: String,
    /// Garbage collection must keep it (the sandbox image).
    pub pinned: bool,
}

/// Credentials for a registry. Its `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// base64 of `user:password`, when that is all there is.
    pub auth: String,
    /// Registry the credentials belong to; empty means whichever is asked.
    pub server_address: String,
    /// Token to exchange for an access token.
    pub identity_token: String,
    /// Bearer token sent as is.
    pub registry_token: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("server_address", &self.server_address).finish_non_exhaustive()
    }
}

/// How much of a filesystem something uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilesystemUsage {
    /// When it was measured.
    pub timestamp: Option<SystemTime>,
    /// A directory of the filesystem (not always its mount point).
    pub mountpoint: PathBuf,
    /// Bytes.
    pub used_bytes: Option<u64>,
    /// Inodes.
    pub inodes_used: Option<u64>,
}
