//! The functions: signatures as text, what they do, and how their cost is counted. One table a topic; names that several
//! topics share (`ip`, `add`, `indexOf`) have one row.
//!
//! The libraries are those of Kubernetes 1.35's base environment: the standard one, optional types, strings (version 2),
//! lists (version 3), sets, two-variable comprehensions, and Kubernetes' own lists, regex, URL, quantity, IP, CIDR,
//! format, semver, authorizer with selectors, and JSON patch.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::authorizer::Authorize;
use crate::error::{Error, ErrorKind};
use crate::types::{LibraryType, Type};
use crate::value::Value;
use crate::work::Work;

mod authz;
mod core;
pub(crate) mod format;
mod lists;
pub(crate) mod network;
mod optional;
pub(crate) mod printf;
mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
mod strings;
pub(crate) mod time;
pub(crate) mod url;

pub(crate) use core::insert_into;

/// A function with all its signatures.
#[derive(Debug)]
pub(crate) struct Function {
    pub name: &'static str,
    pub overloads: Vec<Overload>,
    pub eval: Eval,
    pub cost: Cost,
}

/// One signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overload {
    /// Called on its first argument.
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    /// Whether the signature has type parameters.
    pub generic: bool,
}

/// Carries out a call; the target of a member call is the first argument.
pub(crate) type Eval = for<'a> fn(&Context<'_>, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// What functions see of the evaluation.
pub(crate) struct Context<'c> {
    pub authorizer: &'c dyn Authorize,
    /// The cost that may still be spent.
    pub remaining: u64,
    pub work: &'c Work,
}

impl Context<'_> {
    /// Refuses to make more than the budget could pay for: `units` are elements, or tens of characters.
    pub(crate) fn reserve(&self, units: usize) -> Result<(), Error> {
        if units as u64 > self.remaining { Err(too_costly()) } else { Ok(()) }
    }
}

/// An evaluation costs more than it may.
pub(crate) fn too_costly() -> Error {
    Error { kind: ErrorKind::Cost, message: "operation cancelled: actual cost limit exceeded".to_owned() }
}

/// How calls are charged, estimated and measured (see [`crate::cost`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    One,
    Check,
    Selector,
    /// A list is walked, or a string.
    Elements,
    /// A string is walked; the result is as long.
    Traverse,
    /// A string is read into something else.
    Parse,
    Replace,
    Split,
    Join,
    Find,
    Matches,
    Contains,
    /// `startsWith`, `endsWith`.
    Affix,
    Ip,
    IsCanonical,
    ContainsIp,
    ContainsCidr,
    Validate,
    Compare,
    Equals,
    Add,
    In,
    Index,
    ToBytes,
    ToString,
    Quote,
    Printf,
    /// Every element against every other, this often.
    Sets(u8),
    Slice,
    Flatten,
    Range,
    Reverse,
    Distinct,
    Sort,
    Conditional,
    Logic,
    Dyn,
}

/// A row of a table.
pub(crate) struct Row {
    name: &'static str,
    cost: Cost,
    eval: Eval,
    signatures: &'static [&'static str],
}

const fn row(name: &'static str, cost: Cost, eval: Eval, signatures: &'static [&'static str]) -> Row {
    Row { name, cost, eval, signatures }
}

/// The function of this name.
pub(crate) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let tables = [core::ROWS, strings::ROWS, lists::ROWS, network::ROWS, quantity::ROWS, optional::ROWS, authz::ROWS];
    let function = |row: &'static Row| {
        let overloads = row.signatures.iter().map(|signature| parse(signature)).collect();
        (row.name, Function { name: row.name, overloads, eval: row.eval, cost: row.cost })
    };
    tables.into_iter().flatten().map(function).collect()
});

/// `list<A>.(A, int) -> bool`.
fn parse(signature: &'static str) -> Overload {
    let mut reader = Reader { rest: signature, generic: false };
    let member = !signature.starts_with('(');
    let mut args = Vec::new();
    if member {
        args.push(reader.ty());
        reader.skip(".");
    }
    reader.skip("(");
    while !reader.skip(")") {
        args.push(reader.ty());
        reader.skip(", ");
    }
    reader.skip(" -> ");
    let result = reader.ty();
    Overload { member, args, result, generic: reader.generic }
}

struct Reader {
    rest: &'static str,
    generic: bool,
}

impl Reader {
    fn skip(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn inner(&mut self) -> Type {
        self.skip("<");
        let ty = self.ty();
        self.skip(">");
        ty
    }

    fn ty(&mut self) -> Type {
        let len = self.rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        match word {
            "dyn" => Type::Dyn,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "duration" => Type::Duration,
            "timestamp" => Type::Timestamp,
            "list" => Type::list(self.inner()),
            "optional" => Type::optional(self.inner()),
            "type" => Type::Type(Some(self.inner().into())),
            "map" => {
                self.skip("<");
                let key = self.ty();
                self.skip(", ");
                let value = self.ty();
                self.skip(">");
                Type::map(key, value)
            }
            "Ip" => Type::Library(LibraryType::Ip),
            "Cidr" => Type::Library(LibraryType::Cidr),
            "Quantity" => Type::Library(LibraryType::Quantity),
            "Url" => Type::Library(LibraryType::Url),
            "Semver" => Type::Library(LibraryType::Semver),
            "Format" => Type::Library(LibraryType::Format),
            "Authorizer" => Type::Library(LibraryType::Authorizer),
            "PathCheck" => Type::Library(LibraryType::PathCheck),
            "GroupCheck" => Type::Library(LibraryType::GroupCheck),
            "ResourceCheck" => Type::Library(LibraryType::ResourceCheck),
            "Decision" => Type::Library(LibraryType::Decision),
            _ => {
                self.generic = true;
                Type::Param(u32::from(word.bytes().next().unwrap_or(b'A') - b'A'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_reads_to_its_end() {
        assert!(FUNCTIONS.len() > 100);
        for table in
            [core::ROWS, strings::ROWS, lists::ROWS, network::ROWS, quantity::ROWS, optional::ROWS, authz::ROWS]
        {
            for signature in table.iter().flat_map(|row| row.signatures) {
                let overload = parse(signature);
                let args: Vec<_> = overload.args.iter().map(ToString::to_string).collect();
                let count = signature.matches(", ").count() - signature.matches("map<").count();
                assert!(args.len() >= count, "{signature}: {args:?}");
                assert!(!overload.generic || signature.contains(['A', 'B', 'K', 'V']), "{signature}");
            }
        }
    }

    #[test]
    fn names_have_one_row() {
        let rows = [core::ROWS, strings::ROWS, lists::ROWS, network::ROWS, quantity::ROWS, optional::ROWS, authz::ROWS];
        assert_eq!(rows.into_iter().flatten().count(), FUNCTIONS.len());
    }
}
