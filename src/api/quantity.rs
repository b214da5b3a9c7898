//! Kubernetes quantities (`100m`, `1.5Gi`, `12e6`): exact parsing, canonical form, comparison and sums.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

mod number;
mod parse;
#[cfg(test)]
mod tests;

use number::Number;

/// Why a text is no quantity; the words are upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text does not have the shape of a number and a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number part does not parse.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is none of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// How a quantity is written. A quantity keeps the form it was read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`: powers of 1024.
    BinarySI,
    /// `12M`: powers of 1000.
    DecimalSI,
}

/// An exact amount (never a float): `number × 10^exponent`, with the form it prints in.
///
/// Equality and order compare the amount and ignore the form: `1000m == 1`.
#[derive(Debug, Clone)]
pub struct Quantity {
    number: Number,
    exponent: i32,
    format: Format,
}

impl Quantity {
    /// Zero, in decimal form.
    pub fn zero() -> Quantity {
        Quantity::new(0, Format::DecimalSI)
    }

    /// A whole amount, like upstream's `NewQuantity`.
    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity { number: Number::from(i128::from(value)), exponent: 0, format }
    }

    /// An amount in thousandths, like upstream's `NewMilliQuantity`.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity { number: Number::from(i128::from(value)), exponent: -3, format }
    }

    /// Reads what upstream's `ParseQuantity` reads, with its rounding: parts below 1n round away from zero, binary
    /// amounts stop at 2^63-1. Inputs are bounded: texts over 256 bytes and exponents beyond ±4096 are refused.
    pub fn parse(text: &str) -> Result<Quantity, QuantityError> {
        parse::parse(text).map(|parsed| parsed.quantity)
    }

    /// Reads a quantity from JSON: a string, or a bare number as people write it in YAML (`cpu: 1`, `cpu: 0.5`).
    pub fn from_json(value: &Value) -> Result<Quantity, QuantityError> {
        match value {
            Value::String(text) => Quantity::parse(text.trim()),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            Value::Null => Ok(Quantity::zero()),
            _ => Err(QuantityError::Format),
        }
    }

    /// The form the quantity prints in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The amount in whole units, rounded away from zero, saturating at the ends of `i64`.
    pub fn value(&self) -> i64 {
        self.scaled_value(0)
    }

    /// The amount in thousandths, rounded away from zero, saturating at the ends of `i64`.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(-3)
    }

    /// The amount in units of `10^scale`, rounded away from zero, saturating at the ends of `i64`.
    pub fn scaled_value(&self, scale: i32) -> i64 {
        if self.exponent >= scale {
            self.number.times_pow10((self.exponent - scale) as u32).to_i64_saturating()
        } else {
            self.number.div_pow10_away((scale - self.exponent) as u32).0.to_i64_saturating()
        }
    }

    /// The amount as a float, for ratios and scores; not exact.
    pub fn as_f64(&self) -> f64 {
        self.number.to_f64() * 10f64.powi(self.exponent)
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.number.is_zero()
    }

    /// Whether nothing is left of the amount behind the point.
    pub fn is_whole(&self) -> bool {
        self.exponent >= 0 || self.number.div_pow10_away(self.exponent.unsigned_abs()).1
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        self.number.signum()
    }

    /// The amount times a whole number.
    pub fn times(&self, factor: i64) -> Quantity {
        Quantity { number: self.number.times(i128::from(factor)), ..self.clone() }
    }

    /// Brings both numbers to the smaller exponent of the two.
    fn aligned<'a>(&'a self, other: &'a Quantity) -> (Cow<'a, Number>, Cow<'a, Number>, i32) {
        match self.exponent.cmp(&other.exponent) {
            Ordering::Equal => (Cow::Borrowed(&self.number), Cow::Borrowed(&other.number), self.exponent),
            Ordering::Greater => {
                let scaled = self.number.times_pow10((self.exponent - other.exponent) as u32);
                (Cow::Owned(scaled), Cow::Borrowed(&other.number), other.exponent)
            }
            Ordering::Less => {
                let scaled = other.number.times_pow10((other.exponent - self.exponent) as u32);
                (Cow::Borrowed(&self.number), Cow::Owned(scaled), self.exponent)
            }
        }
    }
}

/// The text the API server stores and serves for a quantity that a client wrote: canonical (`1000m` becomes `1`), except
/// that upstream keeps texts it considers canonical already as they were written (`1.500`, `1025Ki`).
pub fn normalize(text: &str) -> Result<Cow<'_, str>, QuantityError> {
    let parsed = parse::parse(text)?;
    Ok(if parsed.canonical { Cow::Borrowed(text) } else { Cow::Owned(parsed.quantity.to_string()) })
}

/// The canonical form: no fraction, no loss, the largest suffix that fits.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySI
            && let Some(whole) = self.whole()
            && whole.abs_cmp(1024) != Ordering::Less
        {
            let (mantissa, times) = whole.without_factors(1024, 6);
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][times as usize];
            return write!(f, "{mantissa}{suffix}");
        }
        let (mantissa, times) = self.number.without_factors(10, u32::MAX);
        let mut exponent = self.exponent + times as i32;
        let mut shift = exponent.rem_euclid(3);
        if self.format != Format::DecimalExponent && exponent - shift > 18 {
            // There is no suffix beyond E; the digits have to carry the rest.
            shift = exponent - 18;
        }
        exponent -= shift;
        let mantissa = mantissa.times_pow10(shift as u32);
        if self.format == Format::DecimalExponent {
            return if exponent == 0 { write!(f, "{mantissa}") } else { write!(f, "{mantissa}e{exponent}") };
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][(exponent / 3 + 3) as usize];
        write!(f, "{mantissa}{suffix}")
    }
}

impl Quantity {
    /// The amount as a whole number, if it is one.
    fn whole(&self) -> Option<Number> {
        if self.exponent >= 0 {
            return Some(self.number.times_pow10(self.exponent as u32));
        }
        let (number, exact) = self.number.div_pow10_away((-self.exponent) as u32);
        exact.then_some(number)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        let (mine, theirs, _) = self.aligned(other);
        mine.cmp(&theirs)
    }
}

impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::zero()
    }
}

/// As upstream: adding to zero takes over the form of what is added.
impl AddAssign<&Quantity> for Quantity {
    fn add_assign(&mut self, other: &Quantity) {
        let (mine, theirs, exponent) = self.aligned(other);
        let number = mine.plus(&theirs);
        if self.is_zero() {
            self.format = other.format;
        }
        self.number = number;
        self.exponent = exponent;
    }
}

impl SubAssign<&Quantity> for Quantity {
    fn sub_assign(&mut self, other: &Quantity) {
        *self += &-other.clone();
    }
}

impl Add<&Quantity> for Quantity {
    type Output = Quantity;
    fn add(mut self, other: &Quantity) -> Quantity {
        self += other;
        self
    }
}

impl Sub<&Quantity> for Quantity {
    type Output = Quantity;
    fn sub(mut self, other: &Quantity) -> Quantity {
        self -= other;
        self
    }
}

impl Neg for Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity { number: self.number.times(-1), ..self }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        Quantity::parse(text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        Quantity::from_json(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
