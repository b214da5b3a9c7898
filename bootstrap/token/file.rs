//! The file a server's token lies in.

use std::path::{Path, PathBuf};

use super::{Token, random_hex};
use crate::data_dir::{read, write};
use crate::{Error, Result, pki};

/// A token in its file, which is the truth: it admits workers as soon as it is written, so that a token is rotated without a
/// restart.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The file with `wanted` (`--token`) in it, else with what it has, else with a random token.
    pub fn ensure(path: &Path, user: &str, ca_pem: &str, wanted: Option<&str>) -> Result<Self> {
        let file = Self { path: path.into() };
        let password = match (wanted, read(path)?) {
            (Some(wanted), _) => Token::parse(wanted)?.password,
            (None, Some(kept)) => file.parse(&kept)?.password,
            (None, None) => random_hex(16),
        };
        file.put(user, ca_pem, password)?;
        Ok(file)
    }

    /// Puts another token, a random one unless one is wanted, in the place of the one there is.
    pub fn rotate(path: &Path, user: &str, ca_pem: &str, wanted: Option<&str>) -> Result<Token> {
        let password =
            wanted.map_or_else(|| Ok(random_hex(16)), |text| Token::parse(text).map(|token| token.password))?;
        Self { path: path.into() }.put(user, ca_pem, password)
    }

    /// The token as it is now.
    pub fn token(&self) -> Result<Token> {
        match read(&self.path)? {
            Some(text) => self.parse(&text),
            None => Err(self.damaged("it is gone; start the server again to get a new token")),
        }
    }

    fn put(&self, user: &str, ca_pem: &str, password: String) -> Result<Token> {
        let token = Token { ca_hash: Some(pki::hash(ca_pem)), user: user.into(), password };
        let text = format!("{}\n", token.render());
        if read(&self.path)?.as_ref() != Some(&text) {
            write(&self.path, text.as_bytes(), 0o600)?;
        }
        Ok(token)
    }

    fn parse(&self, text: &str) -> Result<Token> {
        Token::parse(text).map_err(|error| self.damaged(format!("{error}; remove the file to get a new token")))
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), why: why.into() }
    }
}
