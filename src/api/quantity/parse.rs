//! Reading a quantity, with upstream's two paths: which one a text takes decides rounding and whether the text itself
//! counts as canonical, and clients see both.

use super::number::Number;
use super::{Format, Quantity, QuantityError};

/// Longest text read; a quantity people write has a dozen characters.
const MAX_LENGTH: usize = 256;
/// Largest exponent read: sums of quantities must stay small however they were written.
const MAX_EXPONENT: i32 = 4096;
/// Decimal digits that always fit upstream's 64-bit fast path.
const FAST_DIGITS: i32 = 18;

pub(super) struct Parsed {
    pub(super) quantity: Quantity,
    /// Upstream would serve the text as it was written.
    pub(super) canonical: bool,
}

struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros; `0` when there are none.
    whole: &'a [u8],
    fraction: &'a [u8],
    suffix: &'a str,
}

pub(super) fn parse(text: &str) -> Result<Parsed, QuantityError> {
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err(QuantityError::Format);
    }
    let parts = split(text)?;
    let (base, exponent, mut format) = suffix(parts.suffix).ok_or(QuantityError::Suffix)?;
    let digits: Vec<u8> = [parts.whole, parts.fraction].concat();
    let unsigned = Number::from_digits(&digits).ok_or(QuantityError::Numeric)?;
    let sign = if parts.negative { -1 } else { 1 };
    let fraction = parts.fraction.len() as i32;

    let precision = match (base, fraction) {
        (10, _) => FAST_DIGITS - digits.len() as i32,
        // A power of two has about three decimal digits for every ten bits.
        (_, 0) => 15 - parts.whole.len() as i32 - exponent * 3 / 10 - 1,
        _ => -1,
    };
    let scale = if base == 10 { exponent - fraction } else { 0 };
    if precision >= 0 && scale >= -9 {
        let Number::Small(value) = unsigned else { return Err(QuantityError::Numeric) };
        let canonical = if base == 2 {
            exponent % 10 == 0 && value & 7 != 0
        } else {
            scale % 3 == 0 && !digits.ends_with(b"000") && digits[0] != b'0'
        };
        let value = if base == 2 { value << exponent } else { value };
        let quantity = Quantity { number: Number::from(value * sign), exponent: scale, format };
        return Ok(Parsed { quantity, canonical: canonical || text == "0" });
    }

    let (mut number, mut scale) =
        if base == 10 { (unsigned, scale) } else { (unsigned.times(1 << exponent), -fraction) };
    if scale < -9 {
        number = number.div_pow10_away((-9 - scale) as u32).0;
        scale = -9;
    }
    if format == Format::BinarySI {
        let most = Number::from(i128::from(i64::MAX));
        if number > most.times_pow10((-scale) as u32) {
            (number, scale) = (most, 0);
        } else if !number.is_zero() && number < Number::from(1).times_pow10((-scale) as u32) {
            format = Format::DecimalSI;
        }
    }
    let quantity = Quantity { number: number.times(sign), exponent: scale, format };
    Ok(Parsed { quantity, canonical: false })
}

/// Splits a text the way upstream's scanner does, which lets a sign or a suffix stand without digits (they mean zero).
fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let bytes = text.as_bytes();
    let negative = bytes[0] == b'-';
    let start = usize::from(negative || bytes[0] == b'+');
    let run =
        |from: usize, accept: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|byte| accept(byte)).count();
    let first = run(start, |b| *b == b'0');
    let whole_end = run(first, u8::is_ascii_digit);
    let whole = if first == whole_end { b"0" as &[u8] } else { &bytes[first..whole_end] };
    let (fraction, number_end) = if bytes.get(whole_end) == Some(&b'.') {
        let end = run(whole_end + 1, u8::is_ascii_digit);
        (&bytes[whole_end + 1..end], end)
    } else {
        (&[] as &[u8], whole_end)
    };
    let mut end = run(number_end, |b| b"eEinumkKMGTP".contains(b));
    if end < bytes.len() && matches!(bytes[end], b'+' | b'-') {
        end += 1;
    }
    if run(end, u8::is_ascii_digit) != bytes.len() {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix: &text[number_end..] })
}

/// Base, exponent and form of a suffix.
fn suffix(text: &str) -> Option<(u32, i32, Format)> {
    let decimal = |exponent| Some((10, exponent, Format::DecimalSI));
    let binary = |exponent| Some((2, exponent, Format::BinarySI));
    match text {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i32 = text.strip_prefix(['e', 'E'])?.parse().ok()?;
            (exponent.abs() <= MAX_EXPONENT).then_some((10, exponent, Format::DecimalExponent))
        }
    }
}
