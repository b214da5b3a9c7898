//! An object at rest: parsed metadata beside the bytes it was written as.
//!
//! A decoded Pod costs ten times its bytes, so nothing in the process keeps decoded objects. The JSON is made once, when
//! the object is written; store, watch cache and pending events share it, and GET, LIST and every watcher are served from it.
//!
//! The revision of a write is known only after it is made, so stored bytes carry no `resourceVersion`: it is spliced in,
//! at a place remembered per object, whenever the bytes leave the process.

mod parse;
mod remembered;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::remembered::{Place, Remembered, Row};
use crate::{Meta, Resource, json};

/// Why bytes are no object.
#[derive(Debug, thiserror::Error)]
#[error("not an API object")]
pub struct ObjectError(#[from] serde_json::Error);

/// So many objects are looked at together: processors keep about as many looks in mind.
pub const LOOKS: usize = 16;

/// One object: immutable, shared as `Arc<Object>`.
#[derive(Clone, Debug)]
pub struct Object {
    /// The parsed metadata.
    pub meta: Meta,
    bytes: Bytes,
    /// Where `"resourceVersion":"…",` belongs; `None` when the bytes already carry it.
    splice: Option<NonZeroU32>,
    /// Where the metadata ends, in bytes of our own form.
    metadata_end: Place,
    protobuf: Remembered,
    row: Row,
}

impl Object {
    /// Encodes a whole object for the store: `kind`, `apiVersion` and `metadata` lead, `resourceVersion` is left out.
    /// `revision` is what the object answers to until it is stored (0 for a new one).
    pub fn encode(value: &Value, revision: u64, resource: &Resource) -> Result<Self, ObjectError> {
        Self::encode_with(value, b"", revision, resource)
    }

    /// The same with `metadata.managedFields` from JSON; the tree has none of its own then. Empty for none.
    pub fn encode_with(value: &Value, managed: &[u8], revision: u64, resource: &Resource) -> Result<Self, ObjectError> {
        Self::stored(Bytes::from(canonical(value, managed)?), revision, resource)
    }

    /// An object as the store holds it, written at `revision`.
    pub fn stored(bytes: Bytes, revision: u64, resource: &Resource) -> Result<Self, ObjectError> {
        let Some(splice) = splice_point(&bytes) else {
            // Not written by `encode` (another implementation's value): bring it into our form.
            let value = Value::Object(serde_json::from_slice::<Map<String, Value>>(&bytes)?);
            return Self::stored(Bytes::from(canonical(&value, b"")?), revision, resource);
        };
        let mut meta = parse::meta(&bytes, resource)?;
        meta.resource_version = revision;
        Ok(Self::new(meta, bytes, Some(splice)))
    }

    /// An object as it came over the wire, `resourceVersion` and all.
    pub fn received(bytes: Bytes, resource: &Resource) -> Result<Self, ObjectError> {
        let meta = parse::meta(&bytes, resource)?;
        Ok(Self::new(meta, bytes, None))
    }

    fn new(meta: Meta, bytes: Bytes, splice: Option<NonZeroU32>) -> Self {
        let (metadata_end, protobuf, row) = Default::default();
        Self { meta, bytes, splice, metadata_end, protobuf, row }
    }

    /// The same object at another revision: what a deletion leaves behind.
    pub fn at_revision(&self, revision: u64) -> Self {
        let mut same = self.clone();
        same.meta.resource_version = revision;
        same
    }

    /// The bytes as the store holds them, without `resourceVersion`.
    pub fn stored_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Looks at what lists are about to read of these objects, a few at a time. Memory that was not used for a while answers after
    /// hundreds of instructions, and who writes one object after the other waits for each; looks that do not depend on one another
    /// are answered together.
    pub fn look_at(objects: &[Arc<Self>]) {
        let mut seen = 0;
        for object in objects {
            seen ^= object.meta.resource_version ^ object.bytes.len() as u64;
        }
        for object in objects {
            let metadata = object.splice.map_or(0, |at| at.get() as usize - 1);
            let row = object.row.get().and_then(<[u8]>::first);
            for byte in [object.bytes.first(), object.bytes.get(metadata), row].into_iter().flatten() {
                seen ^= u64::from(*byte);
            }
        }
        std::hint::black_box(seen);
    }

    /// The same objects once more. Counting who holds them is a look at each as well.
    pub fn share_all<'o>(objects: impl Iterator<Item = &'o Arc<Self>>) -> Vec<Arc<Self>> {
        let found: Vec<&Arc<Self>> = objects.collect();
        let mut shared = Vec::with_capacity(found.len());
        for some in found.chunks(LOOKS) {
            std::hint::black_box(some.iter().map(|object| Arc::strong_count(object)).sum::<usize>());
            shared.extend(some.iter().map(|object| Arc::clone(object)));
        }
        shared
    }

    /// Appends the JSON of the object, `resourceVersion` included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self.splice {
            None => out.extend_from_slice(&self.bytes),
            Some(_) if self.meta.resource_version == 0 => out.extend_from_slice(&self.bytes),
            Some(at) => {
                let (head, tail) = self.bytes.split_at(at.get() as usize);
                splice(self.meta.resource_version, head, tail, out);
            }
        }
    }

    /// Appends the JSON of the object's metadata, `resourceVersion` included. Only the metadata is read.
    pub fn write_metadata(&self, out: &mut Vec<u8>) -> Result<(), ObjectError> {
        let Some(at) = self.splice.map(|at| at.get() as usize) else {
            out.extend_from_slice(parse::metadata(&self.bytes)?.as_bytes());
            return Ok(());
        };
        let metadata = &self.bytes[at - 1..self.metadata_end(at)?];
        match self.meta.resource_version {
            0 => out.extend_from_slice(metadata),
            revision => splice(revision, &metadata[..1], &metadata[1..], out),
        }
        Ok(())
    }

    /// Reads a view of what stands beside the metadata, which is often the longest part and is skipped without a look.
    pub fn view_beside_metadata<T: DeserializeOwned>(&self) -> Result<T, ObjectError> {
        let Some(at) = self.splice.map(|at| at.get() as usize) else { return self.view() };
        let rest = &self.bytes[self.metadata_end(at)?..];
        let mut beside = Vec::with_capacity(rest.len() + 1);
        beside.push(b'{');
        beside.extend_from_slice(rest.strip_prefix(b",").unwrap_or(rest));
        Ok(serde_json::from_slice(&beside)?)
    }

    /// Behind the brace that closes the metadata, which is opened right before `at`.
    fn metadata_end(&self, at: usize) -> Result<usize, ObjectError> {
        if let Some(end) = self.metadata_end.get() {
            return Ok(end.get() as usize);
        }
        let end = at - 1 + parse::leading(&self.bytes[at - 1..])?.len();
        self.metadata_end.set(end);
        Ok(end)
    }

    /// The JSON of the object, `resourceVersion` included.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 48);
        self.write_json(&mut out);
        out
    }

    /// How many bytes [`Object::write_json`] appends at most.
    pub fn json_len(&self) -> usize {
        self.bytes.len() + 48
    }

    /// How long the object is as a protobuf message, if that was found out before ([`Object::remember_protobuf_len`]): lists
    /// say how long they are before they are written.
    pub fn protobuf_len(&self) -> Option<usize> {
        self.protobuf.len()
    }

    /// Keeps what [`Object::protobuf_len`] then says.
    pub fn remember_protobuf_len(&self, length: usize) {
        self.protobuf.set_len(length);
    }

    /// The object as a protobuf message, if somebody made it and keeps it here ([`Object::keep_protobuf`]).
    pub fn protobuf(&self) -> Option<Arc<[u8]>> {
        self.protobuf.whole()
    }

    /// Keeps what [`Object::protobuf`] then gives, for as long as the object lives: whoever keeps much bounds it, and lets go
    /// of it ([`Object::let_go_of_protobuf`]).
    pub fn keep_protobuf(&self, form: Arc<[u8]>) {
        self.protobuf.set_whole(form);
    }

    /// Forgets the message; its length stays known.
    pub fn let_go_of_protobuf(&self) {
        self.protobuf.let_go();
    }

    /// The object's row in tables, if somebody made it and keeps it here ([`Object::keep_row`]).
    pub fn row(&self) -> Option<&[u8]> {
        self.row.get()
    }

    /// Keeps what [`Object::row`] then gives, for as long as the object lives: a few texts beside its own.
    pub fn keep_row(&self, row: Box<[u8]>) {
        self.row.set(row);
    }

    /// The object as a tree, `resourceVersion` included. Transient: drop it soon.
    pub fn to_value(&self) -> Result<Value, ObjectError> {
        Ok(serde_json::from_slice(&self.to_json())?)
    }

    /// The object as it is stored, as a tree without `resourceVersion` and `metadata.managedFields`, and the latter as JSON:
    /// a write looks at who owns what only when it has to.
    pub fn split(&self) -> Result<(Value, Option<Box<str>>), ObjectError> {
        Ok(parse::split(&self.bytes)?)
    }

    /// The values at some paths as selectors compare them, empty where absent. One pass over the bytes.
    pub fn fields(&self, paths: &[Box<str>]) -> Box<[Box<str>]> {
        parse::fields(&self.bytes, paths)
    }

    /// `apiVersion` of the object, if the bytes are in the form of the store.
    pub fn api_version(&self) -> Option<&str> {
        let splice = self.splice?.get() as usize;
        let head = std::str::from_utf8(self.bytes.get(..splice)?).ok()?;
        let (_, version) = head.split_once(",\"apiVersion\":\"")?;
        version.split('"').next()
    }

    /// A view of the object: a struct that names the fields its reader needs (a `k8s_openapi` type is one).
    /// Never write a view back: fields it does not name would be lost. Use a patch.
    pub fn view<T: DeserializeOwned>(&self) -> Result<T, ObjectError> {
        match self.splice {
            None => Ok(serde_json::from_slice(&self.bytes)?),
            Some(_) => Ok(serde_json::from_slice(&self.to_json())?),
        }
    }
}

/// Appends an object's text with the revision where it belongs.
fn splice(revision: u64, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head);
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(if tail.first() == Some(&b'}') { b"\"" } else { b"\"," });
    out.extend_from_slice(tail);
}

const METADATA: &[u8] = b"\"metadata\":{";

/// Behind the opening brace of `metadata`. In canonical form only `kind` and `apiVersion` precede it, and neither can hold it.
fn splice_point(bytes: &[u8]) -> Option<NonZeroU32> {
    if !bytes.starts_with(b"{\"kind\":") {
        return None;
    }
    let at = bytes.windows(METADATA.len()).take(512).position(|w| w == METADATA)?;
    NonZeroU32::new(u32::try_from(at + METADATA.len()).ok()?)
}

fn canonical(value: &Value, managed: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let mut out = Vec::with_capacity(1024 + managed.len());
    out.extend_from_slice(b"{\"kind\":");
    serde_json::to_writer(&mut out, object.get("kind").unwrap_or(&Value::Null))?;
    out.extend_from_slice(b",\"apiVersion\":");
    serde_json::to_writer(&mut out, object.get("apiVersion").unwrap_or(&Value::Null))?;
    out.extend_from_slice(b",\"metadata\":{");
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    members(&mut out, metadata, |key| key != "resourceVersion", true)?;
    if !managed.is_empty() {
        let first = out.ends_with(b"{");
        out.extend_from_slice(if first { b"\"managedFields\":" } else { b",\"managedFields\":" });
        out.extend_from_slice(managed);
    }
    out.push(b'}');
    members(&mut out, object, |key| !matches!(key, "kind" | "apiVersion" | "metadata"), false)?;
    out.push(b'}');
    Ok(out)
}

fn members(
    out: &mut Vec<u8>,
    from: &Map<String, Value>,
    keep: impl Fn(&str) -> bool,
    mut first: bool,
) -> Result<(), serde_json::Error> {
    for (key, value) in from.iter().filter(|(key, _)| keep(key)) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, key)?;
        out.push(b':');
        json::write(out, value)?;
    }
    Ok(())
}
