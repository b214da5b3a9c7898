//! Lists: Kubernetes' own library, cel-go's (version 3), and sets.

use std::cmp::Ordering;

use super::core::{add, int, list};
use super::{Context, Cost, Row, row};
use crate::error::Error;
use crate::value::{List, Value};
use crate::work::{Work, all, any};

const COMPARABLE: [&str; 8] = ["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"];

pub(super) const ROWS: &[Row] = &[
    row(
        "isSorted",
        Cost::Elements,
        is_sorted,
        &[
            "list<int>.() -> bool",
            "list<uint>.() -> bool",
            "list<double>.() -> bool",
            "list<bool>.() -> bool",
            "list<duration>.() -> bool",
            "list<timestamp>.() -> bool",
            "list<string>.() -> bool",
            "list<bytes>.() -> bool",
        ],
    ),
    row(
        "sum",
        Cost::Elements,
        sum,
        &["list<int>.() -> int", "list<uint>.() -> uint", "list<double>.() -> double", "list<duration>.() -> duration"],
    ),
    row("max", Cost::Elements, |_, args| extreme(args, "max", Ordering::Less), EXTREMES),
    row("min", Cost::Elements, |_, args| extreme(args, "min", Ordering::Greater), EXTREMES),
    row("slice", Cost::Slice, slice, &["list<A>.(int, int) -> list<A>"]),
    row("flatten", Cost::Flatten, flatten, &["list<list<A>>.() -> list<A>", "list<dyn>.(int) -> list<dyn>"]),
    row(
        "sort",
        Cost::Sort,
        |context, args| sorted(context, &args[0], &args[0]),
        &[
            "list<int>.() -> list<int>",
            "list<uint>.() -> list<uint>",
            "list<double>.() -> list<double>",
            "list<bool>.() -> list<bool>",
            "list<duration>.() -> list<duration>",
            "list<timestamp>.() -> list<timestamp>",
            "list<string>.() -> list<string>",
            "list<bytes>.() -> list<bytes>",
        ],
    ),
    row(
        "@sortByAssociatedKeys",
        Cost::Sort,
        |context, args| sorted(context, &args[0], &args[1]),
        &[
            "list<A>.(list<int>) -> list<A>",
            "list<A>.(list<uint>) -> list<A>",
            "list<A>.(list<double>) -> list<A>",
            "list<A>.(list<bool>) -> list<A>",
            "list<A>.(list<duration>) -> list<A>",
            "list<A>.(list<timestamp>) -> list<A>",
            "list<A>.(list<string>) -> list<A>",
            "list<A>.(list<bytes>) -> list<A>",
        ],
    ),
    row("lists.range", Cost::Range, range, &["(int) -> list<int>"]),
    row("reverse", Cost::Reverse, reverse, &["list<A>.() -> list<A>"]),
    row("distinct", Cost::Distinct, distinct, &["list<A>.() -> list<A>"]),
    row("sets.contains", Cost::Sets(1), |context, args| sets(context, args, contains), SETS),
    row("sets.equivalent", Cost::Sets(2), |context, args| sets(context, args, equivalent), SETS),
    row("sets.intersects", Cost::Sets(1), |context, args| sets(context, args, intersects), SETS),
];

const SETS: &[&str] = &["(list<A>, list<A>) -> bool"];

const EXTREMES: &[&str] = &[
    "list<int>.() -> int",
    "list<uint>.() -> uint",
    "list<double>.() -> double",
    "list<bool>.() -> bool",
    "list<duration>.() -> duration",
    "list<timestamp>.() -> timestamp",
    "list<string>.() -> string",
    "list<bytes>.() -> bytes",
];

/// A list of what comes, as long as the budget pays for it.
pub(super) fn collected<'a>(
    context: &Context<'_>,
    values: impl Iterator<Item = Value<'a>>,
) -> Result<Value<'a>, Error> {
    let mut out = Vec::new();
    for value in values {
        context.reserve(out.len() / 10)?;
        out.push(value);
    }
    Ok(Value::from(out))
}

fn is_sorted<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let list = list(&args[0])?;
    let mut before: Option<Value<'a>> = None;
    for element in list.iter() {
        if let Some(before) = &before
            && before.compare(&element)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
        before = Some(element);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let mut total: Option<Value<'a>> = None;
    for element in list(&args[0])?.iter() {
        total = Some(match total {
            Some(total) => add(context, &[total, element])?,
            None => element,
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

fn extreme<'a>(args: &[Value<'a>], name: &str, replace: Ordering) -> Result<Value<'a>, Error> {
    let mut best: Option<Value<'a>> = None;
    for element in list(&args[0])?.iter() {
        best = Some(match best {
            Some(best) if best.compare(&element)? != replace => best,
            _ => element,
        });
    }
    best.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}

fn slice<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (list, start, end) = (list(&args[0])?, int(&args[1])?, int(&args[2])?);
    let refuse = |why: &str| Err(Error::new(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return refuse("negative indexes not supported");
    };
    if from > to {
        return refuse("start index must be less than or equal to end index");
    }
    if to > list.len() {
        return refuse(&format!("list is length {}", list.len()));
    }
    Ok(Value::from((from..to).filter_map(|at| list.get(at)).collect::<Vec<_>>()))
}

fn flatten<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    fn into<'a>(context: &Context<'_>, list: &List<'a>, depth: i64, out: &mut Vec<Value<'a>>) -> Result<(), Error> {
        context.work.take(list.len())?;
        for element in list.iter() {
            match &element {
                Value::List(inner) if depth > 0 => into(context, inner, depth - 1, out)?,
                _ => {
                    context.reserve(out.len())?;
                    out.push(element);
                }
            }
        }
        Ok(())
    }
    let depth = args.get(1).map_or(Ok(1), int)?;
    if depth < 0 {
        return Err(Error::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    into(context, list(&args[0])?, depth, &mut out)?;
    Ok(Value::from(out))
}

fn sorted<'a>(_: &Context<'_>, elements: &Value<'a>, keys: &Value<'a>) -> Result<Value<'a>, Error> {
    let (elements, keys) = (list(elements)?, list(keys)?);
    if elements.len() != keys.len() {
        return Err(Error::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            elements.len(),
            keys.len()
        )));
    }
    let mut pairs: Vec<_> = keys.iter().zip(elements.iter()).collect();
    if let Some((first, _)) = pairs.first() {
        let name = first.type_name();
        if !COMPARABLE.contains(&&*name) && !name.starts_with("google.protobuf.") {
            return Err(Error::new("list elements must be comparable"));
        }
        if pairs.iter().any(|(key, _)| key.type_name() != name) {
            return Err(Error::new("list elements must have the same type"));
        }
    }
    // Keys of one type compare, but for NaN, which stays where it is.
    pairs.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(Value::from(pairs.into_iter().map(|(_, element)| element).collect::<Vec<_>>()))
}

fn range<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let count = int(&args[0])?.max(0);
    context.reserve(usize::try_from(count).unwrap_or(usize::MAX))?;
    Ok(Value::from((0..count).map(Value::Int).collect::<Vec<_>>()))
}

fn reverse<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::String(text) => Ok(Value::from(text.chars().rev().collect::<String>())),
        other => {
            let mut elements: Vec<_> = list(other)?.iter().collect();
            elements.reverse();
            Ok(Value::from(elements))
        }
    }
}

fn distinct<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let list = list(&args[0])?;
    context.reserve(list.len().saturating_mul(list.len()) / 10)?;
    let mut out: Vec<Value<'a>> = Vec::new();
    for element in list.iter() {
        if !any(&out, |have| have.equals(&element, context.work))? {
            out.push(element);
        }
    }
    Ok(Value::from(out))
}

fn sets<'a>(
    context: &Context<'_>,
    args: &[Value<'a>],
    holds: fn(&List<'a>, &List<'a>, &Work) -> Result<bool, Error>,
) -> Result<Value<'a>, Error> {
    holds(list(&args[0])?, list(&args[1])?, context.work).map(Value::Bool)
}

fn contains(list: &List<'_>, part: &List<'_>, work: &Work) -> Result<bool, Error> {
    all(part.iter(), |wanted| any(list.iter(), |element| element.equals(&wanted, work)))
}

fn equivalent(a: &List<'_>, b: &List<'_>, work: &Work) -> Result<bool, Error> {
    Ok(contains(a, b, work)? && contains(b, a, work)?)
}

fn intersects(a: &List<'_>, b: &List<'_>, work: &Work) -> Result<bool, Error> {
    any(a.iter(), |element| any(b.iter(), |other| other.equals(&element, work)))
}
