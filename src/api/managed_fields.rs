//! Who owns which fields of an object: `metadata.managedFields`.
//!
//! It is the longest part of most objects' metadata and the least often asked for. It is kept apart from the tree of an
//! object that is being written, its field sets stay JSON until one has to change, and a set that does not change is
//! written as it was read.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::fields::{Set, WireError};
use crate::time;

/// Most managers that only update; beyond, the oldest become one.
const MAX_UPDATERS: usize = 10;
/// The manager the oldest updaters become.
const ANCIENT: &str = "ancient-changes";

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It applies.
    Apply,
    /// It does anything else.
    Update,
}

impl Operation {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who owns fields: a program, the way it writes, through which part. Updaters are told apart by version, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// `kubectl`, `kubelet` …
    pub name: Box<str>,
    /// How it writes.
    pub operation: Operation,
    /// The version at which its fields are named.
    pub api_version: Box<str>,
    /// The subresource it writes through; empty for the object itself.
    pub subresource: Box<str>,
}

impl Manager {
    /// Whether both are the same manager. One who applies is the same at every version.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// What one manager owns.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who.
    pub manager: Manager,
    /// When it last took a field.
    pub time: Option<Timestamp>,
    fields: Fields,
}

/// A set of fields, as it was read or as it was made.
#[derive(Clone, Debug)]
enum Fields {
    Wire(Box<str>),
    Set(Set),
}

impl Entry {
    /// An entry of a set.
    pub fn new(manager: Manager, time: Option<Timestamp>, set: Set) -> Self {
        Self { manager, time, fields: Fields::Set(set) }
    }

    /// The set.
    pub fn set(&self) -> Result<Cow<'_, Set>, WireError> {
        Ok(match &self.fields {
            Fields::Wire(text) => Cow::Owned(Set::parse(text.as_bytes())?),
            Fields::Set(set) => Cow::Borrowed(set),
        })
    }

    /// Gives the manager another set.
    pub fn put(&mut self, set: Set) {
        self.fields = Fields::Set(set);
    }

    /// How many fields of `set` are the manager's.
    pub fn count(&self, set: &Set) -> Result<usize, WireError> {
        match &self.fields {
            Fields::Wire(text) => set.count_in(text.as_bytes()),
            Fields::Set(own) => Ok(own.intersection(set).len()),
        }
    }

    fn is_empty(&self) -> bool {
        match &self.fields {
            Fields::Wire(text) => &**text == "{}",
            Fields::Set(set) => set.is_empty(),
        }
    }

    /// Whether both say the same, times apart.
    fn same_but_time(&self, other: &Self) -> bool {
        self.manager == other.manager
            && match (&self.fields, &other.fields) {
                (Fields::Wire(a), Fields::Wire(b)) => a == b,
                (Fields::Set(a), Fields::Set(b)) => a == b,
                (Fields::Wire(text), Fields::Set(set)) | (Fields::Set(set), Fields::Wire(text)) => {
                    Set::parse(text.as_bytes()).is_ok_and(|parsed| parsed == *set)
                }
            }
    }
}

/// Why managed fields cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// An entry says something it must not.
    #[error("{0}")]
    Entry(String),
    /// A set cannot be read.
    #[error("error decoding set: {0}")]
    Set(#[from] WireError),
    /// It is no list of entries at all.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// An entry on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(default, borrow)]
    manager: Cow<'a, str>,
    #[serde(default, borrow)]
    operation: Cow<'a, str>,
    #[serde(default, borrow)]
    api_version: Cow<'a, str>,
    #[serde(default, borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    fields_type: Cow<'a, str>,
    #[serde(default, rename = "fieldsV1", borrow)]
    fields: Option<&'a RawValue>,
    #[serde(default, borrow)]
    subresource: Cow<'a, str>,
}

/// The managed fields of one object.
#[derive(Clone, Debug, Default)]
pub struct ManagedFields {
    entries: Vec<Entry>,
    /// Whether a manager had more than one entry when this was read.
    doubled: bool,
}

impl ManagedFields {
    /// Reads `metadata.managedFields` as it is stored. Of a manager's entries the last counts.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wire: Option<Vec<Wire<'_>>> = serde_json::from_str(text)?;
        let mut managed = Self::default();
        for (at, entry) in wire.into_iter().flatten().enumerate() {
            let entry = read(entry, at)?;
            managed.doubled |= managed.of(&entry.manager).is_some();
            managed.insert(entry);
        }
        Ok(managed)
    }

    /// Reads what a client sent; the sets are brought into their form, too, except those that `known` has as well.
    pub fn from_value(value: &Value, known: &Self) -> Result<Self, Invalid> {
        let mut managed = Self::parse(&value.to_string())?;
        for entry in &mut managed.entries {
            if !known.entries.iter().any(|known| known.same_but_time(entry)) {
                let set = entry.set()?.into_owned();
                entry.put(set);
            }
        }
        Ok(managed)
    }

    /// Whether a client asks to forget all owners: one empty entry, or, of a built-in kind, an empty list.
    pub fn is_reset(value: &Value, builtin: bool) -> bool {
        match value.as_array().map(Vec::as_slice) {
            Some([]) => builtin,
            Some([one]) => one.as_object().is_some_and(|one| one.values().all(is_zero)),
            _ => false,
        }
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Who owns what.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.entries
    }

    /// The entry of a manager.
    pub fn of(&self, manager: &Manager) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.manager.is(manager))
    }

    /// Adds an entry, in place of the one its manager has.
    pub fn insert(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|found| found.manager.is(&entry.manager)) {
            Some(found) => *found = entry,
            None => self.entries.push(entry),
        }
    }

    /// Adds an entry beside the one its manager may have: whoever reads this again finds one of them.
    pub fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Whether both say the same, times and order apart, and in as many entries.
    pub fn same_but_times(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && !self.doubled
            && !other.doubled
            && self.entries.iter().all(|entry| other.of(&entry.manager).is_some_and(|found| found.same_but_time(entry)))
    }

    /// Drops managers that own nothing, makes the oldest of too many updaters one, and sorts: those who apply first, then
    /// by time.
    pub fn settle(&mut self) -> Result<(), WireError> {
        self.entries.retain(|entry| !entry.is_empty());
        self.cap()?;
        self.entries.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.manager.operation, seconds(entry));
            key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
        });
        Ok(())
    }

    fn cap(&mut self) -> Result<(), WireError> {
        let is_updater = |entry: &Entry| entry.manager.operation == Operation::Update;
        let mut count = self.entries.iter().filter(|entry| is_updater(entry)).count();
        if count <= MAX_UPDATERS {
            return Ok(());
        }
        let (mut updaters, mut kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(is_updater);
        updaters.sort_by(|a, b| seconds(a).cmp(&seconds(b)).then_with(|| names(a).cmp(&names(b))));
        // One bucket per version. The first of a version only stays itself as long as no second one joins it.
        let mut buckets: Vec<Entry> = Vec::new();
        for entry in updaters {
            let bucket = buckets.iter_mut().find(|bucket| bucket.manager.api_version == entry.manager.api_version);
            match bucket {
                Some(bucket) if count > MAX_UPDATERS => {
                    bucket.put(bucket.set()?.union(&*entry.set()?));
                    bucket.manager.name = ANCIENT.into();
                    bucket.manager.subresource = "".into();
                    bucket.time = entry.time;
                    count -= 1;
                }
                None if count > MAX_UPDATERS => buckets.push(entry),
                _ => kept.push(entry),
            }
        }
        kept.extend(buckets);
        self.entries = kept;
        Ok(())
    }

    /// Appends the list as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        use crate::fields::write_text;
        out.push(b'[');
        for (at, Entry { manager, time, fields }) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.push(b'{');
            if !manager.name.is_empty() {
                out.extend_from_slice(b"\"manager\":");
                write_text(out, &manager.name);
                out.push(b',');
            }
            out.extend_from_slice(b"\"operation\":\"");
            out.extend_from_slice(manager.operation.word().as_bytes());
            out.extend_from_slice(b"\",\"apiVersion\":");
            write_text(out, &manager.api_version);
            if let Some(time) = time {
                out.extend_from_slice(b",\"time\":");
                write_text(out, &time::format(*time));
            }
            out.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
            match fields {
                Fields::Wire(text) => out.extend_from_slice(text.as_bytes()),
                Fields::Set(set) => set.write_json(out),
            }
            if !manager.subresource.is_empty() {
                out.extend_from_slice(b",\"subresource\":");
                write_text(out, &manager.subresource);
            }
            out.push(b'}');
        }
        out.push(b']');
    }

    /// The list as a tree; null when there is nothing in it.
    pub fn to_value(&self) -> Value {
        if self.entries.is_empty() {
            return Value::Null;
        }
        let mut text = Vec::new();
        self.write_json(&mut text);
        serde_json::from_slice(&text).unwrap_or(json!(null))
    }
}

/// Whether a member of an entry says nothing.
fn is_zero(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn read(wire: Wire<'_>, at: usize) -> Result<Entry, Invalid> {
    let wrong = |why: String| Err(Invalid::Entry(why));
    let operation = match &*wire.operation {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return wrong("operation must be `Apply` or `Update`".into()),
    };
    if wire.api_version.is_empty() {
        return wrong("apiVersion must not be empty".into());
    }
    match &*wire.fields_type {
        "FieldsV1" => {}
        "" => return wrong(format!("missing fieldsType in managed fields entry {at}")),
        other => {
            return wrong(format!("invalid fieldsType {} in managed fields entry {at}", crate::quote::quote(other)));
        }
    }
    let manager = Manager {
        name: wire.manager.into(),
        operation,
        api_version: wire.api_version.into(),
        subresource: wire.subresource.into(),
    };
    let time = match wire.time {
        None => None,
        Some(text) => Some(time::parse(&text).map_err(|error| Invalid::Entry(error.to_string()))?),
    };
    let fields = Fields::Wire(wire.fields.map_or("{}", RawValue::get).into());
    Ok(Entry { manager, time, fields })
}

fn seconds(entry: &Entry) -> i64 {
    entry.time.map_or(0, Timestamp::as_second)
}

fn names(entry: &Entry) -> (&str, &str, &str) {
    (&entry.manager.name, &entry.manager.api_version, &entry.manager.subresource)
}
