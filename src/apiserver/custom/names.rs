//! Names belong to one definition of a group at a time: who has one keeps it, who comes later has to wait for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};

use super::View;

/// The names of a kind: `spec.names`, and `status.acceptedNames`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Names {
    pub(super) plural: Box<str>,
    pub(super) singular: Box<str>,
    pub(super) short_names: Vec<Box<str>>,
    pub(super) kind: Box<str>,
    pub(super) list_kind: Box<str>,
    pub(super) categories: Vec<Box<str>>,
}

impl Names {
    /// The form of `status.acceptedNames`.
    pub(super) fn to_value(&self) -> Value {
        let mut names = json!({ "plural": self.plural, "kind": self.kind });
        for (field, value) in [("singular", &self.singular), ("listKind", &self.list_kind)] {
            if !value.is_empty() {
                names[field] = json!(value);
            }
        }
        for (field, list) in [("shortNames", &self.short_names), ("categories", &self.categories)] {
            if !list.is_empty() {
                names[field] = json!(list);
            }
        }
        names
    }
}

/// What becomes of a definition's names.
#[derive(Debug)]
pub(super) struct Decision {
    /// Those it has from now on.
    pub(super) names: Names,
    /// The reason and the message of the last conflict.
    pub(super) conflict: Option<(&'static str, String)>,
}

impl Decision {
    /// Whether all names that were asked for were given.
    pub(super) fn accepted(&self) -> bool {
        self.conflict.is_none()
    }
}

/// The names of all definitions.
#[derive(Default)]
pub(super) struct Taken {
    groups: HashMap<Box<str>, Held>,
    /// What each definition holds, by its name.
    holders: HashMap<Box<str>, Names>,
    /// The definitions that have not all names they ask for: they may have them once somebody lets go.
    waiting: BTreeSet<Box<str>>,
}

impl Taken {
    /// Lets go of the names of a definition of the group.
    pub(super) fn release(&mut self, group: &str, name: &str) {
        if let Some(names) = self.holders.remove(name) {
            self.groups.entry(group.into()).or_default().count(&names, false);
        }
        self.waiting.remove(name);
    }

    /// The definitions that wait for names.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|name| &**name)
    }

    /// Decides for these definitions, one after the other: what one is given is taken for the next.
    pub(super) fn decide<'a>(&mut self, definitions: &BTreeMap<&'a str, &View>) -> BTreeMap<&'a str, Decision> {
        for (name, view) in definitions {
            self.release(&view.spec.group, name);
            self.hold(&view.spec.group, name, view.status.accepted_names.clone());
        }
        let mut decisions = BTreeMap::new();
        for (name, view) in definitions {
            let decision = one(view, self.groups.entry(view.spec.group.clone()).or_default());
            if decision.names != view.status.accepted_names {
                self.release(&view.spec.group, name);
                self.hold(&view.spec.group, name, decision.names.clone());
            }
            if !decision.accepted() {
                self.waiting.insert((*name).into());
            }
            decisions.insert(*name, decision);
        }
        decisions
    }

    fn hold(&mut self, group: &str, name: &str, names: Names) {
        self.groups.entry(group.into()).or_default().count(&names, true);
        self.holders.insert(name.into(), names);
    }
}

/// The names that the definitions of a group hold, and how many hold each: one that was never told to let go of a name
/// may have it twice.
#[derive(Default)]
struct Held {
    resources: HashMap<Box<str>, usize>,
    kinds: HashMap<Box<str>, usize>,
}

impl Held {
    /// Takes up the names of a definition, or drops them.
    fn count(&mut self, names: &Names, up: bool) {
        let count = |held: &mut HashMap<Box<str>, usize>, name: &str| match held.get_mut(name) {
            Some(count) if up => *count += 1,
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(held.remove(name)),
            None => drop(up.then(|| held.insert(name.into(), 1))),
        };
        let resources = [&names.plural, &names.singular].into_iter().chain(&names.short_names);
        resources.for_each(|name| count(&mut self.resources, name));
        [&names.kind, &names.list_kind].into_iter().for_each(|name| count(&mut self.kinds, name));
    }
}

fn one(view: &View, held: &Held) -> Decision {
    let Held { resources, kinds } = held;
    let (asked, has) = (&view.spec.names, &view.status.accepted_names);
    let taken = |name: &str| format!("{} is already in use", api::quote::quote(name));
    let mut names = has.clone();
    let mut conflict = None;
    for (asked, has, used, reason, name) in [
        (&asked.plural, &has.plural, resources, "PluralConflict", &mut names.plural),
        (&asked.singular, &has.singular, resources, "SingularConflict", &mut names.singular),
    ] {
        match asked == has || !used.contains_key(asked) {
            true => *name = asked.clone(),
            false => conflict = Some((reason, taken(asked))),
        }
    }
    let fresh = asked.short_names.iter().filter(|name| !has.short_names.contains(name));
    let refused: BTreeSet<&str> = fresh.filter(|name| resources.contains_key(*name)).map(|name| &**name).collect();
    let refused: Vec<String> = refused.into_iter().map(taken).collect();
    match refused.as_slice() {
        [] => names.short_names = asked.short_names.clone(),
        [one] => conflict = Some(("ShortNamesConflict", one.clone())),
        many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
    for (asked, has, reason, name) in [
        (&asked.kind, &has.kind, "KindConflict", &mut names.kind),
        (&asked.list_kind, &has.list_kind, "ListKindConflict", &mut names.list_kind),
    ] {
        match asked == has || !kinds.contains_key(asked) {
            true => *name = asked.clone(),
            false => conflict = Some((reason, taken(asked))),
        }
    }
    names.categories = asked.categories.clone();
    Decision { names, conflict }
}
