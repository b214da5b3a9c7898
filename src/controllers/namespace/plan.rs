//! What is left in a namespace, and how its conditions say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, Resource};
use jiff::Timestamp;
use serde_json::Value;

use crate::pods::{Condition, set_condition};

/// What is left after everything was told to go.
#[derive(Debug, Default)]
pub(super) struct Remains {
    kinds: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    pub(super) errors: Vec<String>,
    /// The groups and versions of which nobody knows what they hold.
    undiscovered: Vec<String>,
}

impl Remains {
    pub(super) fn new(undiscovered: Vec<String>) -> Self {
        Self { undiscovered, ..Self::default() }
    }

    pub(super) fn add(&mut self, kind: &Resource, objects: &[Arc<Object>]) {
        if objects.is_empty() {
            return;
        }
        self.kinds.insert(format!("{}.{}", kind.plural, kind.group), objects.len());
        for finalizer in objects.iter().flat_map(|object| &object.meta.finalizers) {
            *self.finalizers.entry(finalizer.to_string()).or_default() += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.errors.is_empty() && self.undiscovered.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.kinds.values().sum()
    }
}

/// The conditions upstream shows on a terminating namespace; `None` when they stand already, or when nothing ever was in
/// the way.
pub(super) fn conditions(old: &Value, remains: &Remains, now: Timestamp) -> Option<Vec<Condition>> {
    let old: Vec<Condition> = serde_json::from_value(old.clone()).unwrap_or_default();
    if old.is_empty() && remains.is_empty() {
        return None;
    }
    let mut new = old.clone();
    for (kind, failure, fine) in states(remains) {
        let (status, (reason, message)) = match failure {
            Some(failure) => ("True", failure),
            None => ("False", (fine.0, fine.1.to_owned())),
        };
        let condition = Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(now),
            reason: Some(reason.to_owned()),
            message: Some(message),
        };
        set_condition(&mut new, condition);
    }
    (new != old).then_some(new)
}

type State = (&'static str, Option<(&'static str, String)>, (&'static str, &'static str));

fn states(remains: &Remains) -> [State; 5] {
    let some = |list: &BTreeMap<String, usize>, reason, prefix: &str, words: &dyn Fn(&str, usize) -> String| {
        let each: Vec<String> = list.iter().map(|(name, count)| words(name, *count)).collect();
        (!each.is_empty()).then(|| (reason, format!("{prefix}{}", each.join(", "))))
    };
    let failed = (!remains.errors.is_empty()).then(|| {
        let mut errors = remains.errors.clone();
        errors.sort();
        let message = format!("Failed to delete all resource types, {} remaining: {}", errors.len(), errors.join(", "));
        ("ContentDeletionFailed", message)
    });
    let undiscovered = (!remains.undiscovered.is_empty()).then(|| {
        let mut groups: Vec<String> =
            remains.undiscovered.iter().map(|version| format!("{version}: stale GroupVersion discovery: {version}")).collect();
        groups.sort();
        let (count, groups) = (groups.len(), groups.join(", "));
        let message = format!(
            "Discovery failed for some groups, {count} failing: unable to retrieve the complete list of server APIs: {groups}"
        );
        ("DiscoveryFailed", message)
    });
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            undiscovered,
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            failed,
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            some(&remains.kinds, "SomeResourcesRemain", "Some resources are remaining: ", &|name, count| {
                format!("{name} has {count} resource instances")
            }),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            some(
                &remains.finalizers,
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: ",
                &|name, count| format!("{name} in {count} resource instances"),
            ),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
}
