//! Go's ways of writing values, which upstream's error texts show: `%q`, `%v` and `%T`.

use std::fmt::Write;

use serde_json::Value;

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
            c if c.is_control() || c == '\u{feff}' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
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
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn escapes_like_go() {
        for (text, expect) in [
            ("a b", r#""a b""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("a\n\t\u{1}\u{7f}", r#""a\n\t\x01\x7f""#),
            ("grün", r#""grün""#),
            ("\u{85}", r#""\u0085""#),
        ] {
            assert_eq!(quote(text), expect);
        }
    }
}
