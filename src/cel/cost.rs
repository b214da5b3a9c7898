//! Costs: what an expression can cost at most, before it runs, and what calls cost when it does. Both are cel-go's and
//! Kubernetes' numbers, because CRDs are refused by them: one unit is about a step of evaluation.

mod estimate;
mod measure;
#[cfg(test)]
mod tests;

pub use estimate::Range;
pub(crate) use estimate::estimate;
pub(crate) use measure::{LIST, MAP, STRUCT, call};

/// Walking a string costs a tenth of its length.
pub(crate) const STRING_FACTOR: f64 = 0.1;
/// A regular expression is assumed to have one state for every four characters.
pub(crate) const REGEX_FACTOR: f64 = 0.25;
/// Asking the authorizer is so dear that an expression asks twice at most.
pub(crate) const CHECK: u64 = 350_000;

/// A size or cost times a factor, rounded up, without overflow.
pub(crate) fn scaled(amount: u64, factor: f64) -> u64 {
    // Floats saturate when they become integers.
    (amount as f64 * factor).ceil() as u64
}
