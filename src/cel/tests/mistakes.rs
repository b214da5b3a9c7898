//! What is wrong with expressions, in cel-go's words and at its places.

use crate::Environment;

fn complaint(source: &str) -> String {
    match Environment::new().with_dynamic("x").compile(source) {
        Ok(_) => "none".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

const EXPRESSION: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

#[test]
fn mistakes_are_told_with_their_place() {
    for (source, expect) in [
        ("y", "ERROR: <input>:1:1: undeclared reference to 'y' (in container '')\n | y\n | ^"),
        ("  y", "ERROR: <input>:1:3: undeclared reference to 'y' (in container '')\n |   y\n | ..^"),
        ("1 +\ny", "ERROR: <input>:2:1: undeclared reference to 'y' (in container '')\n | y\n | ^"),
        ("f(1)", "ERROR: <input>:1:2: undeclared reference to 'f' (in container '')\n | f(1)\n | .^"),
        ("x.f(1)", "ERROR: <input>:1:4: undeclared reference to 'f' (in container '')\n | x.f(1)\n | ...^"),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
        (
            "'a'.size(1)",
            "ERROR: <input>:1:9: found no matching overload for 'size' applied to 'string.(int)'\n | 'a'.size(1)\n | ........^",
        ),
        ("1.a", "ERROR: <input>:1:2: type 'int' does not support field selection\n | 1.a\n | .^"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        (
            "1.all(y, true)",
            "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)\n | 1.all(y, true)\n | ^",
        ),
        ("1 && true", "ERROR: <input>:1:1: expected type 'bool' but found 'int'\n | 1 && true\n | ^"),
        (
            "y && z",
            "ERROR: <input>:1:1: undeclared reference to 'y' (in container '')\n | y && z\n | ^\nERROR: <input>:1:6: undeclared reference to 'z' (in container '')\n | y && z\n | .....^",
        ),
        ("'ö' + y", "ERROR: <input>:1:7: undeclared reference to 'y' (in container '')\n | 'ö' + y\n | .．....^"),
        ("let", "ERROR: <input>:1:1: reserved identifier: let\n | let\n | ^"),
        ("1 + 2\n3 + 4", "ERROR: <input>:2:1: Syntax error: mismatched input '3' expecting <EOF>\n | 3 + 4\n | ^"),
        ("a b", "ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>\n | a b\n | ..^"),
        ("..", "ERROR: <input>:1:2: Syntax error: no viable alternative at input '..'\n | ..\n | .^"),
        ("(a", "ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'\n | (a\n | ..^"),
        (
            "a && (b || c",
            "ERROR: <input>:1:13: Syntax error: missing ')' at '<EOF>'\n | a && (b || c\n | ............^",
        ),
        ("[1,", "ERROR: <input>:1:4: Syntax error: missing ']' at '<EOF>'\n | [1,\n | ...^"),
        ("[1", "ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {']', ','}\n | [1\n | ..^"),
        ("{1:2", "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'}', ','}\n | {1:2\n | ....^"),
        ("f(1 2)", "ERROR: <input>:1:5: Syntax error: extraneous input '2' expecting ')'\n | f(1 2)\n | ....^"),
        ("[1,,2]", "ERROR: <input>:1:4: Syntax error: mismatched input ',' expecting ']'\n | [1,,2]\n | ...^"),
        (
            "a.b(",
            "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | a.b(\n | ....^",
        ),
        (
            "{",
            "ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | {\n | .^",
        ),
        (
            "!",
            "ERROR: <input>:1:2: Syntax error: extraneous input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | !\n | .^",
        ),
        (
            "-",
            "ERROR: <input>:1:2: Syntax error: no viable alternative at input '-'\n | -\n | .^\nERROR: <input>:1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | -\n | .^",
        ),
        (
            "a.?1",
            "ERROR: <input>:1:4: Syntax error: mismatched input '1' expecting {IDENTIFIER, ESC_IDENTIFIER}\n | a.?1\n | ...^\nERROR: <input>:1:4: unsupported ident kind\n | a.?1\n | ...^",
        ),
        ("a. .b", "ERROR: <input>:1:4: Syntax error: no viable alternative at input '. .'\n | a. .b\n | ...^"),
        ("a.", "ERROR: <input>:1:3: Syntax error: no viable alternative at input '.'\n | a.\n | ..^"),
        ("{a}", "ERROR: <input>:1:3: Syntax error: mismatched input '}' expecting ':'\n | {a}\n | ..^"),
        (
            "{\"a\": 1}.\"a\"",
            "ERROR: <input>:1:10: Syntax error: no viable alternative at input '.\"a\"'\n | {\"a\": 1}.\"a\"\n | .........^",
        ),
    ] {
        assert_eq!(complaint(source), expect, "{source}");
    }
    // What comes after a mistake is told as well.
    for (source, places) in
        [("/", &["1:1", "1:2"] as &[_]), ("*", &["1:1", "1:2"]), ("/a/../b", &["1:1", "1:5"]), ("", &["1:0"])]
    {
        let text = complaint(source);
        let found: Vec<_> = text.split("ERROR: <input>:").skip(1).map(|one| &one[..3]).collect();
        assert_eq!(found, places, "{source}: {text}");
    }
    for (source, place, found) in [
        ("1 +", 4, "mismatched input '<EOF>'"),
        ("in", 1, "mismatched input 'in'"),
        ("1 + + 2", 5, "extraneous input '+'"),
    ] {
        let text = complaint(source);
        let expect = format!("ERROR: <input>:1:{place}: Syntax error: {found} expecting {EXPRESSION}");
        assert!(text.starts_with(&expect), "{source}: {text}");
    }
    // What is no token is told up to the character at which that shows.
    for (source, places) in [
        (r"'a\q'", &[("1:1", r"'a\q"), ("1:5", "'")] as &[_]),
        (r"'a\x1'", &[("1:1", r"'a\x1'")]),
        (r"'\u12' + 1", &[("1:1", r"'\u12'")]),
        (r"'\400' + 1", &[("1:1", r"'\4"), ("1:6", "' + 1")]),
        (r"b'abc", &[("1:2", "'abc")]),
        (r"br'x", &[("1:3", "'x")]),
        (r"'''a\q'''", &[("1:3", r"'a\q"), ("1:9", "'")]),
        ("'a'b'", &[("1:5", "'")]),
        ("``", &[("1:1", "``")]),
        ("`a$b`", &[("1:1", "`a$"), ("1:5", "`")]),
        ("self.`a", &[("1:6", "`a")]),
        ("'a\tb", &[("1:1", "'a\tb")]),
        ("'a\rb'", &[("1:1", "'a\r"), ("1:5", "'")]),
        ("'ä\\ä'", &[("1:1", "'ä\\ä"), ("1:5", "'")]),
        ("a | b", &[("1:3", "| ")]),
    ] {
        let text = complaint(source);
        let told = text.split("ERROR: <input>:");
        let told = told.filter_map(|one| one.split_once(": Syntax error: token recognition error at: '"));
        let found: Vec<_> = told.map(|(place, rest)| (place, rest.split_once("'\n | ").unwrap().0)).collect();
        assert_eq!(found, places, "{source}: {text}");
    }
    let text = complaint("x.`a");
    assert!(text.contains("no viable alternative at input '.'\n"), "{text}");
    let text = complaint("1 + $");
    assert!(text.starts_with("ERROR: <input>:1:5: Syntax error: token recognition error at: '$'\n"), "{text}");
}

/// What is recovered from counts: a stack is no place for as many tokens as a source may have.
#[test]
fn mistakes_do_not_go_deeper_than_expressions() {
    for (first, again) in [("+", "-"), ("", "-!"), ("", "[+"), ("", "f(+"), ("", "{+"), ("a", "[+"), ("", "(+")] {
        let text = complaint(&format!("{first}{}", again.repeat(20_000)));
        assert!(text.contains("expression recursion limit exceeded"), "{first}{again}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let deep = |count: usize| format!("{}1{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(complaint(&deep(62)), "none");
    for source in [
        deep(100_000 / 3),
        format!("x{}", ".a".repeat(1000)),
        format!("1{}", "+1".repeat(1000)),
        format!("{}x", "[".repeat(30_000)),
        format!("x{}", "[0]".repeat(2000)),
        format!("{}1", "true ? 1 : ".repeat(1000)),
        format!("{}x", "!(".repeat(1000)),
    ] {
        let text = complaint(&source);
        assert!(text.starts_with("ERROR: <input>:-1:0: expression recursion limit exceeded: 250"), "{text}");
    }
    let text = complaint(&format!("'{}'", "a".repeat(100_000)));
    assert_eq!(text, "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100002, limit 100000");
    // Logic gets long without getting deep.
    assert_eq!(complaint(&vec!["true"; 5000].join(" && ")), "none");
}

/// Literals whose elements have many types are for `format` alone; a mistake that does not check is told before those that do.
#[test]
fn literals_have_one_type_and_formats_fit() {
    for (source, expect) in [
        (r#""%s %d".format(["a", 1])"#, "none"),
        (r#""%s".format([[1, "x"].map(y, y)])"#, "none"),
        (r#""%s".format([{"a": 1, "b": "x"}])"#, "none"),
        (r#""%d %s%%".format([x.a, x.b])"#, "none"),
        (r#""%s".format(x.list)"#, "none"),
        ("[[], [1]]", "none"),
        ("[{}, {'a': 1}]", "none"),
        ("[x.a, x.b]", "none"),
        ("[x.a, 'b']", "1:7: expected type 'dyn' but found 'string'"),
        ("[1, 'a', 2u]", "1:5: expected type 'int' but found 'string'"),
        ("[type(1), type('a')]", "1:15: expected type 'type(int)' but found 'type(string)'"),
        ("[{'a': 1}, {'a': 'b'}]", "1:12: expected type 'map(string, int)' but found 'map(string, string)'"),
        ("{'a': x.a, 'b': 'c'}", "1:17: expected type 'dyn' but found 'string'"),
        ("['a', ?x.?a]", "1:9: expected type 'string' but found 'dyn'"),
        ("[1, 'a'] == y", "1:13: undeclared reference to 'y' (in container '')"),
        ("duration('x') == y", "1:18: undeclared reference to 'y' (in container '')"),
        ("duration('x') == duration('1s')", "1:10: invalid duration argument"),
        (
            r#""%d".format(["a"])"#,
            "1:14: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            r#""%b%o%e".format([1, 1, 1])"#,
            "1:24: error during formatting: scientific clause can only be used on doubles, was given int",
        ),
        (
            r#""%x".format([1.5])"#,
            "1:14: error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given double",
        ),
        (r#""%d %s".format([1])"#, "1:15: index 1 out of range"),
        (r#""%".format([1])"#, "1:11: unexpected end of string"),
        (r#""%q".format([1])"#, "1:12: could not parse formatting clause: unrecognized formatting clause \"q\""),
        (r#""%d".format([1, 2])"#, "1:12: too many arguments supplied to string.format (expected 1, got 2)"),
    ] {
        let found = complaint(source);
        let found = found.strip_prefix("ERROR: <input>:").unwrap_or(&found);
        assert_eq!(found.lines().next().unwrap_or_default(), expect, "{source}");
    }
}
