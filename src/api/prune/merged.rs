//! Scalars of what an apply has merged, as upstream's converter puts them into its types.

use serde_json::{Number, Value};

use super::{DecodeError, type_error};
use crate::schema::Type;

/// Brings a scalar to what its field can hold, or tells why it cannot be. Only what text is read into otherwise is looked at.
pub(super) fn convert(value: &mut Value, scalar: &Type) -> Result<(), DecodeError> {
    match (scalar, &*value) {
        (Type::Int32, Value::Number(number)) => *value = (cut(number, "int32")? as i32).into(),
        (Type::Int64, Value::Number(number)) => *value = cut(number, "int64")?.into(),
        (Type::IntOrString, Value::String(_)) => {}
        (Type::IntOrString, Value::Number(number)) if is_int32(number) => {}
        (Type::IntOrString, Value::Number(_)) => {
            let why =
                format!("json: cannot unmarshal number {} into Go value of type int32", crate::quote::json(value));
            return Err(DecodeError::new(why));
        }
        (Type::IntOrString, other) => return Err(type_error(other, "int32", None)),
        (Type::Time | Type::MicroTime, other) if !other.is_string() => return Err(type_error(other, "string", None)),
        (Type::Bytes, Value::String(text)) => {
            let read = crate::base64::decode(text);
            read.map_err(|error| DecodeError::new(format!("error decoding from json: {error}")))?;
        }
        _ => {}
    }
    Ok(())
}

fn is_int32(number: &Number) -> bool {
    number.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
}

/// The whole number that Go's conversion makes. Of what no 64 bits hold, processors make the least there is.
fn cut(number: &Number, ty: &str) -> Result<i64, DecodeError> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Ok(whole),
        (None, Some(float)) if float.trunc() == float => {
            let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float);
            Ok(if fits { float as i64 } else { i64::MIN })
        }
        _ => Err(DecodeError::new(format!("cannot convert float64 to {ty}"))),
    }
}
