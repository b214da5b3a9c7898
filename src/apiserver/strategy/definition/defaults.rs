//! Defaults in a schema: each has to be what the schema would let a client write.

use api::custom::Schema;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::{Map, Value, json};

use crate::custom::rules;
use crate::tree::Tree;

/// What speaks of the type and metadata of an embedded object.
const HEAD: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Complaints about the defaults of a schema and of what is in it. `root` says that it is that of an object.
pub(super) fn validate(schema: &Value, root: bool, path: &Path, errors: &mut ErrorList) {
    walk(schema, root, None, path, errors);
}

/// A place in the type or metadata of an embedded object.
#[derive(Clone)]
struct InHead<'s> {
    /// The object's schema.
    whole: &'s Value,
    /// The way from the object.
    way: Vec<Step<'s>>,
}

#[derive(Clone, Copy)]
enum Step<'s> {
    Key(&'s str),
    Element,
}

impl<'s> InHead<'s> {
    fn step(&self, step: Step<'s>) -> Self {
        let mut way = self.way.clone();
        way.push(step);
        Self { way, ..*self }
    }

    /// An object that says nothing but the default.
    fn object(&self, default: &Value) -> Value {
        let around = |value, step: &Step<'_>| match step {
            Step::Key(name) => Value::Object(Map::from_iter([((*name).to_owned(), value)])),
            Step::Element => json!([value]),
        };
        let mut object = self.way.iter().rev().fold(default.clone(), around);
        object.default_to("apiVersion", "validation/v1");
        object.default_to("kind", "Validation");
        object
    }

    /// Why an object with the default would have no valid type or metadata.
    fn complaint(&self, default: &Value) -> Option<String> {
        let schema = Schema::compile(self.whole);
        let mut object = self.object(default);
        if let Err(error) = schema.prune_value(&mut object) {
            return Some(error.to_string());
        }
        let complaints: Vec<String> = schema.validate_embedded(&object).iter().map(ToString::to_string).collect();
        match complaints.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(format!("[{}]", many.join(", "))),
        }
    }
}

fn walk(schema: &Value, root: bool, head: Option<&InHead<'_>>, path: &Path, errors: &mut ErrorList) {
    let embedded = schema.truth("x-kubernetes-embedded-resource");
    let head = head.filter(|_| !embedded);
    if let Some(default) = schema.at("default") {
        let path = path.child("default");
        if root {
            // That of an object has type and metadata whether it says so or not.
            let mut whole = schema.clone();
            whole.put("x-kubernetes-embedded-resource", true);
            one(&whole, default, head, &path, errors);
        } else {
            one(schema, default, head, &path, errors);
        }
    }
    if let Some(items) = schema.get("items").filter(|items| items.is_object()) {
        walk(items, false, head.map(|head| head.step(Step::Element)).as_ref(), &path.child("items"), errors);
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let in_head = HEAD.contains(&name.as_str());
        // The object's own may have no defaults at all.
        if root && in_head {
            continue;
        }
        let begins = || InHead { whole: schema, way: vec![Step::Key(name)] };
        let inside = match head {
            Some(head) => Some(head.step(Step::Key(name))),
            None => (embedded && in_head).then(begins),
        };
        walk(field, false, inside.as_ref(), &path.child("properties").key(name), errors);
    }
}

fn one(schema: &Value, default: &Value, head: Option<&InHead<'_>>, path: &Path, errors: &mut ErrorList) {
    let compiled = Schema::compile(schema);
    let found = match head {
        Some(head) => {
            let complaint = head.complaint(default).map(|why| format!("must result in valid metadata: {why}"));
            complaint.into_iter().map(|why| Error::invalid(path, default.clone(), why)).collect::<Vec<_>>().into()
        }
        None => {
            let mut pruned = default.clone();
            match compiled.prune_value(&mut pruned) {
                Ok(unknown) if unknown.is_empty() => {}
                _ => errors.push(Error::invalid(path, default.clone(), "must not have unknown fields")),
            }
            let embedded = compiled.validate_embedded(default).into_iter();
            let inside = |error: Error| Error { field: format!("{path}.{}", error.field), ..error };
            ErrorList::from(embedded.map(inside).collect::<Vec<_>>())
        }
    };
    if !found.is_empty() {
        errors.extend(found);
        return;
    }
    let found = compiled.validate(default, path.as_str());
    match found.is_empty() {
        true => errors.extend(rules::of_default(schema, &compiled, default, path)),
        false => errors.extend(found),
    }
}
