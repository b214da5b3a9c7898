//! Who owns what after a write: of an update what it changed, of an apply what it says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::compare::{Difference, compare};
use super::merge::merge;
use super::owned::owned;
use super::prune::Pruning;
use super::reconcile::reconcile;
use super::validate::validate;
use super::versions::{Question, Unconverted, check_elsewhere, compare_elsewhere, forget_unknown};
use crate::fields::{Node, Path, Set, Step, WireError, same, show};
use crate::managed_fields::{Entry, ManagedFields, Manager, Operation};
use crate::quote::quote;
use crate::shape::Form;

/// Who owned the fields of an object before anybody was recorded.
const BEFORE_FIRST: &str = "before-first-apply";

/// Fields that belong to nobody.
static NOBODYS: std::sync::LazyLock<Set> = std::sync::LazyLock::new(|| {
    Set::named(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
});

/// What has to be known of a kind, at each of its versions.
pub trait Kind {
    /// What its objects are made of at a version; `None` when there is no such version.
    fn form(&self, version: &str) -> Option<Form<'_>>;
    /// An object of one version at another.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Result<Value, Unconverted>;
    /// The fields that a write through this part cannot set, as far as managers at a version are told.
    fn reset(&self, version: &str) -> &Reset;
    /// Whether the schema may have changed since the object or a set was written, or a set be written by nobody who knew it.
    fn may_have_changed(&self) -> bool;
}

/// Fields that a write cannot set.
#[derive(Clone, Debug, Default)]
pub enum Reset {
    /// None.
    #[default]
    Nothing,
    /// These and all below them.
    These(Set),
    /// All but what is at these paths and below; a star is any step.
    AllBut(&'static [&'static [&'static str]]),
}

impl Reset {
    fn filter(&self, set: Set) -> Set {
        match self {
            Self::Nothing => set,
            Self::These(fields) => set.recursive_difference(fields),
            Self::AllBut(kept) => only(set, kept),
        }
    }

    pub(super) fn filter_both(&self, found: Difference) -> Difference {
        Difference { changed: self.filter(found.changed), removed: self.filter(found.removed), ..found }
    }
}

fn only(set: Set, paths: &[&[&str]]) -> Set {
    let nodes = set.0.into_iter().filter_map(|node| {
        let fits = |name: &str| name == "*" || matches!(&node.step, Step::Field(field) if **field == *name);
        let split = paths.iter().filter_map(|path| path.split_first());
        let rests: Vec<&[&str]> = split.filter(|(first, _)| fits(first)).map(|(_, rest)| rest).collect();
        if rests.is_empty() {
            return None;
        }
        let below = if rests.iter().any(|rest| rest.is_empty()) { node.below } else { only(node.below, &rests) };
        Some(Node { below, ..node })
    });
    Set(nodes.filter(|node| node.member || !node.below.is_empty()).collect())
}

/// Why an apply did not work.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Others own what it would change: 409.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// Something is wrong with the sets of the object: 500.
    #[error("failed to decode managed fields: {0}")]
    Fields(#[from] WireError),
    /// The version is not one of the kind's.
    #[error("no corresponding type for {0}")]
    Version(String),
    /// An object is not what the schema of a version says, in upstream's words: 500.
    #[error("{0}")]
    Untyped(String),
    /// These are needed at other versions. Who has answers tries again.
    #[error("objects at other versions are needed")]
    Unasked(Vec<Question>),
}

/// A field that somebody else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// The field.
    pub path: Path,
}

impl Conflict {
    /// The owner in upstream's words: `"kubectl" using apps/v1`.
    pub fn owner(&self) -> String {
        let Manager { name, operation, api_version, subresource } = &self.manager;
        let mut text = quote(name);
        if !subresource.is_empty() {
            text = format!("{text} with subresource {}", quote(subresource));
        }
        match operation {
            Operation::Apply => text,
            Operation::Update => format!("{text} using {api_version}"),
        }
    }

    /// The field in upstream's words.
    pub fn field(&self) -> String {
        show(&self.path)
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.owner(), one.field());
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        let owner = conflict.owner();
        if last.as_ref() != Some(&owner) {
            lines.push(format!("conflicts with {owner}:"));
            last = Some(owner);
        }
        lines.push(format!("- {}", conflict.field()));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// Records an update from `old` to `new`, both at the manager's version and in the minimal form. Where something has to be
/// asked first, nothing has changed yet.
pub fn track(
    managed: &mut ManagedFields,
    kind: &dyn Kind,
    old: &Value,
    new: &Value,
    manager: Manager,
    now: Timestamp,
) -> Result<(), ApplyError> {
    let version = manager.api_version.clone();
    let Some(form) = kind.form(&version) else { return Err(ApplyError::Version(version.into())) };
    if kind.may_have_changed() {
        for object in [new, old] {
            validate(form, object, true).map_err(ApplyError::Untyped)?;
        }
    }
    let found = compare(form, old, new, true);
    if found.unkeyed {
        return Err(ApplyError::Untyped("an element of an associative list has none of its keys".to_owned()));
    }
    let found = kind.reset(&version).filter_both(found);
    let elsewhere = match compare_elsewhere(kind, &version, (old, new), managed, true) {
        // Nobody is asked about what does not change.
        Err(ApplyError::Unasked(_)) if found.is_empty() => BTreeMap::new(),
        compared => compared?,
    };
    forget_unknown(managed, kind)?;
    reconcile_all(managed, kind)?;
    if found.is_empty() && elsewhere.values().all(Difference::is_empty) {
        return Ok(managed.settle()?);
    }
    let mut own = found.clone();
    own.changed.subtract(&NOBODYS);
    let mut is_new = !own.changed.is_empty();
    let mut failed = None;
    managed.entries_mut().retain_mut(|entry| {
        if failed.is_some() {
            return true;
        }
        let kept = if !own.changed.is_empty() && entry.manager.is(&manager) {
            is_new = false;
            grow(entry, &own, now).map(|()| true)
        } else if entry.manager.api_version == version {
            shrink(entry, &found).map(|()| true)
        } else {
            match elsewhere.get(&entry.manager.api_version) {
                Some(found) => shrink(entry, found).map(|()| true),
                None => Ok(false),
            }
        };
        kept.unwrap_or_else(|error| {
            failed = Some(error);
            true
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    if is_new {
        managed.insert(Entry::new(manager, Some(now), own.changed));
    }
    Ok(managed.settle()?)
}

/// The writer's own entry takes what was changed. Its set stays as it is written when it says nothing new.
fn grow(entry: &mut Entry, found: &Difference, now: Timestamp) -> Result<(), WireError> {
    entry.time = Some(now);
    if entry.count(&found.changed)? < found.changed.len() || entry.count(&found.removed)? > 0 {
        let set = entry.set()?.difference(&found.removed).union(&found.changed);
        entry.put(set);
    }
    Ok(())
}

/// Another's entry loses what was changed or removed.
fn shrink(entry: &mut Entry, found: &Difference) -> Result<(), WireError> {
    if entry.count(&found.changed)? + entry.count(&found.removed)? > 0 {
        let set = entry.set()?.difference(&found.changed).difference(&found.removed);
        entry.put(set);
    }
    Ok(())
}

fn reconcile_all(managed: &mut ManagedFields, kind: &dyn Kind) -> Result<(), WireError> {
    if !kind.may_have_changed() {
        return Ok(());
    }
    for entry in managed.entries_mut() {
        let Some(form) = kind.form(&entry.manager.api_version) else { continue };
        let reconciled = reconcile(form, &*entry.set()?);
        if let Some(set) = reconciled {
            entry.put(set);
        }
    }
    Ok(())
}

/// An object as upstream's complaints name it.
pub fn described(object: &Value) -> String {
    let said = |value: &Value, field| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    format!("{}/{}; {}", said(metadata, "namespace"), said(metadata, "name"), kind_of(object))
}

/// What an object says it is, as upstream's complaints have it: the core group comes with its slash.
pub fn kind_of(object: &Value) -> String {
    let said = |field| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let version = said("apiVersion");
    let core = if version.contains('/') { "" } else { "/" };
    format!("{core}{version}, Kind={}", said("kind"))
}

/// Applies `applied` to `live`, both at the manager's version, `live` as clients see it. `None` when it changes nothing of
/// the object; who owns what may change all the same.
pub fn apply(
    managed: &mut ManagedFields,
    kind: &dyn Kind,
    live: &Value,
    applied: &Value,
    manager: Manager,
    force: bool,
    now: Timestamp,
) -> Result<Option<Value>, ApplyError> {
    let version = manager.api_version.clone();
    let Some(form) = kind.form(&version) else { return Err(ApplyError::Version(version.into())) };
    let typed = |what: &str, end: &str, object, duplicates| {
        let complaint = |why| ApplyError::Untyped(format!("{what} ({}){end}: {why}", described(object)));
        validate(form, object, duplicates).map_err(complaint)
    };
    if managed.is_empty() {
        let what = "failed to create manager for existing fields: failed to convert new object";
        typed(what, " to smd typed", live, true)?;
        let nothing = Value::Object(serde_json::Map::new());
        let before = Manager { name: BEFORE_FIRST.into(), operation: Operation::Update, ..manager.clone() };
        track(managed, kind, &nothing, live, before, now)?;
    }
    typed("failed to create typed patch object", "", applied, false)?;
    typed("failed to create typed live object", "", live, true)?;
    check_elsewhere(kind, &version, live, managed)?;
    forget_unknown(managed, kind)?;
    reconcile_all(managed, kind)?;
    let merged = merge(form, live, applied);
    let before = managed.of(&manager).cloned();
    let time = before.as_ref().and_then(|before| before.time);
    let set = kind.reset(&version).filter(owned(form, applied));
    managed.insert(Entry::new(manager.clone(), time, set));
    let new = match before {
        Some(before) => Pruning { kind, managed, version: &version }.prune(&merged, &before)?,
        None => merged,
    };
    settle_conflicts(managed, kind, live, &new, &manager, force)?;
    let changed = !same(live, &new);
    for entry in managed.entries_mut().iter_mut().filter(|entry| entry.manager.is(&manager)) {
        let set = entry.set()?.difference(&NOBODYS);
        entry.put(set);
        if changed {
            entry.time = Some(now);
        }
    }
    managed.settle()?;
    Ok(changed.then_some(new))
}

/// Takes from others what an apply changes, or complains.
fn settle_conflicts(
    managed: &mut ManagedFields,
    kind: &dyn Kind,
    live: &Value,
    new: &Value,
    manager: &Manager,
    force: bool,
) -> Result<(), ApplyError> {
    let version = &manager.api_version;
    let Some(form) = kind.form(version) else { return Err(ApplyError::Version(version.to_string())) };
    let here = kind.reset(version).filter_both(compare(form, live, new, false));
    let elsewhere = compare_elsewhere(kind, version, (live, new), managed, false)?;
    let mut conflicts = Vec::new();
    let mut kept = Vec::with_capacity(managed.entries().len());
    for mut entry in std::mem::take(managed.entries_mut()) {
        if !entry.manager.is(manager) {
            let at = &entry.manager.api_version;
            let Some(found) = (if at == version { Some(&here) } else { elsewhere.get(at) }) else { continue };
            let taken = entry.set()?.intersection(&found.changed);
            let conflict = |path| Conflict { manager: entry.manager.clone(), path };
            conflicts.extend(taken.paths().into_iter().map(conflict));
            shrink(&mut entry, found)?;
        }
        kept.push(entry);
    }
    *managed.entries_mut() = kept;
    if force || conflicts.is_empty() {
        return Ok(());
    }
    conflicts.sort_by_cached_key(Conflict::owner);
    Err(ApplyError::Conflicts(conflicts))
}
