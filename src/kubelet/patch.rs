//! Merge patches by comparison.

use serde_json::{Map, Value};

/// The merge patch (RFC 7386) that turns `old` into `new`; None when they are equal. Arrays are replaced whole.
pub(crate) fn merge(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(present) => {
                if let Some(change) = merge(present, value) {
                    patch.insert(key.clone(), change);
                }
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    patch.extend(before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
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
    }
}
