//! Tokens into a syntax tree, by recursive descent; macros are expanded on the way. Positions and complaints are those of
//! cel-go's ANTLR grammar, as far as one mistake goes: parsing ends at the first syntax error. One grammar, one file.

use std::ops::Range;
use std::sync::Arc;

use crate::ast::{Entry, Expr, Field, Kind, op};
use crate::error::Issues;
use crate::lexer::{self, Tok, Token, Tokens};
use crate::macros;
use crate::value::{Text, Value};

/// How deep the tree may get; cel-go's default.
const DEEPEST: u16 = 250;
/// How deep brackets may nest. Less than cel-go's 250, because stacks of threads do not grow as Go's do.
const NESTED: u16 = 64;
/// How many characters an expression may have; cel-go's default.
const LONGEST: usize = 100_000;
/// How many nodes macros may copy. Upstream has no such limit, and looks at the copies of copies for as long as it takes.
const COPIED: u32 = 100_000;

const EXPRESSION: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                          BYTES, IDENTIFIER}";

/// What an index may begin with.
const INDEX: &str = "{'[', '{', '(', '.', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
    BYTES, IDENTIFIER}";
/// What may follow where arguments begin.
const ARGUMENT: &str = "{'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
    BYTES, IDENTIFIER}";
/// What may follow where a list begins.
const ELEMENT: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
    BYTES, IDENTIFIER}";
/// What may follow where a map begins.
const ENTRY: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
    BYTES, IDENTIFIER}";

const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A parsed expression, and the offset of every node in the text.
pub(crate) struct Parsed {
    pub expr: Expr,
    pub offsets: Vec<u32>,
}

pub(crate) fn parse(source: &str) -> Result<Parsed, Issues> {
    let length = source.chars().count();
    if length > LONGEST {
        let message = format!("expression code point size exceeds limit: size: {length}, limit {LONGEST}");
        return Err(Issues::only(message));
    }
    let Tokens { tokens, refused, issues } = lexer::tokens(source);
    if issues.is_full() {
        return Err(issues);
    }
    let mut parser =
        Parser { source, tokens, refused, at: 0, depth: 0, open: 0, copied: 0, offsets: Vec::new(), issues };
    let parsed = parser.whole();
    match parsed {
        Ok(expr) if parser.issues.is_empty() => Ok(Parsed { expr, offsets: parser.offsets }),
        _ => Err(parser.issues),
    }
}

/// A syntax error was reported; nothing more can be parsed.
pub(crate) struct Stop;

type Parse<T> = Result<T, Stop>;

pub(crate) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    refused: Vec<Range<usize>>,
    at: usize,
    depth: u16,
    /// How many brackets are open.
    open: u16,
    /// How many nodes macros have copied.
    copied: u32,
    offsets: Vec<u32>,
    issues: Issues,
}

/// Building nodes.
impl Parser<'_> {
    /// A new id for a node at this offset.
    pub(crate) fn id(&mut self, offset: u32) -> u32 {
        self.offsets.push(offset);
        self.offsets.len() as u32 - 1
    }

    pub(crate) fn offset(&self, id: u32) -> u32 {
        self.offsets[id as usize]
    }

    pub(crate) fn node(&mut self, offset: u32, kind: Kind) -> Expr {
        let id = self.id(offset);
        self.with_id(id, kind)
    }

    pub(crate) fn with_id(&mut self, id: u32, kind: Kind) -> Expr {
        let (depth, size) = extent(&kind);
        Expr { id, depth: depth + 1, size: size.saturating_add(1), kind }
    }

    pub(crate) fn call(&mut self, offset: u32, function: &str, args: Vec<Expr>) -> Expr {
        self.node(offset, Kind::Call { function: function.into(), target: None, args })
    }

    /// Reports a mistake that parsing can go on after.
    pub(crate) fn report(&mut self, offset: u32, message: impl Into<String>) -> Expr {
        self.issues.report(self.source, Some(offset as usize), message.into());
        self.node(offset, Kind::Broken)
    }

    /// The same expression once more, as long as not too much is copied.
    pub(crate) fn copy(&mut self, expr: &Expr) -> Option<Expr> {
        self.copied = self.copied.saturating_add(expr.size);
        (self.copied <= COPIED).then(|| expr.clone())
    }

    fn finish(&mut self, id: u32, kind: Kind) -> Parse<Expr> {
        let expr = self.with_id(id, kind);
        if expr.depth > DEEPEST { Err(self.too_deep()) } else { Ok(expr) }
    }

    fn too_deep(&mut self) -> Stop {
        let message = format!("expression recursion limit exceeded: {DEEPEST}");
        self.issues.report(self.source, None, message);
        Stop
    }

    fn call_or_macro(&mut self, id: u32, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Parse<Expr> {
        let expr = match macros::expand(self, id, function, target, args) {
            macros::Expansion::Expanded(expr) => expr,
            macros::Expansion::None(target, args) => {
                self.with_id(id, Kind::Call { function: function.into(), target: target.map(Box::new), args })
            }
        };
        if expr.depth > DEEPEST { Err(self.too_deep()) } else { Ok(expr) }
    }
}

/// How deep and how large the children are together.
fn extent(kind: &Kind) -> (u16, u32) {
    fn of<'e>(children: impl Iterator<Item = &'e Expr>) -> (u16, u32) {
        children.fold((0, 0), |(depth, size), child| (depth.max(child.depth), size.saturating_add(child.size)))
    }
    match kind {
        Kind::Broken | Kind::Literal(_) | Kind::Ident(_) => (0, 0),
        Kind::Select { operand, .. } => (operand.depth, operand.size),
        Kind::Call { target, args, .. } => of(target.as_deref().into_iter().chain(args)),
        Kind::List(elements) => of(elements.iter().map(|(element, _)| element)),
        Kind::Map(entries) => of(entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
        Kind::Struct { fields, .. } => of(fields.iter().map(|field| &field.value)),
        Kind::Comprehension(c) => of([&c.range, &c.init, &c.condition, &c.step, &c.result].into_iter()),
    }
}

/// Reading tokens.
impl<'a> Parser<'a> {
    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn text(&self, token: Token) -> &'a str {
        &self.source[token.start as usize..token.end as usize]
    }

    fn is(&self, sign: &str) -> bool {
        let token = self.token();
        token.kind == Tok::Sign && self.text(token) == sign
    }

    fn take(&mut self) -> Token {
        let token = self.token();
        if token.kind != Tok::End {
            self.at += 1;
        }
        token
    }

    fn eat(&mut self, sign: &str) -> Option<Token> {
        self.is(sign).then(|| self.take())
    }

    fn shown(&self, token: Token) -> &'a str {
        if token.kind == Tok::End { "<EOF>" } else { self.text(token) }
    }

    fn syntax_error(&mut self, message: &str) -> Stop {
        let offset = self.token().start;
        self.issues.report(self.source, Some(offset as usize), format!("Syntax error: {message}"));
        Stop
    }

    /// Nothing that is known goes from the first token to the last. What is no token is not shown again.
    fn no_alternative(&mut self, first: Token, last: Token) -> Stop {
        let (start, end) = (first.start as usize, last.end as usize);
        let (mut at, mut found) = (start, String::new());
        for refused in self.refused.iter().filter(|refused| refused.start >= start && refused.end <= end) {
            found.push_str(&self.source[at..refused.start]);
            at = refused.end;
        }
        found.push_str(&self.source[at..end]);
        self.syntax_error(&format!("no viable alternative at input '{}'", found.trim_end()))
    }

    /// The next token is not what has to come here.
    fn unexpected(&mut self, expected: &str) -> Stop {
        let found = self.shown(self.token());
        self.syntax_error(&format!("mismatched input '{found}' expecting {expected}"))
    }

    fn expect(&mut self, sign: &str) -> Parse<Token> {
        match self.eat(sign) {
            Some(token) => Ok(token),
            None => Err(self.unexpected(&format!("'{sign}'"))),
        }
    }

    /// The sign that closes what was opened. As ANTLR says it, it is missing where everything ends and nothing else is open,
    /// and a token before it is extraneous.
    fn close(&mut self, sign: &str) -> Parse<Token> {
        self.open -= 1;
        let token = self.token();
        let follows = self.tokens.get(self.at + 1);
        if !self.is(sign) && token.kind == Tok::End && self.open == 0 {
            return Err(self.syntax_error(&format!("missing '{sign}' at '<EOF>'")));
        }
        if !self.is(sign) && follows.is_some_and(|next| next.kind == Tok::Sign && self.text(*next) == sign) {
            let found = self.shown(token);
            return Err(self.syntax_error(&format!("extraneous input '{found}' expecting '{sign}'")));
        }
        self.expect(sign)
    }

    /// Closes a list or a map; where a further element could have come, it is told too.
    fn close_elements(&mut self, sign: &str, comma: bool) -> Parse<Token> {
        if comma || self.is(sign) {
            return self.close(sign);
        }
        self.open -= 1;
        Err(self.unexpected(&format!("{{'{sign}', ','}}")))
    }

    /// Whether a further element begins here.
    fn continues(&self) -> bool {
        self.is("?") || self.begins(self.at)
    }

    /// Whether an expression can begin with the token.
    fn begins(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        match token.kind {
            Tok::End | Tok::Escaped => false,
            Tok::Sign => {
                matches!(self.text(*token), "[" | "{" | "(" | "." | "-" | "!" | "true" | "false" | "null")
            }
            _ => true,
        }
    }
}

/// The grammar.
impl Parser<'_> {
    fn whole(&mut self) -> Parse<Expr> {
        let expr = self.expr()?;
        if self.token().kind == Tok::End {
            return Ok(expr);
        }
        let found = self.shown(self.token());
        // One token too many is extraneous, more are a mismatch.
        let what = if self.tokens[self.at + 1].kind == Tok::End { "extraneous" } else { "mismatched" };
        Err(self.syntax_error(&format!("{what} input '{found}' expecting <EOF>")))
    }

    /// `a ? b : c`, or what is below it.
    fn expr(&mut self) -> Parse<Expr> {
        self.depth += 1;
        if self.depth > NESTED {
            return Err(self.too_deep());
        }
        let condition = self.logic("||", op::OR)?;
        let expr = match self.eat("?") {
            None => condition,
            Some(question) => {
                let id = self.id(question.start);
                let then = self.logic("||", op::OR)?;
                self.expect(":")?;
                let otherwise = self.expr()?;
                let args = vec![condition, then, otherwise];
                self.finish(id, Kind::Call { function: op::CONDITIONAL.into(), target: None, args })?
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Chains of `||` and `&&` become balanced trees, so that long ones do not get deep.
    fn logic(&mut self, sign: &str, function: &str) -> Parse<Expr> {
        let below = |parser: &mut Self| if sign == "||" { parser.logic("&&", op::AND) } else { parser.binary(0) };
        let mut terms = vec![below(self)?];
        let mut ids = Vec::new();
        while let Some(token) = self.eat(sign) {
            terms.push(below(self)?);
            ids.push(self.id(token.start));
        }
        if ids.is_empty()
            && let Some(only) = terms.pop()
        {
            return Ok(only);
        }
        let mut terms = terms.into_iter().map(Some).collect::<Vec<_>>();
        let (low, high) = (0, ids.len() - 1);
        let expr = self.balanced(function, &mut terms, &ids, low, high);
        // Brackets are no nodes: without this, long chains in brackets in long chains would be as deep as they like.
        if expr.depth > DEEPEST { Err(self.too_deep()) } else { Ok(expr) }
    }

    fn balanced(&mut self, function: &str, terms: &mut [Option<Expr>], ids: &[u32], low: usize, high: usize) -> Expr {
        let middle = (low + high).div_ceil(2);
        let mut side = |parser: &mut Self, at: usize, range: Option<(usize, usize)>| match range {
            Some((low, high)) => parser.balanced(function, terms, ids, low, high),
            None => terms[at].take().unwrap_or_else(|| parser.node(0, Kind::Broken)),
        };
        let left = side(self, middle, (middle != low).then(|| (low, middle - 1)));
        let right = side(self, middle + 1, (middle != high).then(|| (middle + 1, high)));
        self.with_id(ids[middle], Kind::Call { function: function.into(), target: None, args: vec![left, right] })
    }

    /// Relations, sums and products, by precedence.
    fn binary(&mut self, least: u8) -> Parse<Expr> {
        let mut left = self.unary()?;
        loop {
            let token = self.token();
            let Some((function, precedence)) =
                (token.kind == Tok::Sign).then(|| binary_operator(self.text(token))).flatten()
            else {
                return Ok(left);
            };
            if precedence < least {
                return Ok(left);
            }
            self.take();
            let id = self.id(token.start);
            let right = self.binary(precedence + 1)?;
            left = self.finish(id, Kind::Call { function: function.into(), target: None, args: vec![left, right] })?;
        }
    }

    fn unary(&mut self) -> Parse<Expr> {
        for (sign, function) in [("!", op::NOT), ("-", op::NEGATE)] {
            let first = self.token();
            let mut count = 0;
            while self.eat(sign).is_some() {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            // A single minus before a number is the number's own.
            let number = matches!(self.token().kind, Tok::Int | Tok::Float);
            if sign == "-" && number && count == 1 {
                self.at -= 1;
                return self.member();
            }
            let id = (count % 2 == 1).then(|| self.id(first.start));
            if self.token().kind == Tok::End {
                let end = self.token().start;
                if sign == "!" {
                    return Err(self.syntax_error(&format!("extraneous input '<EOF>' expecting {EXPRESSION}")));
                }
                if count == 1 {
                    self.report(end, "Syntax error: no viable alternative at input '-'");
                }
            }
            let operand = self.member()?;
            return match id {
                None => Ok(operand),
                Some(id) => {
                    self.finish(id, Kind::Call { function: function.into(), target: None, args: vec![operand] })
                }
            };
        }
        self.member()
    }

    fn member(&mut self) -> Parse<Expr> {
        let mut expr = self.primary()?;
        loop {
            if let Some(dot) = self.eat(".") {
                let optional = self.eat("?").is_some();
                let name = self.token();
                match name.kind {
                    Tok::Ident | Tok::Escaped => self.take(),
                    _ if optional => {
                        let stop = self.unexpected("{IDENTIFIER, ESC_IDENTIFIER}");
                        self.report(name.start, "unsupported ident kind");
                        return Err(stop);
                    }
                    _ => {
                        return Err(self.no_alternative(dot, name));
                    }
                };
                let text = self.text(name);
                if name.kind == Tok::Escaped {
                    // cel-go knows the syntax, and Kubernetes leaves it off.
                    expr = self.report(name.start, "unsupported syntax: '`'");
                } else if optional {
                    let field = self.node(name.start, Kind::Literal(Value::from(text.to_owned())));
                    let id = self.id(dot.start);
                    let args = vec![expr, field];
                    expr = self.finish(id, Kind::Call { function: op::OPT_SELECT.into(), target: None, args })?;
                } else if let Some(open) = self.eat("(") {
                    let id = self.id(open.start);
                    let args = self.arguments()?;
                    expr = self.call_or_macro(id, text, Some(expr), args)?;
                } else {
                    let id = self.id(dot.start);
                    let kind = Kind::Select { operand: Box::new(expr), field: text.into(), test_only: false };
                    expr = self.finish(id, kind)?;
                }
            } else if let Some(open) = self.eat("[") {
                let function = if self.eat("?").is_some() { op::OPT_INDEX } else { op::INDEX };
                let id = self.id(open.start);
                self.open += 1;
                let index = self.expr_or(if function == op::INDEX { INDEX } else { EXPRESSION })?;
                self.close("]")?;
                expr =
                    self.finish(id, Kind::Call { function: function.into(), target: None, args: vec![expr, index] })?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn arguments(&mut self) -> Parse<Vec<Expr>> {
        let mut args = Vec::new();
        if self.eat(")").is_some() {
            return Ok(args);
        }
        self.open += 1;
        loop {
            args.push(self.expr_or(if args.is_empty() { ARGUMENT } else { EXPRESSION })?);
            if self.eat(",").is_none() {
                self.close(")")?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parse<Expr> {
        let token = self.token();
        match token.kind {
            Tok::Ident => self.named(false),
            Tok::Int | Tok::Uint | Tok::Float | Tok::String | Tok::Bytes => {
                self.take();
                Ok(self.literal(token, self.text(token), token.start))
            }
            Tok::Sign => match self.text(token) {
                "(" => {
                    self.take();
                    self.open += 1;
                    let expr = self.expr()?;
                    self.close(")")?;
                    Ok(expr)
                }
                "[" => self.list(),
                "{" => self.map(),
                "." if self.tokens.get(self.at + 1).is_some_and(|next| next.kind == Tok::Ident) => {
                    self.take();
                    self.named(true)
                }
                "-" if matches!(self.tokens.get(self.at + 1).map(|t| t.kind), Some(Tok::Int | Tok::Float)) => {
                    self.take();
                    let number = self.take();
                    let text = &self.source[number.start as usize..number.end as usize];
                    Ok(self.literal(number, &format!("-{text}"), token.start))
                }
                "true" | "false" => {
                    self.take();
                    let value = Value::Bool(self.text(token) == "true");
                    Ok(self.node(token.start, Kind::Literal(value)))
                }
                "null" => {
                    self.take();
                    Ok(self.node(token.start, Kind::Literal(Value::Null)))
                }
                "." => {
                    self.take();
                    Err(self.no_alternative(token, self.token()))
                }
                _ => self.no_expression(EXPRESSION),
            },
            _ => self.no_expression(EXPRESSION),
        }
    }

    /// An expression, where something else could stand as well: `expected` names it all.
    fn expr_or(&mut self, expected: &str) -> Parse<Expr> {
        if self.begins(self.at) { self.expr() } else { self.no_expression(expected) }
    }

    /// As ANTLR says it, and goes on: a token is extraneous if an expression begins behind it, and an operator may do without
    /// what should stand before it.
    fn no_expression(&mut self, expected: &str) -> Parse<Expr> {
        let token = self.token();
        let found = self.shown(token);
        if token.kind != Tok::End && self.begins(self.at + 1) {
            self.report(token.start, format!("Syntax error: extraneous input '{found}' expecting {expected}"));
            self.take();
            // A row of such tokens, or of brackets that each begin with one, is as deep as it is long.
            self.depth += 1;
            if self.depth > NESTED {
                return Err(self.too_deep());
            }
            let expr = self.primary()?;
            self.depth -= 1;
            return Ok(expr);
        }
        if token.kind == Tok::Sign && binary_operator(found).is_some() {
            let why = format!("Syntax error: mismatched input '{found}' expecting {expected}");
            return Ok(self.report(token.start, why));
        }
        Err(self.unexpected(expected))
    }

    /// A name, a call of a function, or a message.
    fn named(&mut self, leading_dot: bool) -> Parse<Expr> {
        let token = self.take();
        let text = self.text(token);
        let dot = if leading_dot { "." } else { "" };
        if let Some(message) = self.message(token, dot)? {
            return Ok(message);
        }
        let reserved = RESERVED.contains(&text);
        if let Some(open) = self.eat("(") {
            let id = self.id(open.start);
            let args = self.arguments()?;
            if reserved {
                return Ok(self.report(token.start, format!("reserved identifier: {text}")));
            }
            return self.call_or_macro(id, &format!("{dot}{text}"), None, args);
        }
        if reserved {
            return Ok(self.report(token.start, format!("reserved identifier: {text}")));
        }
        Ok(self.node(token.start, Kind::Ident(format!("{dot}{text}").into())))
    }

    /// `a.b.C{…}`, if that is what begins with the name just taken.
    fn message(&mut self, first: Token, dot: &str) -> Parse<Option<Expr>> {
        let mut ahead = self.at;
        let sign = |parser: &Self, at: usize, sign: &str| {
            parser.tokens.get(at).is_some_and(|token| token.kind == Tok::Sign && parser.text(*token) == sign)
        };
        let mut name = format!("{dot}{}", self.text(first));
        while sign(self, ahead, ".") && self.tokens.get(ahead + 1).is_some_and(|token| token.kind == Tok::Ident) {
            name.push('.');
            name.push_str(self.text(self.tokens[ahead + 1]));
            ahead += 2;
        }
        if !sign(self, ahead, "{") {
            return Ok(None);
        }
        self.at = ahead;
        let open = self.take();
        let id = self.id(open.start);
        let mut fields = Vec::new();
        while !self.is("}") {
            let optional = self.eat("?").is_some();
            let token = self.token();
            if token.kind != Tok::Ident {
                return Err(match self.shown(token) {
                    "," if !fields.is_empty() => self.unexpected("'}'"),
                    _ => self.unexpected("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"),
                });
            }
            self.take();
            let colon = self.expect(":")?;
            let field = self.id(colon.start);
            let value = self.expr()?;
            fields.push(Field { id: field, name: self.text(token).into(), value, optional });
            if self.eat(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        self.finish(id, Kind::Struct { name: name.into(), fields }).map(Some)
    }

    fn list(&mut self) -> Parse<Expr> {
        let open = self.take();
        let id = self.id(open.start);
        let mut elements = Vec::new();
        self.open += 1;
        // A comma may stand behind the last element, and in place of any.
        let mut comma = self.eat(",").is_some();
        while !comma && !self.is("]") || comma && !elements.is_empty() && self.continues() {
            let optional = self.eat("?").is_some();
            elements
                .push((self.expr_or(if elements.is_empty() && !optional { ELEMENT } else { EXPRESSION })?, optional));
            comma = self.eat(",").is_some();
            if !comma {
                break;
            }
        }
        self.close_elements("]", comma)?;
        self.finish(id, Kind::List(elements))
    }

    fn map(&mut self) -> Parse<Expr> {
        let open = self.take();
        let id = self.id(open.start);
        let mut entries = Vec::new();
        self.open += 1;
        let mut comma = self.eat(",").is_some();
        while !comma && !self.is("}") || comma && !entries.is_empty() && self.continues() {
            let optional = self.eat("?").is_some();
            let key = self.expr_or(if entries.is_empty() && !optional { ENTRY } else { EXPRESSION })?;
            self.expect(":")?;
            let value = self.expr()?;
            entries.push(Entry { key, value, optional });
            comma = self.eat(",").is_some();
            if !comma {
                break;
            }
        }
        self.close_elements("}", comma)?;
        self.finish(id, Kind::Map(entries))
    }

    fn literal(&mut self, token: Token, text: &str, offset: u32) -> Expr {
        let value = match token.kind {
            Tok::Int => integer(text).map(Value::Int).ok_or("invalid int literal"),
            Tok::Uint => unsigned(text).map(Value::Uint).ok_or("invalid uint literal"),
            Tok::Float => {
                let parsed = text.parse::<f64>().ok().filter(|value| value.is_finite());
                parsed.map(Value::Double).ok_or("invalid double literal")
            }
            Tok::Bytes => lexer::unquote(text, true).map(|bytes| Value::Bytes(bytes.into())),
            _ => lexer::unquote(text, false).and_then(|bytes| {
                let text = String::from_utf8(bytes).map_err(|_| "unable to unescape string")?;
                Ok(Value::String(Text::from(text)))
            }),
        };
        match value {
            Ok(value) => self.node(offset, Kind::Literal(value)),
            Err(message) => self.report(offset, message),
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("-0x").map(|hex| (true, hex)).or_else(|| Some((false, text.strip_prefix("0x")?))) {
        Some((true, hex)) => i64::from_str_radix(&format!("-{hex}"), 16).ok(),
        Some((false, hex)) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn unsigned(text: &str) -> Option<u64> {
    let text = &text[..text.len() - 1];
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn binary_operator(sign: &str) -> Option<(&'static str, u8)> {
    Some(match sign {
        "<" => ("_<_", 0),
        "<=" => ("_<=_", 0),
        ">" => ("_>_", 0),
        ">=" => ("_>=_", 0),
        "==" => ("_==_", 0),
        "!=" => ("_!=_", 0),
        "in" => ("@in", 0),
        "+" => ("_+_", 1),
        "-" => ("_-_", 1),
        "*" => ("_*_", 2),
        "/" => ("_/_", 2),
        "%" => ("_%_", 2),
        _ => return None,
    })
}

/// A name of a variable of a macro.
pub(crate) type Name = Arc<str>;
