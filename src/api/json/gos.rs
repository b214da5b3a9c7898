//! Numbers as Go's readers of values take them.

use serde_json::{Number, Value};

/// Makes the numbers of a value what YAML that was turned into JSON holds of them: an integer if it is whole and fits into 64
/// bits, `3.0` too, and else a float.
pub fn normalize_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_i64() => {
            let whole = number.as_f64().and_then(whole);
            if let Some(whole) = whole.or_else(|| number.as_f64().and_then(Number::from_f64)) {
                *number = whole;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(normalize_numbers),
        Value::Object(map) => map.values_mut().for_each(normalize_numbers),
        _ => {}
    }
}

/// The integer that a float is written as.
fn whole(float: f64) -> Option<Number> {
    // What is written with fewer digits than it has is no more the number it was: the text decides.
    let text = format!("{float}");
    let text = if float == 0.0 { "0" } else { &text };
    text.parse::<i64>().ok().map(Number::from)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::normalize_numbers;

    #[test]
    fn whole_numbers_are_integers() {
        for (text, expect) in [
            ("3.0", "3"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("1.5", "1.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9.223372036854776e18"),
            ("1e300", "1e300"),
            (r#"{"a":[2.0]}"#, r#"{"a":[2]}"#),
        ] {
            let mut value: Value = serde_json::from_str(text).unwrap();
            normalize_numbers(&mut value);
            let expect: Value = serde_json::from_str(expect).unwrap();
            assert_eq!(value, expect, "{text}");
        }
    }
}
