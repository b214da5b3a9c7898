//! What goes from an object because whoever applied it applies it no longer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::owned::{named, owned};
use super::remove::remove;
use super::update::{ApplyError, Kind};
use super::versions::{Unconverted, converted};
use crate::fields::Set;
use crate::managed_fields::{Entry, ManagedFields};

/// How upstream's complaints begin about versions between which objects go back and forth.
const MERGED: &str = "failed to convert merged object to last applied version: ";
const DANGLING: &str = "failed add back dangling items: failed to convert pruned object to last applied version: ";

/// Taking out what an applier owned and no longer applies, unless somebody else owns it.
pub(super) struct Pruning<'a> {
    pub(super) kind: &'a dyn Kind,
    pub(super) managed: &'a ManagedFields,
    /// The version of the merged object and of the outcome.
    pub(super) version: &'a str,
}

impl Pruning<'_> {
    /// What stays of the merged object. `before` is what the applier owned.
    pub(super) fn prune(&self, merged: &Value, before: &Entry) -> Result<Value, ApplyError> {
        let last = before.set()?;
        let then = &*before.manager.api_version;
        let (Some(form), false) = (self.kind.form(then), last.is_empty()) else { return Ok(merged.clone()) };
        let Some(merged_then) = self.at(merged, self.version, then, &|| MERGED.to_owned())? else {
            return Ok(merged.clone());
        };
        let last = named(Some(form), &last);
        let pruned = remove(form, &merged_then, &last);
        let (pruned, at) = self.add_back_owned(&merged_then, pruned, then)?;
        // What was owned and is not taken out with the rest stays: nobody wants it, and nobody asked for its end.
        let Some(pruned) = self.at(&pruned, &at, then, &|| DANGLING.to_owned())? else { return Ok(merged.clone()) };
        let set = |value: &Value| named(Some(form), &owned(form, value));
        let gone = set(&merged_then).difference(&set(&pruned)).intersection(&last);
        let out = remove(form, &merged_then, &gone);
        Ok(self.at(&out, then, self.version, &String::new)?.map_or_else(|| merged.clone(), Cow::into_owned))
    }

    /// Puts back what somebody owns, version by version; answers also with the version the outcome is at.
    fn add_back_owned(&self, merged: &Value, pruned: Value, then: &str) -> Result<(Value, String), ApplyError> {
        let mut owners: BTreeMap<&str, Set> = BTreeMap::new();
        for entry in self.managed.entries() {
            let all = owners.entry(&entry.manager.api_version).or_default();
            *all = all.union(&*entry.set()?);
        }
        // The version of the prune first: fields may be missing there that a conversion needs.
        let mut versions: Vec<&str> = owners.keys().copied().filter(|version| *version != then).collect();
        versions.splice(0..0, owners.contains_key(then).then_some(then));
        let (mut merged, mut pruned, mut at) = (Cow::Borrowed(merged), pruned, then.to_owned());
        for version in versions {
            let Some(form) = self.kind.form(version) else { continue };
            let what =
                |which| format!("failed add back owned items: failed to convert {which} object at version {version}: ");
            let whole = self.at(&merged, &at, version, &|| what("merged"))?;
            let (Some(whole), Some(part)) = (whole, self.at(&pruned, &at, version, &|| what("pruned"))?) else {
                continue;
            };
            let set = |value: &Value| named(Some(form), &owned(form, value));
            let kept = set(&part).union(&named(Some(form), &owners[version]));
            let next = remove(form, &whole, &set(&whole).difference(&kept));
            merged = Cow::Owned(whole.into_owned());
            pruned = next;
            at = version.to_owned();
        }
        Ok((pruned, at))
    }

    /// `None` when there is no such version; `what` begins the complaint about an object that is nothing there.
    fn at<'v>(
        &self,
        value: &'v Value,
        from: &str,
        to: &str,
        what: &dyn Fn() -> String,
    ) -> Result<Option<Cow<'v, Value>>, ApplyError> {
        if from == to {
            return Ok(Some(Cow::Borrowed(value)));
        }
        match converted(self.kind, value, from, to) {
            Ok(value) => Ok(Some(Cow::Owned(value))),
            Err(Unconverted::NoVersion) => Ok(None),
            Err(Unconverted::Untyped(why)) => {
                Err(ApplyError::Untyped(format!("failed to prune fields: {}{why}", what())))
            }
            Err(Unconverted::Unasked(question)) => Err(ApplyError::Unasked(vec![*question])),
        }
    }
}
