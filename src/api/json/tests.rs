use serde_json::json;

use super::{Limits, ReadError, read};

#[test]
fn reads_and_finds_duplicates() {
    for (text, value, duplicates) in [
        (r#"{"a":1,"b":[true,null,"x",1.5,-2]}"#, json!({"a": 1, "b": [true, null, "x", 1.5, -2]}), vec![]),
        (r#"{"a":1,"a":2,"a":3}"#, json!({"a": 3}), vec!["a"]),
        (
            r#"{"s":{"c":[{},{"n":1,"n":2}],"m":{"x.y":1,"x.y":1}}}"#,
            json!({"s": {"c": [{}, {"n": 2}], "m": {"x.y": 1}}}),
            vec!["s.c[1].n", "s.m.x.y"],
        ),
        (r#""aé\n""#, json!("aé\n"), vec![]),
    ] {
        let document = read(text.as_bytes(), Limits::default()).unwrap();
        assert_eq!((document.value, document.duplicates), (value, duplicates.into_iter().map(str::to_owned).collect()));
    }
}

#[test]
fn keeps_to_its_limits() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let limits = Limits { bytes: 100, depth: 4 };
    assert!(read(nested(4).as_bytes(), limits).is_ok());
    let error = read(nested(5).as_bytes(), limits).unwrap_err().to_string();
    assert!(error.contains("exceeded max depth"), "{error}");
    assert!(matches!(read(&[b' '; 101], limits), Err(ReadError::TooLarge(100))));
    assert!(read(nested(100_000).as_bytes(), Limits::default()).is_err());
}

#[test]
fn refuses_what_is_no_json() {
    for text in ["", "{", "{}x", "{'a':1}", "{\"a\":01}", "\u{feff}{}", "[1,]", "nul"] {
        assert!(matches!(read(text.as_bytes(), Limits::default()), Err(ReadError::Syntax(_))), "{text}");
    }
    assert!(read(b"\"\xff", Limits::default()).is_err());
}

#[test]
fn what_is_no_json_is_told_in_gos_words() {
    let end = "unexpected end of JSON input";
    for (text, expect) in [
        ("", end),
        (" ", end),
        ("{", end),
        ("[1", end),
        ("{\"a\":\"x", end),
        ("}", "invalid character '}' looking for beginning of value"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{\"a\":[1,2}", "invalid character '}' after array element"),
        ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
        ("{\"a\":01}", "invalid character '1' after object key:value pair"),
        ("{\"a\":1}x", "invalid character 'x' after top-level value"),
        ("{\"a\":1} {}", "invalid character '{' after top-level value"),
        ("{\"a\":1}}", "invalid character '}' after top-level value"),
        ("{\"a\":tru}", "invalid character '}' in literal true (expecting 'e')"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("tru", "invalid character ' ' in literal true (expecting 'e')"),
        ("{\"a\":-}", "invalid character '}' in numeric literal"),
        ("{\"a\":1.}", "invalid character '}' after decimal point in numeric literal"),
        ("{\"a\":1e}", "invalid character '}' in exponent of numeric literal"),
        ("{\"a\":+1}", "invalid character '+' looking for beginning of value"),
        ("{\"a\":\"\\x\"}", "invalid character 'x' in string escape code"),
        ("{\"a\":\"\\u12\"}", "invalid character '\"' in \\u hexadecimal character escape"),
        ("{\"a\":\"\n\"}", "invalid character '\\n' in string literal"),
        ("\u{0}", "invalid character '\\x00' looking for beginning of value"),
        ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
    ] {
        assert_eq!(read(text.as_bytes(), Limits::default()).unwrap_err().to_string(), expect, "{text}");
    }
}

#[test]
fn characters_that_are_none_are_replaced() {
    for (text, expect) in [
        (&b"{\"a\":\"\xe9\"}"[..], json!({"a": "\u{fffd}"})),
        (
            br#"["\ud800", "\udc00x", "\\ud800", "\ud83d\ude00", "\ud800\n"]"#,
            json!(["\u{fffd}", "\u{fffd}x", "\\ud800", "😀", "\u{fffd}\n"]),
        ),
    ] {
        assert_eq!(read(text, Limits::default()).unwrap().value, expect);
    }
}
