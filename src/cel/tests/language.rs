//! The language itself.

use super::{check, holds};

#[test]
fn literals() {
    check(&[
        ("1", "1"),
        ("-1", "-1"),
        ("- 1", "-1"),
        ("--1", "1"),
        ("0x1F", "31"),
        ("-0x1", "-1"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "compile: invalid int literal"),
        ("1u", "1u"),
        ("0xFFu", "255u"),
        ("18446744073709551615u", "18446744073709551615u"),
        ("1.5", "1.5"),
        (".5e1", "5.0"),
        ("1e3", "1000.0"),
        ("'a\"b'", r#""a\"b""#),
        (r#""\x41\u00e9\101""#, r#""AéA""#),
        (r"r'\d'", r#""\\d""#),
        ("'''a\n'b'''", r#""a\n'b""#),
        (r"b'\xff'", "b\"\u{fffd}\""),
        ("b'é'", "b\"é\""),
        ("true", "true"),
        ("null", "null"),
        ("[1, 2,]", "[1, 2]"),
        ("[,]", "[]"),
        ("{,}", "{}"),
        ("{'a': 1, 'b': 2,}", r#"{"a": 1, "b": 2}"#),
        ("{1: 'x', 2u: 'y', true: 'z'}[1]", "compile: expected type 'int' but found 'uint'"),
        ("// a comment\n1 // another", "1"),
    ]);
}

#[test]
fn arithmetic_is_exact() {
    check(&[
        ("1 + 2 * 3 - 4 / 2", "5"),
        ("(1 + 2) * 3", "9"),
        ("7 / -2", "-3"),
        ("7 % -2", "1"),
        ("-7 % 2", "-1"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("-9223372036854775808 / -1", "error: integer overflow"),
        ("-(-9223372036854775808)", "error: integer overflow"),
        ("0u - 1u", "error: unsigned integer overflow"),
        ("1 / 0", "error: division by zero"),
        ("1u % 0u", "error: modulus by zero"),
        ("1.0 / 0.0", "inf"),
        ("2.5 * 2.0", "5.0"),
        ("'a' + 'b'", r#""ab""#),
        ("b'a' + b'b'", "b\"ab\""),
        ("[1] + [2]", "[1, 2]"),
        ("duration('1h') + duration('30m')", "5400s"),
        ("timestamp('2020-01-01T00:00:00Z') + duration('1.5s')", "2020-01-01T00:00:01.5Z"),
        ("timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z')", "86400s"),
        ("timestamp('9999-12-30T22:00:00Z') + duration('1000h')", "error: timestamp overflow"),
        ("duration('2562047h') + duration('2562047h')", "error: duration overflow"),
    ]);
}

#[test]
fn equality_and_order_cross_types_of_numbers() {
    holds(&[
        "1 == 1",
        "dyn(1) == 1u",
        "dyn(1) == 1.0",
        "dyn(1) != 1.5",
        "dyn('a') != 1",
        "dyn([1]) == [1.0]",
        "dyn({'a': 1}) == {'a': 1u}",
        "1 < 1.5",
        "1u < 2",
        "-1 < 0u",
        "9223372036854775807 < 9223372036854775808u",
        "'a' < 'b'",
        "b'a' < b'b'",
        "false < true",
        "duration('1s') < duration('1m')",
        "timestamp('2020-01-01T00:00:00Z') < timestamp('2020-01-01T00:00:00.1Z')",
        "null == null",
        "dyn(null) != 0",
        "!(double('NaN') == double('NaN'))",
        "[1, 2] != [2, 1]",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
    ]);
    check(&[("double('NaN') < 1.0", "error: NaN values cannot be ordered")]);
}

#[test]
fn logic_absorbs_errors_of_the_side_that_does_not_matter() {
    check(&[
        ("true || 1 / 0 == 1", "true"),
        ("1 / 0 == 1 || true", "true"),
        ("false && 1 / 0 == 1", "false"),
        ("1 / 0 == 1 && false", "false"),
        ("1 / 0 == 1 && true", "error: division by zero"),
        ("false || 1 / 0 == 1", "error: division by zero"),
        ("true ? 1 : 1 / 0", "1"),
        ("false ? 1 / 0 : 2", "2"),
        ("!!true", "true"),
        ("dyn(1) && true", "error: no such overload"),
        ("dyn(1) || true", "true"),
        ("[1, 0].exists(x, 1 / x == 1)", "true"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
        ("[0, 2].exists(x, 1 / x == 1)", "error: division by zero"),
        ("[0, 1].all(x, 1 / x == 2)", "false"),
        ("[0, 1].all(x, 1 / x == 1)", "error: division by zero"),
        ("[0, 1].filter(x, 1 / x == 1)", "error: division by zero"),
    ]);
}

#[test]
fn lists_and_maps_are_looked_into() {
    check(&[
        ("[1, 2][0]", "1"),
        ("[1][1]", "error: index out of bounds: 1"),
        ("[1][-1]", "error: index out of bounds: -1"),
        ("[1][dyn(0.0)]", "1"),
        ("{'a': 1}.a", "1"),
        ("{'a': 1}['a']", "1"),
        ("{'a': 1}.b", "error: no such key: b"),
        ("{1: 'x'}[dyn(1u)]", r#""x""#),
        ("1 in [1, 2]", "true"),
        ("dyn(1.0) in [1, 2]", "true"),
        ("'a' in {'a': 1}", "true"),
        ("size('äöü')", "3"),
        ("size(b'ä')", "2"),
        ("[1, 2].size()", "2"),
        ("{'a': 1}.size()", "1"),
        ("has({'a': 1}.a)", "true"),
        ("has({'a': 1}.b)", "false"),
        ("has({'a': {'b': 1}}.a.b)", "true"),
    ]);
}

#[test]
fn macros() {
    check(&[
        ("[1, 2, 3].all(x, x > 0)", "true"),
        ("[].all(x, x > 0)", "true"),
        ("[].exists(x, x > 0)", "false"),
        ("[1, 2, 2].exists_one(x, x == 2)", "false"),
        ("[1, 2].existsOne(x, x == 2)", "true"),
        ("[1, 2].map(x, x * 2)", "[2, 4]"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", "[4, 6]"),
        ("[1, 2, 3].filter(x, x % 2 == 1)", "[1, 3]"),
        ("{'a': 1, 'b': 2}.all(k, k < 'c')", "true"),
        ("{'a': 1, 'b': 2}.map(k, k)", r#"["a", "b"]"#),
        ("[[1], [2, 3]].map(x, x.map(y, y + 1))", "[[2], [3, 4]]"),
        ("[1, 2].map(x, [3].map(y, x + y))", "[[4], [5]]"),
        ("[1, 2].map(x, [x].map(x, x + 1))", "[[2], [3]]"),
        ("[[1]].map(x, x + x)", "[[1, 1]]"),
        ("cel.bind(x, 1 + 1, x * x)", "4"),
        ("cel.bind(x, [1, 2], cel.bind(y, x, x == y))", "true"),
        ("[1, 2].all(i, v, v == i + 1)", "true"),
        ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", "true"),
        ("{'a': 1, 'b': 1}.existsOne(k, v, v == 1)", "false"),
        ("[5, 6].transformList(i, v, i + v)", "[5, 7]"),
        ("[5, 6].transformList(i, v, v > 5, i + v)", "[7]"),
        ("{'a': 1}.transformMap(k, v, k + string(v))", r#"{"a": "a1"}"#),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v)", r#"{"b": 2}"#),
        ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", r#"{"b": "a"}"#),
        ("['a', 'a'].transformMapEntry(i, v, {v: i})", "error: insert failed: key a already exists"),
        ("has(1)", "compile: invalid argument to has() macro"),
        ("[1].all(1, true)", "compile: argument must be a simple name"),
        ("[1].map(a.b, true)", "compile: argument is not an identifier"),
        ("[1].all(x, x, true)", "compile: duplicate variable name: x"),
    ]);
}

#[test]
fn conversions_and_types() {
    check(&[
        ("int('12')", "12"),
        ("int('x')", "error: type conversion error from 'string' to 'int'"),
        ("int(1.9)", "1"),
        ("int(1e19)", "error: integer overflow"),
        ("int(5u)", "5"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "60"),
        ("uint(-1)", "error: unsigned integer overflow"),
        ("uint('3')", "3u"),
        ("double('1.5')", "1.5"),
        ("double(2)", "2.0"),
        ("string(1.0)", r#""1""#),
        ("string(1e30)", r#""1e+30""#),
        ("string(123456.5)", r#""123456.5""#),
        ("string(0.00001)", r#""1e-05""#),
        ("string(true)", r#""true""#),
        ("string(b'a')", r#""a""#),
        (r"string(b'\xff')", "error: invalid UTF-8 in bytes, cannot convert to string"),
        ("string(duration('1m1ms'))", r#""60.001s""#),
        ("string(timestamp('2020-01-01T00:00:00.25Z'))", r#""2020-01-01T00:00:00.25Z""#),
        ("bool('true')", "true"),
        ("bool('yes')", "error: type conversion error from 'string' to 'bool'"),
        ("bytes('a')", "b\"a\""),
        ("type(1)", "type int"),
        ("type(type(1))", "type type"),
        ("type(null)", "type null_type"),
        ("type(1) == int", "true"),
        ("type([1]) == list", "true"),
        ("type('a') != string", "false"),
        ("type(timestamp(0)) == google.protobuf.Timestamp", "true"),
        ("type(ip('::1')) == net.IP", "true"),
        ("type(optional.none())", "type optional_type"),
        ("dyn(1) + dyn('a')", "error: no such overload"),
    ]);
}

#[test]
fn times() {
    let at = "timestamp('2023-12-25T23:30:15.250Z')";
    for (call, expect) in [
        ("getFullYear()", "2023"),
        ("getMonth()", "11"),
        ("getDayOfYear()", "358"),
        ("getDayOfMonth()", "24"),
        ("getDate()", "25"),
        ("getDayOfWeek()", "1"),
        ("getHours()", "23"),
        ("getMinutes()", "30"),
        ("getSeconds()", "15"),
        ("getMilliseconds()", "250"),
        ("getHours('+01:00')", "0"),
        ("getDate('+01:00')", "26"),
        ("getMinutes('-00:45')", "45"),
        ("getHours('UTC')", "23"),
    ] {
        check(&[(&format!("{at}.{call}"), expect)]);
    }
    check(&[
        ("duration('1h30m').getHours()", "1"),
        ("duration('1h30m').getMinutes()", "90"),
        ("duration('-1.5s').getMilliseconds()", "-1500"),
        ("duration('100us')", "0.0001s"),
        ("duration('1')", "compile: invalid duration argument"),
        ("timestamp('x')", "compile: invalid timestamp argument"),
        ("timestamp('2020-01-01T00:00:00+01:00') == timestamp('2019-12-31T23:00:00Z')", "true"),
    ]);
}

#[test]
fn optional_values() {
    check(&[
        ("optional.of(1)", "some(1)"),
        ("optional.none()", "none"),
        ("optional.ofNonZeroValue('')", "none"),
        ("optional.ofNonZeroValue([1])", "some([1])"),
        ("optional.of(1).value()", "1"),
        ("optional.none().value()", "error: optional.none() dereference"),
        ("{'a': {'b': 1}}.?a.?b", "some(1)"),
        ("{'a': {'b': 1}}.?c.b", "none"),
        ("{'a': 1}[?'b']", "none"),
        ("[1, 2][?1]", "some(2)"),
        ("[1, 2][?5].orValue(7)", "7"),
        ("optional.none().or(optional.of(2))", "some(2)"),
        ("optional.of(1).orValue(1 / 0)", "1"),
        ("{'a': 1}.?a.hasValue()", "true"),
        ("optional.of(2).optMap(x, x * 2)", "some(4)"),
        ("optional.none().optMap(x, x)", "none"),
        ("{'a': {'b': 3}}.?a.optFlatMap(x, x.?b)", "some(3)"),
        ("[1, ?optional.none(), ?optional.of(2)]", "[1, 2]"),
        ("{?'a': optional.none(), 'b': 1}", r#"{"b": 1}"#),
        ("[optional.of(1), optional.none()].unwrapOpt()", "[1]"),
        ("[1, 2].first().value() + [1, 2].last().value()", "3"),
        ("optional.of(1) == optional.of(1)", "true"),
        ("has({'a': {'c': 1}}.?b.c)", "false"),
    ]);
}
