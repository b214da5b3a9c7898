//! The syntax tree, as cel-go has it: operators are calls, macros are expanded. Node ids index the checker's tables.

use std::sync::Arc;

use crate::value::Value;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    /// Where types, references and positions are kept.
    pub id: u32,
    /// How many nodes deep the tree is from here.
    pub depth: u16,
    /// How many nodes there are from here.
    pub size: u32,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// What a syntax error left behind.
    Broken,
    Literal(Value<'static>),
    /// A name; a qualified one after checking.
    Ident(Arc<str>),
    Select {
        operand: Box<Expr>,
        field: Arc<str>,
        test_only: bool,
    },
    Call {
        function: Arc<str>,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    /// Elements, and whether each is optional (`[?x]`).
    List(Vec<(Expr, bool)>),
    Map(Vec<Entry>),
    Struct {
        name: Arc<str>,
        fields: Vec<Field>,
    },
    Comprehension(Box<Comprehension>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub id: u32,
    pub name: Arc<str>,
    pub value: Expr,
    pub optional: bool,
}

/// What macros become: `accu` starts as `init`, and is `step` for every element of `range` while `condition` holds.
#[derive(Clone, Debug)]
pub(crate) struct Comprehension {
    pub range: Expr,
    pub var: Arc<str>,
    /// Of comprehensions over keys (or indices) and values.
    pub var2: Option<Arc<str>>,
    pub accu: Arc<str>,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Expr {
    /// `a.b.c` as a name, when it is nothing but names.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test_only: false } => {
                let mut name = operand.qualified_name()?;
                name.push('.');
                name.push_str(field);
                Some(name)
            }
            _ => None,
        }
    }

    pub(crate) fn as_ident(&self) -> Option<&Arc<str>> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn as_literal(&self) -> Option<&Value<'static>> {
        match &self.kind {
            Kind::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Whether this is what `cel.bind` and `optMap` become: nothing is iterated, a name is bound.
    pub(crate) fn is_bind(&self) -> bool {
        let Kind::Comprehension(fold) = &self.kind else { return false };
        matches!(&fold.range.kind, Kind::List(elements) if elements.is_empty())
            && matches!(fold.condition.as_literal(), Some(Value::Bool(false)))
            && &*fold.accu != ACCUMULATOR
    }
}

/// The name of the accumulator of built-in macros, which no expression can write.
pub(crate) const ACCUMULATOR: &str = "@result";

/// The operators' names as functions.
pub(crate) mod op {
    pub(crate) const CONDITIONAL: &str = "_?_:_";
    pub(crate) const AND: &str = "_&&_";
    pub(crate) const OR: &str = "_||_";
    pub(crate) const NOT: &str = "!_";
    pub(crate) const NEGATE: &str = "-_";
    pub(crate) const ADD: &str = "_+_";
    pub(crate) const EQUALS: &str = "_==_";
    pub(crate) const INDEX: &str = "_[_]";
    pub(crate) const OPT_INDEX: &str = "_[?_]";
    pub(crate) const OPT_SELECT: &str = "_?._";
    pub(crate) const NOT_STRICTLY_FALSE: &str = "@not_strictly_false";
    pub(crate) const MAP_INSERT: &str = "cel.@mapInsert";
}
