//! The simple JSON paths of printer columns: `.spec.replicas`, `.spec.hosts[0]`, `.metadata.labels['a/b']`,
//! `.metadata.annotations.example\.com/a`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.ports[*].port`.

use serde_json::Value;

/// A path.
#[derive(Debug, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    /// Counted from the end when negative.
    Index(i64),
    All,
    /// Elements in which the path leads to a value that compares so.
    Where(JsonPath, Comparison, Value),
    /// Elements in which the path leads anywhere.
    WhereThere(JsonPath),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Reads a path, with or without the braces that templates put around it. `None` for what is no simple path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(inside) = rest.strip_prefix('[') { bracket(inside)? } else { field(rest)? };
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }

    /// The first value the path leads to.
    pub(super) fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        walk(&self.0, value)
    }
}

fn walk<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    let elements = || value.as_array().into_iter().flatten();
    match step {
        Step::Field(name) => walk(rest, value.get(name)?),
        Step::Index(index) => {
            let elements = value.as_array()?;
            let index =
                if *index < 0 { elements.len().checked_sub(index.unsigned_abs() as usize)? } else { *index as usize };
            walk(rest, elements.get(index)?)
        }
        Step::All => {
            let members = value.as_object().into_iter().flat_map(|members| members.values());
            elements().chain(members).find_map(|element| walk(rest, element))
        }
        Step::Where(path, comparison, expected) => {
            let mut fitting =
                elements().filter(|e| path.first(e).is_some_and(|found| comparison.holds(found, expected)));
            fitting.find_map(|element| walk(rest, element))
        }
        Step::WhereThere(path) => {
            elements().filter(|e| path.first(e).is_some()).find_map(|element| walk(rest, element))
        }
    }
}

/// `.name`; a backslash takes the next character as it is.
fn field(text: &str) -> Option<(Step, &str)> {
    let text = text.strip_prefix('.')?;
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Step::All, rest));
    }
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return (!name.is_empty()).then_some((Step::Field(name), &text[at..])),
            other => name.push(other),
        }
    }
    (!name.is_empty()).then_some((Step::Field(name), ""))
}

/// What follows a `[`.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (name, rest) = quoted.split_once("']")?;
        return Some((Step::Field(name.to_owned()), rest));
    }
    if let Some(filter) = text.strip_prefix("?(") {
        let (condition, rest) = filter.split_once(")]")?;
        return Some((condition_step(condition)?, rest));
    }
    let (index, rest) = text.split_once(']')?;
    match index {
        "*" => Some((Step::All, rest)),
        index => Some((Step::Index(index.parse().ok()?), rest)),
    }
}

/// `@.type=="Ready"`.
fn condition_step(text: &str) -> Option<Step> {
    let operators = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let operator = operators.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, sign, *comparison)));
    // The leftmost sign, the longer one of two that start there: they stand first.
    let operator = operator.reduce(|best, other| if other.0 < best.0 { other } else { best });
    let path = |text: &str| JsonPath::parse(text.trim().strip_prefix('@')?);
    let Some((at, sign, comparison)) = operator else { return Some(Step::WhereThere(path(text)?)) };
    let literal = text[at + sign.len()..].trim();
    let literal = match literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(literal).ok()?,
    };
    Some(Step::Where(path(&text[..at])?, comparison, literal))
}

impl Comparison {
    fn holds(self, found: &Value, expected: &Value) -> bool {
        use std::cmp::Ordering::{Greater, Less};
        let order = match (found, expected) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            _ => None,
        };
        match self {
            Self::Equal => found == expected,
            Self::NotEqual => found != expected,
            Self::Less => order == Some(Less),
            Self::LessOrEqual => order.is_some_and(|order| order != Greater),
            Self::Greater => order == Some(Greater),
            Self::GreaterOrEqual => order.is_some_and(|order| order != Less),
        }
    }
}
