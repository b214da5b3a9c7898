use super::*;

#[test]
fn expressions_mean_what_they_mean_in_go() {
    let check = |pattern: &str, text: &str, expect: bool| {
        assert_eq!(compile(pattern).unwrap().is_match(text), expect, "{pattern} on {text}");
    };
    check(r"^\d+$", "12", true);
    check(r"^\d+$", "١٢", false);
    check(r"^\w+$", "a_1", true);
    check(r"^[\w.-]+$", "a.b-c", true);
    check(r"^\S+\s\S+$", "a b", true);
    check(r"^[^\s]+$", "a b", false);
    check(r"^[^\D]$", "7", true);
    check(r"^[\D]+$", "ab", true);
    check(r"^${foo}$", "x", false);
    check(r"^\${foo}$", "${foo}", true);
    check(r"^a{,5}$", "a{,5}", true);
    check(r"^a{01}$", "a{01}", true);
    check(r"^a{$", "a{", true);
    check(r"^a{2}$", "aa", true);
    check(r"^[[a]+$", "[a", true);
    check(r"^[]a]+$", "]a", true);
    check(r"^[a&&b~~-]+$", "&~-", true);
    check(r"^[[:alpha:]&&]+$", "a&", true);
    check(r"^\Qa.b\E$", "a.b", true);
    check(r"^\Qa.b\E$", "axb", false);
    check(r"^\Qab\E+$", "abbb", true);
    check(r"^\p{L}+$", "grün", true);
    check(r"^\p{Letter}\P{^Lu}$", "xÄ", true);
    check(r"(?i)^straße$", "STRAßE", true);
    check(r"^\/\_\-\<\>$", "/_-<>", true);
    check(r"\bfoo\b", "a foo b", true);
    check(r"o\Bo", "foo", true);
    check(r"^(?P<x>a|b)(?<x>c)+$", "bcc", true);
    check(r"^a(?i)+b$", "aaB", true);
    check(r"^(?i-i)a(?)b(?s-m:.)$", "ab\n", true);
    check(r"^\x41\x{e9}\07\101$", "Aé\u{7}A", true);
    check(r"[\x{d800}]|\x{dfff}", "a", false);
    check(r"^[^\x{d800}]$", "a", true);
    check(r"^[\x{d7ff}-\x{dfff}]$", "\u{d7ff}", true);
    check(r"^\p{L}{1,253}$", "grün", true);
}

#[test]
fn refusals_are_in_gos_words() {
    let check = |pattern: &str, expect: &str| {
        assert_eq!(Expression::read(pattern).unwrap_err(), format!("error parsing regexp: {expect}"), "{pattern}");
    };
    check("(a", "missing closing ): `(a`");
    check("a)b", "unexpected ): `a)b`");
    check("x[a", "missing closing ]: `[a`");
    check("[z-a]", "invalid character class range: `z-a`");
    check("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check(r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`");
    check(r"a\p", r"invalid character class range: `\p`");
    check(r"\p{L", r"invalid character class range: `\p{L`");
    check("(*)", "missing argument to repetition operator: `*`");
    check("a|{2}?", "missing argument to repetition operator: `{2}?`");
    check("a*??", "invalid nested repetition operator: `*??`");
    check("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check("a{1001}", "invalid repeat count: `{1001}`");
    check("a{2,1}", "invalid repeat count: `{2,1}`");
    check("(a{10}){1000}", "invalid repeat count: `{1000}`");
    check("a{100000000000000000000}", "invalid repeat count: `{100000000000000000000}`");
    check("(?!a)", "invalid or unsupported Perl syntax: `(?!`");
    check("(?i", "invalid or unsupported Perl syntax: `(?i`");
    check("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`");
    check("(?P=a)", "invalid or unsupported Perl syntax: `(?P`");
    check("(?P<a", "invalid named capture: `(?P<a`");
    check("(?<a.>b)", "invalid named capture: `(?<a.>`");
    check(r"\y", r"invalid escape sequence: `\y`");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check(r"[\Qa]", r"invalid escape sequence: `\Q`");
    let deep = "(".repeat(200) + &")".repeat(200);
    check(&deep, &format!("expression nests too deeply: `{deep}`"));
    check("a\\", "trailing backslash at end of expression: ``");
}

#[test]
fn what_is_too_large_is_not_compiled() {
    let large = r"[\p{L}\p{N}]{1000}";
    let expression = Expression::read(large).unwrap();
    assert!(expression.size() > SIZE_MAX);
    let why = expression.check().unwrap_err();
    assert_eq!(why, format!("error parsing regexp: expression too large: `{large}`"));
}

#[test]
fn sizes_are_seldom_less_than_they_are_said_to_be() {
    for pattern in [
        "a",
        "abc",
        "é{1000}",
        "[a-z]{1000}",
        "[^a]{1000}",
        ".{1000}",
        "(a|b|c){1000}",
        r"\p{L}{1,63}",
        r"\p{Han}{100}",
        "(?i)abcdefghij",
        "(((a?){10})?){10}",
        r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ] {
        let Expression { text, size, .. } = Expression::read(pattern).unwrap();
        let made = RegexBuilder::new(&text).size_limit(size + 400).build();
        assert!(made.is_ok(), "{pattern}: {size}");
    }
}
