//! Long rows of the same few tokens, through everything that reads text: a row is what makes a recursive reader deep and a careless one
//! slow. It runs on a quarter of the stack the server's threads have; an overflow would end the process.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::fields::Set;
use crate::json::{Limits, read};
use crate::schema::message;
use crate::selector::{FieldSelector, LabelSelector};
use crate::{Patch, duration, protobuf, quantity, regexp, time};

const STACK: usize = 2 << 20;

const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "'",
    ":",
    ",",
    ".",
    "/",
    "\\",
    "~",
    "=",
    "!",
    "<",
    ">",
    " ",
    "\n",
    "-",
    "+",
    "*",
    "?",
    "|",
    "^",
    "$",
    "a",
    "in",
    "notin",
    "a=b,",
    "!a,",
    "a in (b,",
    "0",
    "9",
    "1e",
    ".5",
    "Ki",
    "1h",
    "ns",
    "{\"a\":",
    "{\"f:a\":",
    "\"k:{\\\"a\\\":1}\":",
    "[{\"op\":\"copy\",",
    "\"a\":1,",
    "\\u",
    "\\ud800",
    "[:",
    ":]",
    "{1,",
    "{9}",
    "\\p{L}",
    "(?i)",
    "(a|",
    "\u{a}\u{1}",
    "\u{12}\u{2}",
    "\0",
    "é",
];

/// What reads text. Most of it is refused, which is fine.
const READERS: &[fn(&str)] = &[
    |text| drop(read(text.as_bytes(), Limits::default())),
    |text| drop(Patch::parse("application/json-patch+json", text.as_bytes())),
    |text| drop(LabelSelector::parse(text).map(|selector| selector.requirements().len())),
    |text| drop(FieldSelector::parse(text).map(|selector| selector.to_string())),
    |text| drop(quantity::Quantity::parse(text).map(|quantity| quantity.to_string())),
    |text| drop(quantity::normalize(text)),
    |text| drop((duration::nanoseconds(text), time::parse(text), time::parse_micro(text))),
    |text| drop(Set::parse(text.as_bytes()).map(|set| set.paths().len())),
    |text| drop(regexp::compile(text)),
    |text| drop(protobuf::decode(text.as_bytes())),
    |text| drop(protobuf::decode(&[b"k8s\0", text.as_bytes()].concat())),
];

fn row() -> impl Strategy<Value = String> {
    let token = || prop::sample::select(TOKENS);
    let few = prop::collection::vec(token(), 1..=5).prop_map(|tokens| tokens.concat());
    let end = || prop::collection::vec(token(), 0..3).prop_map(|tokens| tokens.concat());
    (end(), few, prop_oneof![100..300_usize, 300..10_000_usize], end())
        .prop_map(|(before, few, times, behind)| format!("{before}{}{behind}", few.repeat(times)))
}

#[test]
fn long_rows_are_read_or_refused() {
    let run = || {
        let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
        let read = |text: String| {
            READERS.iter().for_each(|read| read(&text));
            Ok(())
        };
        TestRunner::new(config).run(&row(), read).unwrap();
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

#[test]
fn what_comes_twice_below_a_long_key_is_told_once() {
    let text = format!("{{\"{}\":{{\"a\":1{}}}}}", "k".repeat(1 << 20), ",\"a\":1".repeat(20_000));
    let duplicates = read(text.as_bytes(), Limits::default()).unwrap().duplicates;
    assert_eq!(duplicates.len(), 1);
    assert!(duplicates[0].ends_with(".a"));
}

#[test]
fn long_lists_are_not_moved_up_and_down_again_and_again() {
    let change = |length: usize, operations: usize| {
        let mut object = json!({"a": vec![0; length]});
        let operation = |at| match at % 2 {
            0 => json!({"op": "add", "path": "/a/0", "value": 1}),
            _ => json!({"op": "remove", "path": "/a/0"}),
        };
        Patch::Json(Value::Array((0..operations).map(operation).collect())).apply(&mut object, message("core/v1.Pod"))
    };
    assert!(change(300, 10_000).is_ok());
    assert!(change(100_000, 100).is_ok());
    assert!(change(500_000, 10_000).unwrap_err().to_string().contains("copy too much"));
}
