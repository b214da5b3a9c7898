//! Who owns what of an object that is written: the trees admission looks at do not say, because few ask.

use api::managed_fields::ManagedFields;
use serde_json::Value;

use super::Attributes;
use crate::tree::Tree;

const PATH: &str = "metadata.managedFields";

/// `metadata.managedFields` of an object before and after a write.
#[derive(Debug, Default)]
pub struct Owners {
    /// After it; `None` where they stay.
    pub(crate) new: Option<ManagedFields>,
    /// Before it, as JSON.
    pub(crate) old: Option<Box<str>>,
}

impl Attributes {
    /// The object to be written as clients would see it, managed fields and all, for those who show it to others.
    pub fn whole(&self) -> Value {
        let mut whole = self.object.clone();
        match &self.owners.new {
            Some(owners) if owners.is_empty() => {}
            Some(owners) => whole.put(PATH, owners.to_value()),
            None => put_old(&mut whole, &self.owners),
        }
        whole
    }

    /// The object as it is, managed fields and all.
    pub fn whole_old(&self) -> Value {
        let mut whole = self.old.clone();
        put_old(&mut whole, &self.owners);
        whole
    }

    /// Takes over the object as others have changed it, managed fields and all; says whether they changed anything else.
    /// Managed fields that cannot be read stay as they were.
    pub fn put_whole(&mut self, mut whole: Value) -> bool {
        let sent = whole.cut(PATH).unwrap_or_default();
        let changed = whole != self.object;
        self.rewritten = true;
        self.object = whole;
        let Some(before) = self.owners.new.as_ref().filter(|_| self.subresource != "scale") else { return changed };
        match ManagedFields::from_value(&sent, before) {
            Ok(owners) => self.owners.new = Some(owners),
            Err(error) => self.warnings.push(format!(
                ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
                 mutating admission controller; please fix your requests: {error}"
            )),
        }
        changed
    }
}

fn put_old(whole: &mut Value, owners: &Owners) {
    let text = owners.old.as_deref().filter(|_| whole.is_object());
    if let Some(owners) = text.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        whole.put(PATH, owners);
    }
}
