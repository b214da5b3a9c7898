//! Objects at the versions that somebody names fields at. Who converts them may have to be asked first: then what is to be
//! asked is collected, and everything is done again with the answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::{Difference, compare};
use super::update::{ApplyError, Kind};
use super::validate::validate;
use crate::managed_fields::{Entry, ManagedFields};

/// Why an object is not at hand at another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unconverted {
    /// One of the versions is none of the kind's, or no longer.
    NoVersion,
    /// What came of it is not what the schema of the version says; why.
    Untyped(String),
    /// Nobody has been asked yet.
    Unasked(Box<Question>),
}

/// An object that is needed at another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The object, at the version it says.
    pub object: Value,
    /// The version: `group/version`.
    pub to: Box<str>,
}

/// An object at another version. What comes of it has to be what the schema there says: what only one of the versions knows
/// would be lost without a word.
pub(super) fn converted(kind: &dyn Kind, object: &Value, from: &str, to: &str) -> Result<Value, Unconverted> {
    let form = kind.form(to).ok_or(Unconverted::NoVersion)?;
    let object = kind.convert(object, from, to)?;
    validate(form, &object, false).map_err(Unconverted::Untyped)?;
    Ok(object)
}

/// Takes out the entries of versions that are none of the kind's, or no longer.
pub(super) fn forget_unknown(managed: &mut ManagedFields, kind: &dyn Kind) -> Result<(), ApplyError> {
    let unreadable = |entry: &&Entry| entry.manager.api_version.matches('/').count() > 1;
    if let Some(entry) = managed.entries().iter().find(unreadable) {
        let version = &entry.manager.api_version;
        return Err(ApplyError::Untyped(format!("unexpected GroupVersion string: {version}")));
    }
    managed.entries_mut().retain(|entry| kind.form(&entry.manager.api_version).is_some());
    Ok(())
}

/// Complains of an object that is not what it should be at each version that a manager names fields at, as far as it is
/// known there; what is missing is asked for with what the object becomes.
pub(super) fn check_elsewhere(
    kind: &dyn Kind,
    version: &str,
    object: &Value,
    managed: &ManagedFields,
) -> Result<(), ApplyError> {
    for to in elsewhere(version, managed) {
        if let Err(Unconverted::Untyped(why)) = converted(kind, object, version, to) {
            return Err(ApplyError::Untyped(why));
        }
    }
    Ok(())
}

/// The versions but `version` that managers name fields at.
fn elsewhere<'m>(version: &str, managed: &'m ManagedFields) -> BTreeSet<&'m str> {
    let versions = managed.entries().iter().map(|entry| &*entry.manager.api_version);
    versions.filter(|other| *other != version).collect()
}

/// What differs between two states of an object at each version but `version`, theirs, that a manager names fields at. What
/// is none of the kind's versions is left out.
pub(super) fn compare_elsewhere(
    kind: &dyn Kind,
    version: &str,
    (old, new): (&Value, &Value),
    managed: &ManagedFields,
    minimal: bool,
) -> Result<BTreeMap<Box<str>, Difference>, ApplyError> {
    let (mut found, mut questions) = (BTreeMap::new(), Vec::new());
    for to in elsewhere(version, managed) {
        let Some(form) = kind.form(to) else { continue };
        match (converted(kind, old, version, to), converted(kind, new, version, to)) {
            (Ok(old), Ok(new)) => {
                found.insert(to.into(), kind.reset(to).filter_both(compare(form, &old, &new, minimal)));
            }
            // Whatever is needed is asked for at once.
            (old, new) => {
                for (which, why) in [("old", old), ("new", new)].into_iter().filter_map(|(w, r)| Some((w, r.err()?))) {
                    match why {
                        Unconverted::Untyped(why) => {
                            return Err(ApplyError::Untyped(format!("failed to convert {which} object: {why}")));
                        }
                        Unconverted::Unasked(question) if !questions.contains(&*question) => questions.push(*question),
                        _ => {}
                    }
                }
            }
        }
    }
    if questions.is_empty() { Ok(found) } else { Err(ApplyError::Unasked(questions)) }
}
