//! The JSON paths of printer columns, with all that upstream's JSONPath understands: `.spec.replicas`, `.spec.hosts[0]`,
//! `.spec.hosts[0:4:2]`, `.spec['replicas','hosts']`, `.metadata.labels['a\.b/c']`, `..port`, `.spec.ports[*].port`,
//! `.status.conditions[?(@.type=="Ready")].status`. How it reads odd paths, and what it takes for an error, is upstream's.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::Value;

use super::json_path_parser;

/// A path.
#[derive(Debug, PartialEq)]
pub(super) struct JsonPath(pub(super) Vec<Step>);

/// One step of a path: from the values found so far to others.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Field(String),
    /// All members or elements.
    All,
    /// The values themselves, what is in them, what is in that, and so on: all that has something in it.
    Within,
    Elements(Slice),
    /// What each of the paths finds, one after the other.
    Union(Vec<JsonPath>),
    /// Elements in which the path finds something.
    There(JsonPath),
    /// Elements for which the two paths find values that compare so.
    Where(JsonPath, String, JsonPath),
    /// A text, number or boolean that stands in the path.
    Literal(Value),
    /// A word. It says something in templates of kubectl alone.
    Word,
}

/// From the first element up to the one before the end. Counted from the end of the list when negative.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) struct Slice {
    pub(super) first: i64,
    /// That of the list when `None`.
    pub(super) end: Option<i64>,
    /// Whether the end is the element after the first, because a single index stood there.
    pub(super) single: bool,
    pub(super) step: Option<i64>,
}

/// What a path finds may be much more than the value it looks at, if it looks at the same places again and again.
const MOST: usize = 1 << 16;
/// How many values are looked at for one cell. Filters within filters look at the same places as often as they like.
const LOOKS: usize = 1 << 20;

/// Why a path says nothing: it does not fit the value. Holds whether it had found anything up to there.
struct Misfit {
    found: bool,
}

type Found<'v> = Vec<Cow<'v, Value>>;

/// How many values may still be looked at.
struct Looks(Cell<usize>);

impl Looks {
    /// `None` once there were too many.
    fn take(&self, count: usize) -> Option<()> {
        self.0.set(self.0.get().checked_sub(count)?);
        Some(())
    }
}

impl JsonPath {
    /// Reads a path. `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        json_path_parser::path(text)
    }

    /// The first value the path leads to.
    pub(super) fn first<'v>(&self, value: &'v Value) -> Option<Cow<'v, Value>> {
        self.follow(vec![Cow::Borrowed(value)], &Looks(Cell::new(LOOKS))).ok()?.into_iter().next()
    }

    fn follow<'v>(&self, mut found: Found<'v>, looks: &Looks) -> Result<Found<'v>, Misfit> {
        for step in &self.0 {
            let misfit = Misfit { found: !found.is_empty() };
            found = step.follow(found, looks).ok_or(misfit)?;
            if found.len() > MOST {
                return Err(Misfit { found: true });
            }
        }
        Ok(found)
    }

    /// The one value that is to be compared; none if there is none.
    fn one<'v>(&self, value: &Cow<'v, Value>, looks: &Looks) -> Option<Option<Cow<'v, Value>>> {
        let mut found = self.follow(vec![value.clone()], looks).ok()?;
        (found.len() < 2).then(|| found.pop())
    }
}

impl Step {
    /// `None` if the step does not fit, or there is too much to look at.
    fn follow<'v>(&self, values: Found<'v>, looks: &Looks) -> Option<Found<'v>> {
        looks.take(1 + values.len())?;
        // What a path itself says has nothing in it, and neither have texts, numbers and null.
        let borrowed = |value: Cow<'v, Value>| match value {
            Cow::Borrowed(value) => Some(value),
            Cow::Owned(_) => None,
        };
        let mut found = Vec::new();
        match self {
            Self::Field(name) => {
                found = values.into_iter().filter_map(|v| borrowed(v)?.get(name).map(Cow::Borrowed)).collect();
            }
            Self::All => {
                for value in values.into_iter().filter_map(borrowed) {
                    let inside = inside(value);
                    looks.take(inside.len())?;
                    found.extend(inside);
                }
            }
            Self::Within => {
                for value in values.into_iter().filter_map(borrowed) {
                    let before = found.len();
                    within(value, &mut found);
                    looks.take(found.len() - before)?;
                }
            }
            Self::Elements(slice) => {
                for value in values.into_iter().filter(|value| !value.is_null()) {
                    let before = found.len();
                    found.extend(slice.of(borrowed(value)?.as_array()?)?.map(Cow::Borrowed));
                    looks.take(found.len() - before)?;
                }
            }
            Self::Union(paths) => {
                for path in paths {
                    looks.take(values.len())?;
                    found.extend(path.follow(values.clone(), looks).ok()?);
                }
            }
            Self::There(path) => {
                for value in values {
                    let elements = borrowed(value)?.as_array()?.iter().map(Cow::Borrowed);
                    let is_there = |value: &Cow<'v, Value>| match path.follow(vec![value.clone()], looks) {
                        Ok(found) => !found.is_empty(),
                        // So upstream has it: what does not fit is there, if anything was.
                        Err(misfit) => misfit.found,
                    };
                    found.extend(elements.filter(is_there));
                    looks.take(1)?;
                }
            }
            Self::Where(left, operator, right) => {
                for value in values {
                    for element in borrowed(value)?.as_array()? {
                        let element = Cow::Borrowed(element);
                        let Some(left) = left.one(&element, looks)? else { continue };
                        let Some(right) = right.one(&element, looks)? else { continue };
                        if holds(&left, operator, &right)? {
                            found.push(element);
                        }
                    }
                }
            }
            Self::Literal(text @ Value::String(_)) => found.push(Cow::Owned(text.clone())),
            Self::Literal(literal) => found = values.iter().map(|_| Cow::Owned(literal.clone())).collect(),
            Self::Word => return None,
        }
        Some(found)
    }
}

/// What is directly in a value.
fn inside(value: &Value) -> Found<'_> {
    match value {
        Value::Object(members) => members.values().map(Cow::Borrowed).collect(),
        Value::Array(elements) => elements.iter().map(Cow::Borrowed).collect(),
        // In a text are its bytes.
        Value::String(text) => text.bytes().map(|byte| Cow::Owned(byte.into())).collect(),
        _ => Vec::new(),
    }
}

/// The value and what is in it, if there is something in it. Objects are no deeper than what was read from the network.
fn within<'v>(value: &'v Value, found: &mut Found<'v>) {
    let members: &mut dyn Iterator<Item = &'v Value> = match value {
        Value::Object(members) if !members.is_empty() => &mut members.values(),
        Value::Array(elements) if !elements.is_empty() => &mut elements.iter(),
        Value::String(text) if !text.is_empty() => &mut std::iter::empty(),
        _ => return,
    };
    if found.len() <= MOST {
        found.push(Cow::Borrowed(value));
        members.for_each(|member| within(member, found));
    }
}

impl Slice {
    /// The elements of a list. `None` if the list ends before.
    fn of(self, list: &[Value]) -> Option<impl Iterator<Item = &Value>> {
        let length = list.len() as i64;
        let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        let first = from_end(self.first);
        let end = match self.end {
            None => length,
            // The end after the last element, `-1`, is that of the list.
            Some(0) if self.single => length,
            Some(end) => from_end(end),
        };
        let step = usize::try_from(self.step.unwrap_or(1)).ok();
        let elements = if first == end {
            &[]
        } else {
            step.filter(|step| *step > 0)?;
            list.get(usize::try_from(first).ok()?..usize::try_from(end).ok()?)
                .filter(|elements| !elements.is_empty())?
        };
        Some(elements.iter().step_by(step.unwrap_or(1).max(1)))
    }
}

/// `None` for what cannot be compared: values of two types, or of those that have no order.
fn holds(left: &Value, operator: &str, right: &Value) -> Option<bool> {
    let (equal, order) = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => (left == right, None),
        (Value::String(left), Value::String(right)) => (left == right, Some(left.cmp(right))),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => (left == right, Some(left.cmp(&right))),
            (None, None) => (left.as_f64() == right.as_f64(), left.as_f64().partial_cmp(&right.as_f64())),
            _ => return None,
        },
        _ => return None,
    };
    Some(match operator {
        "==" => equal,
        "!=" => !equal,
        "<" => order? == Ordering::Less,
        "<=" => order? != Ordering::Greater,
        ">" => order? == Ordering::Greater,
        ">=" => order? != Ordering::Less,
        _ => return None,
    })
}
