//! Go's ways of writing values, which upstream's error texts show: `%q`, `%v` and `%T`.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The string in double quotes with Go's escapes, as `strconv.Quote` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            // Writing to a String cannot fail.
            c if (c as u32) < 0x20 || c == '\u{7f}' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if c != ' ' && is_unseen(c) => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a character is one that Go does not print: control characters, all spaces but one, what only tells how to set text.
fn is_unseen(c: char) -> bool {
    let directs = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || c.is_whitespace() || directs
}

/// A float as `%v` prints it: the shortest digits that read back, with an exponent below 0.0001 and from a million on.
pub fn float(float: f64) -> String {
    let shortest = format!("{float:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else { return shortest };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{float}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Go's `%v` of a decoded value.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => number(value),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries = sorted(map).into_iter().map(|(key, value)| format!("{key}:{}", plain(value)));
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

/// Go's `%#v` of a decoded value.
pub fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => number(value),
        Value::String(text) => quote(text),
        Value::Array(list) => {
            format!("[]interface {{}}{{{}}}", list.iter().map(syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries = sorted(map).into_iter().map(|(key, value)| format!("{}:{}", quote(key), syntax(value)));
            format!("map[string]interface {{}}{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value as those who merge show it in the path of an element. Members of maps stand there without anything between them.
pub fn merged(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(value) => number(value),
        Value::Array(list) => format!("[{}]", list.iter().map(merged).collect::<Vec<_>>().join(",")),
        Value::Object(map) => sorted(map).into_iter().map(|(key, value)| format!("{key}={}", merged(value))).collect(),
        other => other.to_string(),
    }
}

/// A number as `%v` prints it: what is no integer to Go is a float.
fn number(number: &Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (None, Some(value)) => float(value),
        _ => number.to_string(),
    }
}

/// As `fmt` prints maps.
fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// A value as Go writes JSON: with its numbers, and with escapes for what could mean something in HTML.
pub fn json(value: &Value) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail, and what is written is text.
    drop(crate::json::write(&mut text, value));
    String::from_utf8_lossy(&text).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What Go's JSON decoder calls a value.
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Go's `%T` of a decoded value.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{merged, plain, quote, syntax};

    #[test]
    fn values_are_shown_like_gos() {
        let check = |value: Value, expect: [&str; 3]| {
            assert_eq!([plain(&value), syntax(&value), merged(&value)], expect.map(str::to_owned), "{value}");
        };
        check(json!(null), ["<nil>", "interface {}(nil)", "null"]);
        check(json!(true), ["true", "true", "true"]);
        check(json!("a\"b"), ["a\"b", r#""a\"b""#, r#""a\"b""#]);
        check(json!(-3), ["-3", "-3", "-3"]);
        check(json!(1234567.5), ["1.2345675e+06", "1.2345675e+06", "1.2345675e+06"]);
        check(json!(9223372036854775808_u64), ["9.223372036854776e+18"; 3]);
        check(json!([1, "a"]), ["[1 a]", r#"[]interface {}{1, "a"}"#, r#"[1,"a"]"#]);
        check(
            json!({"b": 1.5, "a": {}}),
            ["map[a:map[] b:1.5]", r#"map[string]interface {}{"a":map[string]interface {}{}, "b":1.5}"#, "a=b=1.5"],
        );
    }

    #[test]
    fn escapes_like_go() {
        for (text, expect) in [
            ("a b", r#""a b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\n\t\u{1}\u{7f}", r#""a\n\t\x01\x7f""#),
            ("grün", r#""grün""#),
            ("\u{85}", r#""\u0085""#),
            ("a\u{a0}\u{2028}\u{200b}", r#""a\u00a0\u2028\u200b""#),
        ] {
            assert_eq!(quote(text), expect);
        }
    }
}
