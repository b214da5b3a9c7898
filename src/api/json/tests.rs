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
    assert!(read(b"\"\xff\"", Limits::default()).is_err());
}
