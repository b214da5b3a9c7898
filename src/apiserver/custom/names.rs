//! Names belong to one definition of a group at a time: who has one keeps it, who comes later has to wait for it.

use std::collections::{BTreeSet, HashMap};

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

/// Decides for all definitions, one after the other: what one is given is taken for the next.
pub(super) fn decide<'a>(definitions: impl Iterator<Item = (&'a str, &'a View)>) -> HashMap<String, Decision> {
    let mut groups: HashMap<&str, Vec<(&str, &View)>> = HashMap::new();
    for (name, view) in definitions {
        groups.entry(&*view.spec.group).or_default().push((name, view));
    }
    let mut decisions = HashMap::new();
    for mut members in groups.into_values() {
        members.sort_unstable_by_key(|(name, _)| *name);
        let mut held = Held::default();
        members.iter().for_each(|(_, view)| held.count(&view.status.accepted_names, true));
        for (name, view) in members {
            let decision = one(view, &held);
            if decision.names != view.status.accepted_names {
                held.count(&view.status.accepted_names, false);
                held.count(&decision.names, true);
            }
            decisions.insert(name.to_owned(), decision);
        }
    }
    decisions
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
