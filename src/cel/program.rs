//! Compiled expressions, and their evaluation: one walk over the nodes of a program, in one file.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::authorizer::{Authorize, Nobody};
use crate::cost::{self, Range};
use crate::error::{Error, ErrorKind};
use crate::library::{Context, Cost, Function, insert_into, too_costly};
use crate::plan::{Fold, Node};
use crate::types::Type;
use crate::value::{Key, List, Map, Struct, Value, print};
use crate::work::Work;

/// A compiled expression. Can be shared between threads, and evaluated any number of times.
#[derive(Debug)]
pub struct Program {
    node: Node,
    returns: Type,
    cost: Range,
}

/// What may be spent. Kubernetes gives each evaluation a limit, and all that belong together one more.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    per_call: u64,
    remaining: u64,
    /// What may still be done beside what costs (see [`Work`]).
    work: u64,
    /// How deep the evaluation is that asks for a lazy variable.
    depth: u16,
}

/// How much work a unit of cost stands for. Expressions that people write take less than one.
const WORK: u64 = 10;

impl Budget {
    /// What one evaluation may cost; Kubernetes' limit.
    pub const PER_CALL: u64 = 1_000_000;
    /// What all evaluations for one request may cost; Kubernetes' limit.
    pub const PER_REQUEST: u64 = 10_000_000;

    /// A budget for all evaluations that share it.
    pub fn new(total: u64) -> Budget {
        Budget { per_call: Budget::PER_CALL, remaining: total, work: total.saturating_mul(WORK), depth: 0 }
    }

    /// What is left for all evaluations.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Takes from what is left. An error when it is not there; then nothing is left.
    pub fn spend(&mut self, cost: u64) -> Result<(), Error> {
        match self.remaining.checked_sub(cost) {
            Some(rest) => {
                self.remaining = rest;
                Ok(())
            }
            None => {
                self.remaining = 0;
                let message =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                Err(Error { kind: ErrorKind::Budget, message: message.to_owned() })
            }
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(Budget::PER_REQUEST)
    }
}

/// Where an evaluation finds its data. `'a` is how long the data lives, so that values can borrow from it.
pub trait Activation<'a> {
    /// A variable by its (qualified) name; `None` when it has no value, which is an error to use.
    fn variable(&self, name: &str) -> Option<Value<'a>>;

    /// A field of a lazy variable (see [`crate::Environment::with_lazy`]). What it costs is taken from the budget.
    fn field(&self, variable: &str, field: &str, budget: &mut Budget) -> Option<Result<Value<'a>, Error>> {
        let _ = (variable, field, budget);
        None
    }

    /// Who answers `authorizer`.
    fn authorizer(&self) -> &dyn Authorize {
        &Nobody
    }
}

/// Variables in a list.
#[derive(Clone, Debug, Default)]
pub struct Variables<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Variables<'a> {
    /// No variables.
    pub fn new() -> Variables<'a> {
        Variables::default()
    }

    /// With one variable more.
    pub fn with(mut self, name: &'static str, value: impl Into<Value<'a>>) -> Variables<'a> {
        self.0.push((name, value.into()));
        self
    }
}

impl<'a> Activation<'a> for Variables<'a> {
    fn variable(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().find(|(have, _)| *have == name).map(|(_, value)| value.clone())
    }
}

impl Program {
    pub(crate) fn new(node: Node, returns: Type, cost: Range) -> Program {
        Program { node, returns, cost }
    }

    /// The type of the result, as far as the checker knows it.
    pub fn returns(&self) -> &Type {
        &self.returns
    }

    /// What an evaluation can cost, given the sizes the declarations allow.
    pub fn cost(&self) -> Range {
        self.cost
    }

    /// The value of the expression. What it costs is taken from the budget, also when it fails.
    pub fn evaluate<'a>(&self, activation: &dyn Activation<'a>, budget: &mut Budget) -> Result<Value<'a>, Error> {
        let limit = budget.per_call;
        let given = budget.work.min(limit.saturating_mul(WORK));
        let depth = budget.depth;
        let mut frame =
            Frame { activation, budget, depth, spent: 0, limit, work: Work::new(given), locals: SmallVec::new() };
        let result = frame.value(&self.node);
        let (spent, left) = (frame.spent, frame.work.left());
        budget.work = budget.work.saturating_sub(given - left);
        // The budget is the more serious of two failures.
        budget.spend(spent)?;
        result
    }

    /// The value, and what it cost.
    #[cfg(test)]
    pub(crate) fn measured<'a>(&self, activation: &dyn Activation<'a>) -> (Result<Value<'a>, Error>, u64) {
        let mut budget = Budget::new(u64::MAX);
        let result = self.evaluate(activation, &mut budget);
        (result, u64::MAX - budget.remaining)
    }
}

/// One evaluation.
struct Frame<'f, 'a> {
    activation: &'f dyn Activation<'a>,
    budget: &'f mut Budget,
    depth: u16,
    spent: u64,
    limit: u64,
    work: Work,
    /// The variables of comprehensions, inner ones last.
    locals: SmallVec<[Value<'a>; 4]>,
}

type Evaluated<'a> = Result<Value<'a>, Error>;

/// How deep evaluations may nest. One expression is not as deep; lazy variables that use lazy variables can be.
const NESTED: u16 = 400;
/// What one such variable counts for: an evaluation of its own takes more stack than a level of an expression.
const VARIABLE: u16 = 3;

/// How deep values may nest. Comparing and dropping them takes stack for each level, and variables can add to one another without end.
const DEEPEST: u16 = 200;

/// A value that was made, unless it is too deep.
fn bounded<'a>(value: Value<'a>) -> Evaluated<'a> {
    if value.depth() > DEEPEST { Err(too_costly()) } else { Ok(value) }
}

impl<'a> Frame<'_, 'a> {
    fn spend(&mut self, cost: u64) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.limit { Err(too_costly()) } else { Ok(()) }
    }

    fn value(&mut self, node: &Node) -> Evaluated<'a> {
        if self.depth == NESTED {
            return Err(too_costly());
        }
        self.depth += 1;
        let value = self.evaluated(node);
        self.depth -= 1;
        value
    }

    /// Inlined, because every level of an expression takes stack for it.
    #[inline(always)]
    fn evaluated(&mut self, node: &Node) -> Evaluated<'a> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Local(place) => {
                self.spend(1)?;
                Ok(self.locals[*place].clone())
            }
            Node::Variable(name) => self.variable(name),
            Node::Lazy(variable, field) => self.lazy(variable, field),
            Node::Select(operand, field) => self.select(operand, field),
            Node::Has(operand, field) => self.has(operand, field),
            Node::OptSelect(operand, field) => {
                let operand = self.value(operand)?;
                self.spend(1)?;
                Ok(operand.field(field)?.map_or(Value::Optional(None), Value::some))
            }
            Node::And(sides) => self.logic(sides, false),
            Node::Or(sides) => self.logic(sides, true),
            Node::Conditional(parts) => self.conditional(parts),
            Node::NotStrictlyFalse(operand) => self.not_strictly_false(operand),
            Node::OptOr(sides, function) => self.opt_or(sides, function),
            Node::Call(function, args) => self.call(function, args),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Struct(name, fields) => self.object(name, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Bind(parts) => {
                self.spend(cost::LIST)?;
                let value = self.value(&parts[0])?;
                self.locals.push(value);
                let result = self.value(&parts[1]);
                self.locals.pop();
                result
            }
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            authorizer: self.activation.authorizer(),
            remaining: self.limit.saturating_sub(self.spent),
            work: &self.work,
        }
    }

    fn variable(&mut self, name: &str) -> Evaluated<'a> {
        self.spend(1)?;
        match self.activation.variable(name) {
            Some(value) => Ok(value),
            // A question that nothing is asked yet.
            None if name == "authorizer" => Ok(Value::Check(Arc::default())),
            None => Err(Error::new(format!("no such attribute(s): {name}"))),
        }
    }

    fn lazy(&mut self, variable: &str, field: &str) -> Evaluated<'a> {
        self.spend(2)?;
        let depth = self.depth.saturating_add(VARIABLE).min(NESTED);
        let before = std::mem::replace(&mut self.budget.depth, depth);
        let value = self.activation.field(variable, field, self.budget);
        self.budget.depth = before;
        match value {
            Some(value) => value,
            None => Err(Error::no_such_key(field)),
        }
    }

    fn select(&mut self, operand: &Node, field: &str) -> Evaluated<'a> {
        let operand = self.value(operand)?;
        self.spend(1)?;
        match (operand.field(field)?, &operand) {
            (Some(value), Value::Optional(_)) => Ok(Value::some(value)),
            (Some(value), _) => Ok(value),
            (None, Value::Optional(_)) => Ok(Value::Optional(None)),
            // Fields of objects made here are there, whether they were set or not.
            (None, Value::Struct(_)) => Ok(Value::Null),
            (None, _) => Err(Error::no_such_key(field)),
        }
    }

    fn has(&mut self, operand: &Node, field: &str) -> Evaluated<'a> {
        let operand = self.value(operand)?;
        Ok(Value::Bool(operand.field(field)?.is_some()))
    }

    /// `&&` and `||`: either side can decide, and then errors of the other do not matter.
    fn logic(&mut self, sides: &[Node; 2], decides: bool) -> Evaluated<'a> {
        let left = match self.value(&sides[0]) {
            Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(decides)),
            Err(error) if !error.is_absorbable() => return Err(error),
            other => other,
        };
        match (left, self.value(&sides[1])) {
            (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
            (_, Err(error)) if !error.is_absorbable() => Err(error),
            (Ok(Value::Bool(_)), Ok(Value::Bool(value))) => Ok(Value::Bool(value)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Err(Error::no_overload()),
        }
    }

    fn conditional(&mut self, parts: &[Node; 3]) -> Evaluated<'a> {
        match self.value(&parts[0])? {
            Value::Bool(true) => self.value(&parts[1]),
            Value::Bool(false) => self.value(&parts[2]),
            _ => Err(Error::no_overload()),
        }
    }

    /// Goes on after errors, which later elements may outweigh.
    fn not_strictly_false(&mut self, operand: &Node) -> Evaluated<'a> {
        let value = self.value(operand);
        self.spend(1)?;
        match value {
            Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
            Err(error) if !error.is_absorbable() => Err(error),
            _ => Ok(Value::Bool(true)),
        }
    }

    fn opt_or(&mut self, sides: &[Node; 2], function: &Function) -> Evaluated<'a> {
        let left = self.value(&sides[0])?;
        match left {
            Value::Optional(None) => self.value(&sides[1]),
            Value::Optional(Some(value)) if function.name == "orValue" => Ok((*value).clone()),
            Value::Optional(_) => Ok(left),
            _ => Err(Error::no_overload()),
        }
    }

    fn args(&mut self, nodes: &[Node]) -> Result<SmallVec<[Value<'a>; 3]>, Error> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn call(&mut self, function: &Function, nodes: &[Node]) -> Evaluated<'a> {
        let args = self.args(nodes)?;
        // Most functions of texts look through all of it.
        args.iter().filter_map(Value::as_str).try_for_each(|text| self.work.take_text(text))?;
        let result = (function.eval)(&self.context(), &args);
        let result = self.charge(function.cost, &args, result)?;
        if let Value::List(list) = &result
            && !args.is_empty()
        {
            self.work.take(list.len() / 4)?;
        }
        bounded(result)
    }

    /// Takes the cost of a call, also when it failed.
    fn charge(&mut self, cost: Cost, args: &[Value<'a>], result: Evaluated<'a>) -> Evaluated<'a> {
        self.spend(cost::call(cost, args, result.as_ref().ok()))?;
        result
    }

    fn list(&mut self, elements: &[(Node, bool)]) -> Evaluated<'a> {
        let mut list = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            match (self.value(element)?, optional) {
                (value, false) => list.push(value),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => list.push((*value).clone()),
                (other, true) => {
                    let text = print::text(&other);
                    let why = format!("cannot initialize optional list element from non-optional value {text}");
                    return Err(Error::new(why));
                }
            }
        }
        self.spend(cost::LIST)?;
        bounded(Value::from(list))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Evaluated<'a> {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.value(key)?;
            let name = Key::of(&key).ok_or_else(|| Error::new(format!("unsupported key type: {}", key.type_name())))?;
            match (self.value(value)?, optional) {
                (value, false) => drop(map.insert(name, value)),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => drop(map.insert(name, (*value).clone())),
                (other, true) => return Err(not_optional(&print::text(&key), &other)),
            }
        }
        self.spend(cost::MAP)?;
        bounded(Value::Map(Map::of(map)))
    }

    fn object(&mut self, name: &Arc<str>, nodes: &[(Arc<str>, Node, bool)]) -> Evaluated<'a> {
        let mut fields = BTreeMap::new();
        for (field, value, optional) in nodes {
            match (self.value(value)?, optional) {
                (value, false) => drop(fields.insert(field.clone(), value)),
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => drop(fields.insert(field.clone(), (*value).clone())),
                (other, true) => return Err(not_optional(field, &other)),
            }
        }
        self.spend(cost::STRUCT)?;
        bounded(Value::Struct(Arc::new(Struct::new(name.clone(), fields))))
    }

    fn fold(&mut self, fold: &Fold) -> Evaluated<'a> {
        let range = self.value(&fold.range)?;
        let init = self.value(&fold.init)?;
        let accu = self.locals.len();
        self.locals.push(init);
        let result = match &range {
            Value::List(list) if fold.two => self.fold_over(fold, accu, indexed(list)),
            Value::List(list) => self.fold_over(fold, accu, list.iter().map(|element| (element, Value::Null))),
            Value::Map(map) => self.fold_over(fold, accu, map.iter()),
            _ => Err(Error::no_overload()),
        };
        self.locals.truncate(accu + 1);
        let result = match result {
            Ok(()) => self.value(&fold.result),
            Err(error) => Err(error),
        };
        self.locals.truncate(accu);
        result
    }

    /// Runs the loop. An error of a step is kept, because `all` and `exists` may still be decided by another element; it is
    /// the result when none decides.
    fn fold_over(
        &mut self,
        fold: &Fold,
        accu: usize,
        entries: impl Iterator<Item = (Value<'a>, Value<'a>)>,
    ) -> Result<(), Error> {
        let mut failed = None;
        for (first, second) in entries {
            self.locals.truncate(accu + 1);
            self.locals.push(first);
            if fold.two {
                self.locals.push(second);
            }
            // With an error for its accumulator a condition is not strictly false.
            if failed.is_none() && !self.value(&fold.condition)?.is_true() {
                break;
            }
            match self.step(fold, accu, failed.is_some()) {
                Ok(value) => {
                    failed = None;
                    self.locals[accu] = value;
                }
                Err(error) if error.is_absorbable() && quantifies(&fold.step) => {
                    failed = Some(failed.unwrap_or(error));
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// One step. When the accumulator is an error, only a deciding element makes it a value again.
    fn step(&mut self, fold: &Fold, accu: usize, failed: bool) -> Evaluated<'a> {
        if !failed {
            let added = match self.append(&fold.step, accu) {
                Some(appended) => Some(appended),
                None => self.insert(&fold.step, accu),
            };
            return added.unwrap_or_else(|| self.value(&fold.step));
        }
        let (sides, decides) = match &fold.step {
            Node::And(sides) => (sides, false),
            Node::Or(sides) => (sides, true),
            _ => return Err(Error::no_overload()),
        };
        match self.value(&sides[1])? {
            Value::Bool(value) if value == decides => Ok(Value::Bool(value)),
            _ => Err(Error::no_overload()),
        }
    }

    /// `accu + [x]` and `filter ? accu + [x] : accu` without copying what is there. The costs are those of the expression.
    fn append(&mut self, step: &Node, accu: usize) -> Option<Evaluated<'a>> {
        let (filter, append) = match step {
            Node::Conditional(parts) if is_local(&parts[2], accu) => (Some(&parts[0]), &parts[1]),
            other => (None, other),
        };
        let Node::Call(function, args) = append else { return None };
        let ([first, Node::List(elements)], "_+_") = (args.as_slice(), function.name) else { return None };
        let [(element, false)] = elements.as_slice() else { return None };
        if !is_local(first, accu) || !matches!(self.locals[accu], Value::List(List::Owned(..))) {
            return None;
        }
        Some(self.appended(filter, element, accu))
    }

    fn appended(&mut self, filter: Option<&Node>, element: &Node, accu: usize) -> Evaluated<'a> {
        if let Some(filter) = filter
            && !self.passes(filter)?
        {
            return Ok(std::mem::replace(&mut self.locals[accu], Value::Null));
        }
        let element = self.value(element)?;
        // The accumulator, the list of one, the sum.
        self.spend(1 + cost::LIST + 1)?;
        match std::mem::replace(&mut self.locals[accu], Value::Null) {
            Value::List(List::Owned(mut elements, depth)) => {
                let depth = depth.max(element.depth().saturating_add(1));
                match Arc::get_mut(&mut elements) {
                    Some(list) => list.push(element),
                    None => {
                        self.work.take(elements.len())?;
                        let list = elements.iter().cloned().chain([element]).collect();
                        elements = Arc::new(list);
                    }
                }
                bounded(Value::List(List::Owned(elements, depth)))
            }
            _ => Err(Error::no_overload()),
        }
    }

    /// Whether the filter of a step lets it happen. One that does not leaves the accumulator as it is, which costs its reading.
    fn passes(&mut self, filter: &Node) -> Result<bool, Error> {
        match self.value(filter)? {
            Value::Bool(true) => Ok(true),
            Value::Bool(false) => self.spend(1).map(|()| false),
            _ => Err(Error::no_overload()),
        }
    }

    /// As [`Self::append`], for `cel.@mapInsert(accu, …)`, which a transformation to a map does for each entry.
    fn insert(&mut self, step: &Node, accu: usize) -> Option<Evaluated<'a>> {
        let (filter, insert) = match step {
            Node::Conditional(parts) if is_local(&parts[2], accu) => (Some(&parts[0]), &parts[1]),
            other => (None, other),
        };
        let Node::Call(function, args) = insert else { return None };
        let ([map, added @ ..], "cel.@mapInsert") = (args.as_slice(), function.name) else { return None };
        if !is_local(map, accu) || !matches!(self.locals[accu], Value::Map(Map::Owned(..))) {
            return None;
        }
        Some(self.inserted(filter, function, added, accu))
    }

    fn inserted(&mut self, filter: Option<&Node>, function: &Function, added: &[Node], accu: usize) -> Evaluated<'a> {
        if let Some(filter) = filter
            && !self.passes(filter)?
        {
            return Ok(std::mem::replace(&mut self.locals[accu], Value::Null));
        }
        // The accumulator.
        self.spend(1)?;
        let added = self.args(added)?;
        self.spend(cost::call(function.cost, &added, None))?;
        match std::mem::replace(&mut self.locals[accu], Value::Null) {
            Value::Map(Map::Owned(mut entries, depth)) => {
                if Arc::get_mut(&mut entries).is_none() {
                    self.work.take(entries.len())?;
                }
                let within = added.iter().map(Value::depth).max().unwrap_or_default();
                insert_into(Arc::make_mut(&mut entries), &added)?;
                bounded(Value::Map(Map::Owned(entries, depth.max(within.saturating_add(1)))))
            }
            _ => Err(Error::no_overload()),
        }
    }
}

/// Elements with their indices.
fn indexed<'a>(list: &List<'a>) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
    list.iter().enumerate().map(|(at, value)| (Value::Int(at as i64), value))
}

fn is_local(node: &Node, place: usize) -> bool {
    matches!(node, Node::Local(at) if *at == place)
}

/// Whether the step is one of `all` or `exists`, which absorb errors.
fn quantifies(step: &Node) -> bool {
    matches!(step, Node::And(_) | Node::Or(_))
}

fn not_optional(name: &str, value: &Value<'_>) -> Error {
    let value = print::text(value);
    Error::new(format!("cannot initialize optional entry '{name}' from non-optional value {value}"))
}
