//! Objects somewhat unlike one that is valid, of the right types: what a decoder refuses is not what this is about.

use api::Resource;
use api::schema::{self, Field, Message, Type};
use serde_json::{Map, Value, json};

use crate::random::Random;
use crate::specimens::Specimens;

/// Strings that most fields do not want.
const ODD: &[&str] = &[
    "",
    "x",
    "Not_Valid!",
    "a/b",
    "-1",
    "10.0.0.1",
    "010.0.0.1",
    "fd00::1",
    "10.0.0.1/8",
    "10%",
    "150%",
    "*",
    "..",
    "/",
    "/a/../b",
    "example.com/x",
    "http://h/p?q#f",
    "UPPER",
    "1",
    "a.b.c",
    "a b",
    "ünï",
    "kubernetes.io/x",
    "x.y.z/a/b",
];

/// The object after some random changes of what a write through `part` is about.
pub(crate) fn varied(
    object: &Value,
    row: &Resource,
    part: &str,
    steps: usize,
    specimens: &Specimens,
    random: &mut Random,
) -> Value {
    let mut object = object.clone();
    let message = schema::for_kind(&row.group, &row.version, &row.kind).expect("every row has a schema");
    for _ in 0..steps {
        let mut places = Vec::new();
        collect(&object, message, &mut Vec::new(), &mut places);
        // Metadata has its own rules, the same for all: it is not what most changes are about.
        let about = |place: &&Vec<Step>| match place.first() {
            Some(Step::Key(key)) if key == "metadata" => false,
            Some(Step::Key(key)) if key == "status" => matches!(part, "status" | "approval"),
            Some(_) => !matches!(part, "status" | "approval"),
            None => true,
        };
        let in_metadata = random.one_in(12);
        let chosen: Vec<&Vec<Step>> = if in_metadata {
            places.iter().filter(|place| matches!(place.first(), Some(Step::Key(key)) if key == "metadata")).collect()
        } else {
            places.iter().filter(about).collect()
        };
        let Some(place) = (!chosen.is_empty()).then(|| (*random.of(&chosen)).clone()) else { continue };
        let (target, message) = descend(&mut object, message, &place);
        let root = place.is_empty();
        change(target, message, root, part, specimens, random);
    }
    crate::case::owned_once(object)
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    At(usize),
}

/// Where in the object a message is.
fn collect(value: &Value, message: &Message, at: &mut Vec<Step>, places: &mut Vec<Vec<Step>>) {
    places.push(at.clone());
    for (key, value) in value.as_object().into_iter().flatten() {
        let Some(field) = message.field(key) else { continue };
        at.push(Step::Key(key.clone()));
        collect_typed(value, &field.ty, at, places);
        at.pop();
    }
}

fn collect_typed(value: &Value, ty: &Type, at: &mut Vec<Step>, places: &mut Vec<Vec<Step>>) {
    match (ty.resolved(), value) {
        (Type::Message(message) | Type::SchemaOrArray(message) | Type::SchemaOrBool(message), Value::Object(_)) => {
            collect(value, message, at, places);
        }
        (Type::List(element), Value::Array(list)) => {
            for (index, each) in list.iter().enumerate() {
                at.push(Step::At(index));
                collect_typed(each, element, at, places);
                at.pop();
            }
        }
        (Type::Map(of), Value::Object(map)) => {
            for (key, each) in map {
                at.push(Step::Key(key.clone()));
                collect_typed(each, of, at, places);
                at.pop();
            }
        }
        _ => {}
    }
}

fn descend<'a>(mut value: &'a mut Value, message: &'a Message, place: &[Step]) -> (&'a mut Value, &'a Message) {
    enum Seen<'a> {
        Message(&'a Message),
        Type(&'a Type),
    }
    let mut seen = Seen::Message(message);
    for step in place {
        let ty = match (&seen, step) {
            (Seen::Message(message), Step::Key(key)) => &message.field(key).expect("collected").ty,
            (Seen::Type(ty), _) => match ty.resolved() {
                Type::List(inner) | Type::Map(inner) => inner,
                _ => unreachable!("collected"),
            },
            _ => unreachable!("collected"),
        };
        value = match step {
            Step::Key(key) => &mut value[key.as_str()],
            Step::At(index) => &mut value[*index],
        };
        seen = match ty.resolved() {
            Type::Message(message) | Type::SchemaOrArray(message) | Type::SchemaOrBool(message) => {
                Seen::Message(message)
            }
            other => Seen::Type(other),
        };
    }
    match seen {
        Seen::Message(message) => (value, message),
        Seen::Type(_) => unreachable!("collected"),
    }
}

/// Changes one field of a message.
fn change(target: &mut Value, message: &Message, root: bool, part: &str, specimens: &Specimens, random: &mut Random) {
    let Some(map) = target.as_object_mut() else { return };
    let is_metadata = message.name.ends_with(".ObjectMeta");
    let allowed = |field: &&Field| {
        let name = &*field.name;
        let fixed = root && matches!(name, "apiVersion" | "kind" | "metadata");
        let other_part = root && (name == "status") != matches!(part, "status" | "approval");
        let kept = ["name", "namespace", "uid", "resourceVersion", "selfLink", "managedFields", "generateName"];
        !(fixed || other_part || is_metadata && kept.contains(&name))
    };
    let fields: Vec<&Field> = message.fields.iter().filter(allowed).collect();
    if fields.is_empty() {
        return;
    }
    // Fields that are there are as likely as those that are not.
    let present: Vec<&Field> = fields.iter().copied().filter(|field| map.contains_key(&*field.name)).collect();
    let field = if present.is_empty() || random.one_in(2) { *random.of(&fields) } else { *random.of(&present) };
    let name = field.name.to_string();
    let new = match random.below(10) {
        0 | 1 => {
            map.shift_remove(&name);
            return;
        }
        2 => Some(empty(&field.ty)),
        3 | 4 => Some(odd(&field.ty, &name, specimens, random)),
        5 | 6 => reshaped(map.get(&name), &field.ty, &name, specimens, random),
        _ => None,
    };
    let new = new.unwrap_or_else(|| plausible(&field.ty, &name, 3, specimens, random));
    map.insert(name, new);
}

/// A list or map with an entry more, less or twice.
fn reshaped(value: Option<&Value>, ty: &Type, name: &str, specimens: &Specimens, random: &mut Random) -> Option<Value> {
    match (value?, ty.resolved()) {
        (Value::Array(list), Type::List(element)) => {
            let mut list = list.clone();
            match random.below(4) {
                0 if !list.is_empty() => list.push(random.of(&list).clone()),
                1 if !list.is_empty() => drop(list.remove(random.below(list.len()))),
                2 => list.reverse(),
                _ => list.push(plausible(element, name, 3, specimens, random)),
            }
            Some(Value::Array(list))
        }
        (Value::Object(map), Type::Map(of)) => {
            let mut map = map.clone();
            let key = *random.of(ODD);
            map.insert(key.to_owned(), plausible(of, name, 3, specimens, random));
            Some(Value::Object(map))
        }
        _ => None,
    }
}

fn empty(ty: &Type) -> Value {
    match ty.resolved() {
        Type::Bool => json!(false),
        Type::Int32 | Type::Int64 | Type::Float64 | Type::IntOrString => json!(0),
        Type::String | Type::Bytes => json!(""),
        Type::Quantity => json!("0"),
        Type::List(_) | Type::SchemaOrStrings(_) => json!([]),
        Type::SchemaOrBool(_) => json!(false),
        Type::Time | Type::MicroTime => Value::Null,
        _ => json!({}),
    }
}

fn odd(ty: &Type, name: &str, specimens: &Specimens, random: &mut Random) -> Value {
    match ty.resolved() {
        Type::Bool => json!(random.one_in(2)),
        Type::Int32 => json!(random.of(&[-1, 0, 1, 2, 65535, 65536, i32::MAX, i32::MIN])),
        Type::Int64 => json!(random.of(&[-1, 0, 1, 599, 1 << 32, i64::MAX])),
        Type::String if random.one_in(12) => json!("a".repeat(*random.of(&[64, 254, 1025, 5000]))),
        Type::String => json!(random.of(ODD)),
        Type::Bytes => json!(random.of(&["", "eA==", "bm90IGEgY2VydGlmaWNhdGU="])),
        Type::Quantity => json!(random.of(&["-1", "0", "1.5", "100m", "1e30", "1Gi", "0.0001"])),
        Type::IntOrString => {
            random.of(&[json!(-1), json!(0), json!(70000), json!("x"), json!("-5%"), json!("101%"), json!("")]).clone()
        }
        Type::List(element) => match random.below(3) {
            0 => json!([empty(element)]),
            1 => json!([odd(element, name, specimens, random)]),
            _ => {
                let each = plausible(element, name, 2, specimens, random);
                json!([each, each])
            }
        },
        Type::Map(of) => {
            let mut map = Map::new();
            map.insert((*random.of(ODD)).to_owned(), odd(of, name, specimens, random));
            Value::Object(map)
        }
        Type::Message(_) => json!({}),
        _ => plausible(ty, name, 2, specimens, random),
    }
}

/// Something the field could hold.
fn plausible(ty: &Type, name: &str, depth: usize, specimens: &Specimens, random: &mut Random) -> Value {
    let values = ty.enum_values();
    if !values.is_empty() {
        return json!(random.of(values));
    }
    let scalar = !matches!(ty.resolved(), Type::Message(_) | Type::List(_) | Type::Map(_));
    let seen = specimens.seen(name);
    if scalar && !seen.is_empty() && !random.one_in(6) {
        let like = random.of(seen);
        if fits(like, ty) {
            return like.clone();
        }
    }
    match ty.resolved() {
        Type::Bool => json!(true),
        Type::Int32 | Type::Int64 => json!(random.of(&[1, 2, 10, 100])),
        Type::Float64 => json!(1.5),
        Type::String if random.one_in(8) => json!(random.of(ODD)),
        Type::String => json!(random.of(&["a", "b", "example.com", "example.com/a"])),
        Type::Bytes => json!("YQ=="),
        Type::Quantity => json!(random.of(&["1", "1Gi", "500m"])),
        Type::Time => json!("2024-01-02T00:00:00Z"),
        Type::MicroTime => json!("2024-01-02T00:00:00.000001Z"),
        Type::IntOrString => random.of(&[json!(1), json!("50%"), json!("http")]).clone(),
        Type::Json => json!({}),
        Type::List(element) => {
            let many = *random.of(&[1, 1, 1, 2, 3]);
            (0..many).map(|_| plausible(element, name, depth, specimens, random)).collect()
        }
        Type::Map(of) => {
            let key = *random.of(&["k", "cpu", "memory", "example.com/k", "app"]);
            json!({ key: plausible(of, name, depth, specimens, random) })
        }
        Type::Message(message) => {
            let seen = specimens.seen(&message.name);
            if !seen.is_empty() && random.one_in(2) {
                return random.of(seen).clone();
            }
            made(message, depth, specimens, random)
        }
        _ => json!({}),
    }
}

/// A message with some of its fields.
fn made(message: &Message, depth: usize, specimens: &Specimens, random: &mut Random) -> Value {
    let mut map = Map::new();
    let often = (message.fields.len() / 3).max(2);
    for field in &message.fields {
        let nested = field.ty.element_message().is_some();
        let wanted = field.required || random.one_in(often);
        if !wanted || nested && depth == 0 || matches!(&*field.name, "managedFields" | "selfLink") {
            continue;
        }
        let value = plausible(&field.ty, &field.name, depth.saturating_sub(1), specimens, random);
        map.insert(field.name.to_string(), value);
    }
    Value::Object(map)
}

/// Whether a value seen elsewhere under the same name is of the type.
fn fits(value: &Value, ty: &Type) -> bool {
    match ty.resolved() {
        Type::Bool => value.is_boolean(),
        Type::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Type::Int64 => value.is_i64(),
        Type::Float64 => value.is_number(),
        Type::String => value.is_string(),
        Type::IntOrString => value.is_string() || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Type::Quantity => value.as_str().is_some_and(|text| api::quantity::Quantity::parse(text).is_ok()),
        Type::Bytes => {
            value.as_str().is_some_and(|text| text.len() % 4 == 0 && text.is_ascii() && !text.contains(['.', '-', ' ']))
        }
        Type::Time => value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z')),
        Type::MicroTime => value.as_str().is_some_and(|text| text.len() == 27 && text.ends_with('Z')),
        Type::RawExtension => value.is_object(),
        Type::Json => true,
        _ => false,
    }
}
