//! Equality, which never fails, and order, which is there for some types only.

use std::cmp::Ordering;

use super::json::same_keys;
use super::{List, Value};
use crate::error::Error;
use crate::schema::DeclKind;
use crate::work::{Work, all, any};

impl Value<'_> {
    /// `==`: numbers by what they count, containers by what is in them; values of different types are not equal. An error only when
    /// there is too much to compare.
    pub(crate) fn equals(&self, other: &Value<'_>, work: &Work) -> Result<bool, Error> {
        work.take(1)?;
        Ok(match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) | (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                numbers(self, other) == Some(Ordering::Equal)
            }
            (Value::List(a), Value::List(b)) => lists_equal(a, b, work)?,
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && all(a.iter(), |(key, value)| b.get(&key).map_or(Ok(false), |other| value.equals(&other, work)))?
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b, work)?,
                (None, None) => true,
                _ => false,
            },
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a), Value::Cidr(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a == b,
            (Value::Format(a), Value::Format(b)) => std::ptr::eq(*a, *b),
            (Value::Check(a), Value::Check(b)) => a == b,
            (Value::Decision(a), Value::Decision(b)) => a == b,
            (Value::Struct(a), Value::Struct(b)) => {
                let same = |(name, value): (_, &Value<'_>)| {
                    b.fields.get(name).map_or(Ok(false), |other| value.equals(other, work))
                };
                a.name == b.name && a.fields.len() == b.fields.len() && all(&a.fields, same)?
            }
            _ => false,
        })
    }

    /// `<` and its kin.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Result<Ordering, Error> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.cmp(b)),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
                numbers(self, other).ok_or_else(|| Error::new("NaN values cannot be ordered"))
            }
            _ => Err(Error::no_overload()),
        }
    }
}

/// Numbers of any types; none with NaN.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    /// 2^63 and 2^64 are floats exactly; their predecessors are not.
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    const TWO_64: f64 = 18_446_744_073_709_551_616.0;
    let with_double = |low: f64, high: f64, whole: f64, double: f64| {
        if double < low {
            Some(Ordering::Greater)
        } else if double > high {
            Some(Ordering::Less)
        } else {
            whole.partial_cmp(&double)
        }
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => with_double(-TWO_63, TWO_63, *a as f64, *b),
        (Value::Uint(a), Value::Double(b)) => with_double(0.0, TWO_64, *a as f64, *b),
        (Value::Double(_), _) => numbers(b, a).map(Ordering::reverse),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// Sets and lists of type map do not know an order.
fn lists_equal(a: &List<'_>, b: &List<'_>, work: &Work) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.declared().map(|decl| &decl.kind) {
        Some(DeclKind::List { set: true, .. }) => {
            all(a.iter(), |element| any(b.iter(), |other| element.equals(&other, work)))
        }
        Some(DeclKind::List { keys, .. }) if !keys.is_empty() => all(a.iter(), |element| {
            any(b.iter(), |other| Ok(same_keys(&element, &other, keys, work)? && element.equals(&other, work)?))
        }),
        _ => all(a.iter().zip(b.iter()), |(a, b)| a.equals(&b, work)),
    }
}
