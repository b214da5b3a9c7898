//! Go's regular expressions, carried out by the `regex` crate. Both are RE2 at heart: a match takes time in proportion to
//! the text. They are written differently in places, so an expression is read here as Go reads it, refused in Go's words,
//! and written anew.
//!
//! Compiling takes a thousand times as long as matching, and a compiled expression is large. So those that were used last
//! are kept, for schemas and rules alike, and all together take a bounded amount of memory.

mod classes;
mod kept;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// The most that one compiled expression may take, in bytes: a letter of any script two hundred times over and more.
const SIZE_MAX: usize = 16 << 20;
/// What a search may keep beside it to be faster, in each thread: expressions and texts can be made to use all of it, and with
/// sixteen times as much nothing that people write is faster.
const CACHE_MAX: usize = 32 << 10;
/// Bytes that are compiled in a microsecond, about.
const SPEED: usize = 70;

/// An expression that has been read.
#[derive(Debug)]
pub struct Expression<'p> {
    pattern: &'p str,
    /// The same for the `regex` crate.
    text: String,
    size: usize,
}

impl<'p> Expression<'p> {
    /// Reads an expression. The error is `regexp.Compile`'s.
    pub fn read(pattern: &'p str) -> Result<Self, String> {
        let (text, size) = read::read(pattern)?;
        Ok(Self { pattern, text, size })
    }

    /// About what it will take when it is compiled, in bytes; seldom more than that.
    pub fn size(&self) -> usize {
        self.size
    }

    /// About how long it will take to compile, in microseconds.
    pub fn work(&self) -> usize {
        50 + self.size.min(SIZE_MAX) / SPEED
    }

    /// Whether it is not too large to be compiled.
    pub fn check(&self) -> Result<(), String> {
        if self.size <= SIZE_MAX { Ok(()) } else { self.compile().map(drop) }
    }

    /// Compiles it and keeps it for others. Only what is too large fails.
    pub fn compile(&self) -> Result<Arc<Regex>, String> {
        let made = RegexBuilder::new(&self.text).size_limit(SIZE_MAX).dfa_size_limit(CACHE_MAX).build();
        let made = Arc::new(made.map_err(|_| error("expression too large", self.pattern))?);
        kept::keep(self.pattern, &made, self.size);
        Ok(made)
    }
}

/// A compiled expression that is at hand.
pub fn kept(pattern: &str) -> Option<Arc<Regex>> {
    kept::find(pattern)
}

/// A compiled expression, as quickly as may be.
pub fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    kept(pattern).map_or_else(|| Expression::read(pattern)?.compile(), Ok)
}

/// A complaint in Go's form about a part of an expression.
fn error(why: &str, part: &str) -> String {
    format!("error parsing regexp: {why}: `{part}`")
}
