//! What is wrong with a text that is no JSON, in the words of Go's parser, which clients and people know.

use crate::quote::quote;

/// As deep as Go's parser goes.
const MAX_DEPTH: usize = 10_000;

/// The complaint about a text; `None` where Go's parser has none.
pub(super) fn complaint(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { state: State::Value, open: Vec::new() };
    for byte in text {
        if let Err(why) = scanner.step(*byte) {
            return Some(why);
        }
    }
    // The end is read as a space.
    match scanner.step(b' ') {
        Ok(()) if scanner.state == State::Done => None,
        Ok(()) => Some("unexpected end of JSON input".to_owned()),
        Err(why) => Some(why),
    }
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// A value, or the end of the list.
    FirstElement,
    Key,
    /// A key, or the end of the object.
    FirstKey,
    /// What stands behind a value.
    Behind,
    /// Nothing but space.
    Done,
    InString,
    Escape,
    /// So many digits of an escape are missing.
    Hex(u8),
    /// The rest of `true`, `false` or `null`, and all of it.
    Literal(&'static str, &'static str),
    Negative,
    /// A zero, behind which no digit may come.
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    SignedExponent,
    ExponentDigits,
}

/// What is open around the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Key,
    Member,
    List,
}

struct Scanner {
    state: State,
    open: Vec<Open>,
}

impl Scanner {
    fn step(&mut self, byte: u8) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("invalid character {} {what}", shown(byte)));
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match (self.state, byte) {
            (State::Value | State::FirstElement | State::Key | State::FirstKey | State::Behind | State::Done, _)
                if space =>
            {
                // At the top, the first space ends the value.
                if self.state == State::Behind && self.open.is_empty() {
                    self.state = State::Done;
                }
                return Ok(());
            }
            (State::FirstElement, b']') | (State::FirstKey, b'}') => return self.close(),
            (State::Value | State::FirstElement, _) => return self.value(byte),
            (State::Key | State::FirstKey, b'"') => self.state = State::InString,
            (State::Key | State::FirstKey, _) => return wrong("looking for beginning of object key string"),
            (State::Behind, _) => return self.behind(byte),
            (State::Done, _) => return wrong("after top-level value"),
            (State::InString, b'"') => self.state = State::Behind,
            (State::InString, b'\\') => self.state = State::Escape,
            (State::InString, 0..=0x1f) => return wrong("in string literal"),
            (State::InString, _) => {}
            (State::Escape, b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.state = State::InString,
            (State::Escape, b'u') => self.state = State::Hex(4),
            (State::Escape, _) => return wrong("in string escape code"),
            (State::Hex(1), _) if byte.is_ascii_hexdigit() => self.state = State::InString,
            (State::Hex(missing), _) if byte.is_ascii_hexdigit() => self.state = State::Hex(missing - 1),
            (State::Hex(_), _) => return wrong("in \\u hexadecimal character escape"),
            (State::Literal(rest, whole), _) => {
                let expected = rest.as_bytes().first().copied().unwrap_or_default();
                if byte != expected {
                    return wrong(&format!("in literal {whole} (expecting '{}')", char::from(expected)));
                }
                self.state = if rest.len() == 1 { State::Behind } else { State::Literal(&rest[1..], whole) };
            }
            (State::Negative, b'0') => self.state = State::Zero,
            (State::Negative, b'1'..=b'9') => self.state = State::Digits,
            (State::Negative, _) => return wrong("in numeric literal"),
            (State::Digits, b'0'..=b'9') => {}
            (State::Digits | State::Zero, b'.') => self.state = State::Point,
            (State::Digits | State::Zero | State::Fraction, b'e' | b'E') => self.state = State::Exponent,
            (State::Point | State::Fraction, b'0'..=b'9') => self.state = State::Fraction,
            (State::Point, _) => return wrong("after decimal point in numeric literal"),
            (State::Exponent, b'+' | b'-') => self.state = State::SignedExponent,
            (State::Exponent | State::SignedExponent | State::ExponentDigits, b'0'..=b'9') => {
                self.state = State::ExponentDigits;
            }
            (State::Exponent | State::SignedExponent, _) => return wrong("in exponent of numeric literal"),
            // The number is over.
            (State::Digits | State::Zero | State::Fraction | State::ExponentDigits, _) => {
                self.state = State::Behind;
                return self.step(byte);
            }
        }
        Ok(())
    }

    fn value(&mut self, byte: u8) -> Result<(), String> {
        self.state = match byte {
            b'{' => return self.enter(Open::Key, State::FirstKey),
            b'[' => return self.enter(Open::List, State::FirstElement),
            b'"' => State::InString,
            b'-' => State::Negative,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::Literal("rue", "true"),
            b'f' => State::Literal("alse", "false"),
            b'n' => State::Literal("ull", "null"),
            _ => return Err(format!("invalid character {} looking for beginning of value", shown(byte))),
        };
        Ok(())
    }

    fn enter(&mut self, open: Open, state: State) -> Result<(), String> {
        self.open.push(open);
        self.state = state;
        if self.open.len() > MAX_DEPTH { Err("exceeded max depth".to_owned()) } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), String> {
        self.open.pop();
        self.state = State::Behind;
        Ok(())
    }

    fn behind(&mut self, byte: u8) -> Result<(), String> {
        let around = self.open.last_mut();
        let what = match (around, byte) {
            (Some(open @ Open::Key), b':') => {
                *open = Open::Member;
                self.state = State::Value;
                return Ok(());
            }
            (Some(open @ Open::Member), b',') => {
                *open = Open::Key;
                self.state = State::Key;
                return Ok(());
            }
            (Some(Open::List), b',') => {
                self.state = State::Value;
                return Ok(());
            }
            (Some(Open::Member), b'}') | (Some(Open::List), b']') => return self.close(),
            (Some(Open::Key), _) => "after object key",
            (Some(Open::Member), _) => "after object key:value pair",
            (Some(Open::List), _) => "after array element",
            (None, _) => "after top-level value",
        };
        Err(format!("invalid character {} {what}", shown(byte)))
    }
}

/// A byte as Go prints it as a character.
fn shown(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => format!("'{}'", quote(&char::from(byte).to_string()).trim_matches('"')),
    }
}
