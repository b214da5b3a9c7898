//! The query form of label selectors: a lexer and a recursive-descent parser with upstream's tokens and complaints.

use super::{Operator, Requirement, SelectorError};
use crate::quote::quote;
use crate::validation::qualified_name;

/// Reads all requirements of a selector; the empty text has none.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: lex(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::End => return Ok(requirements),
            token if token.is_word() || token == Token::Symbol("!") => {}
            token => return Err(found(token, ", expected: !, identifier, or 'end of string'")),
        }
        let requirement =
            parser.requirement().map_err(|error| SelectorError(format!("unable to parse requirement: {error}")))?;
        requirements.push(requirement);
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => {
                let token = parser.peek();
                if !token.is_word() && token != Token::Symbol("!") {
                    return Err(found(token, ", expected: identifier after ','"));
                }
            }
            token => return Err(found(token, ", expected: ',' or 'end of string'")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// A key or a value; `in` and `notin` count as operators only where one is expected.
    Word(&'a str),
    Symbol(&'a str),
    /// Special characters that form no operator, such as `=!`.
    Unknown,
    End,
}

impl<'a> Token<'a> {
    fn is_word(self) -> bool {
        matches!(self, Token::Word(_))
    }

    fn text(self) -> &'a str {
        match self {
            Token::Word(text) | Token::Symbol(text) => text,
            Token::Unknown | Token::End => "",
        }
    }
}

fn lex(text: &str) -> Vec<Token<'_>> {
    let special = |b: u8| b"=!(),><".contains(&b);
    let space = |b: u8| b" \t\r\n".contains(&b);
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if space(bytes[at]) {
            at += 1;
        } else if special(bytes[at]) {
            let symbol = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"]
                .into_iter()
                .find(|symbol| text[at..].starts_with(symbol));
            let symbol = symbol.map_or(Token::Unknown, Token::Symbol);
            at += symbol.text().len().max(1);
            tokens.push(symbol);
        } else {
            let run = bytes[at..].iter().take_while(|b| !special(**b) && !space(**b)).count();
            tokens.push(Token::Word(&text[at..at + run]));
            at += run;
        }
    }
    tokens.push(Token::End);
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.position).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.next();
        let negated = token == Token::Symbol("!");
        if negated {
            token = self.next();
        }
        let Token::Word(key) = token else { return Err(found(token, ", expected: identifier")) };
        let complaints = qualified_name(key);
        if !complaints.is_empty() {
            // The path of the query parameter is nil upstream, and its text shows that.
            return Err(SelectorError(format!("<nil>: Invalid value: {}: {}", quote(key), complaints.join("; "))));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        match self.next() {
            Token::Word("in") => Ok(Operator::In),
            Token::Word("notin") => Ok(Operator::NotIn),
            Token::Symbol("=") => Ok(Operator::Equals),
            Token::Symbol("==") => Ok(Operator::DoubleEquals),
            Token::Symbol("!=") => Ok(Operator::NotEquals),
            Token::Symbol(">") => Ok(Operator::GreaterThan),
            Token::Symbol("<") => Ok(Operator::LessThan),
            token => Err(found(token, ", expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// `(a,b,)`: values may be empty.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let token = self.next();
        if token != Token::Symbol("(") {
            return Err(found(token, " expected: '('"));
        }
        match self.peek() {
            Token::Symbol("," | ")") | Token::Word(_) => {}
            token => return Err(found(token, ", expected: ',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Token::Word(value) => {
                    values.push(value.to_owned());
                    match self.next() {
                        Token::Symbol(",") if self.peek() == Token::Symbol(")") => values.push(String::new()),
                        Token::Symbol(",") => continue,
                        Token::Symbol(")") => return Ok(values),
                        token => return Err(found(token, ", expected: ',' or ')'")),
                    }
                }
                Token::Symbol(",") => values.push(String::new()),
                Token::Symbol(")") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    return Ok(values);
                }
                token => return Err(found(token, ", expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(value) => {
                self.position += 1;
                Ok(value.to_owned())
            }
            token => Err(found(token, ", expected: identifier")),
        }
    }
}

fn found(token: Token<'_>, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}'{expected}", token.text()))
}
