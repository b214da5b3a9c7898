//! Owners of the number of replicas: of an object they own `spec.replicas` (or what a definition names) at its version, of its scale at
//! `autoscaling/v1`.

use api::fields::{Path, Set, Step};
use api::managed_fields::{Entry, ManagedFields, Operation};

use super::{SCALE, Written};

/// The field of scales.
fn replicas() -> Path {
    vec![Step::field("spec"), Step::field("replicas")]
}

impl Written {
    /// The field of the object at a version.
    fn own_replicas(&self, version: &str) -> Path {
        let number = version.rsplit('/').next().unwrap_or_default();
        let versions = self.resource.custom.as_ref().map(|custom| custom.definition.versions());
        let scale =
            versions.into_iter().flatten().find(|version| *version.name == *number).and_then(|v| v.scale.as_ref());
        scale.map_or_else(replicas, |scale| scale.spec_replicas.split('.').map(Step::field).collect())
    }

    /// Those of an object's owners who own its scale.
    pub(in crate::registry) fn scale_owners(&self, whole: &ManagedFields) -> ManagedFields {
        let shown = Set::of([replicas()]);
        let mut scale = ManagedFields::default();
        for entry in whole.entries() {
            let own = Set::of([self.own_replicas(&entry.manager.api_version)]);
            // What cannot be read owns nothing.
            if self.object_form(&entry.manager.api_version).is_some() && entry.count(&own).unwrap_or(0) > 0 {
                let mut manager = entry.manager.clone();
                manager.api_version = SCALE.into();
                scale.insert(Entry::new(manager, entry.time, shown.clone()));
            }
        }
        scale
    }

    /// The owners of an object after its scale was written: who no longer owns the scale has lost it in the object, too,
    /// and who owns it newly owns it there. As upstream, where updaters of the scale are others than those of the object,
    /// because their versions differ: whoever had the field by an update has it after this write in an entry apart, without
    /// a time, and the next write reads one of both.
    pub(in crate::registry) fn owners_after_scale(&self, whole: ManagedFields, scale: ManagedFields) -> ManagedFields {
        let shown = Set::of([replicas()]);
        let mut after = ManagedFields::default();
        let mut new: Vec<&Entry> =
            scale.entries().iter().filter(|entry| entry.count(&shown).unwrap_or(0) > 0).collect();
        for entry in whole.entries().iter().filter(|entry| self.object_form(&entry.manager.api_version).is_some()) {
            let mut entry = entry.clone();
            let own = Set::of([self.own_replicas(&entry.manager.api_version)]);
            if entry.count(&own).unwrap_or(0) > 0 {
                let applied = entry.manager.operation == Operation::Apply;
                match new.iter().position(|found| applied && found.manager.is(&entry.manager)) {
                    Some(at) => drop(new.swap_remove(at)),
                    None => {
                        let Ok(rest) = entry.set().map(|set| set.difference(&own)) else { continue };
                        entry.put(rest);
                    }
                }
            }
            after.insert(entry);
        }
        for entry in new {
            let mut manager = entry.manager.clone();
            manager.api_version = self.resource.api_version().into();
            let own = Set::of([self.own_replicas(&manager.api_version)]);
            if manager.operation == Operation::Apply {
                let time = whole.of(&manager).and_then(|found| found.time);
                after.insert(Entry::new(manager, time, own));
            } else {
                after.add(Entry::new(manager, None, own));
            }
        }
        match after.settle() {
            Ok(()) => after,
            Err(_) => ManagedFields::default(),
        }
    }
}
