//! Long rows of the same few tokens, deep nests and values that grow: nothing an expression says overflows a thread's stack, and
//! what it takes to compile and to evaluate it is in proportion to its length and to its budget.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fuzz::survives;
use crate::{Activation, Budget, Environment, ErrorKind, Type, Value, Variables};

/// A quarter of what the server's threads have: a request has used some of it.
const STACK: usize = 2 << 20;

/// Runs on a thread with a small stack, which an overflow ends together with the process.
pub(super) fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.unwrap().join().unwrap();
}

const TOKENS: &[&str] = &[
    "x",
    "1",
    "-",
    "!",
    "'a'",
    "\"",
    "'''",
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
    "+",
    "*",
    "==",
    "<",
    "&&",
    "||",
    "in",
    "as",
    "a.b",
    "#",
    "\n",
    "//",
    "`",
    "\\",
    "1e9",
    "0x",
    "b'",
    "r'",
    ".a",
    "[0]",
    "[]",
    "{}",
    ".map(y,",
    ".map(y,[y])",
    ".all(y,y)",
    ".filter(y,y)",
    ".exists(y,",
    ".optMap(y,y)",
    ".optFlatMap(y,",
    ".orValue(",
    ".sortBy(e,e)",
    ".transformMap(k,v,v)",
    ".transformList(k,v,",
    "cel.bind(v,",
    "has(",
    "has(x.a)",
    "dyn(",
    "optional.of(",
    "type(",
    "a{",
    "a.b{c:",
    "Object.a{",
    "999999999999999999999",
    "x.matches('a{9}')",
    "?x:",
    "1==1",
    "[1]+",
    "size(",
    "{1:",
    "true",
    "null",
    "é",
];

fn row() -> impl Strategy<Value = String> {
    let token = || prop::sample::select(TOKENS);
    let few = prop::collection::vec(token(), 1..=5).prop_map(|tokens| tokens.concat());
    let end = || prop::collection::vec(token(), 0..3).prop_map(|tokens| tokens.concat());
    let times = prop_oneof![100..300_usize, 300..10_000_usize];
    (end(), few, times, end()).prop_map(|(before, few, times, behind)| {
        // An expression has at most a hundred thousand characters.
        let times = times.min(99_000 / few.chars().count().max(1));
        format!("{before}{}{behind}", few.repeat(times))
    })
}

#[test]
fn long_rows_are_survived() {
    on_a_small_stack(|| {
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let read = |source: String| {
            survives(&source);
            Ok(())
        };
        runner.run(&row(), read).unwrap();
    });
}

/// `open` around `inner`, so often.
fn nest(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

/// `cel.bind` inside `cel.bind`: the variable of each is made of the one before it.
fn binds(first: &str, next: impl Fn(&str) -> String, last: impl Fn(&str) -> String, times: usize) -> String {
    let mut text = format!("cel.bind(a0, {first}, ");
    for at in 1..=times {
        text.push_str(&format!("cel.bind(a{at}, {}, ", next(&format!("a{}", at - 1))));
    }
    text.push_str(&last(&format!("a{times}")));
    text.push_str(&")".repeat(times + 1));
    text
}

#[test]
fn trees_types_and_values_have_an_end() {
    let terms = |sign: &str| vec!["x"; 700].join(sign);
    let wrapped = |name: &str| format!("{name}{}", ".map(y,[y])".repeat(70));
    let folded = |name: &str| format!("{}{name}{}", "[".repeat(20), "]".repeat(20));
    let sources = [
        nest(&format!("({} || ", terms("||")), "x", ")", 62),
        nest(&format!("({} && ({} || ", terms("&&"), terms("||")), "x", "))", 30),
        // Chains that macros double.
        format!("optional.of(1){}", ".optMap(y, y)".repeat(80)),
        format!("[{}]", vec![format!("optional.of(1){}", ".optMap(y, y)".repeat(16)); 200].join(",")),
        // Types that double, with and without parameters of their own.
        binds("{1: 1}", |a| format!("{{{a}: {a}}}"), |a| format!("{a} == {a}"), 55),
        binds("[]", |a| format!("{{{a}: {a}}}"), |a| format!("{a} == 1"), 55),
        binds("[]", |a| format!("[{{{a}[0]: {a}[0]}}]"), |a| format!("{a} == [{a}]"), 55),
        binds("[1]", |a| wrapped(a), |a| format!("[{a}, 1, {a}] == [{a}]"), 30),
        binds("dyn([1])", |a| wrapped(a), |a| format!("{a} == {a}"), 30),
        binds("dyn([1])", |a| folded(a), |a| format!("'%s'.format([{a}]) == ''"), 40),
    ];
    on_a_small_stack(move || sources.iter().for_each(|source| survives(source)));
}

/// Why an expression that asks for much has no value, if it has none.
fn outcome(source: &str, mut budget: Budget) -> Option<ErrorKind> {
    let environment = Environment::new().with_dynamic("x").with_dynamic("text");
    let program = environment.compile(source).unwrap_or_else(|errors| panic!("{source}: {errors}"));
    let (json, text) = (serde_json::json!({"a": "(a{50}){20}"}), "é".repeat(1 << 18));
    let variables = Variables::new().with("x", Value::from(&json)).with("text", Value::from(&*text));
    program.evaluate(&variables, &mut budget).err().map(|error| error.kind)
}

#[test]
fn what_costs_little_and_takes_long_is_given_up() {
    let doubled = |last: &str| binds("dyn([1])", |a| format!("[{a}, {a}]"), |a| last.replace('$', a), 50);
    for source in [
        // One node for each cost, and twice as many within.
        doubled("$ == $"),
        doubled("$ in [$]"),
        doubled("[$].indexOf($) > 0"),
        doubled("'%s'.format([$])"),
        doubled("$.flatten(60)"),
        doubled("dyn($).isSorted()"),
        doubled("sets.contains([$], [$])"),
        doubled("[$, $].distinct().size() == 1"),
        binds("dyn({'a': 1})", |a| format!("{{'a': {a}, 'b': {a}}}"), |a| format!("{a} == {a}"), 50),
        binds("[1, 2]", |a| format!("{a} + {a}"), |a| format!("{a}.size()"), 50),
        // Much is copied, compared, or looked through for one unit.
        "cel.bind(l, lists.range(5000), l.map(y, l + l))".to_owned(),
        "cel.bind(l, lists.range(5000), sets.contains(l, l.map(y, -y)))".to_owned(),
        "lists.range(5000).all(y, text.charAt(250000) != '')".to_owned(),
        "lists.range(5000).all(y, size(text) > 0)".to_owned(),
        "lists.range(5000).all(y, !('a' + string(y)).matches(x.a + string(y)))".to_owned(),
    ] {
        // Much less than there is: work is counted in both.
        let failed = outcome(&source, Budget::new(20_000));
        assert!(matches!(failed, Some(ErrorKind::Cost | ErrorKind::Budget)), "{failed:?}: {source}");
    }
}

#[test]
fn what_costs_little_and_takes_little_is_not() {
    for source in [
        "lists.range(20000).all(y, !'a'.matches(x.a))",
        "lists.range(10000).transformMap(k, v, v).size() == 10000",
        "lists.range(10000).transformMapEntry(k, v, {v: k}).size() == 10000",
        "cel.bind(l, lists.range(500), l.all(y, (l + l).size() == 1000))",
        "cel.bind(l, lists.range(300), l.all(y, l[y] in l))",
        "lists.range(300).map(y, [[y]]) == lists.range(300).map(y, [[y]])",
    ] {
        assert_eq!(outcome(source, Budget::default()), None, "{source}");
    }
}

#[test]
fn mistakes_are_counted_and_not_kept() {
    for (source, told) in
        [("#".repeat(100_000), "1 more errors"), (format!("[{}1]", "as,".repeat(33_000)), "32900 more errors")]
    {
        let errors = Environment::new().compile(&source).unwrap_err();
        assert_eq!(errors.issues().len(), 100);
        assert!(errors.to_string().contains(told), "{}", &errors.to_string()[..200]);
    }
}

/// Variables of a policy, each of which is the one before it in a list.
struct Chain<'c>(&'c [crate::Program]);

impl<'a> Activation<'a> for Chain<'_> {
    fn variable(&self, _: &str) -> Option<Value<'a>> {
        None
    }

    fn field(&self, _: &str, field: &str, budget: &mut Budget) -> Option<Result<Value<'a>, crate::Error>> {
        let at: usize = field.strip_prefix('v')?.parse().ok()?;
        Some(self.0.get(at)?.evaluate(self, budget))
    }
}

#[test]
fn variables_that_use_each_other_have_an_end() {
    on_a_small_stack(|| {
        let count = 3000;
        let names: Vec<(std::sync::Arc<str>, Type)> =
            (0..count).map(|at| (format!("v{at}").into(), Type::Dyn)).collect();
        let environment = Environment::new().with_lazy("variables", &names);
        let compile = |source: String| environment.compile(&source).unwrap();
        let before = |at: usize| if at == 0 { "1".to_owned() } else { format!("variables.v{}", at - 1) };
        for form in [before, |at: usize| format!("[variables.v{}][0]", at.max(1) - 1)] {
            let chain: Vec<_> = (0..count).map(|at| compile(if at == 0 { before(0) } else { form(at) })).collect();
            let outcome = |at: usize| chain[at].evaluate(&Chain(&chain), &mut Budget::default());
            assert!(outcome(60).is_ok());
            assert_eq!(outcome(count - 1).unwrap_err().kind, ErrorKind::Cost);
        }
    });
}
