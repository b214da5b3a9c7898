//! The store, seen through the configuration: values are encrypted on their way in and decrypted on their way out.
//!
//! Kinds that are not encrypted pass through: their bytes stay shared with the store.

use std::sync::Arc;

use bytes::Bytes;
use embedded_store::{Change, Entry, Event, Page, Range, Revision, Store, StoreError, Watch, Write, Written};
use futures::StreamExt;
use futures::future::BoxFuture;

use super::Encryption;

/// A store whose values are encrypted.
pub(super) struct EncryptedStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) encryption: Arc<Encryption>,
}

impl EncryptedStore {
    /// The entry in the clear; an error names the key and not the value.
    fn open(&self, entry: Entry) -> Result<Entry, StoreError> {
        open(&self.encryption, entry)
    }
}

fn open(encryption: &Encryption, entry: Entry) -> Result<Entry, StoreError> {
    match encryption.open(&entry.key, &entry.value) {
        Ok(None) => Ok(entry),
        Ok(Some(plain)) => Ok(Entry { value: plain, ..entry }),
        Err(why) => Err(StoreError::Unreadable { key: entry.key.to_string(), why }),
    }
}

/// The entry in the clear, or as it is: whoever reads many does without those that cannot be read.
fn open_or_leave(encryption: &Encryption, entry: Entry) -> Entry {
    match open(encryption, entry.clone()) {
        Ok(open) => open,
        Err(error) => {
            tracing::error!(%error, "an object is left out, the others of its kind are served");
            entry
        }
    }
}

impl Store for EncryptedStore {
    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        self.inner.revision()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Box::pin(async move { self.inner.get(key).await?.map(|entry| self.open(entry)).transpose() })
    }

    fn list<'a>(&'a self, range: Range<'a>) -> BoxFuture<'a, Result<Page, StoreError>> {
        Box::pin(async move {
            let mut page = self.inner.list(range).await?;
            if self.encryption.concerns(range.prefix) {
                let entries = std::mem::take(&mut page.entries).into_iter();
                page.entries = entries.map(|entry| open_or_leave(&self.encryption, entry)).collect();
            }
            Ok(page)
        })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Written, StoreError>> {
        Box::pin(async move {
            let plain = match &write.change {
                Change::Put(plain) => Some(plain.clone()),
                Change::Delete => None,
            };
            let change = match &plain {
                Some(plain) => Change::Put(
                    self.encryption
                        .seal(&write.key, plain)
                        .map_err(|why| StoreError::Unreadable { key: write.key.clone(), why })?,
                ),
                None => Change::Delete,
            };
            match self.inner.write(Write { change, ..write }).await {
                Ok(written) => {
                    let entry = match plain {
                        Some(value) => Entry { value, ..written.entry },
                        None => open_or_leave(&self.encryption, written.entry),
                    };
                    let previous = written.previous.map(|entry| open_or_leave(&self.encryption, entry));
                    Ok(Written { entry, previous })
                }
                Err(StoreError::Conflict { current }) => {
                    let current = current.map(|entry| self.open(entry)).transpose()?;
                    Err(StoreError::Conflict { current })
                }
                Err(error) => Err(error),
            }
        })
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.settle()
    }

    fn watch(&self, prefix: &str, after: Revision) -> BoxFuture<'_, Result<Watch, StoreError>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            let events = self.inner.watch(&prefix, after).await?;
            let encryption = self.encryption.clone();
            let open = move |event: Event| Event {
                entry: open_or_leave(&encryption, event.entry),
                previous: event.previous.map(|entry| open_or_leave(&encryption, entry)),
                ..event
            };
            let open = Arc::new(open);
            let opened =
                events.map(move |batch| batch.map(|events| events.into_iter().map(|event| open(event)).collect()));
            Ok(Watch::new(opened))
        })
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.compact(before)
    }

    fn oldest(&self) -> Revision {
        self.inner.oldest()
    }

    fn well(&self) -> Result<(), StoreError> {
        self.inner.well()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}

/// Bytes that own no more than they show.
pub(super) fn exact(bytes: Vec<u8>) -> Bytes {
    Bytes::from(bytes.into_boxed_slice())
}
