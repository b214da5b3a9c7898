//! Who owns whom, by uid.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api::{Object, Resource};

/// Where an object is, and which one it is. Its [`Identity::key`] is the collector's queue key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// `plural.group`, which tells kinds apart whatever their version.
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Identity {
    pub(super) fn of(resource: &Resource, object: &Object) -> Self {
        Self {
            kind: resource.qualified(),
            namespace: object.meta.namespace.to_string(),
            name: object.meta.name.to_string(),
            uid: object.meta.uid.to_string(),
        }
    }

    /// None of the parts can hold the separator.
    pub(super) fn key(&self) -> Arc<str> {
        format!("{}|{}|{}|{}", self.kind, self.namespace, self.name, self.uid).into()
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        let mut parts = key.splitn(4, '|').map(str::to_owned);
        Some(Self { kind: parts.next()?, namespace: parts.next()?, name: parts.next()?, uid: parts.next()? })
    }
}

/// The objects that have owners, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Graph {
    owners: HashMap<Arc<str>, Box<[Box<str>]>>,
    dependents: HashMap<Box<str>, HashSet<Arc<str>>>,
}

impl Graph {
    /// States an object's owners by uid; without any the object leaves the graph.
    pub(super) fn set(&mut self, key: &Arc<str>, owners: impl Iterator<Item = Box<str>>) {
        self.remove(key);
        let owners: Box<[Box<str>]> = owners.collect();
        for owner in &owners {
            self.dependents.entry(owner.clone()).or_default().insert(key.clone());
        }
        if !owners.is_empty() {
            self.owners.insert(key.clone(), owners);
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        for owner in self.owners.remove(key).unwrap_or_default() {
            if let Some(dependents) = self.dependents.get_mut(&owner) {
                dependents.remove(key);
                if dependents.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }

    /// The keys of the objects that name an owner.
    pub(super) fn dependents_of(&self, uid: &str) -> Vec<Arc<str>> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// The keys of all objects that have owners.
    pub(super) fn dependents(&self) -> impl Iterator<Item = Arc<str>> {
        self.owners.keys().cloned()
    }

    /// Removes the objects of a kind that are no more: `uid_of` tells who has a name now. Returns the dependents of those
    /// removed.
    pub(super) fn retain(&mut self, kind: &Resource, uid_of: impl Fn(&str, &str) -> Option<String>) -> Vec<Arc<str>> {
        let prefix = format!("{}|", kind.qualified());
        let gone = |key: &&Arc<str>| {
            key.starts_with(&prefix)
                && Identity::parse(key).is_some_and(|id| uid_of(&id.namespace, &id.name) != Some(id.uid))
        };
        let gone: Vec<Arc<str>> = self.owners.keys().filter(gone).cloned().collect();
        let mut orphans = Vec::new();
        for key in gone {
            self.remove(&key);
            orphans.extend(Identity::parse(&key).into_iter().flat_map(|id| self.dependents_of(&id.uid)));
        }
        orphans
    }

    /// How many objects have owners, and how many owners they name.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.owners.len(), self.dependents.len())
    }
}
