//! Reads an expression as Go's parser does, complains where and as it does, and writes it for the `regex` crate.

use super::classes::{self, ANY, Code, NONE, UNIT};
use super::error;

/// How often anything may be repeated, repetitions of repetitions included.
const REPEAT_MAX: usize = 1000;
/// How many groups may stand in one another; Go lets several hundred.
const NESTED_MAX: usize = 100;

/// The expression for the `regex` crate, and about what it takes when it is compiled, in bytes.
pub(super) fn read(pattern: &str) -> Result<(String, usize), String> {
    let mut reader = Reader {
        whole: pattern,
        rest: pattern,
        names_until: pattern.rfind(":]").map_or(usize::MAX, |at| pattern.len() - at),
        out: String::with_capacity(pattern.len() + pattern.len() / 4),
        flags: String::new(),
        group: Group::default(),
        outer: Vec::new(),
    };
    let mut repeated = None;
    while !reader.rest.is_empty() {
        repeated = reader.step(repeated)?;
        if reader.outer.len() > NESTED_MAX {
            return Err(error("expression nests too deeply", pattern));
        }
    }
    if !reader.outer.is_empty() {
        return Err(error("missing closing )", pattern));
    }
    let size = reader.group.end().size;
    Ok((reader.out, size))
}

/// A part of an expression.
#[derive(Clone, Copy)]
struct Part {
    size: usize,
    /// How often repetitions in it repeat what is innermost.
    times: usize,
}

/// A group that has not ended; the whole expression is one.
#[derive(Default)]
struct Group {
    /// What all that was read takes, without the last part.
    size: usize,
    times: usize,
    /// What a repetition would repeat.
    last: Option<Part>,
    /// Whether letters of both cases match.
    folds: bool,
}

impl Group {
    fn push(&mut self, part: Part) {
        self.settle();
        self.last = Some(part);
    }

    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.size = self.size.saturating_add(last.size);
            self.times = self.times.max(last.times);
        }
    }

    fn end(mut self) -> Part {
        self.settle();
        Part { size: self.size.saturating_add(UNIT), times: self.times.max(1) }
    }
}

struct Reader<'p> {
    whole: &'p str,
    rest: &'p str,
    /// How much is left where the last name of a class ends: looking for one again and again takes long.
    names_until: usize,
    out: String,
    /// Flags that were set and are still to be written: a repetition behind them is of what stands before them. (It is not
    /// turned around by `(?U)` as in Go.)
    flags: String,
    group: Group,
    outer: Vec<Group>,
}

/// The part of `from` before `to`, which is its end.
fn until<'p>(from: &'p str, to: &str) -> &'p str {
    &from[..from.len() - to.len()]
}

impl<'p> Reader<'p> {
    /// Reads on. `repeated` is where a repetition began that ends here, and so is what is returned.
    fn step(&mut self, repeated: Option<&'p str>) -> Result<Option<&'p str>, String> {
        let here = self.rest;
        let Some(c) = here.chars().next() else { return Ok(None) };
        self.rest = &here[c.len_utf8()..];
        match c {
            '(' if self.rest.starts_with('?') => self.flags(here)?,
            '(' => self.open("("),
            ')' => self.close()?,
            '|' => {
                self.write("|");
                self.group.settle();
            }
            '^' => self.part("^", UNIT),
            '$' => self.part("$", UNIT),
            '.' => self.part(".", ANY),
            '[' => self.class(here)?,
            '\\' => self.escape(here)?,
            '*' | '+' | '?' => {
                self.repeat(here, repeated, None)?;
                return Ok(Some(here));
            }
            '{' => match counts(self.rest) {
                Some((least, most, after)) => {
                    self.rest = after;
                    let often = |count: usize| count > REPEAT_MAX;
                    if often(least) || most.is_some_and(|most| often(most) || most < least) {
                        return Err(error("invalid repeat count", until(here, after)));
                    }
                    self.repeat(here, repeated, Some((least, most)))?;
                    return Ok(Some(here));
                }
                None => self.literal('{'.into()),
            },
            c => self.literal(c.into()),
        }
        Ok(None)
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(&std::mem::take(&mut self.flags));
        self.out.push_str(text);
    }

    fn part(&mut self, text: &str, size: usize) {
        self.write(text);
        self.group.push(Part { size, times: 1 });
    }

    fn literal(&mut self, code: Code) {
        let mut text = String::new();
        classes::literal(&mut text, code);
        let folds = if self.group.folds { 2 } else { 1 };
        self.part(if text.is_empty() { NONE } else { &text }, folds * UNIT);
    }

    fn open(&mut self, text: &str) {
        self.write(text);
        let folds = self.group.folds;
        self.outer.push(std::mem::replace(&mut self.group, Group { folds, ..Group::default() }));
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(outer) = self.outer.pop() else { return Err(error("unexpected )", self.whole)) };
        self.flags.clear();
        self.out.push(')');
        let inner = std::mem::replace(&mut self.group, outer);
        self.group.push(inner.end());
        Ok(())
    }

    /// What stands behind `(?`: the name of a group, or flags for a group or for the rest of this one.
    fn flags(&mut self, here: &'p str) -> Result<(), String> {
        for start in ["(?P<", "(?<"] {
            if let Some(named) = here.strip_prefix(start).filter(|named| !named.is_empty()) {
                let Some((name, after)) = named.split_once('>') else {
                    return Err(error("invalid named capture", here));
                };
                if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                    return Err(error("invalid named capture", until(here, after)));
                }
                self.rest = after;
                self.open("(");
                return Ok(());
            }
        }
        let (mut on, mut off, mut negates) = (String::new(), String::new(), false);
        let mut chars = here[2..].chars();
        while let Some(c) = chars.next() {
            match c {
                'i' | 'm' | 's' | 'U' => {
                    on.retain(|set| set != c);
                    off.retain(|set| set != c);
                    if negates { &mut off } else { &mut on }.push(c);
                }
                '-' if !negates => negates = true,
                ':' | ')' if !negates || !off.is_empty() => {
                    self.rest = chars.as_str();
                    let minus = if off.is_empty() { "" } else { "-" };
                    let folds = !off.contains('i') && (on.contains('i') || self.group.folds);
                    if c == ':' {
                        self.open(&format!("(?{on}{minus}{off}:"));
                    } else if !(on.is_empty() && off.is_empty()) {
                        self.flags.push_str(&format!("(?{on}{minus}{off})"));
                    }
                    self.group.folds = folds;
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(error("invalid or unsupported Perl syntax", until(here, chars.as_str())))
    }

    fn repeat(
        &mut self,
        here: &'p str,
        repeated: Option<&'p str>,
        counts: Option<(usize, Option<usize>)>,
    ) -> Result<(), String> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if let Some(first) = repeated {
            return Err(error("invalid nested repetition operator", until(first, self.rest)));
        }
        let operator = until(here, self.rest);
        let Some(last) = &mut self.group.last else {
            return Err(error("missing argument to repetition operator", operator));
        };
        if let Some((least, most)) = counts {
            let count = most.unwrap_or(least);
            // What is repeated at most never is nothing, however often that is repeated.
            let times = if most == Some(0) { 0 } else { count.max(1).saturating_mul(last.times) };
            if (least >= 2 || most >= Some(2)) && times > REPEAT_MAX {
                return Err(error("invalid repeat count", operator));
            }
            last.times = times;
            last.size = last.size.saturating_mul(count.max(1));
        }
        last.size = last.size.saturating_add(UNIT);
        self.out.push_str(operator);
        Ok(())
    }

    fn class(&mut self, here: &'p str) -> Result<(), String> {
        let class = classes::class(here, self.names_until)?;
        self.rest = class.rest;
        self.part(&class.text, class.size);
        Ok(())
    }

    fn escape(&mut self, here: &'p str) -> Result<(), String> {
        let Some(c) = self.rest.chars().next() else {
            return Err(error("trailing backslash at end of expression", ""));
        };
        let after = &self.rest[c.len_utf8()..];
        // Words are ASCII's.
        let assertion = match c {
            'A' => r"\A",
            'z' => r"\z",
            'b' => r"(?-u:\b)",
            'B' => r"(?-u:\B)",
            _ => "",
        };
        if !assertion.is_empty() {
            self.rest = after;
            self.part(assertion, UNIT);
        } else if c == 'Q' {
            let (quoted, rest) = after.split_once("\\E").unwrap_or((after, ""));
            self.rest = rest;
            quoted.chars().for_each(|c| self.literal(c.into()));
        } else if let Some(class) = classes::named(here)? {
            self.rest = class.rest;
            self.part(&format!("[{}]", class.text), class.size);
        } else {
            let (code, rest) = classes::escaped(here)?;
            self.rest = rest;
            self.literal(code);
        }
        Ok(())
    }
}

/// What stands behind a brace if it counts: `2}`, `2,}`, `2,3}`; the least, the most, and what follows. Too large numbers are
/// as large as there are.
fn counts(text: &str) -> Option<(usize, Option<usize>, &str)> {
    let (least, rest) = number(text)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((least, Some(least), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((least, None, rest));
    }
    let (most, rest) = number(rest)?;
    Some((least, Some(most), rest.strip_prefix('}')?))
}

fn number(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(digits);
    let plain = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
    plain.then(|| (digits.parse().unwrap_or(usize::MAX), rest))
}
