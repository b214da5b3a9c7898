//! The elements of lists that are merged: by which step each is found.

use serde_json::Value;

use crate::fields::Step;
use crate::quote::quote;
use crate::schema::ListType;
use crate::shape::List;

/// The step to an element of a list of type map or set, or upstream's complaint about it.
pub(super) fn step(list: List<'_>, element: &Value) -> Result<Step, String> {
    match list.how {
        ListType::Map => keyed(list, element),
        ListType::Set => in_set(element),
        ListType::Atomic => Err("invalid indexing of non-associative list".to_owned()),
    }
}

fn keyed(list: List<'_>, element: &Value) -> Result<Step, String> {
    let Some(map) = element.as_object() else {
        return Err(match element {
            Value::Null => "associative list with keys may not have a null element".to_owned(),
            _ => "associative list with keys may not have non-map elements".to_owned(),
        });
    };
    let mut keys: Vec<(Box<str>, Value)> = Vec::with_capacity(list.keys.len());
    for key in list.keys {
        // An element without one of the keys is another element than one that has it.
        if let Some(value) = map.get(&**key).cloned().or_else(|| list.default_of(key)) {
            keys.push(((**key).into(), value));
        }
    }
    if keys.is_empty() && !list.keys.is_empty() {
        let names: Vec<String> = list.keys.iter().map(|key| quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Step::Key(keys.into()))
}

fn in_set(element: &Value) -> Result<Step, String> {
    match element {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
        scalar => Ok(Step::Value(scalar.clone())),
    }
}

/// The elements of a list with their steps, those of the same step together, in the order of their first. Elements without
/// a step are left out: validation speaks about them.
pub(super) fn grouped<'v>(list: List<'_>, elements: &'v [Value]) -> Vec<(Step, Vec<&'v Value>)> {
    let mut groups: Vec<(Step, Vec<&Value>)> = Vec::with_capacity(elements.len());
    let steps = elements.iter().filter_map(|element| Some((step(list, element).ok()?, element)));
    let mut steps: Vec<_> = steps.collect();
    steps.sort_by(|a, b| a.0.cmp(&b.0));
    for (step, element) in steps {
        match groups.last_mut() {
            Some((last, group)) if *last == step => group.push(element),
            _ => groups.push((step, vec![element])),
        }
    }
    groups
}

/// Of a value that is a list, the elements; none of any other.
pub(super) fn elements(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
