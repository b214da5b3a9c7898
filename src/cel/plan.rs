//! A checked tree as a program: names are places, functions are pointers, constants are folded.

use std::sync::Arc;

use crate::ast::{Comprehension, Expr, Kind, op};
use crate::check::Checked;
use crate::environment::Environment;
use crate::library::Function;
use crate::value::{Text, Value};

/// One step of a program.
#[derive(Debug)]
pub(crate) enum Node {
    Const(Value<'static>),
    /// A variable of the environment.
    Variable(Arc<str>),
    /// A field of a variable that is computed when it is asked for (`variables.x`).
    Lazy(Arc<str>, Arc<str>),
    /// A variable of a comprehension, by how many stand below it.
    Local(usize),
    Select(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    OptSelect(Box<Node>, Arc<str>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    NotStrictlyFalse(Box<Node>),
    /// `or` and `orValue`.
    OptOr(Box<[Node; 2]>, &'static Function),
    Call(&'static Function, Vec<Node>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<Fold>),
    Bind(Box<[Node; 2]>),
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub range: Node,
    pub two: bool,
    pub init: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
}

pub(crate) fn plan(expr: &Expr, checked: &Checked, environment: &Environment) -> Node {
    Planner { checked, environment, locals: Vec::new() }.node(expr)
}

struct Planner<'e> {
    checked: &'e Checked,
    environment: &'e Environment,
    locals: Vec<Arc<str>>,
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            Kind::Broken => Node::Const(Value::Null),
            Kind::Literal(value) => Node::Const(value.clone()),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test_only } => self.select(operand, field, *test_only),
            Kind::Call { target, args, .. } => self.call(expr, target.as_deref(), args),
            Kind::List(elements) => {
                Node::List(elements.iter().map(|(element, optional)| (self.node(element), *optional)).collect())
            }
            Kind::Map(entries) => {
                let entry = |e: &crate::ast::Entry| (self.node(&e.key), self.node(&e.value), e.optional);
                Node::Map(entries.iter().map(entry).collect())
            }
            Kind::Struct { fields, .. } => {
                let name = self.checked.ty(expr).name().into();
                let field = |f: &crate::ast::Field| (f.name.clone(), self.node(&f.value), f.optional);
                Node::Struct(name, fields.iter().map(field).collect())
            }
            Kind::Comprehension(fold) if expr.is_bind() => {
                let init = self.node(&fold.init);
                self.locals.push(fold.accu.clone());
                let result = self.node(&fold.result);
                self.locals.pop();
                Node::Bind(Box::new([init, result]))
            }
            Kind::Comprehension(fold) => self.fold(fold),
        }
    }

    fn ident(&self, expr: &Expr, name: &Arc<str>) -> Node {
        if let Some(place) = self.locals.iter().rposition(|local| local == name) {
            return Node::Local(place);
        }
        if self.environment.variable(name).is_none()
            && let Some(name) = self.checked.type_names.get(&expr.id)
        {
            return Node::Const(Value::Type(Text::Shared(name.clone())));
        }
        Node::Variable(name.clone())
    }

    fn select(&mut self, operand: &Expr, field: &Arc<str>, test_only: bool) -> Node {
        if let Kind::Ident(variable) = &operand.kind
            && self.environment.is_lazy(variable)
            && !self.locals.contains(variable)
        {
            return if test_only {
                // Declared fields of a lazy variable are always there.
                Node::Const(Value::Bool(true))
            } else {
                Node::Lazy(variable.clone(), field.clone())
            };
        }
        let operand = Box::new(self.node(operand));
        if test_only { Node::Has(operand, field.clone()) } else { Node::Select(operand, field.clone()) }
    }

    fn call(&mut self, expr: &Expr, target: Option<&Expr>, args: &[Expr]) -> Node {
        let Some((function, _)) = self.checked.call(expr) else { return Node::Const(Value::Null) };
        if function.name == op::OPT_SELECT {
            let field = args.get(1).and_then(Expr::as_literal).and_then(Value::as_str).unwrap_or_default();
            return Node::OptSelect(Box::new(self.node(&args[0])), field.into());
        }
        let mut nodes: Vec<Node> = target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        nodes = match (function.name, <[Node; 2]>::try_from(nodes)) {
            (op::AND, Ok(nodes)) => return Node::And(Box::new(nodes)),
            (op::OR, Ok(nodes)) => return Node::Or(Box::new(nodes)),
            ("or" | "orValue", Ok(nodes)) => return Node::OptOr(Box::new(nodes), function),
            (_, Ok(nodes)) => nodes.into(),
            (_, Err(nodes)) => nodes,
        };
        nodes = match (function.name, <[Node; 3]>::try_from(nodes)) {
            (op::CONDITIONAL, Ok(nodes)) => return Node::Conditional(Box::new(nodes)),
            (_, Ok(nodes)) => nodes.into(),
            (_, Err(nodes)) => nodes,
        };
        if function.name == op::NOT_STRICTLY_FALSE
            && let Some(only) = nodes.pop()
        {
            return Node::NotStrictlyFalse(Box::new(only));
        }
        Node::Call(function, nodes)
    }

    fn fold(&mut self, fold: &Comprehension) -> Node {
        let range = self.node(&fold.range);
        let init = self.node(&fold.init);
        let outside = self.locals.len();
        self.locals.push(fold.accu.clone());
        self.locals.push(fold.var.clone());
        self.locals.extend(fold.var2.clone());
        let condition = self.node(&fold.condition);
        let step = self.node(&fold.step);
        self.locals.truncate(outside + 1);
        let result = self.node(&fold.result);
        self.locals.truncate(outside);
        Node::Fold(Box::new(Fold { range, two: fold.var2.is_some(), init, condition, step, result }))
    }
}
