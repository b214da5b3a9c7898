//! A node's password: made by the node at its first join, remembered by the server as a hash, so that nobody else can
//! take the node's name afterwards.

use std::path::Path;

use crate::Result;
use crate::data_dir::{read, write};
use crate::token::{random_hex, same};

/// The node's own password, from its file or made now.
pub fn ensure(path: &Path) -> Result<String> {
    if let Some(kept) = read(path)?.filter(|text| !text.trim().is_empty()) {
        return Ok(kept.trim().to_owned());
    }
    let password = random_hex(16);
    write(path, format!("{password}\n").as_bytes(), 0o600)?;
    Ok(password)
}

/// What the server keeps of a password: `<salt>:<sha256 of salt and password>`. The password is 128 random bits, so a plain
/// salted hash is enough.
pub fn hash(password: &str) -> String {
    let salt = random_hex(8);
    let digest = digest(&salt, password);
    format!("{salt}:{digest}")
}

/// Whether the password is the one hashed.
pub fn verify(password: &str, hash: &str) -> bool {
    hash.split_once(':').is_some_and(|(salt, kept)| same(digest(salt, password).as_bytes(), kept.as_bytes()))
}

fn digest(salt: &str, password: &str) -> String {
    crate::pki::hash(&format!("{salt}:{password}"))
}
