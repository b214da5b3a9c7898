//! Sets of fields of an object: who owns what is said in them, and so is what differs between two states.
//!
//! A set is a tree of sorted steps. It lives as long as one write; what stays is its JSON (`fieldsV1`), which can also be
//! asked without building a set from it ([`Set::count_in`]).

mod wire;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use crate::quote;
pub use wire::WireError;
pub(crate) use wire::write_text;

/// One step down an object.
#[derive(Clone, Debug)]
pub enum Step {
    /// A field of a struct, or a key of a map.
    Field(Box<str>),
    /// The element of a list that has these keys, sorted by name.
    Key(Box<[(Box<str>, Value)]>),
    /// The element of a set.
    Value(Value),
    /// The element at a place.
    Index(i64),
}

impl Step {
    /// A step to a field.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Step {}

fn compare_keys(a: &[(Box<str>, Value)], b: &[(Box<str>, Value)]) -> Ordering {
    let pairs = a.iter().zip(b).map(|((a, x), (b, y))| a.cmp(b).then_with(|| compare(x, y)));
    pairs.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Upstream's order of values: numbers, strings, booleans, lists, maps, null.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let orders = a.iter().zip(b).map(|(a, b)| compare(a, b));
            orders.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => compare_maps(a, b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn compare_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let sorted = |map| -> Vec<_> {
        let mut entries: Vec<(&String, &Value)> = Map::iter(map).collect();
        entries.sort_by_key(|(key, _)| *key);
        entries
    };
    let (a, b) = (sorted(a), sorted(b));
    let orders = a.iter().zip(&b).map(|((a, x), (b, y))| a.cmp(b).then_with(|| compare(x, y)));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Whether two values are the same to those who merge: `1` is `1.0`.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// As upstream's messages show a path: `.spec.containers[name="web"].image`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                for (at, (name, value)) in keys.iter().enumerate() {
                    write!(f, "{}{name}={}", if at == 0 { "[" } else { "," }, quote::merged(value))?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", quote::merged(value)),
            Self::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// A way down an object.
pub type Path = Vec<Step>;

/// A path as upstream's messages show it.
pub fn show(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(pub(crate) Vec<Node>);

/// A step that is in the set, or leads to fields that are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) step: Step,
    pub(crate) member: bool,
    pub(crate) below: Set,
}

impl Set {
    /// The set of these paths.
    pub fn of(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut set = Self::default();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    }

    /// The set of fields by their dotted names, for constants.
    pub fn named(paths: &[&str]) -> Self {
        Self::of(paths.iter().map(|path| path.split('.').map(Step::field).collect()))
    }

    /// Adds a field. The way there is not part of the set; the empty path is nothing.
    pub fn insert(&mut self, path: Path) {
        let last = path.len();
        let mut set = self;
        for (at, step) in path.into_iter().enumerate() {
            let place = match set.search(&step) {
                Ok(place) => place,
                Err(place) => {
                    set.0.insert(place, Node { step, member: false, below: Self::default() });
                    place
                }
            };
            let node = &mut set.0[place];
            node.member |= at + 1 == last;
            set = &mut node.below;
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    /// Whether the field is in it.
    pub fn has(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [last] => self.is_member(last),
            [first, rest @ ..] => self.below(first).is_some_and(|below| below.has(rest)),
        }
    }

    pub(crate) fn is_member(&self, step: &Step) -> bool {
        self.search(step).is_ok_and(|at| self.0[at].member)
    }

    /// What is in the set below a step, if anything is.
    pub(crate) fn below(&self, step: &Step) -> Option<&Self> {
        let at = self.search(step).ok()?;
        Some(&self.0[at].below).filter(|below| !below.is_empty())
    }

    fn search(&self, step: &Step) -> Result<usize, usize> {
        // Most sets are built in order.
        match self.0.last() {
            Some(last) if last.step < *step => Err(self.0.len()),
            _ => self.0.binary_search_by(|node| node.step.cmp(step)),
        }
    }

    /// Adds a node, unless it is empty. [`Set::sort`] has to follow.
    pub(crate) fn push(&mut self, step: impl FnOnce() -> Step, member: bool, below: Self) {
        if member || !below.is_empty() {
            self.0.push(Node { step: step(), member, below });
        }
    }

    /// Sorts what was pushed. Nodes of the same step become one.
    pub(crate) fn sort(&mut self) {
        if self.0.is_sorted_by(|a, b| a.step < b.step) {
            return;
        }
        self.0.sort_by(|a, b| a.step.cmp(&b.step));
        self.0.dedup_by(|next, kept| {
            let same = next.step == kept.step;
            if same {
                kept.member |= next.member;
                kept.below = kept.below.union(&next.below);
            }
            same
        });
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            (Some(a), Some(b)) => Some((a.member || b.member, a.below.union(&b.below))),
            (Some(one), None) | (None, Some(one)) => Some((one.member, one.below.clone())),
            (None, None) => None,
        })
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            (Some(a), Some(b)) => Some((a.member && b.member, a.below.intersection(&b.below))),
            _ => None,
        })
    }

    /// What is in this set and not in the other. A field and the fields below it count apart.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            (Some(a), Some(b)) => Some((a.member && !b.member, a.below.difference(&b.below))),
            (Some(a), None) => Some((a.member, a.below.clone())),
            _ => None,
        })
    }

    /// Takes the fields of the other set out of this one: [`Set::difference`] in place.
    pub fn subtract(&mut self, other: &Self) {
        let mut others = other.0.iter().peekable();
        self.0.retain_mut(|node| {
            while others.next_if(|other| other.step < node.step).is_some() {}
            if let Some(other) = others.peek().filter(|other| other.step == node.step) {
                node.member &= !other.member;
                node.below.subtract(&other.below);
            }
            node.member || !node.below.is_empty()
        });
    }

    /// What is in this set and not in the other, nor below a field of the other.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.zip(other, |pair| match pair {
            (Some(_), Some(b)) if b.member => None,
            (Some(a), Some(b)) => Some((a.member, a.below.recursive_difference(&b.below))),
            (Some(a), None) => Some((a.member, a.below.clone())),
            _ => None,
        })
    }

    /// The fields that have none below them in the set.
    pub fn leaves(&self) -> Self {
        let nodes = self.0.iter().map(|node| Node {
            step: node.step.clone(),
            member: node.member && node.below.is_empty(),
            below: node.below.leaves(),
        });
        Self(nodes.collect())
    }

    /// Merges two sorted lists of nodes; `join` says what becomes of each step.
    fn zip(&self, other: &Self, join: impl Fn((Option<&Node>, Option<&Node>)) -> Option<(bool, Self)>) -> Self {
        let mut out = Self::default();
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return out,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.step.cmp(&b.step),
            };
            let pair = (a.next_if(|_| order.is_le()), b.next_if(|_| order.is_ge()));
            let Some(node) = pair.0.or(pair.1) else { return out };
            if let Some((member, below)) = join(pair) {
                out.push(|| node.step.clone(), member, below);
            }
        }
    }

    /// Every field, in upstream's order: those of one level, then those below each.
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, way: &mut Path, paths: &mut Vec<Path>) {
        for node in self.0.iter().filter(|node| node.member) {
            paths.push(way.iter().chain([&node.step]).cloned().collect());
        }
        for node in &self.0 {
            way.push(node.step.clone());
            node.below.collect(way, paths);
            way.pop();
        }
    }
}
