//! When two values say the same: a list that is empty says what no list says.

use api::{prune, schema};
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

/// Whether two values of a message are written as the same. A client may send the empty structs, lists and maps that Go always
/// writes, or leave them out.
pub(super) fn same_as_written(message: &str, one: &Value, other: &Value) -> bool {
    let written = |value: &Value| {
        let mut value = value.clone();
        if let Some(message) = schema::message(message) {
            prune::canonical(&mut value, message);
        }
        value
    };
    one == other || written(one) == written(other)
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
            assert_eq!(same_as_written("core/v1.PodTemplateSpec", &one, &other), expect, "{one} {other}");
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
    }
}
