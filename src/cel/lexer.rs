//! Text into tokens, and where each stands.

use std::ops::Range;

use crate::error::Issues;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    Ident,
    /// An identifier between backticks.
    Escaped,
    Int,
    Uint,
    Float,
    String,
    Bytes,
    /// Operators, punctuation, and the words `in`, `true`, `false`, `null`.
    Sign,
    End,
}

/// A token's kind and place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: Tok,
    /// Offset of the first byte.
    pub start: u32,
    pub end: u32,
}

/// Longest first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*", "/", "%",
    "<", ">",
];

/// What a text is made of.
pub(crate) struct Tokens {
    /// Closed by [`Tok::End`].
    pub tokens: Vec<Token>,
    /// What is no token.
    pub refused: Vec<Range<usize>>,
    /// The same, told as ANTLR tells it.
    pub issues: Issues,
}

/// The tokens of the text. After too much that is none it ends early.
pub(crate) fn tokens(source: &str) -> Tokens {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new(), refused: Vec::new(), issues: Issues::default() };
    while lexer.at < source.len() && !lexer.issues.is_full() {
        lexer.next();
    }
    let end = source.len() as u32;
    lexer.tokens.push(Token { kind: Tok::End, start: end, end });
    Tokens { tokens: lexer.tokens, refused: lexer.refused, issues: lexer.issues }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    refused: Vec<Range<usize>>,
    issues: Issues,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn next(&mut self) {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        match bytes[0] {
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => self.at += 1,
            b'/' if rest.starts_with("//") => self.at += rest.find('\n').unwrap_or(rest.len()),
            b'0'..=b'9' => self.number(),
            b'.' if bytes.get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            b'"' | b'\'' => self.string(0, false, Tok::String),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'`' => self.escaped(),
            _ => self.sign(),
        }
    }

    fn push(&mut self, kind: Tok, len: usize) {
        let start = self.at as u32;
        self.at += len;
        self.tokens.push(Token { kind, start, end: self.at as u32 });
    }

    /// What no token starts with, or an unfinished token.
    fn refuse(&mut self, len: usize) {
        let text = &self.source[self.at..self.at + len];
        let why = format!("Syntax error: token recognition error at: '{text}'");
        self.issues.report(self.source, Some(self.at), why);
        self.refused.push(self.at..self.at + len);
        self.at += len;
    }

    /// Refuses what comes up to the character at a place, and that.
    fn refuse_through(&mut self, at: usize) {
        let rest = self.rest();
        let last = rest[at..].chars().next().map_or(0, char::len_utf8);
        self.refuse(at + last);
    }

    fn number(&mut self) {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        if bytes.starts_with(b"0x") {
            let hex = bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if hex > 0 {
                let unsigned = matches!(bytes.get(2 + hex), Some(b'u' | b'U'));
                return self.push(if unsigned { Tok::Uint } else { Tok::Int }, 2 + hex + usize::from(unsigned));
            }
        }
        let mut len = digits(0);
        let mut float = false;
        if bytes.get(len) == Some(&b'.') {
            let fraction = digits(len + 1);
            if fraction > 0 {
                float = true;
                len += 1 + fraction;
            }
        }
        if matches!(bytes.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
            let exponent = bytes.get(len + 1 + sign..).map_or(0, |_| digits(len + 1 + sign));
            if exponent > 0 {
                float = true;
                len += 1 + sign + exponent;
            }
        }
        if !float && matches!(bytes.get(len), Some(b'u' | b'U')) {
            return self.push(Tok::Uint, len + 1);
        }
        self.push(if float { Tok::Float } else { Tok::Int }, len);
    }

    fn word(&mut self) {
        let bytes = self.rest().as_bytes();
        // Prefixes of strings: r, b, and br in any case.
        let prefix = bytes.iter().take(3).take_while(|b| !matches!(b, b'"' | b'\'')).count();
        if matches!(bytes.get(prefix), Some(b'"' | b'\'')) {
            let prefix_text: Vec<u8> = bytes[..prefix].iter().map(u8::to_ascii_lowercase).collect();
            match &prefix_text[..] {
                b"r" => return self.string(1, true, Tok::String),
                b"b" => return self.string(1, false, Tok::Bytes),
                b"br" => return self.string(2, true, Tok::Bytes),
                _ => {}
            }
        }
        let len = bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let kind = match &bytes[..len] {
            b"in" | b"true" | b"false" | b"null" => Tok::Sign,
            _ => Tok::Ident,
        };
        self.push(kind, len);
    }

    fn escaped(&mut self) {
        let bytes = self.rest().as_bytes();
        let inner = bytes[1..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b' '))
            .count();
        match bytes.get(inner + 1) {
            Some(b'`') if inner > 0 => self.push(Tok::Escaped, inner + 2),
            _ => self.refuse_through(1 + inner),
        }
    }

    fn string(&mut self, prefix: usize, raw: bool, kind: Tok) {
        let bytes = self.rest().as_bytes();
        let quote = bytes[prefix];
        let long = bytes[prefix..].starts_with(&[quote; 3]);
        match literal(bytes, prefix + if long { 3 } else { 1 }, quote, long, raw) {
            Ok(len) => self.push(kind, len),
            // What began well ends before it goes wrong: in an empty string, or in an identifier.
            Err(_) if long => self.push(kind, prefix + 2),
            Err(_) if prefix > 0 => self.push(Tok::Ident, prefix),
            Err(at) => self.refuse_through(at),
        }
    }

    fn sign(&mut self) {
        let rest = self.rest();
        match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => self.push(Tok::Sign, sign.len()),
            None => {
                let first = rest.chars().next().map_or(1, char::len_utf8);
                // Signs that begin as a longer one does are told with what follows.
                let doubled = matches!(rest.as_bytes()[0], b'|' | b'&' | b'=');
                let next = rest[first..].chars().next().map_or(0, char::len_utf8);
                self.refuse(if doubled { first + next } else { first });
            }
        }
    }
}

/// Where the string ends whose inside begins at `at`; or the place of what cannot be in it.
fn literal(bytes: &[u8], mut at: usize, quote: u8, long: bool, raw: bool) -> Result<usize, usize> {
    loop {
        match bytes.get(at) {
            None => return Err(at),
            Some(_) if long && bytes[at..].starts_with(&[quote; 3]) => return Ok(at + 3),
            Some(byte) if *byte == quote && !long => return Ok(at + 1),
            Some(b'\n' | b'\r') if !long => return Err(at),
            Some(b'\\') if !raw => at += escape(&bytes[at..]).map_err(|wrong| at + wrong)?,
            Some(_) => at += 1,
        }
    }
}

/// How long the escape at the start is; or the place of what is none of it.
fn escape(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |from: usize, count: usize, fits: fn(&u8) -> bool| {
        let wrong = (from..from + count).find(|at| !bytes.get(*at).is_some_and(fits));
        wrong.map_or(Ok(from + count), Err)
    };
    match bytes.get(1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => Ok(2),
        Some(b'x' | b'X') => digits(2, 2, u8::is_ascii_hexdigit),
        Some(b'u') => digits(2, 4, u8::is_ascii_hexdigit),
        Some(b'U') => digits(2, 8, u8::is_ascii_hexdigit),
        Some(b'0'..=b'3') => digits(2, 2, |byte| (b'0'..=b'7').contains(byte)),
        _ => Err(1),
    }
}

/// Line (from 1) and column (from 0, in characters) of an offset.
pub(crate) fn position(source: &str, offset: usize) -> (u32, u32) {
    let before = &source[..offset.min(source.len())];
    let line = before.bytes().filter(|b| *b == b'\n').count() as u32 + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() as u32)
}

/// The value of a string or bytes token.
pub(crate) fn unquote(token: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    let body = token.trim_start_matches(['r', 'R', 'b', 'B']);
    let raw = token[..token.len() - body.len()].contains(['r', 'R']);
    let quotes = if body.len() >= 6 && (body.starts_with("\"\"\"") || body.starts_with("'''")) { 3 } else { 1 };
    let body = body[quotes..body.len() - quotes].replace("\r\n", "\n").replace('\r', "\n");
    if raw || !body.contains('\\') {
        return Ok(body.into_bytes());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            unescape(&mut chars, bytes, &mut out)?;
        } else {
            push(&mut out, c);
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What follows a backslash. The lexer has let known escapes through only.
fn unescape(chars: &mut std::str::Chars<'_>, bytes: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const UNABLE: &str = "unable to unescape string";
    let kind = chars.next().ok_or("unable to unescape string, found '\\' as last character")?;
    let (len, radix) = match kind {
        'x' | 'X' => (2, 16),
        'u' | 'U' if bytes => return Err(UNABLE),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='3' => (2, 8),
        _ => {
            let plain = match kind {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                '"' | '\'' | '\\' | '?' | '`' => kind,
                _ => return Err(UNABLE),
            };
            push(out, plain);
            return Ok(());
        }
    };
    let mut digits: String = if radix == 8 { kind.to_string() } else { String::new() };
    digits.extend(chars.by_ref().take(len));
    let code = u32::from_str_radix(&digits, radix).map_err(|_| UNABLE)?;
    if bytes {
        out.push(u8::try_from(code).map_err(|_| UNABLE)?);
    } else {
        push(out, char::from_u32(code).ok_or("invalid unicode code point")?);
    }
    Ok(())
}
