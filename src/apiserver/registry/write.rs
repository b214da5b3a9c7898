//! The last step of every write: bytes to the store, by compare-and-swap.

use std::sync::Arc;
use std::time::Instant;

use api::{Object, Resource, Status};
use embedded_store::{Change, Entry, Expect, StoreError, Write, Written};
use serde_json::Value;

use super::{Registry, custom, error};
use crate::allocator::Hold;
use crate::strategy;
use crate::tree::Tree;

/// The largest object: what etcd takes in one request.
const OBJECT_MAX: usize = 1536 << 10;

/// An object as it is in the store.
#[derive(Debug)]
pub(super) struct Current {
    /// As everybody shares it.
    pub(super) object: Arc<Object>,
    /// As a tree, `resourceVersion` included, without managed fields.
    pub(super) value: Value,
    /// `metadata.managedFields`, unread.
    pub(super) managed: Option<Box<str>>,
    /// What the store holds, where that may be a form in which it would not be written today: another version, or fields that
    /// its schema has lost since. A write that changes nothing else brings it up to date.
    pub(super) outdated: Option<Value>,
}

/// `metadata.managedFields` of an object that is written, as JSON; empty for none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// The list.
    pub(super) text: Vec<u8>,
    /// Whether the write is for nothing without it. Other writes do without when the object would be too large.
    pub(super) needed: bool,
}

impl Current {
    /// Who owns what, as it is.
    pub(super) fn owners(&self) -> Owners {
        let text = self.managed.as_deref().unwrap_or_default().as_bytes().to_vec();
        Owners { text, needed: false }
    }

    /// The revision of the last write.
    pub(super) fn revision(&self) -> u64 {
        self.object.meta.resource_version
    }
}

impl Registry {
    /// The object as it is now, from the store itself; `None` when there is none.
    pub(super) async fn current(
        &self,
        storage: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Current>, Status> {
        let key = storage.store_key(namespace, name);
        match self.store.0.get(&key).await.map_err(error::store)? {
            None => Ok(None),
            Some(entry) => decode(&entry, storage).await.map(Some),
        }
    }

    /// Writes an object, and answers it as it can be read from now on. `Ok(Err(current))` says that the key is not as
    /// expected, and what it is.
    pub(super) async fn put(
        &self,
        storage: &Resource,
        value: &Value,
        owners: &Owners,
        expect: Expect,
    ) -> Result<Result<Arc<Object>, Option<Current>>, Status> {
        let object = encode(value, owners, storage)?;
        let key = storage.store_key(&object.meta.namespace, &object.meta.name);
        let stored = custom::stored(storage, value, owners).await?;
        let change = Change::Put(stored.as_ref().unwrap_or(&object).stored_bytes().clone());
        let write = Write { key, expect, change, durability: strategy::of(storage).durability };
        let operation = if matches!(expect, Expect::Absent) { "create" } else { "update" };
        match self.timed(operation, storage, write).await {
            Ok(written) => {
                let shown = match stored {
                    Some(stored) => custom::read_back(storage, stored).await?,
                    None => object,
                };
                Ok(Ok(Arc::new(shown.at_revision(written.entry.revision))))
            }
            Err(StoreError::Conflict { current }) => Ok(Err(decode_some(current.as_ref(), storage).await?)),
            Err(failure) => Err(error::store(failure)),
        }
    }

    async fn timed(&self, operation: &'static str, storage: &Resource, write: Write) -> Result<Written, StoreError> {
        let started = Instant::now();
        let outcome = self.store.0.write(write).await;
        self.writes.store(operation, storage, started.elapsed());
        outcome
    }

    /// Whether an object is on disk otherwise than it would be written now, so that even a write that changes nothing has
    /// something to do.
    pub(super) async fn is_stale(&self, storage: &Resource, object: &Object) -> Result<bool, Status> {
        let Some(encryption) = &self.config.encryption else { return Ok(false) };
        let key = storage.store_key(&object.meta.namespace, &object.meta.name);
        let entry = self.disk.0.get(&key).await.map_err(error::store)?;
        Ok(entry.is_some_and(|entry| encryption.is_stale(&key, &entry.value)))
    }

    /// Complains of an object that is there and cannot be decrypted, which no cache shows.
    pub(super) async fn check_readable(&self, storage: &Resource, namespace: &str, name: &str) -> Result<(), Status> {
        if self.config.encryption.is_none() || name.is_empty() {
            return Ok(());
        }
        self.store.0.get(&storage.store_key(namespace, name)).await.map(drop).map_err(error::store)
    }

    /// Stores an object as it is: for tests that need what no client may write, such as endpoints on loopback.
    #[cfg(test)]
    pub(crate) async fn seed(&self, storage: &Resource, object: &Value) {
        assert!(
            self.put(storage, object, &Owners::default(), Expect::Absent).await.unwrap().is_ok(),
            "{object} is there already"
        );
        self.catch_up().await.unwrap();
    }

    /// Gives a service what it needs, before anybody asks whether it is valid otherwise; other kinds need nothing.
    pub(super) fn allocate(
        &self,
        storage: &Resource,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<Option<Hold<'_>>, Status> {
        if !is_service(storage) {
            return Ok(None);
        }
        let name = new.text("metadata.name").to_owned();
        let invalid = |errors| Status::invalid(&storage.group, &storage.kind, &name, error::causes(&errors));
        self.allocators().allocate(new, old).map(Some).map_err(invalid)
    }

    /// Removes an object at the revision it was seen at; answers its last state at the revision of the removal.
    pub(super) async fn remove(
        &self,
        storage: &Resource,
        current: &Current,
    ) -> Result<Result<Arc<Object>, Option<Current>>, Status> {
        let meta = &current.object.meta;
        let key = storage.store_key(&meta.namespace, &meta.name);
        let expect = Expect::Revision(current.revision());
        let write = Write { key, expect, change: Change::Delete, durability: strategy::of(storage).durability };
        let mut hold = is_service(storage).then(|| self.allocators().giving_up(&current.value));
        hold.iter_mut().for_each(Hold::begin);
        match self.timed("delete", storage, write).await {
            Ok(written) => {
                if let Some(hold) = hold {
                    hold.keep();
                }
                Ok(Ok(Arc::new(current.object.at_revision(written.entry.revision))))
            }
            Err(StoreError::Conflict { current }) => {
                hold.iter_mut().for_each(Hold::fail);
                Ok(Err(decode_some(current.as_ref(), storage).await?))
            }
            Err(failure) => Err(error::store(failure)),
        }
    }
}

/// Brings a tree, decoded and defaulted, to the form Go writes: zero values that clients expect to see are there. Objects are
/// stored in this form. Everything between reading and storing works on the minimal form, in which absent means zero.
pub(super) fn canonical(value: &mut Value, storage: &Resource) {
    if let Some(message) = message(storage) {
        api::prune::canonical(value, message);
    }
}

/// What describes the row's stored objects; nothing does those of custom kinds.
pub(super) fn message(storage: &Resource) -> Option<&'static api::schema::Message> {
    api::schema::for_kind(&storage.group, &storage.version, &storage.kind).filter(|_| storage.builtin)
}

/// The object that a tree becomes, size checked.
pub(super) fn encode(value: &Value, owners: &Owners, storage: &Resource) -> Result<Object, Status> {
    let mut value = value.clone();
    canonical(&mut value, storage);
    let encode = |managed: &[u8]| {
        Object::encode_with(&value, managed, 0, storage).map_err(|error| Status::bad_request(error_text(&error)))
    };
    let fits = |object: &Object| object.stored_bytes().len() <= OBJECT_MAX;
    let mut object = encode(&owners.text)?;
    if !fits(&object) && !owners.needed && !owners.text.is_empty() {
        object = encode(b"")?;
    }
    if fits(&object) { Ok(object) } else { Err(Status::too_large(OBJECT_MAX)) }
}

fn error_text(error: &api::ObjectError) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

async fn decode_some(entry: Option<&Entry>, storage: &Resource) -> Result<Option<Current>, Status> {
    match entry {
        Some(entry) => decode(entry, storage).await.map(Some),
        None => Ok(None),
    }
}

async fn decode(entry: &Entry, storage: &Resource) -> Result<Current, Status> {
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::error!(key = &*entry.key, %error, "the store holds a value that is no object");
        Status::internal("the stored object cannot be read")
    };
    let object = Object::stored(entry.value.clone(), entry.revision, storage).map_err(|e| unreadable(&e))?;
    let (mut value, managed) = object.split().map_err(|e| unreadable(&e))?;
    if let Some(message) = message(storage) {
        api::prune::decode(&mut value, message).map_err(|e| unreadable(&e))?;
    }
    let (object, mut value, outdated) = custom::current(storage, object, value, managed.as_deref()).await?;
    value.put("metadata.resourceVersion", entry.revision.to_string());
    Ok(Current { object: Arc::new(object), value, managed, outdated })
}

fn is_service(storage: &Resource) -> bool {
    storage.group.is_empty() && &*storage.plural == "services"
}
