//! Nothing an expression says makes the compiler or the evaluation panic, or keeps them busy for long.

use proptest::prelude::*;

use super::rows::on_a_small_stack;
use crate::{Budget, Environment, Value, Variables};

/// Compiles and runs whatever it is.
pub(super) fn survives(source: &str) {
    let environment = Environment::new().with_dynamic("x").with_authorizer();
    if let Ok(program) = environment.compile(source) {
        let json = serde_json::json!({"a": [1, "b", {"c": null}], "b": 1.5});
        let variables = Variables::new().with("x", Value::from(&json));
        let _ = program.evaluate(&variables, &mut Budget::new(100_000));
    }
}

/// Pieces that make expressions when thrown together often enough.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "x",
        "1",
        "-1",
        "2u",
        "1.5",
        "'a'",
        "b'a'",
        "true",
        "null",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ".",
        ".?",
        "[?",
        ",",
        ":",
        "?",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " == ",
        " < ",
        " && ",
        " || ",
        " in ",
        "!",
        ".all(x, ",
        ".exists(y, ",
        ".map(z, ",
        ".filter(x, ",
        "has(",
        "size(",
        "cel.bind(v, ",
        ".a",
        "[0]",
        "optional.of(",
        ".orValue(",
        "'%s %d %.3f'.format([",
        "lists.range(",
        ".sort()",
        ".replace(",
        ".substring(",
        "timestamp(",
        "duration('1h')",
        ".getHours('",
        "'",
        "\"",
        "\\",
        "r'",
        "`",
        "//",
        "\n",
        "é",
        "\u{1F600}",
        ".split(''",
        ".matches('[a-",
        "url('",
        "ip('::1')",
        "quantity('1')",
        "semver('1.0.0')",
        "0x",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615u",
        "dyn(",
        "type(",
        ".sortBy(e, e)",
        ".transformMap(k, v, v)",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_survived(source in "\\PC{0,80}") {
        survives(&source);
    }

    #[test]
    fn anything_like_an_expression_is_survived(source in pieces()) {
        survives(&source);
    }
}

#[test]
fn deep_expressions_fit_small_stacks() {
    let deep = |open: &str, close: &str, count: usize| format!("{}x{}", open.repeat(count), close.repeat(count));
    let sources = [
        deep("(", ")", 62),
        deep("[", "]", 62),
        deep("!(", ")", 62),
        deep("dyn(", ")", 62),
        deep("[1].map(y, ", ")", 30),
        deep("(true ? ", " : x)", 31),
        deep("{'a': ", "}", 62),
        format!("x{}", "[0]".repeat(245)),
        format!("x{}", "[0].all(y, y)".repeat(60)),
        format!("x{}", " + x".repeat(245)),
    ];
    on_a_small_stack(move || sources.iter().for_each(|source| survives(source)));
}
