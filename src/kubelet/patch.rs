//! Merge patches by comparison.

use serde_json::{Map, Value};

/// The merge patch (RFC 7386) that turns `old` into `new`; None when they say the same. Arrays are replaced whole.
///
/// A member that is missing says what Go's zero value says: servers differ in which of them they keep, and a patch for nothing but
/// that would come again and again.
pub(crate) fn merge(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (!same(old, new)).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(present) => {
                if let Some(change) = merge(present, value) {
                    patch.insert(key.clone(), change);
                }
            }
            None if is_zero(value) => {}
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    let gone = before.iter().filter(|(key, value)| !after.contains_key(*key) && !is_zero(value));
    patch.extend(gone.map(|(key, _)| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Whether two values say the same.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| b.get(key).map_or(is_zero(value), |other| same(value, other)))
                && b.iter().all(|(key, value)| a.contains_key(key) || is_zero(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_zero),
        Value::Bool(true) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn patches_say_only_what_changed() {
        let check = |old, new, expect: Option<serde_json::Value>| assert_eq!(super::merge(&old, &new), expect);
        check(json!({"a": 1}), json!({"a": 1}), None);
        check(json!({"a": 1, "b": 2}), json!({"a": 1}), Some(json!({"b": null})));
        check(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": 1, "y": 3}}), Some(json!({"a": {"y": 3}})));
        check(json!({"a": [1, 2]}), json!({"a": [1]}), Some(json!({"a": [1]})));
        check(json!(null), json!({"a": 1}), Some(json!({"a": 1})));
        check(
            json!({"a": [{"n": "x"}]}),
            json!({"a": [{"n": "x", "count": 0, "ready": false, "resources": {}}], "b": ""}),
            None,
        );
        check(json!({"a": [{"n": "x", "count": 1}]}), json!({"a": [{"n": "x"}]}), Some(json!({"a": [{"n": "x"}]})));
    }
}
