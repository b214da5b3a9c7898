//! Merging lists, and putting the result in the order the patch and the server agree on. Elements are found through
//! maps from their key: patches of many elements stay cheap.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{
    DIRECTIVE, Schema, StrategicMergeError, failed, go_text, go_type, merge_map, no_merge_key, unknown_directive,
};
use crate::schema::{Field, Type};

/// Merges a list or puts the patch's in its place, as the field's strategy says.
pub(super) fn merge_or_replace(
    items: &mut Vec<Value>,
    changes: Vec<Value>,
    field: &Field,
) -> Result<(), StrategicMergeError> {
    if field.patch.merge {
        *items = merge(std::mem::take(items), changes, field, false)?;
    } else {
        *items = changes;
    }
    Ok(())
}

/// Takes scalars out of a list, whatever the field's strategy.
pub(super) fn delete_or_merge(
    items: &mut Vec<Value>,
    gone: Vec<Value>,
    field: &Field,
) -> Result<(), StrategicMergeError> {
    *items = merge(std::mem::take(items), gone, field, true)?;
    Ok(())
}

fn merge(
    items: Vec<Value>,
    changes: Vec<Value>,
    field: &Field,
    is_delete: bool,
) -> Result<Vec<Value>, StrategicMergeError> {
    if items.is_empty() && changes.is_empty() {
        return Ok(items);
    }
    let of_maps = elements_are_maps(&items, &changes)?;
    if !of_maps {
        if is_delete {
            let gone: HashSet<String> = changes.iter().map(Value::to_string).collect();
            return Ok(items.into_iter().filter(|item| !gone.contains(&item.to_string())).collect());
        }
        let mut seen = HashSet::new();
        let (patch_order, server_order) = (changes.clone(), items.clone());
        let both = items.into_iter().chain(changes).filter(|item| seen.insert(item.to_string())).collect();
        return order(both, &patch_order, &server_order, None);
    }
    let Some(key) = field.merge_key.as_deref() else {
        return Err(failed("cannot merge lists without merge key for struct".to_owned()));
    };
    let (items, changes) = special_elements(items, changes, key)?;
    let element = match field.ty.resolved() {
        Type::List(element) => element,
        other => other,
    };
    let (patch_order, server_order) = (keys_only(&changes, key)?, keys_only_lax(&items, key));
    let merged = merge_by_key(items, changes, key, Schema::of(element))?;
    order(merged, &patch_order, &server_order, Some(key))
}

/// Whether the elements are maps; all must be of one type, and lists are refused.
fn elements_are_maps(items: &[Value], changes: &[Value]) -> Result<bool, StrategicMergeError> {
    let mut types = items.iter().chain(changes).map(go_type);
    let first = types.next().unwrap_or_default();
    if first == go_type(&Value::Array(Vec::new())) {
        return Err(StrategicMergeError::ListOfLists);
    }
    if types.any(|ty| ty != first) {
        let text = |list: &[Value]| go_text(&Value::Array(list.to_vec()));
        return Err(failed(format!("list element types are not identical: [{} {}]", text(items), text(changes))));
    }
    Ok(first == go_type(&Value::Object(Map::new())))
}

/// Handles elements that carry `$patch`: they delete elements or say that the list is replaced.
fn special_elements(
    mut items: Vec<Value>,
    changes: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), StrategicMergeError> {
    let mut rest = Vec::with_capacity(changes.len());
    let mut gone: HashSet<String> = HashSet::new();
    let mut replace = false;
    for change in changes {
        let map = as_map(&change)?;
        let Some(directive) = map.get(DIRECTIVE) else {
            rest.push(change);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                gone.insert(map.get(key).ok_or_else(|| no_merge_key(map, key))?.to_string());
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(failed("merging lists cannot yet be specified in the patch".to_owned())),
            _ => return Err(unknown_directive(directive, map)),
        }
    }
    if replace {
        return Ok((rest, Vec::new()));
    }
    if !gone.is_empty() {
        items.retain(|item| !item.get(key).is_some_and(|value| gone.contains(&value.to_string())));
    }
    Ok((items, rest))
}

fn merge_by_key(
    mut items: Vec<Value>,
    changes: Vec<Value>,
    key: &str,
    schema: Schema<'_>,
) -> Result<Vec<Value>, StrategicMergeError> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        if let Some(value) = as_map(item)?.get(key) {
            places.entry(value.to_string()).or_insert(at);
        }
    }
    for change in changes {
        let Value::Object(map) = change else { continue };
        let value = map.get(key).ok_or_else(|| no_merge_key(&map, key))?.to_string();
        match places.get(&value).and_then(|at| items.get_mut(*at)) {
            Some(Value::Object(item)) => merge_map(item, map, schema)?,
            _ => {
                places.insert(value, items.len());
                items.push(Value::Object(map));
            }
        }
    }
    Ok(items)
}

/// Puts a merged list in order: what the patch names stands in the patch's order, the rest in the server's, and where the
/// server knew both of two elements, its order between them holds.
pub(super) fn order(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, StrategicMergeError> {
    let in_patch = places(patch_order, key)?;
    let in_server = places(server_order, key)?;
    let mut named = Vec::new();
    let mut server_only = Vec::new();
    for item in merged {
        let identity = identity(&item, key)?;
        let at_server = in_server.get(&identity).copied();
        match in_patch.get(&identity) {
            Some(at) => named.push((*at, at_server, item)),
            None => server_only.push((at_server.unwrap_or(usize::MAX), at_server, item)),
        }
    }
    named.sort_by_key(|(at, ..)| *at);
    server_only.sort_by_key(|(at, ..)| *at);

    let mut result = Vec::with_capacity(named.len() + server_only.len());
    let mut left = server_only.into_iter().peekable();
    let mut right = named.into_iter().peekable();
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (Some((_, Some(l), _)), Some((_, Some(r), _))) => l < r,
            (Some(_), None) => true,
            (_, Some(_)) => false,
            (None, None) => return Ok(result),
        };
        let next = if take_left { left.next() } else { right.next() };
        result.extend(next.map(|(_, _, item)| item));
    }
}

/// The server's order as it stands once the patch has deleted elements: the places they free go to the elements the
/// patch adds. Upstream's lists share memory in that way, and clients rely on the order that comes of it.
pub(super) fn order_after(before: &[Value], changes: &[Value], field: &Field) -> Vec<Value> {
    let Some(key) = field.merge_key.as_deref().filter(|_| field.patch.merge) else { return before.to_vec() };
    let is_delete = |change: &&Value| change.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
    let values = |item: &Value| item.get(key).map(Value::to_string);
    let gone: HashSet<String> = changes.iter().filter(is_delete).filter_map(values).collect();
    let known: HashSet<String> = before.iter().filter_map(values).collect();
    let kept = before.iter().filter(|item| values(item).is_none_or(|value| !gone.contains(&value)));
    let added = changes.iter().filter(|change| {
        change.get(DIRECTIVE).is_none()
            && values(change).is_some_and(|value| !known.contains(&value) || gone.contains(&value))
    });
    kept.chain(added).take(before.len()).cloned().collect()
}

/// Checks that the patch's elements stand in the order that `$setElementOrder` gives.
pub(super) fn check_order(changes: &[Value], order: &[Value], field: &Field) -> Result<(), StrategicMergeError> {
    if order.is_empty() || changes.is_empty() {
        return Ok(());
    }
    let key = field.merge_key.as_deref();
    let mut expected = order.iter();
    for change in changes.iter().filter(|change| change.get(DIRECTIVE).is_none()) {
        let change_identity = identity(change, key)?;
        let mut found = false;
        for next in expected.by_ref() {
            if identity(next, key)? == change_identity {
                found = true;
                break;
            }
        }
        if !found {
            let text = |list: &[Value]| go_text(&Value::Array(list.to_vec()));
            return Err(failed(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                text(changes),
                text(order)
            )));
        }
    }
    Ok(())
}

fn places(list: &[Value], key: Option<&str>) -> Result<HashMap<String, usize>, StrategicMergeError> {
    let mut places = HashMap::with_capacity(list.len());
    for (at, item) in list.iter().enumerate() {
        places.entry(identity(item, key)?).or_insert(at);
    }
    Ok(places)
}

/// What tells an element from others: its merge key's value, or itself if it is a scalar.
fn identity(item: &Value, key: Option<&str>) -> Result<String, StrategicMergeError> {
    let Some(key) = key else { return Ok(item.to_string()) };
    let map = as_map(item)?;
    map.get(key).map(Value::to_string).ok_or_else(|| no_merge_key(map, key))
}

fn as_map(item: &Value) -> Result<&Map<String, Value>, StrategicMergeError> {
    item.as_object()
        .ok_or_else(|| failed(format!("expected a map[string]interface {{}}, but received a {}", go_type(item))))
}

/// Elements reduced to their keys: enough to order by, cheap to keep.
fn keys_only(items: &[Value], key: &str) -> Result<Vec<Value>, StrategicMergeError> {
    items
        .iter()
        .map(|item| {
            let map = as_map(item)?;
            let value = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
            Ok(Value::Object(Map::from_iter([(key.to_owned(), value.clone())])))
        })
        .collect()
}

/// As [`keys_only`]; what has no key is found missing later, where upstream complains.
fn keys_only_lax(items: &[Value], key: &str) -> Vec<Value> {
    let keys = items.iter().filter_map(|item| item.get(key));
    keys.map(|value| Value::Object(Map::from_iter([(key.to_owned(), value.clone())]))).collect()
}
