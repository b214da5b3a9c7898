//! Who controls which objects: an index that is built when somebody first asks, and kept up to date from then on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::Object;
use imbl::OrdMap;

/// Keys of objects by the UID of their controller.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    controlled: HashMap<Box<str>, BTreeSet<Arc<str>>>,
    nobodys: BTreeSet<Arc<str>>,
}

impl Owners {
    pub(crate) fn of(objects: &OrdMap<Arc<str>, Arc<Object>>) -> Self {
        let mut owners = Self::default();
        objects.iter().for_each(|(key, object)| owners.add(key, object));
        owners
    }

    /// Takes over a write.
    pub(crate) fn change(&mut self, key: &Arc<str>, previous: Option<&Object>, object: &Object) {
        if previous.is_none_or(|previous| controller(previous) != controller(object)) {
            if let Some(previous) = previous {
                self.remove(key, previous);
            }
            self.add(key, object);
        }
    }

    pub(crate) fn remove(&mut self, key: &str, object: &Object) {
        let Some(uid) = controller(object) else {
            self.nobodys.remove(key);
            return;
        };
        if let Some(keys) = self.controlled.get_mut(uid) {
            keys.remove(key);
            if keys.is_empty() {
                self.controlled.remove(uid);
            }
        }
    }

    fn add(&mut self, key: &Arc<str>, object: &Object) {
        match controller(object) {
            Some(uid) => self.controlled.entry(uid.into()).or_default().insert(key.clone()),
            None => self.nobodys.insert(key.clone()),
        };
    }

    /// The keys of what `uid` controls in a namespace. What names it elsewhere is not its own.
    pub(crate) fn controlled(&self, namespace: &str, uid: &str) -> impl Iterator<Item = &Arc<str>> {
        let keys = self.controlled.get(uid).into_iter().flatten();
        keys.filter(move |key| in_namespace(key, namespace))
    }

    /// The keys of what nobody controls in a namespace.
    pub(crate) fn nobodys(&self, namespace: &str) -> impl Iterator<Item = &Arc<str>> {
        let from: Arc<str> = format!("{namespace}/").into();
        self.nobodys.range(from..).take_while(move |key| in_namespace(key, namespace))
    }
}

fn controller(object: &Object) -> Option<&str> {
    object.meta.controller().map(|owner| &*owner.uid)
}

fn in_namespace(key: &str, namespace: &str) -> bool {
    key.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
}
