//! What cel-go's validators refuse of expressions that check: lists and maps that mix types, literals that their function could
//! never read, formats that do not fit what they are given. They look only at expressions without other mistakes.

use api::regexp::Expression;

use crate::ast::{Expr, Kind};
use crate::check::Checked;
use crate::library::{printf, time};
use crate::types::Type;
use crate::value::Value;

/// Tells of every node that is refused, and why.
pub(crate) fn validate(expr: &Expr, checked: &Checked, report: &mut dyn FnMut(u32, String)) {
    Validator { checked, report }.visit(expr, false);
}

struct Validator<'v> {
    checked: &'v Checked,
    report: &'v mut dyn FnMut(u32, String),
}

impl Validator<'_> {
    /// `formatted` is set for everything within a call of `format`, whose arguments are a list of many types.
    fn visit(&mut self, expr: &Expr, formatted: bool) {
        match &expr.kind {
            Kind::Broken | Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => self.visit(operand, formatted),
            Kind::Call { function, target, args } => {
                self.literal(function, args);
                if let (FORMAT, Some(target), [list]) = (&**function, target, &args[..]) {
                    self.format(expr.id, target, list);
                }
                let formatted = formatted || &**function == FORMAT;
                for child in target.as_deref().into_iter().chain(args) {
                    self.visit(child, formatted);
                }
            }
            Kind::List(elements) => {
                if !formatted {
                    self.of_one_type(elements.iter().map(|(element, optional)| (element, *optional)), true);
                }
                elements.iter().for_each(|(element, _)| self.visit(element, formatted));
            }
            Kind::Map(entries) => {
                if !formatted {
                    self.of_one_type(entries.iter().map(|entry| (&entry.key, false)), false);
                    self.of_one_type(entries.iter().map(|entry| (&entry.value, entry.optional)), false);
                }
                for entry in entries {
                    self.visit(&entry.key, formatted);
                    self.visit(&entry.value, formatted);
                }
            }
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| self.visit(&field.value, formatted)),
            Kind::Comprehension(fold) => {
                for child in [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result] {
                    self.visit(child, formatted);
                }
            }
        }
    }

    /// All have the type of the first; of lists only the first that has not is told.
    fn of_one_type<'e>(&mut self, nodes: impl Iterator<Item = (&'e Expr, bool)>, once: bool) {
        let checked = self.checked;
        let mut first: Option<&Type> = None;
        for (node, optional) in nodes {
            let ty = match checked.ty(node) {
                Type::Optional(inner) if optional => inner,
                ty => ty,
            };
            match first {
                None => first = Some(ty),
                Some(first) if equivalent(first, ty) => {}
                Some(first) => {
                    (self.report)(node.id, format!("expected type '{first}' but found '{ty}'"));
                    if once {
                        return;
                    }
                }
            }
        }
    }

    /// Literals that a function could never read.
    fn literal(&mut self, function: &str, args: &[Expr]) {
        let Some((id, Value::String(text))) = args.first().and_then(|arg| Some((arg.id, arg.as_literal()?))) else {
            return;
        };
        let valid = match function {
            "duration" => time::duration(text).is_some(),
            "timestamp" => time::timestamp(text).is_some(),
            "matches" => Expression::read(text).is_ok(),
            _ => true,
        };
        if !valid {
            (self.report)(id, format!("invalid {function} argument"));
        }
    }

    /// A format that is written out, with a list that is.
    fn format(&mut self, call: u32, target: &Expr, list: &Expr) {
        let (Some(Value::String(template)), Kind::List(args)) = (target.as_literal(), &list.kind) else { return };
        let mut used = 0;
        for clause in printf::clauses(template) {
            let refused = match (clause, args.get(used)) {
                (Err(printf::Unreadable::End), _) => Some((call, "unexpected end of string".to_owned())),
                (_, None) => Some((call, format!("index {used} out of range"))),
                (Err(printf::Unreadable::Clause(why)), _) => Some((call, why)),
                (Ok(verb), Some((arg, _))) => self.clause(call, verb, arg),
            };
            if let Some((id, why)) = refused {
                return (self.report)(id, why);
            }
            used += 1;
        }
        if args.len() > used {
            let why = format!("too many arguments supplied to string.format (expected {used}, got {})", args.len());
            (self.report)(call, why);
        }
    }

    fn clause(&self, call: u32, verb: char, arg: &Expr) -> Option<(u32, String)> {
        use Type::{Bool, Bytes, Double, Dyn, Int, String as Text, Uint};
        let ty = self.checked.ty(arg);
        let (fits, what) = match verb {
            's' => {
                let (id, ty) = self.unprintable(arg)?;
                let why = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                           durations, and timestamps";
                return Some((id, format!("error during formatting: {why}, was given {}", ty.name())));
            }
            'd' => (matches!(ty, Int | Uint), "decimal clause can only be used on integers"),
            'f' => (matches!(ty, Double | Text), "fixed-point clause can only be used on doubles"),
            'e' => (matches!(ty, Double | Text), "scientific clause can only be used on doubles"),
            'b' => (matches!(ty, Int | Uint | Bool), "only integers and bools can be formatted as binary"),
            'x' | 'X' => {
                let what = "only integers, byte buffers, and strings can be formatted as hex";
                (matches!(ty, Int | Uint | Text | Bytes), what)
            }
            'o' => (matches!(ty, Int | Uint), "octal clause can only be used on integers"),
            verb => {
                let why = format!("could not parse formatting clause: unrecognized formatting clause \"{verb}\"");
                return Some((call, why));
            }
        };
        let why = || (arg.id, format!("error during formatting: {what}, was given {}", ty.name()));
        (!fits && *ty != Dyn).then(why)
    }

    /// The node in there that cannot become text.
    fn unprintable<'e>(&'e self, expr: &'e Expr) -> Option<(u32, &'e Type)> {
        let ty = self.checked.ty(expr);
        if matches!(ty, Type::Optional(_) | Type::Library(_) | Type::Object(_) | Type::Error | Type::Param(_)) {
            return Some((expr.id, ty));
        }
        match &expr.kind {
            Kind::List(elements) => elements.iter().find_map(|(element, _)| self.unprintable(element)),
            Kind::Map(entries) => {
                entries.iter().find_map(|entry| self.unprintable(&entry.key).or_else(|| self.unprintable(&entry.value)))
            }
            _ => None,
        }
    }
}

const FORMAT: &str = "format";

/// The same type, objects by their names.
fn equivalent(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => equivalent(one, other),
        (Type::Map(one), Type::Map(other)) => equivalent(&one.0, &other.0) && equivalent(&one.1, &other.1),
        (Type::Type(Some(one)), Type::Type(Some(other))) => equivalent(one, other),
        (Type::Object(one), Type::Object(other)) => one.name() == other.name(),
        _ => one == other,
    }
}
