//! Encryption at rest: what a configuration file names is encrypted on disk, and nowhere else.
//!
//! It lies between the registry and the store ([`store::EncryptedStore`]), and knows of a value only its key: the kind is
//! read from that. A value that cannot be decrypted is named in the log and left out; a read of that very object says why.
//! After a change of keys old values stay readable as long as their key is listed, and are written anew with the next write
//! of the object, even one that changes nothing.

mod config;
mod provider;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use embedded_store::Store;

use config::Rule;
use store::EncryptedStore;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is no `EncryptionConfiguration`.
    #[error("error while parsing file: {0}")]
    Syntax(String),
    /// It says something that cannot be.
    #[error("error while parsing file: {0}")]
    Invalid(String),
    /// What it says of a kind is never looked at.
    #[error("error while building transformers: resource {0:?} is masked by earlier rule {1:?}")]
    Masked(String, String),
}

/// What is encrypted how. Lasts as long as the store it stands before.
pub struct Encryption {
    rules: ArcSwap<Rules>,
    /// The store's prefixes of built-in kinds, and the kinds' names with their group.
    kinds: BTreeMap<String, (String, String)>,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

#[derive(Debug)]
struct Rules(Vec<Rule>);

impl Encryption {
    /// How often a file is looked at that is followed.
    pub const RELOAD: Duration = Duration::from_secs(10);

    /// From the text of a configuration file.
    pub fn parse(text: &str) -> Result<Arc<Self>, EncryptionError> {
        let rules = ArcSwap::from_pointee(Rules(config::parse(text)?));
        let rows = api::resource::builtin().iter().filter(|row| row.stored && row.stored_as.is_none());
        let kinds = rows.map(|row| (row.store_prefix(), (row.plural.to_string(), row.group.to_string()))).collect();
        Ok(Arc::new(Self { rules, kinds }))
    }

    /// From a file.
    pub fn load(path: &Path) -> Result<Arc<Self>, EncryptionError> {
        Self::parse(&read(path)?)
    }

    /// Takes the file's content over whenever it changes, as long as anyone uses the configuration. A file that cannot be
    /// used changes nothing, and is complained of. Needs a Tokio runtime.
    pub fn follow(self: &Arc<Self>, path: &Path) {
        let (encryption, path) = (Arc::downgrade(self), path.to_owned());
        tokio::spawn(async move { follow(encryption, &path).await });
    }

    /// The store behind this configuration.
    pub(crate) fn over(self: &Arc<Self>, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(EncryptedStore { inner, encryption: self.clone() })
    }

    /// Whether a value is stored otherwise than it would be written now.
    pub(crate) fn is_stale(&self, key: &str, stored: &[u8]) -> bool {
        let rules = self.rules.load();
        self.rule(&rules, key).is_some_and(|rule| !provider::is_current(&rule.providers, stored))
    }

    /// Whether any key with the prefix may be encrypted.
    fn concerns(&self, prefix: &str) -> bool {
        !self.kinds.contains_key(prefix) || self.rule(&self.rules.load(), prefix).is_some()
    }

    /// `None` where the value is stored as it is.
    fn open(&self, key: &str, value: &[u8]) -> Result<Option<Bytes>, String> {
        let rules = self.rules.load();
        match self.rule(&rules, key) {
            None => Ok(None),
            Some(rule) => provider::open(&rule.providers, value, key).map(|plain| Some(store::exact(plain))),
        }
    }

    fn seal(&self, key: &str, plain: &Bytes) -> Result<Bytes, String> {
        let rules = self.rules.load();
        match self.rule(&rules, key) {
            None => Ok(plain.clone()),
            Some(rule) => provider::seal(&rule.providers, plain, key).map(store::exact),
        }
    }

    /// The first rule that names the kind of a key.
    fn rule<'a>(&self, rules: &'a Rules, key: &str) -> Option<&'a Rule> {
        let nearest = self.kinds.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back();
        let builtin = nearest.filter(|(prefix, _)| key.starts_with(prefix.as_str()));
        let (plural, group) = match builtin {
            Some((_, (plural, group))) => (plural.as_str(), group.as_str()),
            // Custom kinds: `/registry/<group>/<plural>/…`
            None => {
                let mut words = key.strip_prefix("/registry/")?.split('/');
                let group = words.next()?;
                (words.next()?, group)
            }
        };
        rules.0.iter().find(|rule| rule.resources.iter().any(|word| names(word, plural, group)))
    }
}

/// Whether a word of the configuration means a kind: `secrets`, `deployments.apps`, `*.apps`, `*.` or `*.*`.
fn names(word: &str, plural: &str, group: &str) -> bool {
    let (resource, of) = word.split_once('.').unwrap_or((word, ""));
    (resource == "*" && of == "*") || ((resource == "*" || resource == plural) && of == group)
}

fn read(path: &Path) -> Result<String, EncryptionError> {
    std::fs::read_to_string(path).map_err(|source| EncryptionError::Read { path: path.to_owned(), source })
}

async fn follow(encryption: Weak<Encryption>, path: &Path) {
    let mut ticks = tokio::time::interval(Encryption::RELOAD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    loop {
        ticks.tick().await;
        let Some(encryption) = encryption.upgrade() else { return };
        let now = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if now == known {
            continue;
        }
        known = now;
        match read(path).and_then(|text| config::parse(&text)) {
            Ok(rules) => {
                encryption.rules.store(Arc::new(Rules(rules)));
                tracing::info!(path = %path.display(), "the encryption configuration was reloaded");
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(path = %path.display(), %error, cause, "the encryption configuration stays as it was");
            }
        }
    }
}
