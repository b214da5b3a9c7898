//! Reads JSON paths as upstream's JSONPath does. Paths in brackets and filters are read apart from the rest, so nothing here
//! goes deeper than a few calls, whatever the path.

use serde_json::{Number, Value};

use super::json_path::{JsonPath, Slice, Step};

/// Reads a path, as it stands between the braces of a template. A brace in it ends it: what follows leads elsewhere.
pub(super) fn path(text: &str) -> Option<JsonPath> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next().filter(|next| *next != '}') {
        let after = &rest[next.len_utf8()..];
        rest = if let Some(condition) = rest.strip_prefix("[?(") {
            filter(condition, &mut steps)?
        } else if let Some(after) = rest.strip_prefix("..") {
            if steps.last() == Some(&Step::Within) {
                return None;
            }
            steps.push(Step::Within);
            if after.starts_with(is_word) { field(after, &mut steps) } else { after }
        } else {
            match next {
                ' ' | '@' | '$' => after,
                '[' => brackets(after, &mut steps)?,
                '"' | '\'' => quoted(after, next, &mut steps)?,
                '.' => field(after, &mut steps),
                '+' | '-' => number(rest, &mut steps)?,
                digit if digit.is_numeric() => number(rest, &mut steps)?,
                letter if is_word(letter) => word(rest, &mut steps),
                _ => return None,
            }
        };
    }
    Some(JsonPath(steps))
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// What ends a field or a word.
fn is_end(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

/// The name after a dot; a backslash takes the next character as it is.
fn field<'t>(text: &'t str, steps: &mut Vec<Step>) -> &'t str {
    let mut is_escaped = false;
    let end = text.find(|character| {
        let ends = !is_escaped && is_end(character);
        is_escaped = !is_escaped && character == '\\';
        ends
    });
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    steps.push(if name == "*" { Step::All } else { Step::Field(name.replace('\\', "")) });
    rest
}

fn word<'t>(text: &'t str, steps: &mut Vec<Step>) -> &'t str {
    let (name, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
    steps.push(name.parse::<bool>().map_or(Step::Word, |value| Step::Literal(value.into())));
    rest
}

fn number<'t>(text: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| c != '.' && !c.is_numeric()).unwrap_or(digits.len());
    let (number, rest) = text.split_at(text.len() - digits.len() + end);
    let integer = || number.parse::<i64>().ok().map(Value::from);
    let float = || Some(Value::Number(Number::from_f64(number.parse().ok()?)?));
    steps.push(Step::Literal(integer().or_else(float)?));
    Some(rest)
}

/// A text up to its quote.
fn quoted<'t>(text: &'t str, quote: char, steps: &mut Vec<Step>) -> Option<&'t str> {
    let end = text.char_indices().find(|(at, c)| *c == '\n' || (*c == quote && !text[..*at].ends_with('\\')))?.0;
    let rest = text[end..].strip_prefix(quote)?;
    steps.push(Step::Literal(unquote(&text[..end], quote)?.into()));
    Some(rest)
}

/// What the escapes of a text stand for; the other quote needs none and may have none.
fn unquote(text: &str, quote: char) -> Option<String> {
    let mut rest = String::with_capacity(text.len());
    let mut bytes = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            rest.push(character);
            continue;
        }
        let kind = characters.next()?;
        let (digits, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (2, 8),
            _ => {
                rest.push(match kind {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' => '\\',
                    _ if kind == quote => quote,
                    _ => return None,
                });
                continue;
            }
        };
        let first = if radix == 8 { kind.to_digit(8)? } else { 0 };
        let code = (0..digits).try_fold(first, |code, _| Some(code * radix + characters.next()?.to_digit(radix)?))?;
        if kind == 'u' || kind == 'U' {
            rest.push(char::from_u32(code)?);
        } else {
            bytes.extend_from_slice(std::mem::take(&mut rest).as_bytes());
            bytes.push(u8::try_from(code).ok()?);
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What follows a `[`: paths of a union, a name, or places in a list.
fn brackets<'t>(text: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    let (inside, rest) = text.split_once(']').filter(|(inside, _)| !inside.contains('\n'))?;
    if inside.contains(',') {
        let paths = inside.split(',').map(|text| path(&format!("[{}]", text.trim_matches(' '))));
        steps.push(Step::Union(paths.collect::<Option<_>>()?));
        return Some(rest);
    }
    let name = inside.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    if let Some(name) = name.filter(|name| !name.contains('\'')) {
        // So dots in it need their backslashes here, too.
        steps.extend(path(&format!(".{name}"))?.0);
        return Some(rest);
    }
    let mut places = if inside == "*" { ":" } else { inside }.split(':');
    let mut place = || match places.next() {
        None => Some(None),
        Some("") => Some(Some(None)),
        Some(text) if text.starts_with('+') => None,
        Some(text) => text.parse::<i64>().ok().map(|place| Some(Some(place))),
    };
    let first = place()?.flatten();
    let end = place()?;
    let step = place()?.flatten();
    let first = first.unwrap_or(0);
    let slice = Slice { first, end: end.unwrap_or(Some(first.saturating_add(1))), single: end.is_none(), step };
    steps.push(Step::Elements(slice));
    places.next().is_none().then_some(rest)
}

/// What follows a `[?(`. A parenthesis within the first quotes does not end it.
fn filter<'t>(text: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    let mut quote = None;
    let mut is_closed = false;
    let end = text.char_indices().find(|(at, character)| {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(*character),
            ('"' | '\'', Some(quote)) => is_closed |= quote == *character && !text[..*at].ends_with('\\'),
            (')', _) => return quote.is_some() == is_closed,
            _ => {}
        }
        *character == '\n'
    });
    let end = end?.0;
    let (condition, rest) = (&text[..end], text[end..].strip_prefix(")]")?);
    let is_sign = |character| matches!(character, '!' | '<' | '>' | '=');
    let (left, compared) = condition.split_at(condition.find(is_sign).unwrap_or(condition.len()));
    let right = compared.trim_start_matches(is_sign);
    // Something stands on the right, if need be the last of the signs.
    let signs = compared.len() - if right.is_empty() { 1.min(compared.len()) } else { right.len() };
    steps.push(if left.is_empty() || signs == 0 {
        Step::There(path(condition)?)
    } else {
        let (operator, right) = compared.split_at(signs);
        Step::Where(path(left)?, operator.to_owned(), path(right)?)
    });
    Some(rest)
}
