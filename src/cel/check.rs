//! The type checker: names are resolved, every node gets a type, every call its signatures. Mistakes are told in cel-go's
//! words.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::ast::{Comprehension, Entry, Expr, Field, Kind, op};
use crate::environment::Environment;
use crate::error::Issues;
use crate::library::{self, Function, Overload};
use crate::schema::DeclType;
use crate::types::Type;
use crate::unify::{Mapping, most_general};
use crate::validate;
use crate::value::Value;

/// The signatures of a function that a call may mean.
pub(crate) type Resolved = (&'static Function, SmallVec<[&'static Overload; 1]>);

/// What checking found out, by node.
#[derive(Default)]
pub(crate) struct Checked {
    types: Vec<Option<Type>>,
    calls: HashMap<u32, Resolved>,
    /// Names that stand for a type.
    pub type_names: HashMap<u32, Arc<str>>,
}

impl Checked {
    pub(crate) fn ty(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id as usize).and_then(Option::as_ref).unwrap_or(&Type::Dyn)
    }

    pub(crate) fn call(&self, expr: &Expr) -> Option<&Resolved> {
        self.calls.get(&expr.id)
    }
}

/// Checks the tree, in which names become qualified ones.
pub(crate) fn check(
    expr: &mut Expr,
    offsets: &[u32],
    source: &str,
    environment: &Environment,
) -> Result<Checked, Issues> {
    let mut checker = Checker {
        environment,
        source,
        offsets,
        checked: Checked { types: vec![None; offsets.len()], ..Checked::default() },
        mapping: Mapping::default(),
        free: FIRST_FREE,
        scopes: Vec::new(),
        issues: Issues::default(),
    };
    checker.check(expr);
    if !checker.issues.is_empty() {
        return Err(checker.issues);
    }
    for ty in checker.checked.types.iter_mut().flatten() {
        *ty = checker.mapping.substitute(ty, true);
    }
    let mut refused = Vec::new();
    validate::validate(expr, &checker.checked, &mut |id, message| refused.push((id, message)));
    for (id, message) in refused {
        checker.report(id, message);
    }
    if checker.issues.is_empty() { Ok(checker.checked) } else { Err(checker.issues) }
}

/// Parameters of signatures are letters; free variables of inference come after them.
const FIRST_FREE: u32 = 26;

struct Checker<'e> {
    environment: &'e Environment,
    source: &'e str,
    offsets: &'e [u32],
    checked: Checked,
    mapping: Mapping,
    free: u32,
    /// Variables of comprehensions, inner ones last.
    scopes: Vec<(Arc<str>, Type)>,
    issues: Issues,
}

impl Checker<'_> {
    fn report(&mut self, id: u32, message: String) {
        let offset = self.offsets.get(id as usize).copied().unwrap_or_default();
        self.issues.report(self.source, Some(offset as usize), message);
    }

    fn mismatch(&mut self, id: u32, expected: &Type, found: &Type) {
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn undeclared(&mut self, id: u32, name: &str) -> Type {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn set(&mut self, expr: &Expr, ty: Type) -> Type {
        if let Some(slot) = self.checked.types.get_mut(expr.id as usize) {
            *slot = Some(ty.clone());
        }
        ty
    }

    fn fresh(&mut self) -> Type {
        self.free += 1;
        Type::Param(self.free - 1)
    }

    fn check(&mut self, expr: &mut Expr) -> Type {
        let ty = match &expr.kind {
            Kind::Broken => Type::Error,
            Kind::Literal(value) => literal_type(value),
            Kind::Ident(_) => self.ident(expr),
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List(_) => self.list(expr),
            Kind::Map(_) => self.map(expr),
            Kind::Struct { .. } => self.object(expr),
            Kind::Comprehension(_) => self.comprehension(expr),
        };
        // Names can make a type of types twice as large with every step, which nobody has a use for.
        self.set(expr, if ty.is_small() { ty } else { Type::Dyn })
    }

    /// The type of a name, and the name it has when it is qualified.
    fn lookup(&mut self, name: &str, id: u32) -> Option<(Arc<str>, Type)> {
        let plain = name.strip_prefix('.').unwrap_or(name);
        if plain.len() == name.len()
            && let Some((_, ty)) = self.scopes.iter().rev().find(|(var, _)| **var == *plain)
        {
            return Some((plain.into(), ty.clone()));
        }
        if let Some(ty) = self.environment.variable(plain) {
            return Some((plain.into(), ty));
        }
        let ty = self.environment.type_named(plain)?;
        let name: Arc<str> = ty.name().into();
        self.checked.type_names.insert(id, name);
        Some((plain.into(), Type::Type(Some(ty.into()))))
    }

    fn ident(&mut self, expr: &mut Expr) -> Type {
        let Kind::Ident(name) = &expr.kind else { return Type::Error };
        let name = name.clone();
        match self.lookup(&name, expr.id) {
            Some((qualified, ty)) => {
                expr.kind = Kind::Ident(qualified);
                ty
            }
            None => self.undeclared(expr.id, &name),
        }
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        // Before it is a field, it may be a qualified name; unless the name's beginning is a variable of a macro.
        if let Some(qualified) = expr.qualified_name() {
            let first = qualified.split('.').next().unwrap_or_default();
            let local = self.scopes.iter().any(|(var, _)| **var == *first);
            if !local && let Some((name, ty)) = self.lookup(&qualified, expr.id) {
                expr.kind = Kind::Ident(name);
                return ty;
            }
        }
        let Kind::Select { operand, field, test_only } = &mut expr.kind else { return Type::Error };
        let (field, test_only) = (field.clone(), *test_only);
        let ty = self.field(expr.id, operand, &field, false);
        if test_only { Type::Bool } else { self.mapping.substitute(&ty, false) }
    }

    fn field(&mut self, id: u32, operand: &mut Expr, field: &str, optional: bool) -> Type {
        let operand = self.check(operand);
        let operand = self.mapping.substitute(&operand, false);
        let (target, is_optional) = match &operand {
            Type::Optional(inner) => ((**inner).clone(), true),
            other => (other.clone(), false),
        };
        let result = match &target {
            Type::Map(types) => types.1.clone(),
            Type::Object(decl) => self.declared_field(id, decl, field),
            Type::Library(library) => {
                self.report(id, format!("unexpected failed resolution of '{}'", library.name()));
                Type::Error
            }
            Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            target => {
                if !target.is_dyn_or_error() {
                    self.report(id, format!("type '{target}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if is_optional || optional { Type::optional(result) } else { result }
    }

    fn declared_field(&mut self, id: u32, decl: &Arc<DeclType>, field: &str) -> Type {
        match decl.type_of_field(field) {
            Some(ty) => ty,
            None => {
                self.report(id, format!("undefined field '{field}'"));
                Type::Error
            }
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return Type::Error };
        let name = function.clone();
        if &*name == op::OPT_SELECT {
            let field = args.get(1).and_then(Expr::as_literal).and_then(Value::as_str).unwrap_or_default().to_owned();
            let ty = self.field(id, &mut args[0], &field, true);
            let ty = self.mapping.substitute(&ty, false);
            if let Some(function) = library::function(op::OPT_SELECT) {
                self.checked.calls.insert(id, (function, function.overloads.iter().collect()));
            }
            return ty;
        }
        let arg_types: Vec<Type> = args.iter_mut().map(|arg| self.check(arg)).collect();
        if let Some(target) = target {
            // `a.b.c()` may be the function `a.b.c`.
            let qualified = target.qualified_name().map(|prefix| format!("{prefix}.{name}"));
            match qualified.as_deref().and_then(library::function) {
                Some(function) => {
                    let args = std::mem::take(args);
                    expr.kind = Kind::Call { function: function.name.into(), target: None, args };
                    return self.resolve(expr, function, None, arg_types);
                }
                None => {
                    let target = self.check(target);
                    return match library::function(&name) {
                        Some(function) => self.resolve(expr, function, Some(target), arg_types),
                        None => self.undeclared(id, &name),
                    };
                }
            }
        }
        match library::function(name.strip_prefix('.').unwrap_or(&name)) {
            Some(function) => self.resolve(expr, function, None, arg_types),
            None => self.undeclared(id, &name),
        }
    }

    fn resolve(
        &mut self,
        expr: &Expr,
        function: &'static Function,
        target: Option<Type>,
        arg_types: Vec<Type>,
    ) -> Type {
        let member = target.is_some();
        let types: Vec<Type> = target.into_iter().chain(arg_types).collect();
        if matches!(function.name, op::AND | op::OR) {
            return self.logic(expr, function, &types);
        }
        let mut found: SmallVec<[&'static Overload; 1]> = smallvec![];
        let mut result: Option<Type> = None;
        for overload in function.overloads.iter().filter(|overload| overload.member == member) {
            if overload.args.len() != types.len() {
                continue;
            }
            let (args, returned) = self.instance(overload);
            let args = args.as_deref().unwrap_or(&overload.args);
            if !self.mapping.assignable_all(types.iter().zip(args)) {
                continue;
            }
            found.push(overload);
            let returned = self.mapping.substitute(&returned, false);
            result = Some(match result {
                Some(first) if !first.is_dyn() && first != returned => Type::Dyn,
                Some(first) => first,
                None => returned,
            });
        }
        let Some(result) = result else {
            let types: Vec<_> = types.iter().map(|ty| self.mapping.substitute(ty, true).to_string()).collect();
            let signature = match types.split_first() {
                Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
                _ => format!("({})", types.join(", ")),
            };
            self.report(
                expr.id,
                format!("found no matching overload for '{}' applied to '{signature}'", function.name),
            );
            return Type::Error;
        };
        self.checked.calls.insert(expr.id, (function, found));
        result
    }

    /// The signature with fresh variables for its parameters.
    fn instance(&mut self, overload: &'static Overload) -> (Option<Vec<Type>>, Type) {
        if !overload.generic {
            return (None, overload.result.clone());
        }
        let mut fresh: HashMap<u32, Type> = HashMap::new();
        let args = overload.args.iter().map(|arg| self.renamed(arg, &mut fresh)).collect();
        (Some(args), self.renamed(&overload.result, &mut fresh))
    }

    fn renamed(&mut self, ty: &Type, fresh: &mut HashMap<u32, Type>) -> Type {
        match ty {
            Type::Param(id) => fresh.entry(*id).or_insert_with(|| self.fresh()).clone(),
            Type::List(inner) => Type::list(self.renamed(inner, fresh)),
            Type::Optional(inner) => Type::optional(self.renamed(inner, fresh)),
            Type::Map(types) => Type::map(self.renamed(&types.0, fresh), self.renamed(&types.1, fresh)),
            Type::Type(Some(inner)) => Type::Type(Some(self.renamed(inner, fresh).into())),
            other => other.clone(),
        }
    }

    fn logic(&mut self, expr: &Expr, function: &'static Function, types: &[Type]) -> Type {
        let Kind::Call { args, .. } = &expr.kind else { return Type::Error };
        let mut result = Type::Bool;
        for (arg, ty) in args.iter().zip(types) {
            if !self.mapping.assignable(ty, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, ty);
                result = Type::Error;
            }
        }
        self.checked.calls.insert(expr.id, (function, function.overloads.iter().collect()));
        result
    }

    /// The type of both. Literals that mix types are refused later, where they may not (see `validate`).
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) if self.mapping.assignable(&previous, &current) => most_general(&previous, &current).clone(),
            Some(_) => Type::Dyn,
        }
    }

    /// What an optional element adds: its value.
    fn unwrapped(&mut self, id: u32, ty: Type) -> Type {
        match ty {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                self.mismatch(id, &Type::optional(other.clone()), &other);
                other
            }
        }
    }

    fn list(&mut self, expr: &mut Expr) -> Type {
        let Kind::List(elements) = &mut expr.kind else { return Type::Error };
        let mut joined = None;
        for (element, optional) in elements {
            let mut ty = self.check(element);
            if *optional {
                ty = self.unwrapped(element.id, ty);
            }
            joined = Some(self.join(joined, ty));
        }
        Type::list(joined.unwrap_or_else(|| self.fresh()))
    }

    fn map(&mut self, expr: &mut Expr) -> Type {
        let Kind::Map(entries) = &mut expr.kind else { return Type::Error };
        let (mut keys, mut values) = (None, None);
        for Entry { key, value, optional } in entries {
            let ty = self.check(key);
            keys = Some(self.join(keys, ty));
            let mut ty = self.check(value);
            if *optional {
                ty = self.unwrapped(value.id, ty);
            }
            values = Some(self.join(values, ty));
        }
        let key = keys.unwrap_or_else(|| self.fresh());
        Type::map(key, values.unwrap_or_else(|| self.fresh()))
    }

    fn object(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let Kind::Struct { name, fields } = &mut expr.kind else { return Type::Error };
        let name = name.clone();
        let Some(ty) = self.environment.type_named(name.strip_prefix('.').unwrap_or(&name)) else {
            return self.undeclared(id, &name);
        };
        let declared = self.environment.struct_fields(&ty);
        if declared.is_none() {
            self.report(id, format!("'{}' is not a message type", ty.name()));
        }
        for Field { id, name, value, optional } in fields {
            let mut found = self.check(value);
            let expected = match &declared {
                None => Type::Error,
                Some(fields) => match fields.type_of_field(name) {
                    Some(ty) => ty,
                    None => {
                        self.report(*id, format!("undefined field '{name}'"));
                        Type::Error
                    }
                },
            };
            if *optional {
                found = self.unwrapped(value.id, found);
            }
            if !self.mapping.assignable(&expected, &found) {
                let message = format!("expected type of field '{name}' is '{expected}' but provided type is '{found}'");
                self.report(*id, message);
            }
        }
        if declared.is_some() { ty } else { Type::Error }
    }

    fn comprehension(&mut self, expr: &mut Expr) -> Type {
        let Kind::Comprehension(fold) = &mut expr.kind else { return Type::Error };
        let Comprehension { range, var, var2, accu, init, condition, step, result } = &mut **fold;
        let range_type = self.check(range);
        let accu_type = self.check(init);
        let range_type = self.mapping.substitute(&range_type, false);
        let outside = self.scopes.len();
        self.scopes.push((accu.clone(), accu_type.clone()));
        let inside = self.scopes.len();
        let (first, second) = match &range_type {
            Type::List(element) if var2.is_some() => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            Type::Map(types) => (types.0.clone(), types.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assignable(&Type::Dyn, &range_type);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(range.id, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((var.clone(), first));
        if let Some(var2) = var2 {
            self.scopes.push((var2.clone(), second));
        }
        let ty = self.check(condition);
        self.assert(condition, &Type::Bool, &ty);
        let ty = self.check(step);
        self.assert(step, &accu_type, &ty);
        self.scopes.truncate(inside);
        let ty = self.check(result);
        self.scopes.truncate(outside);
        self.mapping.substitute(&ty, false)
    }

    fn assert(&mut self, expr: &Expr, expected: &Type, found: &Type) {
        if !self.mapping.assignable(expected, found) {
            self.mismatch(expr.id, expected, found);
        }
    }
}

fn literal_type(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::Bytes(_) => Type::Bytes,
        _ => Type::String,
    }
}
