//! Values as upstream shows them in its complaints: in the form its server works with, which has names, an order and zero
//! values of its own.
//!
//! The table beside this file was made from upstream's types. A line without indentation begins a type; the others are its
//! fields: the name that is shown (with a `?` if it is left out when it is empty), the name in v1 or the way to it (with a `^` if
//! it stands one level higher there), what stands there when it is absent, and the type of what is inside, if it has a form of its own.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value};

use super::unified_diff;
use crate::tree::Tree;

struct Field {
    shown: &'static str,
    may_be_left_out: bool,
    name: &'static str,
    above: bool,
    absent: Value,
    inside: Option<&'static str>,
}

type Forms = HashMap<&'static str, Vec<Field>>;

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let mut forms = Forms::new();
    let mut current = "";
    for line in include_str!("upstream_form/types.txt").lines() {
        match line.strip_prefix(' ') {
            None => current = line,
            Some(field) => forms.entry(current).or_default().extend(read(field)),
        }
    }
    forms
});

fn read(line: &'static str) -> Option<Field> {
    let mut words = line.split(' ');
    let (shown, name) = (words.next()?, words.next()?);
    let absent = serde_json::from_str(words.next()?).ok()?;
    let inside = words.next().map(|kind| kind.trim_start_matches(['[', ']', '{', '}']));
    Some(Field {
        shown: shown.trim_end_matches('?'),
        may_be_left_out: shown.ends_with('?'),
        name: name.trim_start_matches('^'),
        above: name.starts_with('^'),
        absent,
        inside,
    })
}

/// A value of one of the types of the table, in upstream's form.
pub(super) fn of(kind: &str, value: &Value) -> Value {
    shape(kind, value, &Value::Null)
}

fn shape(kind: &str, value: &Value, above: &Value) -> Value {
    let Some(fields) = FORMS.get(kind) else { return value.clone() };
    let mut map = Map::new();
    for field in fields {
        let source = if field.above { above } else { value };
        let found = source.at(field.name);
        if field.may_be_left_out && found.is_none_or(is_empty) {
            continue;
        }
        let shown = match (found, field.inside) {
            (None, Some(inside)) if field.absent.is_object() => shape(inside, &Value::Null, value),
            (None, _) => field.absent.clone(),
            (Some(Value::Array(items)), Some(inside)) => items.iter().map(|item| shape(inside, item, value)).collect(),
            (Some(found), Some(inside)) => shape(inside, found, value),
            (Some(found), None) => sorted(found),
        };
        map.insert(field.shown.to_owned(), shown);
    }
    Value::Object(map)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Go writes maps in the order of their keys.
pub(super) fn sorted(value: &Value) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
}

/// What differs between two values of a type, as upstream adds it to complaints: a line feed, and the difference.
pub(super) fn difference(kind: &str, old: &Value, new: &Value) -> String {
    format!("\n{}", unified_diff::unified(&pretty(&of(kind, old)), &pretty(&of(kind, new))))
}

/// Indented by one, with Go's escapes for what could mean something in HTML.
fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" ")));
    debug_assert!(written.is_ok(), "a tree in memory can be written");
    let text = String::from_utf8(text).unwrap_or_default();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_is_named_is_there() {
        for (kind, fields) in &*FORMS {
            for field in fields {
                assert!(field.inside.is_none_or(|inside| FORMS.contains_key(inside)), "{kind} {}", field.shown);
            }
        }
    }

    #[test]
    fn values_have_names_and_zeros_of_their_own() {
        let check = |kind, value: Value, expect: &str| assert_eq!(of(kind, &value).to_string(), expect);
        check(
            "PodResourceClaim",
            json!({}),
            r#"{"Name":"","ResourceClaimName":null,"ResourceClaimTemplateName":null}"#,
        );
        check("LabelSelector", json!({"matchExpressions": [{}]}), r#"{"matchExpressions":[{"key":"","operator":""}]}"#);
        check("DeploymentStrategy", json!({"type": "a"}), r#"{"Type":"a","RollingUpdate":null}"#);
        let spec = of("PodSpec", &json!({"hostPID": true, "securityContext": {}}));
        assert_eq!(
            (&spec["SecurityContext"]["HostPID"], &spec["SecurityContext"]["HostIPC"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn differences_name_what_changed() {
        let spec = |name: &str| json!({"containers": [{"name": name, "image": "<i>"}]});
        let shown = difference("PodSpec", &spec("a"), &spec("b"));
        assert!(shown.starts_with("\n@@ -3,7 +3,7 @@\n"), "{shown}");
        assert!(
            shown.contains("\n-   \"Name\": \"a\",\n+   \"Name\": \"b\",\n    \"Image\": \"\\u003ci\\u003e\",\n"),
            "{shown}"
        );
    }
}
