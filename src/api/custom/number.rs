//! Bounds and factors of numbers. Integers are compared as integers, as far as the bound can be one.

use serde_json::{Number, Value};

use super::schema::Checks;
use crate::quote::float as go_float;

/// What is wrong with a number.
pub(super) enum Complaint {
    /// The number itself, and why.
    Value(String),
    /// The factor that it should be a multiple of.
    Factor(Value),
}

/// Complaints in upstream's order.
pub(super) fn complaints(checks: &Checks, number: &Number) -> Vec<Complaint> {
    let integer = number.as_i64();
    let float = number.as_f64().unwrap_or_default();
    let shown = |bound: f64| if integer.is_some() { (whole(bound)).to_string() } else { go_float(bound) };
    let mut complaints = Vec::new();
    if let Some(factor) = checks.multiple_of {
        complaints.extend(multiple(integer, float, factor));
    }
    if let Some(least) = checks.minimum {
        let exclusive = checks.exclusive_minimum;
        let below = match integer {
            Some(value) => value < whole(least) || exclusive && value == whole(least),
            None => float < least || exclusive && float == least,
        };
        if below {
            let word = if exclusive { "greater than" } else { "greater than or equal to" };
            complaints.push(Complaint::Value(format!("should be {word} {}", shown(least))));
        }
    }
    if let Some(most) = checks.maximum {
        let exclusive = checks.exclusive_maximum;
        let above = match integer {
            Some(value) => value > whole(most) || exclusive && value == whole(most),
            None => float > most || exclusive && float == most,
        };
        if above {
            let word = if exclusive { "less than" } else { "less than or equal to" };
            complaints.push(Complaint::Value(format!("should be {word} {}", shown(most))));
        }
    }
    complaints
}

fn multiple(integer: Option<i64>, float: f64, factor: f64) -> Option<Complaint> {
    let wrong = |factor: String| Some(Complaint::Value(format!("should be a multiple of {factor}")));
    match integer {
        Some(_) if whole(factor) <= 0 => Some(Complaint::Factor((whole(factor)).into())),
        Some(value) if value % whole(factor) != 0 => wrong((whole(factor)).to_string()),
        Some(_) => None,
        None if factor <= 0.0 => Some(Complaint::Factor(factor.into())),
        None => {
            let times = if factor < 1.0 { 1.0 / factor * float } else { float / factor };
            if is_whole(times) { None } else { wrong(go_float(factor)) }
        }
    }
}

/// Whether a float is an integer, give or take what arithmetic makes of it.
fn is_whole(float: f64) -> bool {
    const EPSILON: f64 = 1e-9;
    if !float.is_finite() || float.abs() > 9_007_199_254_740_991.0 {
        return false;
    }
    let difference = (float - float.trunc()).abs();
    float == float.trunc()
        || difference < f64::MIN_POSITIVE * EPSILON
        || difference / (float.abs() + float.trunc().abs()) < EPSILON
}

/// A float as Go makes an integer of it.
pub fn whole(float: f64) -> i64 {
    if float.abs() < 9_223_372_036_854_775_808.0 { float as i64 } else { i64::MIN }
}
