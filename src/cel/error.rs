//! What can go wrong when an expression is compiled (in cel-go's words) and when it is evaluated.

use std::fmt::{self, Write};

use crate::lexer::position;

/// Everything wrong with an expression; its display is what cel-go's `Issues` print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileErrors {
    source: String,
    issues: Vec<Issue>,
    /// How many more there are.
    more: usize,
}

/// One mistake, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The line, from 1; 0 when the mistake has no place.
    pub line: u32,
    /// The column, from 0, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// How many mistakes are kept, and printed.
const KEPT: usize = 100;
/// The longest line that is printed below a mistake.
const LONGEST_SNIPPET: usize = 16384;

impl CompileErrors {
    pub(crate) fn new(source: &str, found: Issues) -> CompileErrors {
        let Issues { kept: mut issues, more } = found;
        issues.sort_by_key(|issue| (issue.line, issue.column));
        CompileErrors { source: source.to_owned(), issues, more }
    }

    /// The mistakes, in the order of their places; of very many the first that were found.
    pub fn issues(&self) -> &[Issue] {
        &self.issues
    }
}

impl std::error::Error for CompileErrors {}

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, issue) in self.issues.iter().enumerate() {
            if at > 0 {
                f.write_char('\n')?;
            }
            issue.print(&self.source, f)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n{more} more errors were truncated"),
        }
    }
}

/// Mistakes as they are found. The first hundred are kept and the others counted, as cel-go does it: a place is looked up from the
/// beginning of the text, which for every token of a long row would take forever.
#[derive(Debug, Default)]
pub(crate) struct Issues {
    kept: Vec<Issue>,
    more: usize,
}

impl Issues {
    /// One mistake without a place, and no other.
    pub(crate) fn only(message: String) -> Issues {
        Issues { kept: vec![Issue { line: 0, column: 0, message }], more: 0 }
    }

    /// A mistake at an offset of the text; without one it has no place.
    pub(crate) fn report(&mut self, source: &str, offset: Option<usize>, message: String) {
        if self.kept.len() == KEPT {
            self.more += 1;
            return;
        }
        let (line, column) = offset.map_or((0, 0), |offset| position(source, offset));
        self.kept.push(Issue { line, column, message });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether there are more than are kept: upstream looks for no further syntax errors then.
    pub(crate) fn is_full(&self) -> bool {
        self.more > 0
    }
}

impl Issue {
    fn print(&self, source: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a text without anything in it, cel-go names the column before the first, and shows no line.
        let (line, column) = match self.line {
            0 => (-1, -1),
            line if source.is_empty() => (i64::from(line), -1),
            line => (i64::from(line), i64::from(self.column)),
        };
        write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, self.message)?;
        let Some(text) = self
            .line
            .checked_sub(1)
            .and_then(|line| source.split('\n').nth(line as usize))
            .filter(|_| !source.is_empty())
        else {
            return Ok(());
        };
        if text.len() > LONGEST_SNIPPET {
            return Ok(());
        }
        let text = text.replace('\t', " ");
        write!(f, "\n | {text}\n | ")?;
        let mut chars = text.chars();
        for c in chars.by_ref().take(self.column as usize) {
            f.write_char(if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' })?;
        }
        f.write_char(if chars.next().is_some_and(|c| c.len_utf8() > 1) { '\u{ff3e}' } else { '^' })
    }
}

/// Why an evaluation has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What callers tell apart.
    pub kind: ErrorKind,
    /// cel-go's words.
    pub message: String,
}

/// Kinds of failed evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The expression does not work on these values. `&&`, `||`, `all` and `exists` may absorb it.
    Evaluation,
    /// One evaluation cost more than it may.
    Cost,
    /// All evaluations that share the budget cost more than they may.
    Budget,
    /// An answer of the authorizer has to be awaited first; evaluate again once it is there.
    Pending,
}

impl Error {
    /// An evaluation error.
    pub fn new(message: impl Into<String>) -> Error {
        Error { kind: ErrorKind::Evaluation, message: message.into() }
    }

    pub(crate) fn no_overload() -> Error {
        Error::new("no such overload")
    }

    pub(crate) fn no_such_key(key: impl fmt::Display) -> Error {
        Error::new(format!("no such key: {key}"))
    }

    /// Whether logic operators may go on without the value.
    pub(crate) fn is_absorbable(&self) -> bool {
        self.kind == ErrorKind::Evaluation
    }
}
