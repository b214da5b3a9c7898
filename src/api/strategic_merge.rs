//! Strategic merge patch: a merge patch that knows which lists are merged by which key, and its directives
//! (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`).

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::quote::quote;
use crate::schema::{Field, Message, Type};

mod list;
#[cfg(test)]
mod tests;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Why a strategic merge patch does not apply, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicMergeError {
    /// The directives of the patch are malformed: the client's mistake, a 400.
    #[error("{0}")]
    BadPatch(String),
    /// A form of list that cannot be merged: a 422 upstream.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// What upstream has no better status for than 500: unknown fields, missing merge keys.
    #[error("{0}")]
    Failed(String),
}

fn bad_patch(what: &str) -> StrategicMergeError {
    StrategicMergeError::BadPatch(format!("invalid patch format of {what}"))
}

fn failed(why: String) -> StrategicMergeError {
    StrategicMergeError::Failed(why)
}

/// Applies a patch to an object of the given message. When it fails, the object is left half patched: drop it.
pub fn apply(
    object: &mut Map<String, Value>,
    patch: Map<String, Value>,
    message: &Message,
) -> Result<(), StrategicMergeError> {
    merge_map(object, patch, Schema::Message(message))
}

/// What the table knows about a value that is merged.
#[derive(Clone, Copy)]
enum Schema<'a> {
    Message(&'a Message),
    /// A map, or a value in free form: fields have no names to look up.
    Other(&'a Type),
}

impl<'a> Schema<'a> {
    fn of(ty: &'a Type) -> Schema<'a> {
        match ty.resolved() {
            Type::Message(message) => Schema::Message(message),
            Type::SchemaOrArray(message) | Type::SchemaOrBool(message) | Type::SchemaOrStrings(message) => {
                Schema::Message(message)
            }
            other => Schema::Other(other),
        }
    }

    /// How one field is patched. Upstream asks only when both sides have a map or a list there.
    fn field(self, name: &str) -> Result<&'a Field, StrategicMergeError> {
        match self {
            Schema::Message(message) => message.field(name).ok_or_else(|| {
                let message = message.go_name();
                failed(format!("unable to find api field in struct {message} for the json field {}", quote(name)))
            }),
            Schema::Other(ty) => {
                let kind = match ty {
                    Type::List(_) | Type::Bytes => "slice",
                    Type::Map(_) => "map",
                    Type::String => "string",
                    _ => "interface",
                };
                Err(failed(format!("merging an object in json but data type is not struct, instead is: {kind}")))
            }
        }
    }
}

fn merge_map(
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: Schema<'_>,
) -> Result<(), StrategicMergeError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        match directive.as_str() {
            Some("replace") => {
                patch.swap_remove(DIRECTIVE);
                *original = patch;
            }
            Some("delete") => original.clear(),
            _ => return Err(unknown_directive(directive, &patch)),
        }
        return Ok(());
    }
    retain_keys(original, &mut patch)?;
    set_element_orders(original, &mut patch, schema)?;

    // Taken out all at once: one by one, each would move all that follow.
    let mut gone = HashSet::new();
    for (key, mut value) in patch {
        if let Some(key) = delete_from(&key)? {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(key), value) {
                list::delete_or_merge(items, gone, schema.field(key)?)?;
            }
            continue;
        }
        if value.is_null() {
            gone.insert(key);
            continue;
        }
        match (original.get_mut(&key), value) {
            (Some(Value::Object(map)), Value::Object(changes)) => {
                let field = schema.field(&key)?;
                if field.patch.replace {
                    *map = changes;
                } else {
                    merge_map(map, changes, Schema::of(&field.ty))?;
                }
            }
            (Some(Value::Array(items)), Value::Array(changes)) => {
                let field = schema.field(&key)?;
                list::merge_or_replace(items, changes, field)?;
            }
            (_, taken) => {
                value = taken;
                discard_nulls(&mut value);
                if without_directives(&mut value) {
                    original.insert(key, value);
                } else {
                    gone.insert(key);
                }
            }
        }
    }
    if !gone.is_empty() {
        original.retain(|key, _| !gone.contains(key));
    }
    Ok(())
}

/// `$retainKeys` names all keys the result may have; the patch may not set others.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), StrategicMergeError> {
    let Some(keys) = patch.swap_remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(bad_patch("retainKeys")) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let retained = |key: &String| keys.contains(key.as_str());
    let set = |(key, value): &(&String, &Value)| {
        !value.is_null() && !key.starts_with(DELETE_FROM) && !key.starts_with(SET_ORDER)
    };
    if !patch.iter().filter(set).all(|(key, _)| retained(key)) {
        return Err(bad_patch("retainKeys"));
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

/// Handles every `$setElementOrder/f` together with the change of `f`.
fn set_element_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: Schema<'_>,
) -> Result<(), StrategicMergeError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with("$setElementOrder")).cloned().collect();
    for directive in directives {
        let order = patch.swap_remove(&directive).unwrap_or_default();
        let order = expect_list(order)?;
        let key = directive.strip_prefix(SET_ORDER).ok_or_else(|| bad_patch("setElementOrder list"))?;
        let before = original.get_mut(key).map(Value::take).map(expect_list).transpose()?;
        let changes = patch.swap_remove(key).map(expect_list).transpose()?;
        let field = schema.field(key)?;
        list::check_order(changes.as_deref().unwrap_or_default(), &order, field)?;
        let mut server_order = before.clone().unwrap_or_default();
        let merged = match (before, changes) {
            (None, None) => continue,
            (Some(before), None) => before,
            (None, Some(changes)) => {
                let mut changes = Value::Array(changes);
                without_directives(&mut changes);
                expect_list(changes)?
            }
            (Some(mut before), Some(changes)) => {
                server_order = list::order_after(&before, &changes, field);
                list::merge_or_replace(&mut before, changes, field)?;
                before
            }
        };
        let ordered = list::order(merged, &order, &server_order, field.merge_key.as_deref())?;
        original.insert(key.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

/// The field a `$deleteFromPrimitiveList/f` is about.
fn delete_from(key: &str) -> Result<Option<&str>, StrategicMergeError> {
    if !key.starts_with("$deleteFromPrimitiveList") {
        return Ok(None);
    }
    key.strip_prefix(DELETE_FROM).map(Some).ok_or_else(|| bad_patch("primitive list"))
}

fn expect_list(value: Value) -> Result<Vec<Value>, StrategicMergeError> {
    match value {
        Value::Array(list) => Ok(list),
        other => Err(failed(format!("expected a []interface {{}}, but received a {}", go_type(&other)))),
    }
}

/// The patch's `$patch: merge` for a list, or a word that is no directive.
fn unknown_directive(directive: &Value, map: &Map<String, Value>) -> StrategicMergeError {
    failed(format!("unknown patch type: {} in map: {}", go_text(directive), go_map(map)))
}

fn no_merge_key(map: &Map<String, Value>, key: &str) -> StrategicMergeError {
    failed(format!("map: {} does not contain declared merge key: {key}", go_map(map)))
}

/// Takes every null out that is a member of an object, at any depth; elements of lists stay.
pub(crate) fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// Takes everything out that carries a `$patch` directive; says whether the value itself stays.
fn without_directives(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => {
            if map.contains_key(DIRECTIVE) {
                return false;
            }
            map.retain(|_, value| without_directives(value));
        }
        Value::Array(list) => list.retain_mut(without_directives),
        _ => {}
    }
    true
}

/// A value as Go's `%v` prints it.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => go_map(map),
        other => other.to_string(),
    }
}

fn go_map(map: &Map<String, Value>) -> String {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
    format!("map[{}]", pairs.join(" "))
}

/// Go's `%s` of the type of a decoded value; nil has none, and says so.
fn go_type(value: &Value) -> &'static str {
    if value.is_null() { "%!s(<nil>)" } else { crate::quote::go_type(value) }
}
