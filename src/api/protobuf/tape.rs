//! JSON text, read once along the schema into a flat list of places: what an encoder needs to know of a text without
//! anything of it being copied. Fields are looked up while they are read, and those the schema does not name are skipped.

use super::ProtobufError;
use crate::schema::{Message, Type};

/// Values inside each other; no object that was stored comes near.
const MAX_DEPTH: usize = 300;

/// No value: a field that is absent.
pub(super) const ABSENT: u32 = 0;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// From `start` to `end`.
    Number,
    /// A string without escapes, the quotes left out.
    Text,
    /// A string with escapes, the quotes left out.
    Escaped,
    /// JSON that is taken as it stands.
    Raw,
    /// A message: its fields stand from `start` on in the table of fields.
    Message,
    /// A list; `end` is its last element.
    List,
    /// A map; `end` is the key of its last entry.
    Map,
    /// A map whose keys are not in order.
    UnsortedMap,
    /// A list or an object where the schema has neither.
    Other,
}

/// A value of the text. Elements and entries lead back to the one before them, because they are written back to front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The element, or the key, before this one. A key's value is the node behind it.
    pub(super) previous: u32,
}

const NOTHING: Node = Node { kind: Kind::Null, start: 0, end: 0, previous: ABSENT };

/// The values of one text. Keeps its memory from one text to the next.
#[derive(Debug, Default)]
pub(super) struct Tape {
    nodes: Vec<Node>,
    /// For each message read, the nodes of its fields in the schema's order.
    fields: Vec<u32>,
}

impl Tape {
    /// Reads a message; the node of it.
    pub(super) fn read(&mut self, text: &[u8], message: &Message) -> Result<Node, ProtobufError> {
        self.nodes.clear();
        self.fields.clear();
        // Node 0 is nobody's: it stands for what is absent.
        self.nodes.push(NOTHING);
        if u32::try_from(text.len()).is_err() {
            return Err(ProtobufError::Text(text.len()));
        }
        let mut reader = Reader { tape: self, text, at: 0, room: MAX_DEPTH };
        let first = reader.token()?;
        let root = match first {
            b'{' => reader.message(message)?,
            _ => reader.value(first, &Type::Json)?,
        };
        let behind = reader.at;
        match reader.token() {
            Ok(_) => Err(ProtobufError::Text(behind)),
            Err(_) => Ok(self.node(root)),
        }
    }

    pub(super) fn node(&self, at: u32) -> Node {
        self.nodes[at as usize]
    }

    /// The nodes of a message's fields, in the schema's order.
    pub(super) fn fields(&self, message: Node) -> &[u32] {
        &self.fields[message.start as usize..message.end as usize]
    }
}

/// The values of some members of an object, which are strings without escapes; empty for those that are not there. Reads
/// until all are found.
pub(super) fn leading_texts<'a, const N: usize>(
    text: &'a [u8],
    names: [&str; N],
) -> Result<[&'a str; N], ProtobufError> {
    let mut found = [None; N];
    let mut reader = Reader { tape: &mut Tape::default(), text, at: 0, room: MAX_DEPTH };
    reader.expect(b'{')?;
    let mut byte = reader.token()?;
    while byte != b'}' && found.contains(&None) {
        if byte != b'"' {
            return Err(reader.wrong());
        }
        let (from, to, _) = reader.string()?;
        reader.expect(b':')?;
        let first = reader.token()?;
        let start = reader.at;
        reader.skip(first)?;
        if let (Some(at), b'"') = (names.iter().position(|name| name.as_bytes() == &text[from..to]), first) {
            found[at] = std::str::from_utf8(&text[start..reader.at - 1]).ok();
        }
        byte = reader.next(b'}')?;
    }
    Ok(found.map(Option::unwrap_or_default))
}

struct Reader<'a> {
    tape: &'a mut Tape,
    text: &'a [u8],
    at: usize,
    /// Levels that may still open.
    room: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no space, which is then read.
    #[inline]
    fn token(&mut self) -> Result<u8, ProtobufError> {
        loop {
            let byte = *self.text.get(self.at).ok_or(ProtobufError::Text(self.at))?;
            self.at += 1;
            if byte > b' ' {
                return Ok(byte);
            }
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Err(self.wrong());
            }
        }
    }

    fn expect(&mut self, what: u8) -> Result<(), ProtobufError> {
        if self.token()? == what { Ok(()) } else { Err(self.wrong()) }
    }

    /// What was read last has no business there.
    #[cold]
    fn wrong(&self) -> ProtobufError {
        ProtobufError::Text(self.at - 1)
    }

    fn add(&mut self, kind: Kind, start: usize, end: usize) -> u32 {
        let at = self.tape.nodes.len() as u32;
        self.tape.nodes.push(Node { kind, start: start as u32, end: end as u32, previous: ABSENT });
        at
    }

    fn enter(&mut self) -> Result<(), ProtobufError> {
        self.room = self.room.checked_sub(1).ok_or(ProtobufError::Depth)?;
        Ok(())
    }

    /// A value that begins with `first`.
    fn value(&mut self, first: u8, ty: &Type) -> Result<u32, ProtobufError> {
        match (first, ty.resolved()) {
            (b'n', _) => self.literal(first),
            (_, Type::Json | Type::RawExtension | Type::FieldsV1) => self.raw(first, Kind::Raw),
            (b't' | b'f', _) => self.literal(first),
            (b'"', _) => self.string().map(|(start, end, kind)| self.add(kind, start, end)),
            (b'-' | b'0'..=b'9', _) => Ok(self.number()),
            (
                b'{',
                Type::Message(of) | Type::SchemaOrArray(of) | Type::SchemaOrBool(of) | Type::SchemaOrStrings(of),
            ) => self.message(of),
            (b'{', Type::Map(element)) => self.map(element),
            (b'[', Type::List(element)) => self.list(element),
            (b'[', Type::SchemaOrArray(of)) => self.list(&Type::Message(of.clone())),
            (b'[', Type::SchemaOrStrings(_)) => self.list(&Type::String),
            (b'{' | b'[', _) => self.raw(first, Kind::Other),
            _ => Err(self.wrong()),
        }
    }

    fn literal(&mut self, first: u8) -> Result<u32, ProtobufError> {
        let (rest, kind): (&[u8], _) = match first {
            b'n' => (b"ull", Kind::Null),
            b't' => (b"rue", Kind::Bool(true)),
            _ => (b"alse", Kind::Bool(false)),
        };
        if !self.text[self.at..].starts_with(rest) {
            return Err(self.wrong());
        }
        self.at += rest.len();
        Ok(self.add(kind, 0, 0))
    }

    fn number(&mut self) -> u32 {
        let start = self.at - 1;
        let more =
            self.text[self.at..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        self.at += more.count();
        self.add(Kind::Number, start, self.at)
    }

    /// A string whose opening quote was read: where it is, without quotes.
    #[inline]
    fn string(&mut self) -> Result<(usize, usize, Kind), ProtobufError> {
        let start = self.at;
        let mut kind = Kind::Text;
        loop {
            self.at += plain(self.text.get(self.at..).unwrap_or_default());
            let byte = *self.text.get(self.at).ok_or(ProtobufError::Text(self.at))?;
            self.at += 1;
            match byte {
                b'"' => return Ok((start, self.at - 1, kind)),
                // What follows is a part of the string, whatever it is.
                b'\\' => (self.at, kind) = (self.at + 1, Kind::Escaped),
                _ => return Err(self.wrong()),
            }
        }
    }

    /// An object whose brace was read.
    fn message(&mut self, message: &Message) -> Result<u32, ProtobufError> {
        self.enter()?;
        let start = self.tape.fields.len();
        let end = start + message.fields.len();
        self.tape.fields.resize(end, ABSENT);
        let node = self.add(Kind::Message, start, end);
        let mut byte = self.token()?;
        while byte != b'}' {
            if byte != b'"' {
                return Err(self.wrong());
            }
            let (from, to, kind) = self.string()?;
            self.expect(b':')?;
            let first = self.token()?;
            // A name with escapes is none of the schema's.
            let place = if kind == Kind::Text { message.position_of(&self.text[from..to]) } else { None };
            match place {
                Some(at) => self.tape.fields[start + at] = self.value(first, &message.fields[at].ty)?,
                None => self.skip(first)?,
            }
            byte = self.next(b'}')?;
        }
        self.room += 1;
        Ok(node)
    }

    /// Behind a value: the closing bracket, or what follows the comma.
    #[inline]
    fn next(&mut self, close: u8) -> Result<u8, ProtobufError> {
        match self.token()? {
            b',' => match self.token()? {
                byte if byte == close => Err(self.wrong()),
                byte => Ok(byte),
            },
            byte if byte == close => Ok(byte),
            _ => Err(self.wrong()),
        }
    }

    /// A list whose bracket was read.
    fn list(&mut self, element: &Type) -> Result<u32, ProtobufError> {
        self.enter()?;
        let list = self.add(Kind::List, 0, 0);
        let mut last = ABSENT;
        let mut byte = self.token()?;
        while byte != b']' {
            let value = self.value(byte, element)?;
            self.tape.nodes[value as usize].previous = last;
            last = value;
            byte = self.next(b']')?;
        }
        self.tape.nodes[list as usize].end = last;
        self.room += 1;
        Ok(list)
    }

    /// A map whose brace was read.
    fn map(&mut self, element: &Type) -> Result<u32, ProtobufError> {
        self.enter()?;
        let map = self.add(Kind::Map, 0, 0);
        let whole: &'a [u8] = self.text;
        let (mut last, mut before) = (ABSENT, &whole[..0]);
        let mut sorted = true;
        let mut byte = self.token()?;
        while byte != b'}' {
            if byte != b'"' {
                return Err(self.wrong());
            }
            let (start, end, kind) = self.string()?;
            let key = self.add(kind, start, end);
            let text = &whole[start..end];
            sorted &= kind == Kind::Text && (last == ABSENT || before < text);
            self.tape.nodes[key as usize].previous = last;
            (last, before) = (key, text);
            self.expect(b':')?;
            let first = self.token()?;
            // The value's node comes right behind its key's.
            self.value(first, element)?;
            byte = self.next(b'}')?;
        }
        let node = &mut self.tape.nodes[map as usize];
        (node.end, node.kind) = (last, if sorted { Kind::Map } else { Kind::UnsortedMap });
        self.room += 1;
        Ok(map)
    }

    /// A value that is not looked into.
    fn raw(&mut self, first: u8, kind: Kind) -> Result<u32, ProtobufError> {
        let start = self.at - 1;
        self.skip(first)?;
        Ok(self.add(kind, start, self.at))
    }

    /// Goes behind a value that begins with `first`. Brackets are only counted: the text was written by a serializer.
    fn skip(&mut self, first: u8) -> Result<(), ProtobufError> {
        let mut open = 0usize;
        let mut byte = first;
        loop {
            match byte {
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.checked_sub(1).ok_or_else(|| self.wrong())?,
                b'"' => drop(self.string()?),
                b',' | b':' if open == 0 => return Err(self.wrong()),
                b',' | b':' => {}
                _ => {
                    let plain = |b: &&u8| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'.' | b'+' | b'-');
                    if !plain(&&byte) {
                        return Err(self.wrong());
                    }
                    self.at += self.text[self.at..].iter().take_while(plain).count();
                }
            }
            if open == 0 {
                return Ok(());
            }
            byte = self.token()?;
        }
    }
}

/// How many bytes from the start are neither quote, nor backslash, nor control characters.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    /// The highest bit of each byte that is zero. Bytes above the lowest such one may be marked wrongly.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    words.len() * 8 + plain
}
