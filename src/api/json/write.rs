//! Values as Go writes them: a number that is no integer to it is a float, and floats that are whole have no point.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Appends a value. Clients that read `3.0` where upstream shows `3` do not take it for an integer.
pub(crate) fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), serde_json::Error> {
    value.serialize(&mut Serializer::with_formatter(out, Numbers))
}

struct Numbers;

impl Formatter for Numbers {
    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        match i64::try_from(value) {
            Ok(value) => self.write_i64(writer, value),
            Err(_) => self.write_f64(writer, value as f64),
        }
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size == 0.0 {
            return writer.write_all(b"0");
        }
        if (1e-6..1e21).contains(&size) {
            return write!(writer, "{value}");
        }
        // An exponent has a sign.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        write!(writer, "{digits}e{}{exponent}", if exponent.starts_with('-') { "" } else { "+" })
    }
}

#[cfg(test)]
mod tests {
    use super::write;

    #[test]
    fn numbers_are_gos() {
        for (text, expect) in [
            ("3", "3"),
            ("-3", "-3"),
            ("3.0", "3"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("1.50", "1.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("12345678901234567890", "12345678901234567000"),
            ("123456789012345678901", "123456789012345680000"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            (r#"{"a":[1.0,{"b":2.0}]}"#, r#"{"a":[1,{"b":2}]}"#),
        ] {
            let mut out = Vec::new();
            write(&mut out, &serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }
}
