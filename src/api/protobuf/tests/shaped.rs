//! Objects made up from the schema itself: whatever a message can hold survives the way to protobuf and back.

use serde_json::{Map, Value, json};

use super::{decode_message, encode_message};
use crate::prune::{self, canonical};
use crate::schema::{Field, Message, Type, message, message_names};

#[test]
fn every_message_goes_both_ways() {
    let mut objects = 0;
    for name in message_names() {
        let message = message(name).unwrap();
        // Without numbers there is no protobuf: tables, and options that only travel in queries.
        if message.fields.iter().any(|field| field.number == 0 && !["kind", "apiVersion"].contains(&&*field.name)) {
            continue;
        }
        for seed in 1..8u64 {
            objects += 1;
            let made = Maker { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }.object(message, 4);
            let mut expect = made.clone();
            let unknown = prune::decode(&mut expect, message).unwrap_or_else(|error| panic!("{name} {made}: {error}"));
            assert!(unknown.is_empty(), "{name} {made}: {unknown:?}");
            let bytes = encode_message(&expect, message).unwrap_or_else(|error| panic!("{name} {expect}: {error}"));
            let mut decoded =
                decode_message(&bytes, message).unwrap_or_else(|error| panic!("{name} {expect}: {error}"));
            canonical(&mut expect, message);
            canonical(&mut decoded, message);
            assert_eq!(decoded.to_string(), expect.to_string(), "{name} from {made}");
            // What zero values stand in the JSON makes no difference to protobuf.
            assert_eq!(encode_message(&expect, message), Ok(bytes), "{name} from {made}");
            let mut again = expect.clone();
            assert_eq!(prune::decode(&mut again, message), Ok(Vec::new()), "{name}");
            canonical(&mut again, message);
            assert_eq!(again, expect, "{name} from {made}");
        }
    }
    assert!(objects > 7000, "{objects}");
}

/// Makes values by turns of a small generator, the same in every run.
struct Maker {
    state: u64,
}

impl Maker {
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % bound as u64) as usize
    }

    fn one_of(&mut self, values: &[Value]) -> Value {
        values[self.below(values.len())].clone()
    }

    fn object(&mut self, message: &Message, depth: usize) -> Value {
        let mut map = Map::new();
        for field in message.fields.iter().filter(|field| field.number > 0) {
            if self.below(3) > 0
                && let Some(value) = self.field(field, depth)
            {
                map.insert(field.name.clone().into_owned(), value);
            }
        }
        Value::Object(map)
    }

    fn field(&mut self, field: &Field, depth: usize) -> Option<Value> {
        // An empty list and none differ in Go and JSON, and are the same in protobuf.
        let least = usize::from(!field.omitempty);
        match field.ty.resolved() {
            _ if self.below(10) == 0 => Some(Value::Null),
            Type::List(element) => {
                let count = least + self.below(3);
                (0..count).map(|_| self.value(element, depth)).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Type::Map(element) => {
                let count = least + self.below(3);
                let entries = (0..count).map(|i| Some((format!("k{i}"), self.value(element, depth)?)));
                entries.collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            ty => self.value(ty, depth),
        }
    }

    fn value(&mut self, ty: &Type, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        Some(match ty.resolved() {
            Type::Bool => self.one_of(&[json!(true), json!(false)]),
            Type::Int32 => self.one_of(&[json!(0), json!(7), json!(i32::MIN), json!(i32::MAX)]),
            Type::Int64 => self.one_of(&[json!(0), json!(-1), json!(i64::MIN), json!(i64::MAX)]),
            Type::Float64 => self.one_of(&[json!(0.5), json!(-1e300)]),
            Type::String => self.one_of(&[json!(""), json!("a"), json!("ü\n\u{1f600}")]),
            Type::Bytes => self.one_of(&[json!(""), json!("AA=="), json!("AAEC")]),
            Type::Quantity => self.one_of(&[json!("0"), json!("1.500"), json!("2Gi"), json!(3), json!("1000m")]),
            Type::Time => self.one_of(&[json!("2026-01-02T03:04:05+01:00"), json!("0001-01-01T00:00:00Z")]),
            Type::MicroTime => {
                self.one_of(&[json!("2026-01-02T03:04:05.000006Z"), json!("1969-12-31T23:59:59.999999Z")])
            }
            Type::IntOrString => self.one_of(&[json!(0), json!(80), json!(-1), json!(""), json!("25%")]),
            Type::RawExtension | Type::FieldsV1 | Type::Json => {
                self.one_of(&[json!({"a": {"b": [1, null]}}), json!({})])
            }
            Type::Message(of) => self.object(of, depth),
            Type::List(element) => {
                let count = 1 + self.below(2);
                return (0..count).map(|_| self.value(element, depth)).collect::<Option<Vec<_>>>().map(Value::Array);
            }
            Type::SchemaOrArray(of) => {
                let schema = self.object(of, depth);
                if self.below(2) == 0 { schema } else { json!([schema]) }
            }
            Type::SchemaOrBool(of) => {
                let schema = self.object(of, depth);
                self.one_of(&[schema, json!(true), json!(false)])
            }
            Type::SchemaOrStrings(of) => {
                let schema = self.object(of, depth);
                self.one_of(&[schema, json!(["a", "b"])])
            }
            Type::Map(_) | Type::Alias(_) => return None,
        })
    }
}
