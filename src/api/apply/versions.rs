//! Objects at the versions that somebody names fields at. Who converts them may have to be asked first: then what is to be
//! asked is collected, and everything is done again with the answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compare::{Difference, compare};
use super::update::{ApplyError, Kind};
use crate::managed_fields::ManagedFields;

/// Why an object is not at hand at another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unconverted {
    /// One of the versions is none of the kind's, or no longer.
    NoVersion,
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
    for entry in managed.entries() {
        let to = &entry.manager.api_version;
        let (false, Some(form)) = (**to == *version || found.contains_key(to), kind.form(to)) else { continue };
        match (kind.convert(old, version, to), kind.convert(new, version, to)) {
            (Ok(old), Ok(new)) => {
                found.insert(to.clone(), kind.reset().filter_both(compare(form, &old, &new, minimal)));
            }
            // Whatever is needed is asked for at once.
            (old, new) => {
                for why in [old, new].into_iter().filter_map(Result::err) {
                    match why {
                        Unconverted::Unasked(question) if !questions.contains(&*question) => questions.push(*question),
                        _ => {}
                    }
                }
            }
        }
    }
    if questions.is_empty() { Ok(found) } else { Err(ApplyError::Unasked(questions)) }
}
