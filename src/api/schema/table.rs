//! The built-in table: an index over the checked-in text, and its entries, decoded one by one when first asked for.
//!
//! The text is part of the binary and written by `cargo xtask schema`; a test decodes all of it, so what does not parse
//! here cannot ship.

use std::sync::{LazyLock, OnceLock};

use super::{Alias, BuiltIn, Field, ListType, Message, MessageRef, PatchStrategy, Str, Type, Wire};

static TEXT: &str = include_str!("table.txt");

/// Entries sorted by name, as the text has them.
static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(index);

/// Stands in for a name that leads nowhere, which the table's test rules out.
pub(super) static NO_MESSAGE: LazyLock<Message> = LazyLock::new(Message::default);

/// One message or alias of the text.
pub(super) struct Entry {
    name: &'static str,
    /// What follows the name on its line.
    head: &'static str,
    /// The lines of the fields.
    body: &'static str,
    is_alias: bool,
    decoded: OnceLock<Decoded>,
}

enum Decoded {
    Message(Message),
    Alias(Alias),
}

/// Looks an entry up by name.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    let at = TABLE.binary_search_by(|entry| entry.name.cmp(name)).ok()?;
    Some(&TABLE[at])
}

/// The names of all messages.
pub(super) fn message_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|entry| !entry.is_alias).map(|entry| entry.name)
}

fn index() -> Vec<Entry> {
    let mut entries = Vec::with_capacity(1500);
    let mut rest = TEXT;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let Some((what, line)) = line.split_once(' ').filter(|(what, _)| *what != "#") else { continue };
        let (name, head) = line.split_once(' ').unwrap_or((line, ""));
        // The body is all the lines that start with a tab.
        let lines = rest.split_inclusive('\n').take_while(|line| line.starts_with('\t'));
        let body = lines.map(str::len).sum();
        let (body, after) = rest.split_at(body);
        rest = after;
        entries.push(Entry { name, head, body, is_alias: what == "alias", decoded: OnceLock::new() });
    }
    entries
}

impl Entry {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The message, or the one an alias stands for.
    pub(super) fn message(&'static self) -> Option<&'static Message> {
        match self.decoded.get_or_init(|| self.decode()) {
            Decoded::Message(message) => Some(message),
            Decoded::Alias(Alias { ty: Type::Message(MessageRef::BuiltIn(BuiltIn(entry))), .. }) => entry.message(),
            Decoded::Alias(_) => None,
        }
    }

    fn alias(&'static self) -> Option<&'static Alias> {
        match self.decoded.get_or_init(|| self.decode()) {
            Decoded::Alias(alias) => Some(alias),
            Decoded::Message(_) => None,
        }
    }

    fn decode(&self) -> Decoded {
        let package = self.name.rsplit_once('.').map_or("", |(package, _)| package);
        if self.is_alias {
            let mut words = self.head.split(' ').skip(1);
            let ty = parse_type(words.next().unwrap_or_default(), package);
            let values = words.map(|value| Str::Borrowed(if value == "\"\"" { "" } else { value })).collect();
            return Decoded::Alias(Alias { name: Str::Borrowed(self.name), ty, values });
        }
        let is_kind = self.head == "kind";
        let mut fields = Vec::new();
        if is_kind {
            fields.extend(["kind", "apiVersion"].map(type_meta));
        }
        let mut wire = Vec::new();
        for line in self.body.lines() {
            decode_line(line.trim_start_matches('\t'), package, &mut fields, &mut wire);
        }
        wire.sort_by_key(Wire::number);
        Decoded::Message(Message { is_kind, ..Message::with_wire(Str::Borrowed(self.name), fields, wire) })
    }
}

fn type_meta(name: &'static str) -> Field {
    Field { name: Str::Borrowed(name), ty: Type::String, omitempty: true, ..Field::default() }
}

fn decode_line(line: &'static str, package: &str, fields: &mut Vec<Field>, wire: &mut Vec<Wire>) {
    // A default is the last flag and may hold spaces.
    let (line, default) = match line.split_once(" default=") {
        Some((line, default)) => (line, Some(Str::Borrowed(default))),
        None => (line, None),
    };
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let number = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let ty = words.next().unwrap_or_default();
    let pointer = ty.starts_with('*');
    let ty = parse_type(ty.trim_start_matches('*'), package);
    let mut field = Field { name: Str::Borrowed(name), number, ty, pointer, default, ..Field::default() };
    let mut inline = false;
    for word in words {
        match word.split_once('=') {
            None if word == "i" => inline = true,
            None => match word {
                "o" => field.omitempty = true,
                "z" => field.omitzero = true,
                "w" => field.wrapped = true,
                _ => field.required = true,
            },
            Some((flag, value)) => decode_flag(flag, value, &mut field),
        }
    }
    if !inline {
        if number > 0 {
            wire.push(Wire::Field(number, fields.len() as u16));
        }
        fields.push(field);
        return;
    }
    let Type::Message(message) = field.ty else { return };
    let start = fields.len() as u16;
    fields.extend(message.fields.iter().cloned());
    if number > 0 {
        wire.push(Wire::Inline(number, message.wire.iter().map(|wire| shifted(wire, start)).collect()));
    }
}

/// The wire form of an inline struct, whose fields start at `start` in the message around it.
fn shifted(wire: &Wire, start: u16) -> Wire {
    match wire {
        Wire::Field(number, at) => Wire::Field(*number, at + start),
        Wire::Inline(number, wires) => Wire::Inline(*number, wires.iter().map(|wire| shifted(wire, start)).collect()),
    }
}

fn decode_flag(flag: &str, value: &'static str, field: &mut Field) {
    match flag {
        "l" => {
            field.list = match value {
                "map" => Some(ListType::Map),
                "set" => Some(ListType::Set),
                _ => Some(ListType::Atomic),
            }
        }
        "keys" => field.list_keys = value.split(',').map(Str::Borrowed).collect(),
        "m" => (field.atomic, field.granular) = (value == "atomic", value == "granular"),
        "patch" => {
            field.patch = PatchStrategy {
                merge: value.contains("merge"),
                replace: value.contains("replace"),
                retain_keys: value.contains("retainKeys"),
            }
        }
        "on" => field.merge_key = Some(Str::Borrowed(value)),
        _ => field.feature_gates = Some(Str::Borrowed(value)),
    }
}

fn parse_type(text: &str, package: &str) -> Type {
    if let Some(element) = text.strip_prefix("[]") {
        return Type::List(Box::new(parse_type(element, package)));
    }
    if let Some((_, value)) = text.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return Type::Map(Box::new(parse_type(value, package)));
    }
    match text {
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float64" => Type::Float64,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "Quantity" => Type::Quantity,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "IntOrString" => Type::IntOrString,
        "RawExtension" => Type::RawExtension,
        "FieldsV1" => Type::FieldsV1,
        "JSON" => Type::Json,
        "JSONSchemaPropsOrArray" => Type::SchemaOrArray(named("apiextensions/v1.JSONSchemaProps")),
        "JSONSchemaPropsOrBool" => Type::SchemaOrBool(named("apiextensions/v1.JSONSchemaProps")),
        "JSONSchemaPropsOrStringArray" => Type::SchemaOrStrings(named("apiextensions/v1.JSONSchemaProps")),
        _ if text.starts_with('.') => parse_name(&format!("{package}{text}")),
        _ => parse_name(text),
    }
}

fn parse_name(name: &str) -> Type {
    match entry(name) {
        None => Type::Json,
        Some(entry) if !entry.is_alias => Type::Message(MessageRef::BuiltIn(BuiltIn(entry))),
        // An alias of a message is that message under a second name.
        Some(entry) => match entry.alias() {
            Some(Alias { ty: Type::Message(message), .. }) => Type::Message(message.clone()),
            Some(alias) => Type::Alias(alias),
            None => Type::Json,
        },
    }
}

fn named(name: &str) -> MessageRef {
    entry(name).map_or_else(|| MessageRef::Dynamic(Default::default()), |entry| MessageRef::BuiltIn(BuiltIn(entry)))
}
