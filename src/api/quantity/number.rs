//! A whole number of any size: `i128` where it fits, which is nearly always, a big integer where it does not.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::BigInt;

/// The invariant that keeps equality simple: `Big` only holds what `Small` cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    Small(i128),
    Big(BigInt),
}

impl Number {
    /// Reads decimal digits (no sign).
    pub(super) fn from_digits(digits: &[u8]) -> Option<Number> {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        if digits.len() <= 38 {
            return Some(Number::Small(digits.iter().fold(0, |n, d| n * 10 + i128::from(d - b'0'))));
        }
        BigInt::parse_bytes(digits, 10).map(Number::reduced)
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Number::Small(0)
    }

    pub(super) fn signum(&self) -> i32 {
        match self {
            Number::Small(n) => n.signum() as i32,
            Number::Big(n) => i32::from(n.sign() == num_bigint::Sign::Plus) * 2 - 1,
        }
    }

    pub(super) fn plus(&self, other: &Number) -> Number {
        if let (Number::Small(a), Number::Small(b)) = (self, other)
            && let Some(sum) = a.checked_add(*b)
        {
            return Number::Small(sum);
        }
        Number::reduced(self.big() + other.big())
    }

    pub(super) fn times(&self, factor: i128) -> Number {
        if let Number::Small(n) = self
            && let Some(product) = n.checked_mul(factor)
        {
            return Number::Small(product);
        }
        Number::reduced(self.big() * factor)
    }

    pub(super) fn times_pow10(&self, power: u32) -> Number {
        if power == 0 || self.is_zero() {
            return self.clone();
        }
        match (self, 10i128.checked_pow(power)) {
            (Number::Small(_), Some(factor)) => self.times(factor),
            _ => Number::reduced(self.big() * BigInt::from(10).pow(power)),
        }
    }

    /// Divides by a power of ten, rounding away from zero; says whether the division was exact.
    pub(super) fn div_pow10_away(&self, power: u32) -> (Number, bool) {
        let sign = self.signum();
        let (quotient, exact) = match (self, 10i128.checked_pow(power)) {
            (Number::Small(n), Some(divisor)) => (Number::Small(n / divisor), n % divisor == 0),
            _ => {
                let divisor = BigInt::from(10).pow(power);
                let quotient = self.big() / &divisor;
                let exact = &quotient * divisor == self.big();
                (Number::reduced(quotient), exact)
            }
        };
        (if exact { quotient } else { quotient.plus(&Number::Small(i128::from(sign))) }, exact)
    }

    /// Takes the factor out as often as it divides the number, at most `limit` times.
    pub(super) fn without_factors(&self, factor: i128, limit: u32) -> (Number, u32) {
        let mut number = self.clone();
        let mut times = 0;
        while times < limit && !number.is_zero() {
            number = match &number {
                Number::Small(n) if n % factor == 0 => Number::Small(n / factor),
                Number::Big(n) if (n % factor) == BigInt::ZERO => Number::reduced(n / factor),
                _ => break,
            };
            times += 1;
        }
        (number, times)
    }

    pub(super) fn abs_cmp(&self, other: u32) -> Ordering {
        match self {
            Number::Small(n) => n.unsigned_abs().cmp(&u128::from(other)),
            Number::Big(_) => Ordering::Greater,
        }
    }

    pub(super) fn to_i64_saturating(&self) -> i64 {
        match self {
            Number::Small(n) => (*n).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
            Number::Big(_) if self.signum() < 0 => i64::MIN,
            Number::Big(_) => i64::MAX,
        }
    }

    pub(super) fn to_f64(&self) -> f64 {
        match self {
            Number::Small(n) => *n as f64,
            // The decimal digits are at hand and `f64` reads them; what is too large becomes infinity.
            Number::Big(n) => n.to_string().parse().unwrap_or(f64::INFINITY),
        }
    }

    fn big(&self) -> BigInt {
        match self {
            Number::Small(n) => BigInt::from(*n),
            Number::Big(n) => n.clone(),
        }
    }

    fn reduced(n: BigInt) -> Number {
        i128::try_from(&n).map_or(Number::Big(n), Number::Small)
    }
}

impl From<i128> for Number {
    fn from(n: i128) -> Number {
        Number::Small(n)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Small(a), Number::Small(b)) => a.cmp(b),
            _ => self.big().cmp(&other.big()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Small(n) => n.fmt(f),
            Number::Big(n) => n.fmt(f),
        }
    }
}
