//! Differences that are known, each with its reason.

use std::collections::BTreeSet;

use crate::difference::Differences;
use crate::say;

/// The file: a line a difference, as the report names it, below a comment that gives the reason. A line that ends with `*`
/// stands for all that begin so, and for what only some seeds show.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/comparison/known-differences");

/// What is known to differ.
pub(crate) struct Known(BTreeSet<String>);

impl Known {
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}"));
        Self(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
    }

    /// Whether everything that differs is known and, where everything was compared, everything known still differs.
    pub(crate) fn accounts_for(&self, found: &Differences, complete: bool) -> bool {
        let names: BTreeSet<&str> = found.names().collect();
        let is =
            |line: &str, name: &str| line == name || line.strip_suffix('*').is_some_and(|all| name.starts_with(all));
        let new: Vec<_> = names.iter().filter(|name| !self.0.iter().any(|line| is(line, name))).collect();
        let gone: Vec<_> = self
            .0
            .iter()
            .filter(|line| complete && !line.ends_with('*') && !names.iter().any(|name| is(line, name)))
            .collect();
        new.iter().for_each(|name| say(&format!("not known: {name}")));
        gone.iter().for_each(|name| say(&format!("no longer so, take it out of known-differences: {name}")));
        new.is_empty() && gone.is_empty()
    }
}
