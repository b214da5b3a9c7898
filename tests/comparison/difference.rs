//! Differences, grouped by kind, field and shape of what is said there.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::case::{Case, Verdict, comparable};
use crate::empties;
use crate::say;

/// All differences found.
#[derive(Default)]
pub(crate) struct Differences {
    groups: BTreeMap<String, Group>,
}

struct Group {
    count: usize,
    example: String,
    case: Value,
}

impl Differences {
    /// Compares two verdicts. Says whether they agree.
    pub(crate) fn note(&mut self, case: &Case, theirs: Verdict, ours: Verdict) -> bool {
        let found = compare(&comparable(case, theirs), &comparable(case, ours));
        let part = if case.subresource.is_empty() { String::new() } else { format!("/{}", case.subresource) };
        for (shape, example) in &found {
            let group = self.groups.entry(format!("{}{part} {shape}", case.row.qualified()));
            group.and_modify(|group| group.count += 1).or_insert_with(|| Group {
                count: 1,
                example: example.clone(),
                case: json!({"name": case.name(), "old": case.old, "new": case.new}),
            });
        }
        found.is_empty()
    }

    /// Every group's name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Prints the groups, most frequent first; one case of each goes to the file `ISOPOD_EXAMPLES`.
    pub(crate) fn report(&self) {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        let file =
            std::env::var_os("ISOPOD_EXAMPLES").map(|path| std::fs::File::create(path).expect("a file for examples"));
        for (name, group) in groups {
            say(&format!("{:6} {name}", group.count));
            say(&format!("         {}", group.example.chars().take(600).collect::<String>()));
            if let Some(mut file) = file.as_ref() {
                writeln!(file, "{}", json!({"difference": name, "text": group.example, "case": group.case}))
                    .expect("the file for examples");
            }
        }
    }
}

/// The differences: shape and text. `-` is what only upstream says, `+` what only we do.
fn compare(theirs: &Verdict, ours: &Verdict) -> Vec<(String, String)> {
    match (theirs, ours) {
        (Verdict::Taken { object, warnings }, Verdict::Taken { object: mine, warnings: my_warnings }) => {
            let mut found = lists("warning ", warnings, my_warnings);
            values("", object, mine, &mut found);
            found
        }
        (Verdict::Refused(theirs), Verdict::Refused(ours)) => lists("", theirs, ours),
        (Verdict::Failed(_), Verdict::Failed(_)) => Vec::new(),
        // There is nothing to compare with. That ours answers at all is what counts then.
        (Verdict::Panicked, _) | (_, Verdict::Panicked) => Vec::new(),
        (Verdict::Refused(theirs), Verdict::Taken { .. }) => lists("", theirs, &[]),
        (Verdict::Taken { .. }, Verdict::Refused(ours)) => lists("", &[], ours),
        (Verdict::Failed(why), _) => vec![(format!("- fails: {}", shape(why)), why.clone())],
        (_, Verdict::Failed(why)) => vec![(format!("+ fails: {}", shape(why)), why.clone())],
    }
}

fn lists(what: &str, theirs: &[String], ours: &[String]) -> Vec<(String, String)> {
    let mut theirs: Vec<&String> = theirs.iter().collect();
    let mut ours: Vec<&String> = ours.iter().collect();
    pair(&mut theirs, &mut ours, |one, other| one == other);
    pair(&mut theirs, &mut ours, |one, other| empties::without(one) == empties::without(other));
    let named = |sign: &str, each: &String| (format!("{sign} {what}{}", shape(each)), each.clone());
    theirs.into_iter().map(|each| named("-", each)).chain(ours.into_iter().map(|each| named("+", each))).collect()
}

/// Takes out of both lists what is alike.
fn pair(theirs: &mut Vec<&String>, ours: &mut Vec<&String>, alike: impl Fn(&str, &str) -> bool) {
    theirs.retain(|each| {
        let found = ours.iter().position(|other| alike(each, other));
        found.map(|at| ours.remove(at)).is_none()
    });
}

fn values(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<(String, String)>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let keys = theirs.keys().chain(ours.keys().filter(|key| !theirs.contains_key(*key)));
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                values(&format!("{path}.{key}"), &of(theirs), &of(ours), found);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            theirs.iter().zip(ours).for_each(|(theirs, ours)| values(&format!("{path}[]"), theirs, ours, found));
        }
        _ if theirs == ours => {}
        _ => {
            let word = |value: &Value| match value {
                Value::Null => "nothing",
                Value::Array(list) if list.is_empty() => "[]",
                Value::Object(map) if map.is_empty() => "{}",
                _ => "a value",
            };
            let shape = format!("object {path}: {} for {}", word(ours), word(theirs));
            found.push((shape, format!("{path}: upstream {theirs}, we {ours}")));
        }
    }
}

/// A text without what varies from case to case: what is in quotes, brackets and braces, and numbers.
fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars().peekable();
    while let Some(next) = characters.next() {
        match next {
            '"' => {
                out.push_str("\"\"");
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => drop(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '[' | '{' => {
                let mut depth = 1;
                let mut quoted = false;
                out.push(next);
                while depth > 0 {
                    let Some(inner) = characters.next() else { break };
                    match inner {
                        '\\' if quoted => drop(characters.next()),
                        '"' => quoted = !quoted,
                        '[' | '{' if !quoted => depth += 1,
                        ']' | '}' if !quoted => depth -= 1,
                        _ => {}
                    }
                }
                out.push(if next == '[' { ']' } else { '}' });
            }
            '0'..='9' => {
                out.push('N');
                while characters.peek().is_some_and(char::is_ascii_digit) {
                    characters.next();
                }
            }
            '\n' => out.push(' '),
            _ => out.push(next),
        }
    }
    out.chars().take(300).collect()
}
