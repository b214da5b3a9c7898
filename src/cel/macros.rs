//! The macros: calls that become other expressions before anything is checked. The expansions are cel-go's, node by node,
//! because costs are counted on them.

use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Comprehension, Expr, Kind, op};
use crate::parser::{Name, Parser};
use crate::value::Value;

/// What became of a call.
pub(crate) enum Expansion {
    /// It was a macro (or a mistaken use of one, which was reported).
    Expanded(Expr),
    /// It is a call: target and arguments are given back.
    None(Option<Expr>, Vec<Expr>),
}

/// A mistake in the use of a macro: which argument, and what is wrong.
type Mistake = (u32, String);

/// Expands `function` if it is a macro for that many arguments.
pub(crate) fn expand(
    parser: &mut Parser<'_>,
    id: u32,
    function: &str,
    target: Option<Expr>,
    mut args: Vec<Expr>,
) -> Expansion {
    let offset = parser.offset(id);
    let mut build = Build { parser, offset };
    let expanded = match (function, target, args.len()) {
        ("has", None, 1) => build.has(args.remove(0)),
        ("all" | "exists" | "exists_one" | "existsOne", Some(target), count @ (2 | 3)) => {
            build.quantifier(function, target, args, count == 3)
        }
        ("map", Some(target), 2 | 3) => build.map(target, args),
        ("filter", Some(target), 2) => build.filter(target, args),
        ("transformList", Some(target), 3 | 4) => build.transform(target, args, Kind::List(Vec::new()), Build::append),
        ("transformMap", Some(target), 3 | 4) => build.transform(target, args, Kind::Map(Vec::new()), Build::insert),
        ("transformMapEntry", Some(target), 3 | 4) => {
            build.transform(target, args, Kind::Map(Vec::new()), Build::insert_entry)
        }
        ("bind", Some(target), 3) if target.as_ident().is_some_and(|name| &**name == "cel") => build.bind(args),
        ("optMap" | "optFlatMap", Some(target), 2) => build.opt_map(target, args, function),
        ("sortBy", Some(target), 2) => build.sort_by(target, args),
        (_, target, _) => return Expansion::None(target, args),
    };
    Expansion::Expanded(match expanded {
        Ok(expr) => expr,
        Err((id, message)) => {
            let offset = parser.offset(id);
            parser.report(offset, message)
        }
    })
}

/// Makes nodes that stand where the macro stands.
struct Build<'p, 'a> {
    parser: &'p mut Parser<'a>,
    offset: u32,
}

impl Build<'_, '_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.parser.node(self.offset, kind)
    }

    fn call<const N: usize>(&mut self, function: &str, args: [Expr; N]) -> Expr {
        self.parser.call(self.offset, function, args.into())
    }

    fn member(&mut self, function: &str, target: Expr) -> Expr {
        self.node(Kind::Call { function: function.into(), target: Some(Box::new(target)), args: Vec::new() })
    }

    fn literal(&mut self, value: Value<'static>) -> Expr {
        self.node(Kind::Literal(value))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accu(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        self.node(Kind::List(elements.into_iter().map(|element| (element, false)).collect()))
    }

    fn fold(&mut self, range: Expr, (var, var2): (Name, Option<Name>), parts: [Expr; 4]) -> Expr {
        let [init, condition, step, result] = parts;
        let accu = Arc::from(ACCUMULATOR);
        let fold = Comprehension { range, var, var2, accu, init, condition, step, result };
        self.node(Kind::Comprehension(Box::new(fold)))
    }

    fn has(&mut self, arg: Expr) -> Result<Expr, Mistake> {
        match arg.kind {
            Kind::Select { operand, field, .. } => Ok(self.node(Kind::Select { operand, field, test_only: true })),
            // What was reported already is not reported again.
            Kind::Broken => Ok(arg),
            _ => Err((arg.id, "invalid argument to has() macro".to_owned())),
        }
    }

    fn quantifier(&mut self, name: &str, target: Expr, args: Vec<Expr>, two: bool) -> Result<Expr, Mistake> {
        let vars = variables(&args, two, "argument must be a simple name")?;
        let predicate = last(args);
        let accu = self.accu();
        let parts = match name {
            "all" => {
                let init = self.literal(Value::Bool(true));
                let condition = self.call(op::NOT_STRICTLY_FALSE, [accu]);
                let accu = self.accu();
                let step = self.call(op::AND, [accu, predicate]);
                [init, condition, step, self.accu()]
            }
            "exists" => {
                let init = self.literal(Value::Bool(false));
                let not = self.call(op::NOT, [accu]);
                let condition = self.call(op::NOT_STRICTLY_FALSE, [not]);
                let accu = self.accu();
                let step = self.call(op::OR, [accu, predicate]);
                [init, condition, step, self.accu()]
            }
            _ => {
                let init = self.literal(Value::Int(0));
                let condition = self.literal(Value::Bool(true));
                let one = self.literal(Value::Int(1));
                let more = self.call(op::ADD, [accu, one]);
                let accu = self.accu();
                let step = self.call(op::CONDITIONAL, [predicate, more, accu]);
                let (accu, one) = (self.accu(), self.literal(Value::Int(1)));
                [init, condition, step, self.call(op::EQUALS, [accu, one])]
            }
        };
        Ok(self.fold(target, vars, parts))
    }

    fn map(&mut self, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Mistake> {
        let vars = variables(&args, false, "argument is not an identifier")?;
        let filter = (args.len() == 3).then(|| args.remove(1));
        let step = self.append(None, vec![last(args)]);
        Ok(self.collect(target, vars, Kind::List(Vec::new()), filter, step))
    }

    fn filter(&mut self, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Mistake> {
        let vars = variables(&args, false, "argument is not an identifier")?;
        let predicate = args.remove(1);
        let step = self.append(None, args);
        Ok(self.collect(target, vars, Kind::List(Vec::new()), Some(predicate), step))
    }

    fn transform(
        &mut self,
        target: Expr,
        mut args: Vec<Expr>,
        empty: Kind,
        step: fn(&mut Self, Option<&Name>, Vec<Expr>) -> Expr,
    ) -> Result<Expr, Mistake> {
        let vars = variables(&args, true, "argument must be a simple name")?;
        let filter = (args.len() == 4).then(|| args.remove(2));
        let step = step(self, Some(&vars.0), vec![last(args)]);
        Ok(self.collect(target, vars, empty, filter, step))
    }

    /// `accu + [value]`.
    fn append(&mut self, _: Option<&Name>, mut value: Vec<Expr>) -> Expr {
        value.truncate(1);
        let (accu, list) = (self.accu(), self.list(value));
        self.call(op::ADD, [accu, list])
    }

    fn insert(&mut self, key: Option<&Name>, value: Vec<Expr>) -> Expr {
        let key = self.ident(key.map_or("", |key| key));
        let accu = self.accu();
        let mut args = vec![accu, key];
        args.extend(value);
        self.parser.call(self.offset, op::MAP_INSERT, args)
    }

    fn insert_entry(&mut self, _: Option<&Name>, value: Vec<Expr>) -> Expr {
        let mut args = vec![self.accu()];
        args.extend(value);
        self.parser.call(self.offset, op::MAP_INSERT, args)
    }

    /// A fold that begins empty and takes a step for what passes the filter.
    fn collect(
        &mut self,
        target: Expr,
        vars: (Name, Option<Name>),
        empty: Kind,
        filter: Option<Expr>,
        step: Expr,
    ) -> Expr {
        let init = self.node(empty);
        let condition = self.literal(Value::Bool(true));
        let step = match filter {
            None => step,
            Some(filter) => {
                let accu = self.accu();
                self.call(op::CONDITIONAL, [filter, step, accu])
            }
        };
        let result = self.accu();
        self.fold(target, vars, [init, condition, step, result])
    }

    fn bind(&mut self, args: Vec<Expr>) -> Result<Expr, Mistake> {
        let Ok([name, value, result]) = <[Expr; 3]>::try_from(args) else { return Err((0, String::new())) };
        let Some(var) = name.as_ident().cloned() else {
            return Err((name.id, "cel.bind() variable names must be simple identifiers".to_owned()));
        };
        Ok(self.bound(var, value, result))
    }

    /// `result`, in which `var` is `value`.
    fn bound(&mut self, var: Name, value: Expr, result: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.literal(Value::Bool(false));
        let step = self.ident(&var);
        let unused = Arc::from("#unused");
        let fold = Comprehension { range, var: unused, var2: None, accu: var, init: value, condition, step, result };
        self.node(Kind::Comprehension(Box::new(fold)))
    }

    fn opt_map(&mut self, target: Expr, args: Vec<Expr>, name: &str) -> Result<Expr, Mistake> {
        let Some(var) = args[0].as_ident().cloned() else {
            return Err((args[0].id, format!("{name}() variable name must be a simple identifier")));
        };
        let Some(copied) = self.parser.copy(&target) else {
            return Err((target.id, format!("{name}() copies too much of the expression before it")));
        };
        let has_value = self.member("hasValue", copied);
        let value = self.member("value", target);
        let mut result = self.bound(var, value, last(args));
        if name == "optMap" {
            result = self.call("optional.of", [result]);
        }
        let none = self.call("optional.none", []);
        Ok(self.call(op::CONDITIONAL, [has_value, result, none]))
    }

    /// `list.sortBy(e, key)`: the keys are a list of their own, and the list is sorted by them.
    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Result<Expr, Mistake> {
        if !matches!(target.kind, Kind::Ident(_) | Kind::List(_) | Kind::Select { .. } | Kind::Call { .. })
            && !matches!(target.kind, Kind::Comprehension(_))
        {
            return Err((
                target.id,
                "sortBy can only be applied to a list, identifier, comprehension, call or select \
                                    expression"
                    .to_owned(),
            ));
        }
        let var: Name = Arc::from("@__sortBy_input__");
        let input = self.ident(&var);
        let keys = self.map(input, args)?;
        let input = self.ident(&var);
        let sorted = self.node(Kind::Call {
            function: "@sortByAssociatedKeys".into(),
            target: Some(Box::new(input)),
            args: vec![keys],
        });
        Ok(self.bound(var, target, sorted))
    }
}

/// The last argument: predicate or transformation.
fn last(mut args: Vec<Expr>) -> Expr {
    // Callers know how many there are.
    args.swap_remove(args.len() - 1)
}

/// The names of one or two variables.
fn variables(args: &[Expr], two: bool, otherwise: &str) -> Result<(Name, Option<Name>), Mistake> {
    let name = |arg: &Expr| {
        let name = arg.as_ident().cloned().ok_or_else(|| (arg.id, otherwise.to_owned()))?;
        if &*name == "__result__" {
            return Err((arg.id, "iteration variable overwrites accumulator variable".to_owned()));
        }
        Ok(name)
    };
    let first = name(&args[0])?;
    if !two {
        return Ok((first, None));
    }
    let second = name(&args[1])?;
    if first == second {
        return Err((args[1].id, format!("duplicate variable name: {first}")));
    }
    Ok((first, Some(second)))
}
