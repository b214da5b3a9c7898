//! The operations of a JSON Patch, as upstream's library carries them out. It is older than it is strict, and clients rely on
//! it: a member that is not there reads as null, so it can be replaced, copied, and tested for absence (kube-rs adds the first
//! finalizer so); indexes may count from the end; what stands before a path's first slash says nothing.

use serde_json::{Map, Value};

use super::PatchError;
use crate::quote::json_type;

/// Most operations in a JSON patch, as upstream.
const MAX_OPERATIONS: usize = 10_000;
/// Deepest value that operations may build: no recursion over an object goes deeper.
const MAX_DEPTH: usize = 200;
/// Values that copying and moving may look at or make, over all operations: bounds time and memory.
const MAX_VALUES: usize = 1_000_000;
/// How many elements of a list are moved up or down in the time in which one value is looked at.
const MOVED: usize = 64;

/// Carries out the operations one after the other; when one fails, the object is left as it was then.
pub(super) fn apply(object: &mut Value, operations: &Value) -> Result<(), PatchError> {
    if operations.is_null() {
        return Ok(());
    }
    let Value::Array(operations) = operations else {
        let why =
            format!("json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp", json_type(operations));
        return Err(PatchError::Malformed(format!("error decoding patch: {why}")));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let nothing = Map::new();
    let mut read = Vec::with_capacity(operations.len());
    for operation in operations {
        read.push(match operation {
            Value::Object(fields) => {
                for name in ["op", "path", "from"] {
                    if let Some(other) = fields.get(name).filter(|said| !said.is_string() && !said.is_null()) {
                        let why = format!("into Go struct field jsonPatchOp.{name} of type string");
                        let why = format!("json: cannot unmarshal {} {why}", json_type(other));
                        return Err(PatchError::Malformed(format!("error decoding patch: {why}")));
                    }
                }
                fields
            }
            Value::Null => &nothing,
            other => {
                let why =
                    format!("json: cannot unmarshal {} into Go value of type handlers.jsonPatchOp", json_type(other));
                return Err(PatchError::Malformed(format!("error decoding patch: {why}")));
            }
        });
    }
    // All of them are read before one is carried out.
    let mut budget = MAX_VALUES;
    read.into_iter().try_for_each(|fields| carry_out(object, fields, &mut budget))
}

fn carry_out(object: &mut Value, fields: &Map<String, Value>, budget: &mut usize) -> Result<(), PatchError> {
    let text = |name: &str| {
        let missing = || unfit(format!("operation missing {name} field"));
        fields.get(name).and_then(Value::as_str).ok_or_else(missing)
    };
    let value = || fields.get("value").cloned().unwrap_or_default();
    let kind = fields.get("op").and_then(Value::as_str).unwrap_or("unknown");
    match kind {
        "add" => {
            let path = text("path")?;
            let missing =
                || unfit(format!("add operation does not apply: doc is missing path: \"{path}\": missing value"));
            add(object, path, value(), budget, missing).map_err(|error| within("add for path", path, error))
        }
        "remove" => {
            let path = text("path")?;
            let missing =
                || unfit(format!("remove operation does not apply: doc is missing path: \"{path}\": missing value"));
            remove(object, path, budget, missing).map(drop).map_err(|error| within("remove for path", path, error))
        }
        "replace" => replace(object, text("path")?, value(), budget),
        "move" => {
            let (from, path) = (text("from")?, text("path")?);
            let missing = |end, path| {
                unfit(format!("move operation does not apply: doc is missing {end} path: {path}: missing value"))
            };
            let moved = remove(object, from, budget, || missing("from", from))
                .map_err(|error| within("move for path", from, error))?;
            add(object, path, moved, budget, || missing("destination", path))
                .map_err(|error| within("move for path", path, error))
        }
        "copy" => {
            let from = text("from")?;
            let missing = |end, path| {
                unfit(format!("copy operation does not apply: doc is missing {end} path: {path}: missing value"))
            };
            let copied =
                read(object, from, || missing("from", from)).map_err(|error| within("copy for from", from, error))?;
            let path = text("path")?;
            // Looked at before it is made.
            check_growth(path, copied, budget)?;
            let copied = copied.clone();
            add(object, path, copied, budget, || missing("destination", path)).map_err(|error| match error {
                Misfit::Place(error) => error,
                Misfit::Value(why) => unfit(format!("error while adding value during copy: {why}")),
            })
        }
        "test" => {
            let path = text("path")?;
            let missing = || unfit(format!("test operation does not apply: is missing path: {path}: missing value"));
            let found = match path {
                "" => &*object,
                _ => read(object, path, missing).map_err(|error| within("test for path", path, error))?,
            };
            let expected = fields.get("value").unwrap_or(&Value::Null);
            if found == expected {
                return Ok(());
            }
            Err(PatchError::TestFailed(format!("testing value {path} failed: test failed")))
        }
        other => Err(unfit(format!("Unexpected kind: {other}"))),
    }
}

fn unfit(why: String) -> PatchError {
    PatchError::Unprocessable(why)
}

/// Why a value cannot be read or put at a path.
enum Misfit {
    /// Nothing there could hold it.
    Place(PatchError),
    /// What is there does not hold it, in the words of upstream's library.
    Value(String),
}

impl From<PatchError> for Misfit {
    fn from(error: PatchError) -> Self {
        Self::Place(error)
    }
}

/// A misfit as upstream tells of it.
fn within(what: &str, path: &str, error: Misfit) -> PatchError {
    match error {
        Misfit::Place(error) => error,
        Misfit::Value(why) => unfit(format!("error in {what}: '{path}': {why}")),
    }
}

/// What holds the last part of a path, and that part.
fn holder<'a>(
    object: &'a mut Value,
    path: &str,
    missing: impl Fn() -> PatchError,
) -> Result<(&'a mut Value, String), PatchError> {
    let (parents, last) = path.rsplit_once('/').ok_or_else(&missing)?;
    let mut at = object;
    for part in parents.split('/').skip(1) {
        let key = unescaped(part);
        at = match at {
            Value::Object(map) => map.get_mut(&key),
            Value::Array(list) => index(&key, list.len()).and_then(|index| list.get_mut(index)),
            _ => None,
        }
        .ok_or_else(&missing)?;
    }
    if at.is_object() || at.is_array() { Ok((at, unescaped(last))) } else { Err(missing()) }
}

fn add(
    object: &mut Value,
    path: &str,
    value: Value,
    budget: &mut usize,
    missing: impl Fn() -> PatchError,
) -> Result<(), Misfit> {
    check_growth(path, &value, budget)?;
    match holder(object, path, missing)? {
        (Value::Array(list), key) if key == "-" => list.push(value),
        (Value::Array(list), key) => {
            // One more place than there are values, from either end.
            let places = list.len() + 1;
            let index = index(&key, places).filter(|index| *index < places).ok_or_else(|| no_index(&key))?;
            spend(budget, (list.len() - index) / MOVED)?;
            list.insert(index, value);
        }
        (Value::Object(map), key) => drop(map.insert(key, value)),
        _ => {}
    }
    Ok(())
}

fn remove(
    object: &mut Value,
    path: &str,
    budget: &mut usize,
    missing: impl Fn() -> PatchError,
) -> Result<Value, Misfit> {
    match holder(object, path, missing)? {
        (Value::Array(list), key) => {
            let index = index(&key, list.len()).filter(|index| *index < list.len()).ok_or_else(|| no_index(&key))?;
            spend(budget, (list.len() - index) / MOVED)?;
            Ok(list.remove(index))
        }
        (Value::Object(map), key) => {
            let nonexistent = || Misfit::Value(format!("Unable to remove nonexistent key: {key}: missing value"));
            map.remove(&key).ok_or_else(nonexistent)
        }
        _ => Ok(Value::Null),
    }
}

fn replace(object: &mut Value, path: &str, value: Value, budget: &mut usize) -> Result<(), PatchError> {
    check_growth(path, &value, budget)?;
    if path.is_empty() {
        // The whole document, by another one.
        if !value.is_object() && !value.is_array() {
            return Err(unfit("replace operation hit a document that is none".to_owned()));
        }
        *object = value;
        return Ok(());
    }
    let missing =
        |what| unfit(format!("replace operation does not apply: doc is missing {what}: {path}: missing value"));
    match holder(object, path, || missing("path"))? {
        (Value::Array(list), key) => {
            let at = index(&key, list.len()).and_then(|index| list.get_mut(index));
            *at.ok_or_else(|| missing("key"))? = value;
        }
        (Value::Object(map), key) => drop(map.insert(key, value)),
        _ => {}
    }
    Ok(())
}

/// What stands at a path: null for a member that is not there.
fn read<'a>(object: &'a mut Value, path: &str, missing: impl Fn() -> PatchError) -> Result<&'a Value, Misfit> {
    match holder(object, path, missing)? {
        (Value::Array(list), key) => {
            let at = index(&key, list.len()).and_then(|index| list.get(index));
            at.ok_or_else(|| no_index(&key))
        }
        (Value::Object(map), key) => Ok(map.get(&key).unwrap_or(&Value::Null)),
        _ => Ok(&Value::Null),
    }
}

fn no_index(key: &str) -> Misfit {
    Misfit::Value(format!("Unable to access invalid index: {key}: invalid index referenced"))
}

/// An index as it is written; below zero it counts from the end. It may lie behind the end.
fn index(key: &str, length: usize) -> Option<usize> {
    let index: isize = key.parse().ok()?;
    if index < 0 { length.checked_sub(index.unsigned_abs()) } else { usize::try_from(index).ok() }
}

/// `~1` is a slash and `~0` a tilde, read once from left to right.
fn unescaped(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        out.push_str(&rest[..at]);
        let (shown, read) = match rest.as_bytes().get(at + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        out.push(shown);
        rest = &rest[at + read..];
    }
    out.push_str(rest);
    out
}

/// Refuses a value that would make the object too deep, or that copies without end.
fn check_growth(path: &str, value: &Value, budget: &mut usize) -> Result<(), PatchError> {
    let depth = path.matches('/').count() + depth(value, budget);
    spend(budget, 0)?;
    if depth > MAX_DEPTH { Err(unfit("exceeded max depth".to_owned())) } else { Ok(()) }
}

/// Takes from the budget, which must not end.
fn spend(budget: &mut usize, values: usize) -> Result<(), PatchError> {
    *budget = budget.saturating_sub(values);
    if *budget == 0 { Err(unfit("the operations of the patch copy too much".to_owned())) } else { Ok(()) }
}

/// The depth of a value, looking at no more values than the budget has.
fn depth(value: &Value, budget: &mut usize) -> usize {
    *budget = budget.saturating_sub(1);
    if *budget == 0 {
        return 0;
    }
    match value {
        Value::Array(list) => 1 + list.iter().map(|value| depth(value, budget)).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(|value| depth(value, budget)).max().unwrap_or(0),
        _ => 0,
    }
}
