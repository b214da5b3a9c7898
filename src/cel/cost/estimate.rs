//! What an expression can cost, given how large its data can be. Follows cel-go's estimator node by node. One table of functions and one walk, which only make sense side by side.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::{CHECK, LIST, MAP, REGEX_FACTOR, STRING_FACTOR, STRUCT, measure, scaled};
use crate::ast::{ACCUMULATOR, Comprehension, Expr, Kind};
use crate::check::Checked;
use crate::environment::Environment;
use crate::library::{Cost, Overload};
use crate::schema::DeclType;
use crate::types::{LibraryType, Type};
use crate::value::Value;

/// The least and the most of a cost or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most; `u64::MAX` when nothing limits it.
    pub max: u64,
}

const UNKNOWN: Range = Range { min: 0, max: u64::MAX };
const NOTHING: Range = Range::exactly(0);
const ONE: Range = Range::exactly(1);

impl Range {
    const fn exactly(amount: u64) -> Range {
        Range { min: amount, max: amount }
    }

    fn plus(self, other: Range) -> Range {
        Range { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn times(self, other: Range) -> Range {
        Range { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Range {
        Range { min: scaled(self.min, factor), max: scaled(self.max, factor) }
    }

    fn union(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The cost of the whole expression.
pub(crate) fn estimate(expr: &Expr, checked: &Checked, environment: &Environment) -> Range {
    let mut coster = Coster {
        checked,
        environment,
        places: HashMap::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
        locals: Vec::new(),
    };
    coster.cost(expr)
}

/// The sizes of what a container holds: keys (or indices), and values.
#[derive(Clone, Copy)]
struct Entry {
    list: bool,
    key: Range,
    value: Range,
}

fn union(a: Option<Entry>, b: Option<Entry>) -> Option<Entry> {
    let (a, b) = (a?, b?);
    Some(Entry { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) })
}

/// Where in the data a node stands.
#[derive(Clone)]
enum Place {
    /// Nowhere: it is computed.
    Nowhere,
    /// Where nothing is declared.
    Undeclared,
    At(Arc<DeclType>),
}

impl Place {
    fn of(declared: Option<Arc<DeclType>>) -> Place {
        declared.map_or(Place::Undeclared, Place::At)
    }
}

/// A variable of a comprehension.
struct Local {
    name: Arc<str>,
    place: Place,
    size: Option<Range>,
    entry: Option<Entry>,
}

struct Coster<'e> {
    checked: &'e Checked,
    environment: &'e Environment,
    /// The places of nodes, if they have any.
    places: HashMap<u32, Place>,
    sizes: HashMap<u32, Range>,
    entries: HashMap<u32, Entry>,
    locals: Vec<Local>,
}

/// The keys of maps: upstream knows no limit of theirs and takes them for nothing.
static KEY: LazyLock<Arc<DeclType>> = LazyLock::new(DeclType::string);

/// Sizes of an argument.
struct Node<'e> {
    expr: &'e Expr,
    ty: &'e Type,
    size: Option<Range>,
}

impl Node<'_> {
    fn size(&self) -> Range {
        self.size.unwrap_or(UNKNOWN)
    }

    fn int(&self) -> Option<u64> {
        match self.expr.as_literal() {
            Some(Value::Int(value)) => u64::try_from(*value).ok(),
            _ => None,
        }
    }
}

impl<'e> Coster<'e> {
    fn cost(&mut self, expr: &'e Expr) -> Range {
        match &expr.kind {
            Kind::Broken | Kind::Literal(_) => NOTHING,
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test_only } => self.select(expr, operand, field, *test_only),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => self.list(expr, elements),
            Kind::Map(entries) => {
                let mut sum = Range::exactly(MAP);
                let mut sizes = [Range { min: u64::MAX, max: 0 }; 2];
                for entry in entries {
                    for (part, size) in [&entry.key, &entry.value].into_iter().zip(&mut sizes) {
                        sum = sum.plus(self.cost(part));
                        *size = size.union(self.size(part).unwrap_or(UNKNOWN));
                    }
                }
                if entries.is_empty() {
                    sizes = [NOTHING; 2];
                }
                self.entries.insert(expr.id, Entry { list: false, key: sizes[0], value: sizes[1] });
                sum
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Range::exactly(STRUCT), |sum, field| sum.plus(self.cost(&field.value)))
            }
            Kind::Comprehension(fold) if expr.is_bind() => self.bind(expr, fold),
            Kind::Comprehension(fold) => self.comprehension(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| *local.name == *name)
    }

    fn place(&self, expr: &Expr) -> Place {
        let local = expr.as_ident().and_then(|name| self.local(name));
        local.map_or_else(|| self.places.get(&expr.id).cloned().unwrap_or(Place::Nowhere), |local| local.place.clone())
    }

    fn declaration(&self, expr: &Expr) -> Option<Arc<DeclType>> {
        match self.place(expr) {
            Place::At(decl) => Some(decl),
            _ => None,
        }
    }

    /// The place of a part of what stands at `whole`. Upstream takes a part of what is computed for the data as a whole, which CRDs
    /// rely on: `self.split('/')[0]` is not longer than `self`.
    fn part(&self, whole: &Place, part: impl FnOnce(&Arc<DeclType>) -> Option<Arc<DeclType>>) -> Place {
        match whole {
            Place::Nowhere => Place::of(self.environment.declaration("self").cloned()),
            Place::Undeclared => Place::Undeclared,
            Place::At(decl) => Place::of(part(decl)),
        }
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Range {
        let place = match self.local(name) {
            Some(local) => local.place.clone(),
            // Upstream looks no further than the path behind a name, and so takes `int` for as large as `self` is.
            None => {
                let declared = self.environment.declaration(name).or_else(|| self.environment.declaration("self"));
                Place::of(declared.cloned())
            }
        };
        self.places.insert(expr.id, place);
        ONE
    }

    fn select(&mut self, expr: &Expr, operand: &'e Expr, field: &str, test_only: bool) -> Range {
        let mut sum = self.cost(operand);
        // Kubernetes counts has() as nothing, as it was before it had a cost.
        if test_only {
            return sum;
        }
        if matches!(self.checked.ty(operand), Type::Map(_) | Type::Object(_) | Type::Library(_) | Type::Param(_)) {
            sum = sum.plus(ONE);
        }
        let place = self.part(&self.place(operand), |decl| match decl.element_arc() {
            // What a map holds under a name is known only where all of it is values of one size.
            Some(element) if decl.keys.is_some() => Some(element.clone()).filter(|_| element.is_dynamic()),
            _ => decl.field(field).map(|field| field.ty.clone()),
        });
        self.places.insert(expr.id, place);
        sum
    }

    fn list(&mut self, expr: &Expr, elements: &'e [(Expr, bool)]) -> Range {
        let mut sum = Range::exactly(LIST);
        let mut size = if elements.is_empty() { NOTHING } else { Range { min: u64::MAX, max: 0 } };
        for (element, _) in elements {
            sum = sum.plus(self.cost(element));
            size = size.union(self.size(element).unwrap_or(UNKNOWN));
        }
        self.entries.insert(expr.id, Entry { list: true, key: ONE, value: size });
        sum
    }

    fn bind(&mut self, expr: &Expr, fold: &'e Comprehension) -> Range {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_accu(fold);
        let sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        self.copy_sizes(expr, &fold.result);
        sum
    }

    fn push_accu(&mut self, fold: &Comprehension) {
        let local = Local {
            name: fold.accu.clone(),
            place: if &*fold.accu == ACCUMULATOR { Place::Nowhere } else { self.place(&fold.init) },
            size: self.size(&fold.init),
            entry: self.entry(&fold.init),
        };
        self.locals.push(local);
    }

    fn push_variable(&mut self, name: &Arc<str>, range: &Expr, which: Which) {
        let entry = self.entry(range);
        let list = entry.map_or(matches!(self.checked.ty(range), Type::List(_)), |entry| entry.list);
        let values = matches!(which, Which::Value) || list && matches!(which, Which::Single);
        let size = entry.map(|entry| if values { entry.value } else { entry.key });
        let place = self.part(&self.place(range), |decl| match values {
            true => decl.element_arc().cloned(),
            false => (!list).then(|| decl.keys.clone().unwrap_or_else(|| KEY.clone())),
        });
        self.locals.push(Local { name: name.clone(), place, size, entry: None });
    }

    fn comprehension(&mut self, expr: &Expr, fold: &'e Comprehension) -> Range {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_accu(fold);
        let outside = self.locals.len();
        match &fold.var2 {
            Some(var2) => {
                self.push_variable(&fold.var, &fold.range, Which::Key);
                self.push_variable(var2, &fold.range, Which::Value);
            }
            None => self.push_variable(&fold.var, &fold.range, Which::Single),
        }
        let once = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.truncate(outside);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        let count = self.size(&fold.range).unwrap_or(UNKNOWN);
        sum = sum.plus(count.times(once));
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        sum
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to.id, size);
        }
        if let Some(entry) = self.entry(from) {
            self.entries.insert(to.id, entry);
        }
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        let written = match &expr.kind {
            Kind::Literal(value) => Some(value.size()),
            Kind::List(elements) => Some(elements.len() as u64),
            Kind::Map(entries) => Some(entries.len() as u64),
            _ => None,
        };
        if let Some(size) = written {
            return Some(Range::exactly(size));
        }
        if let Some(decl) = self.declaration(expr) {
            let size = Range { min: 0, max: decl.max_elements.unwrap_or(0) };
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.checked.ty(expr).is_scalar() {
            return Some(ONE);
        }
        self.local(expr.as_ident()?)?.size
    }

    fn entry(&self, expr: &Expr) -> Option<Entry> {
        match self.entries.get(&expr.id) {
            Some(entry) => Some(*entry),
            None => self.local(expr.as_ident()?)?.entry,
        }
    }

    fn node(&mut self, expr: &'e Expr) -> Node<'e> {
        Node { expr, ty: self.checked.ty(expr), size: self.size(expr) }
    }

    fn call(&mut self, expr: &'e Expr, function: &str, target: Option<&'e Expr>, args: &'e [Expr]) -> Range {
        if function == "dyn" {
            let cost = ONE.plus(self.cost(&args[0]));
            self.copy_sizes(expr, &args[0]);
            return cost;
        }
        let costs: Vec<Range> = args.iter().map(|arg| self.cost(arg)).collect();
        let Some((function, overloads)) = self.checked.call(expr) else { return NOTHING };
        let target_cost = target.map_or(NOTHING, |target| self.cost(target));
        let target = target.map(|target| self.node(target));
        let nodes: Vec<Node<'_>> = args.iter().map(|arg| self.node(arg)).collect();
        let mut cost = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for overload in overloads {
            let (once, result) = self.once(expr, function.cost, overload, target.as_ref(), &nodes, &costs);
            cost = cost.union(once);
            if let Some(result) = result {
                size = Some(size.map_or(result, |size| size.union(result)));
            }
            if function.cost == Cost::Index && matches!(overload.args[0], Type::List(_) | Type::Map(_)) {
                size = self.entry(&args[0]).map(|entry| entry.value);
                let place = self.part(&self.place(&args[0]), |decl| decl.element_arc().cloned());
                self.places.insert(expr.id, place);
            }
            size = size.or_else(|| self.size(expr));
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        target_cost.plus(cost)
    }

    /// The cost of a call of one signature, with its arguments'; and the size of the result.
    fn once(
        &mut self,
        expr: &Expr,
        cost: Cost,
        overload: &Overload,
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
        costs: &[Range],
    ) -> (Range, Option<Range>) {
        let arguments = costs.iter().fold(NOTHING, |sum, cost| sum.plus(*cost));
        match cost {
            Cost::Logic => (Range { min: costs[0].min, max: costs[0].plus(costs[1]).max }, None),
            Cost::Conditional => {
                let size = args[1].size().union(args[2].size());
                if let Some(entry) = union(self.entry(args[1].expr), self.entry(args[2].expr)) {
                    self.entries.insert(expr.id, entry);
                }
                (costs[0].plus(costs[1].union(costs[2])), Some(size))
            }
            Cost::Add => {
                let (a, b) = (&args[0], &args[1]);
                let size = a.size().plus(b.size());
                let per_call = match overload.args[0] {
                    Type::String | Type::Bytes => size.scaled(STRING_FACTOR),
                    Type::List(_) => ONE,
                    _ => return (ONE.plus(arguments), None),
                };
                if let Some(entry) = union(self.entry(a.expr), self.entry(b.expr)) {
                    self.entries.insert(expr.id, entry);
                }
                (per_call.plus(arguments), Some(size))
            }
            cost => {
                let (once, size) = self.simple(cost, overload, target, args).unwrap_or((ONE, None));
                (once.plus(arguments), size)
            }
        }
    }

    /// Calls whose cost depends on nothing but the sizes of their arguments; `None` for a cost of one.
    fn simple(
        &mut self,
        cost: Cost,
        overload: &Overload,
        target: Option<&Node<'e>>,
        args: &[Node<'e>],
    ) -> Option<(Range, Option<Range>)> {
        let first = args.first();
        // What is walked: the target, or the first argument of a function.
        let subject = target.or(first);
        let plain = |cost: Range| Some((cost, None));
        match cost {
            Cost::Check => plain(Range::exactly(CHECK)),
            Cost::Selector => {
                let size = first?.size();
                plain(Range { min: measure::selector(size.min), max: measure::selector(size.max) })
            }
            Cost::Elements => plain(self.elements(target?)),
            Cost::Traverse => {
                let size = subject?.size();
                Some((size.scaled(STRING_FACTOR), Some(size)))
            }
            Cost::Parse => plain(first?.size().scaled(STRING_FACTOR)),
            Cost::Ip if overload.member => None,
            Cost::Ip => plain(first?.size().scaled(STRING_FACTOR)),
            Cost::IsCanonical => plain(first?.size().scaled(2.0 * STRING_FACTOR)),
            Cost::Replace => {
                let size = target?.size();
                Some((size.scaled(2.0 * STRING_FACTOR), Some(replaced(size, first?.size(), args.get(1)?.size()))))
            }
            Cost::Split => {
                let size = target?.size();
                let most = args.get(1).and_then(Node::int).unwrap_or(size.max);
                Some((size.scaled(2.0 * STRING_FACTOR), Some(Range { min: 0, max: most })))
            }
            Cost::Join => {
                let size = self.joined(target?, first);
                Some((size.scaled(STRING_FACTOR), Some(size)))
            }
            Cost::Find => {
                let size = target?.size();
                Some((pattern(size, first?.size()), Some(Range { min: 0, max: size.max })))
            }
            Cost::Matches => plain(pattern(target?.size(), first?.size())),
            Cost::Contains => plain(target?.size().scaled(STRING_FACTOR).times(first?.size().scaled(STRING_FACTOR))),
            Cost::Affix => plain(first?.size().scaled(STRING_FACTOR)),
            Cost::Printf => plain(target?.size().scaled(STRING_FACTOR)),
            Cost::Quote => {
                let size = first?.size();
                let quoted =
                    Range { min: size.min.saturating_add(2), max: size.max.saturating_mul(2).saturating_add(2) };
                Some((size.scaled(STRING_FACTOR), Some(quoted)))
            }
            Cost::ToBytes if overload.args[0] == Type::String => {
                let size = first?.size();
                let bytes = Range { min: size.min, max: size.max.saturating_mul(4) };
                Some((size.scaled(STRING_FACTOR), Some(bytes)))
            }
            Cost::ToString if overload.args[0] == Type::Bytes => {
                let size = first?.size();
                Some((size.scaled(STRING_FACTOR), Some(Range { min: size.min / 4, max: size.max })))
            }
            Cost::ContainsIp | Cost::ContainsCidr => {
                let address = Range { min: 4, max: 16 };
                let mut sum = address.plus(address).scaled(STRING_FACTOR);
                if cost == Cost::ContainsCidr {
                    sum = sum.plus(address.scaled(STRING_FACTOR)).plus(ONE);
                }
                if overload.args[1] == Type::String {
                    sum = sum.plus(first?.size().scaled(STRING_FACTOR));
                }
                plain(sum)
            }
            Cost::Validate => plain(first?.size().scaled(STRING_FACTOR).scaled(128.0 * REGEX_FACTOR)),
            Cost::Equals => plain(equality(&args[0], &args[1])),
            Cost::Compare if matches!(overload.args[0], Type::String | Type::Bytes) => {
                plain(smaller(args[0].size(), args[1].size()))
            }
            Cost::In if matches!(overload.args[1], Type::List(_)) => plain(args.get(1)?.size()),
            Cost::Sets(factor) => plain(first?.size().times(args.get(1)?.size()).scaled(f64::from(factor)).plus(ONE)),
            Cost::Slice => {
                let (start, end) = (first?.int().unwrap_or(0), args.get(1)?.int());
                let size = end.unwrap_or(target?.size().max).saturating_sub(start);
                allocated(1.0, Range::exactly(size))
            }
            Cost::Range => allocated(1.0, Range::exactly(first?.int().unwrap_or(u64::MAX))),
            Cost::Reverse => allocated(1.0, target?.size()),
            Cost::Flatten => {
                let depth = first.map_or(1, |depth| depth.int().unwrap_or(u64::MAX));
                allocated(depth as f64, target?.size())
            }
            Cost::Distinct => {
                let size = target?.size();
                allocated(2.0, size.times(size))
            }
            Cost::Sort => {
                let keys = first.or(target)?.size();
                let texts = match overload.args.last() {
                    Some(Type::List(element)) => matches!(**element, Type::String | Type::Bytes),
                    _ => false,
                };
                allocated(if texts { 2.0 + STRING_FACTOR } else { 2.0 }, keys.times(keys))
            }
            _ => None,
        }
    }

    /// Walking a list: one for each element, and its length when it is text. Or walking text.
    fn elements(&mut self, target: &Node<'e>) -> Range {
        let Type::List(element) = target.ty else { return target.size().scaled(STRING_FACTOR) };
        let mut once = ONE;
        if matches!(**element, Type::String | Type::Bytes) {
            once = once.plus(self.element_size(target).scaled(STRING_FACTOR));
        }
        target.size().times(once)
    }

    fn element_size(&self, list: &Node<'_>) -> Range {
        let element = self.declaration(list.expr).and_then(|decl| decl.element_arc().cloned());
        element.map_or(UNKNOWN, |element| Range { min: 0, max: element.max_elements.unwrap_or(0) })
    }

    fn joined(&mut self, list: &Node<'_>, separator: Option<&Node<'_>>) -> Range {
        let count = list.size();
        let mut size = match list.ty {
            Type::List(_) => count.times(self.element_size(list)),
            _ => NOTHING,
        };
        if let Some(separator) = separator {
            let gaps = Range { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
            size = size.plus(separator.size().times(gaps));
        }
        size
    }
}

/// What a variable of a comprehension runs over.
enum Which {
    Key,
    Value,
    /// Elements of lists, keys of maps.
    Single,
}

fn allocated(factor: f64, size: Range) -> Option<(Range, Option<Range>)> {
    Some((size.scaled(factor).plus(ONE).plus(Range::exactly(LIST)), Some(size)))
}

fn pattern(text: Range, regex: Range) -> Range {
    text.plus(ONE).scaled(STRING_FACTOR).times(regex.scaled(REGEX_FACTOR))
}

fn smaller(a: Range, b: Range) -> Range {
    let max = a.max.min(b.max);
    Range { min: u64::from(max > 0), max }.scaled(STRING_FACTOR)
}

fn equality(a: &Node<'_>, b: &Node<'_>) -> Range {
    match (a.ty, b.ty) {
        (Type::Library(one), Type::Library(other)) if one == other => match one {
            LibraryType::Format => Range { min: 1, max: 64 }.scaled(STRING_FACTOR),
            LibraryType::Url => Range { min: 1, max: b.size.map_or(1, |size| size.max) }.scaled(STRING_FACTOR),
            _ => ONE,
        },
        _ => smaller(a.size(), b.size()),
    }
}

/// The size of a text in which something is replaced.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let around = |length: u64| length.saturating_add(1);
    let (mut count, mut kept) = (NOTHING, NOTHING);
    if old.min == 0 {
        (count.max, kept.max) = (around(text.max), text.max);
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = text.max.div_ceil(old.min);
    }
    if old.max == 0 {
        (count.min, kept.min) = (around(text.min), text.min);
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = text.min.div_ceil(old.max);
    }
    count.times(new).plus(kept)
}
