//! What complaints show, but for what is empty: a list or map that is sent empty is none to isopod, and upstream shows that it
//! was sent.

use serde_json::Value;

/// A complaint that shows nothing empty: neither in the value it is about nor in the lines of the difference it ends on.
pub(crate) fn without(complaint: &str) -> String {
    let (text, difference) = complaint.split_once("\n@@ ").unwrap_or((complaint, ""));
    // The first line says where the difference begins, for which lines are counted that show what is empty.
    let changed =
        difference.lines().skip(1).filter(|line| line.starts_with(['+', '-'])).map(|line| line.trim_end_matches(','));
    let changed = changed.filter(|line| !["null", "[]", "{}"].iter().any(|empty| line.ends_with(empty)));
    std::iter::once(&*without_in_value(text)).chain(changed).collect::<Vec<_>>().join("\n")
}

fn without_in_value(text: &str) -> String {
    for before in ["Invalid value: ", "Unsupported value: "] {
        let Some((place, shown)) = text.split_once(before) else { continue };
        let mut values = serde_json::Deserializer::from_str(shown).into_iter::<Value>();
        if let Some(Ok(value)) = values.next() {
            return format!("{place}{before}{}{}", full(value), &shown[values.byte_offset()..]);
        }
    }
    text.to_owned()
}

/// A value without what is empty in it; null if it is all empty.
fn full(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, full(value))).filter(|(_, value)| !value.is_null());
            Some(Value::Object(entries.collect())).filter(|map| *map != serde_json::json!({})).unwrap_or_default()
        }
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Array(list) => list.into_iter().map(full).collect(),
        other => other,
    }
}
