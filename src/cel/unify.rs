//! Agreement of types, with type parameters that take on what they meet.

use std::cell::Cell;
use std::collections::HashMap;

use crate::types::{LARGEST, Type};

/// What type parameters stand for so far.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    types: HashMap<u32, Type>,
    /// What parameters stood for before this trial, which is taken back if it fails.
    before: Vec<(u32, Option<Type>)>,
    /// How many more types this question may look at: parameters that stand for types of parameters can grow with every step.
    left: Cell<u32>,
}

impl Mapping {
    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(id) => self.types.get(id),
            _ => None,
        }
    }

    fn set(&mut self, param: &Type, ty: Type) {
        if let Type::Param(id) = param {
            let before = self.types.insert(*id, ty);
            self.before.push((*id, before));
        }
    }

    /// Whether one more type may be looked at.
    fn goes_on(&self) -> bool {
        self.left.set(self.left.get().saturating_sub(1));
        self.left.get() > 0
    }

    /// The type with parameters replaced by what they stand for; those that stand for nothing become dynamic if asked, and so does what
    /// is too large.
    pub(crate) fn substitute(&self, ty: &Type, free_to_dyn: bool) -> Type {
        self.left.set(LARGEST);
        self.replaced(ty, free_to_dyn)
    }

    fn replaced(&self, ty: &Type, free_to_dyn: bool) -> Type {
        if !self.goes_on() {
            return Type::Dyn;
        }
        if let Some(found) = self.find(ty) {
            return self.replaced(found, free_to_dyn);
        }
        let inner = |ty: &Type| self.replaced(ty, free_to_dyn);
        match ty {
            Type::Param(_) if free_to_dyn => Type::Dyn,
            Type::List(element) => Type::list(inner(element)),
            Type::Map(types) => Type::map(inner(&types.0), inner(&types.1)),
            Type::Optional(value) => Type::optional(inner(value)),
            Type::Type(Some(of)) => Type::Type(Some(inner(of).into())),
            other => other.clone(),
        }
    }

    /// Whether one can be assigned to the other; what parameters have to stand for is kept if so.
    pub(crate) fn assignable(&mut self, to: &Type, from: &Type) -> bool {
        // Most types agree without any parameters, and then nothing has to be taken back.
        if to == from && !matches!(to, Type::Param(_) | Type::List(_) | Type::Map(_)) {
            return true;
        }
        self.assignable_all(std::iter::once((to, from)))
    }

    /// The same for lists of types.
    pub(crate) fn assignable_all<'t>(&mut self, mut pairs: impl Iterator<Item = (&'t Type, &'t Type)>) -> bool {
        self.before.clear();
        let agree = pairs.all(|(to, from)| {
            self.left.set(4 * LARGEST);
            self.agree(to, from)
        });
        if !agree {
            while let Some((id, before)) = self.before.pop() {
                match before {
                    Some(ty) => self.types.insert(id, ty),
                    None => self.types.remove(&id),
                };
            }
        }
        agree
    }

    fn agree(&mut self, one: &Type, other: &Type) -> bool {
        // What is too large is dynamic.
        if !self.goes_on() {
            return true;
        }
        if matches!(other, Type::Param(_)) {
            let (valid, bound) = self.stands_for(one, other);
            if valid {
                return true;
            }
            if bound {
                return false;
            }
        }
        if matches!(one, Type::Param(_)) {
            return self.stands_for(other, one).0;
        }
        if one.is_dyn_or_error() || other.is_dyn_or_error() {
            return true;
        }
        match (one, other) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.agree(a, b),
            (Type::Map(a), Type::Map(b)) => self.agree(&a.0, &b.0) && self.agree(&a.1, &b.1),
            (one, other) => one == other,
        }
    }

    /// Whether the parameter can stand for the type, and whether it stands for something already.
    fn stands_for(&mut self, ty: &Type, param: &Type) -> (bool, bool) {
        if ty == param {
            return (true, true);
        }
        let Some(bound) = self.find(param).cloned() else {
            let free = self.absent_from(param, ty);
            if free {
                self.set(param, ty.clone());
            }
            return (free, false);
        };
        if *ty == bound {
            return (true, true);
        }
        if !self.agree(ty, &bound) {
            return (false, true);
        }
        let general = most_general(ty, &bound).clone();
        if self.absent_from(param, &general) {
            self.set(param, general);
        }
        (true, true)
    }

    /// Whether the parameter does not occur within the type: else it would hold itself.
    fn absent_from(&self, param: &Type, ty: &Type) -> bool {
        if ty == param || !self.goes_on() {
            return false;
        }
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|bound| self.absent_from(param, bound)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => self.absent_from(param, inner),
            Type::Map(types) => self.absent_from(param, &types.0) && self.absent_from(param, &types.1),
            _ => true,
        }
    }
}

fn nullable(ty: &Type) -> bool {
    matches!(ty, Type::Null | Type::Duration | Type::Timestamp | Type::Optional(_) | Type::Library(_) | Type::Object(_))
}

/// The one of two agreeing types that says less.
pub(crate) fn most_general<'t>(one: &'t Type, other: &'t Type) -> &'t Type {
    if says_no_more(one, other) { one } else { other }
}

fn says_no_more(one: &Type, other: &Type) -> bool {
    if one.is_dyn() || matches!(one, Type::Param(_)) {
        return true;
    }
    if other.is_dyn() || matches!(other, Type::Param(_)) {
        return false;
    }
    match (one, other) {
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => says_no_more(a, b),
        (Type::Map(a), Type::Map(b)) => says_no_more(&a.0, &b.0) && says_no_more(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        (one, other) => one == other,
    }
}
