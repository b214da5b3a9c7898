//! Join tokens: `K10<sha256 of the CA>::<user>:<password>`, or the password alone.
//!
//! The hash lets a joiner recognize the server before it sends anything secret.

mod file;

pub use file::TokenFile;

use crate::{Error, Result};

/// The user of the server's own token.
pub const SERVER_USER: &str = "server";
/// The user of a token for workers alone (`--agent-token`).
pub const AGENT_USER: &str = "node";

/// A token, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The SHA-256 of the CA's PEM, in hex; `None` in the short form, which trusts whoever answers.
    pub ca_hash: Option<String>,
    /// `server` for the token file's; the id of a bootstrap token; empty in the short form.
    pub user: String,
    /// The secret. Never logged.
    pub password: String,
}

impl Token {
    /// Reads either form. A bootstrap token (`abcdef.0123456789abcdef`) keeps its id as the user.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("K10") else {
            if text.is_empty() {
                return Err(Error::TokenForm("it is empty"));
            }
            return Ok(Self::credentials(None, text));
        };
        let (hash, credentials) =
            rest.split_once("::").ok_or(Error::TokenForm("K10<hash>:: is not followed by credentials"))?;
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::TokenForm("the CA hash is not 64 hexadecimal digits"));
        }
        if credentials.is_empty() {
            return Err(Error::TokenForm("K10<hash>:: is not followed by credentials"));
        }
        Ok(Self::credentials(Some(hash.to_ascii_lowercase()), credentials))
    }

    fn credentials(ca_hash: Option<String>, text: &str) -> Self {
        let (user, password) = match text.split_once(':').or_else(|| text.split_once('.').filter(|(id, _)| is_id(id))) {
            Some((user, password)) => (user.to_owned(), password.to_owned()),
            None => (String::new(), text.to_owned()),
        };
        Self { ca_hash, user, password }
    }

    /// The full form.
    pub fn render(&self) -> String {
        let separator = if is_id(&self.user) { '.' } else { ':' };
        let credentials = if self.user.is_empty() {
            self.password.clone()
        } else {
            format!("{}{separator}{}", self.user, self.password)
        };
        match &self.ca_hash {
            Some(hash) => format!("K10{hash}::{credentials}"),
            None => credentials,
        }
    }

    /// Whether `other` proves knowledge of this token. Takes the same time whatever differs.
    pub fn admits(&self, other: &Self) -> bool {
        (other.user.is_empty() || other.user == self.user) && same(self.password.as_bytes(), other.password.as_bytes())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether two secrets are the same, in constant time.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// `bytes` random bytes in hex.
pub fn random_hex(bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}

/// A random bootstrap token: id and secret, as kubeadm makes them.
pub fn generate_bootstrap() -> (String, String) {
    const LETTERS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let word = |n| (0..n).map(|_| LETTERS[rand::random_range(0..LETTERS.len())] as char).collect();
    (word(6), word(16))
}

fn is_id(word: &str) -> bool {
    word.len() == 6 && word != SERVER_USER && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}
