//! When two values say the same: a list that is empty says what no list says.

use api::prune;
use api::schema::Message;
use serde_json::Value;

use crate::tree::Tree;

/// Whether two values say the same.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let absent = &Value::Null;
            one.iter().all(|(key, value)| same(value, other.get(key).unwrap_or(absent)))
                && other.iter().all(|(key, value)| one.contains_key(key) || same(absent, value))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Null, Value::Array(list)) | (Value::Array(list), Value::Null) => list.is_empty(),
        (one, other) => one == other,
    }
}

/// Whether two objects say the same in a field.
pub(super) fn same_at(one: &Value, other: &Value, path: &str) -> bool {
    same(one.at(path).unwrap_or(&Value::Null), other.at(path).unwrap_or(&Value::Null))
}

/// Whether two values of a message are written as the same. A client may send the empty structs, lists, maps and zeros that Go
/// always writes, or leave them out. What no message describes is written as it is.
pub(crate) fn same_as_written(message: Option<&Message>, one: &Value, other: &Value) -> bool {
    if one == other {
        return true;
    }
    // The first difference that is more than an empty value ends the search: most writes change something.
    if !alike(one, other) {
        return false;
    }
    let Some(message) = message else { return false };
    let written = |value: &Value| {
        let mut value = value.clone();
        prune::canonical(&mut value, message);
        value
    };
    written(one) == written(other)
}

/// Whether two values differ in nothing but what may be written for nothing.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.iter().all(|(key, value)| other.get(key).map_or_else(|| is_hollow(value), |other| alike(value, other)))
                && other.iter().all(|(key, value)| one.contains_key(key) || is_hollow(value))
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        _ => one == other || is_hollow(one) && is_hollow(other),
    }
}

/// Whether Go may write this for nothing.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_hollow),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(truth) => !truth,
        Value::Null => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{same, same_as_written};

    #[test]
    fn an_empty_list_says_what_no_list_says() {
        let check = |one, other, expect| {
            assert_eq!(same(&one, &other), expect, "{one} {other}");
            assert_eq!(same(&other, &one), expect, "{other} {one}");
        };
        check(json!({"a": []}), json!({}), true);
        check(json!({"a": [{"b": []}]}), json!({"a": [{}]}), true);
        check(json!({"a": [1]}), json!({}), false);
        check(json!({"a": {}}), json!({}), false);
        check(json!([1, 2]), json!([1]), false);
        check(json!(1), json!(1), true);
    }

    #[test]
    fn what_go_always_writes_may_be_left_out() {
        let check = |one, other, expect| {
            let message = api::schema::message("core/v1.PodTemplateSpec");
            assert_eq!(same_as_written(message, &one, &other), expect, "{one} {other}");
            assert_eq!(same_as_written(message, &other, &one), expect, "{other} {one}");
        };
        let template = |spec| json!({"metadata": {}, "spec": spec});
        check(
            template(json!({"containers": [{"name": "a"}]})),
            json!({"spec": {"containers": [{"name": "a", "resources": {}}]}}),
            true,
        );
        check(
            template(json!({"volumes": [{"name": "v", "projected": {"sources": []}}]})),
            template(json!({"volumes": [{"name": "v", "projected": {"sources": null}}]})),
            true,
        );
        check(template(json!({"affinity": {}})), template(json!({})), false);
        let env = |reference| {
            let from = json!({"resourceFieldRef": reference});
            template(json!({"containers": [{"name": "a", "env": [{"name": "e", "valueFrom": from}]}]}))
        };
        check(env(json!({"resource": "r", "divisor": "0"})), env(json!({"resource": "r"})), true);
        check(env(json!({"resource": "r", "divisor": "1"})), env(json!({"resource": "r"})), false);
        check(template(json!({"priority": 0})), template(json!({})), false);
    }
}
