//! Holding a value against its schema, in the words of upstream's validator: `spec.replicas in body must be of type integer:
//! "string"`. Which of several alternatives a complaint is about is decided as there, by counting what fitted.

use serde_json::{Map, Number, Value};

use super::ratchet::Before;
use super::schema::{Additional, Checks, Kind, Schema};
use super::{format, number};
use crate::quote::quote;
use crate::regexp;
use crate::validation::field::{Error, ErrorList, ErrorType};

impl Schema {
    /// Complaints about a value. `base` is the path of the value in its object, empty for the object itself.
    pub fn validate(&self, value: &Value, base: &str) -> ErrorList {
        Validator { base }.check(self, value, None, "").into_list()
    }

    /// Complaints about a value that replaces another. What was wrong before and has not changed is let be.
    pub fn validate_update(&self, value: &Value, old: &Value, base: &str) -> ErrorList {
        let before = Before { old, schema: self };
        Validator { base }.ratchet(self, value, Some(before), "").into_list()
    }
}

/// What came of a check: complaints, and how much fitted.
#[derive(Default)]
struct Outcome {
    faults: Vec<Fault>,
    fitted: usize,
}

/// A complaint, and the text by which it is told from others.
struct Fault {
    text: String,
    error: Error,
}

impl Outcome {
    fn one(fault: Fault) -> Self {
        Self { faults: vec![fault], fitted: 0 }
    }

    fn fits() -> Self {
        Self { faults: Vec::new(), fitted: 1 }
    }

    fn is_valid(&self) -> bool {
        self.faults.is_empty()
    }

    /// A complaint is made once, however many ways lead to it.
    fn add(&mut self, fault: Fault) {
        if !self.faults.iter().any(|known| known.text == fault.text) {
            self.faults.push(fault);
        }
    }

    fn merge(&mut self, other: Self) {
        self.fitted += other.fitted;
        other.faults.into_iter().for_each(|fault| self.add(fault));
    }

    fn into_list(self) -> ErrorList {
        self.faults.into_iter().map(|fault| fault.error).collect()
    }
}

struct Validator<'a> {
    base: &'a str,
}

impl Validator<'_> {
    /// As [`Self::check`]; an unchanged value is let be.
    fn ratchet(&self, schema: &Schema, value: &Value, before: Option<Before<'_>>, path: &str) -> Outcome {
        let mut outcome = self.check(schema, value, before, path);
        if !outcome.is_valid() && before.is_some_and(|before| before.is_same(value)) {
            outcome.faults.clear();
        }
        outcome
    }

    fn check(&self, schema: &Schema, value: &Value, before: Option<Before<'_>>, path: &str) -> Outcome {
        let mut outcome = Outcome::default();
        let checks = schema.checks.as_deref();
        if value.is_null() {
            outcome.merge(self.kind(schema, value, path));
            outcome.merge(checks.map_or_else(Outcome::default, |checks| self.values(checks, value, path)));
            return outcome;
        }
        let format = checks.map_or("", |checks| &*checks.format);
        if schema.kind != Kind::Any || !format.is_empty() {
            outcome.merge(self.kind(schema, value, path));
            outcome.fitted += 1;
        }
        match checks {
            Some(checks) => outcome.merge(self.junctors(checks, value, before, path)),
            None => outcome.fitted += 1,
        }
        outcome.fitted += 1;
        match (value, checks) {
            (Value::String(text), Some(checks)) => {
                outcome.merge(self.string(checks, text, path));
                outcome.fitted += 1;
                if format::is_known(format) {
                    if !format::has(format, text) {
                        outcome.add(self.type_fault(path, format, text));
                    }
                    outcome.fitted += 1;
                }
            }
            (Value::String(_), None) => outcome.fitted += 1,
            (Value::Number(number), _) => {
                outcome.merge(self.number(checks, number, path));
                outcome.fitted += 1;
            }
            (Value::Array(list), _) => {
                outcome.merge(self.list(schema, checks, list, value, before, path));
                outcome.fitted += 1;
            }
            _ => {}
        }
        outcome.merge(checks.map_or_else(Outcome::default, |checks| self.values(checks, value, path)));
        outcome.fitted += 1;
        if let Value::Object(map) = value {
            outcome.merge(self.map(schema, checks, map, value, before, path));
            outcome.fitted += 1;
        }
        outcome.fitted += 1;
        outcome
    }

    fn kind(&self, schema: &Schema, value: &Value, path: &str) -> Outcome {
        let kinds: &[&str] = match schema.kind {
            Kind::Any => &[],
            Kind::Object => &["object"],
            Kind::Array => &["array"],
            Kind::String => &["string"],
            Kind::Integer => &["integer"],
            Kind::Number => &["number"],
            Kind::Boolean => &["boolean"],
            Kind::IntOrString => &["integer", "string"],
        };
        let wrong = |ty: &str, is: &str| Outcome::one(self.type_fault(path, ty, is));
        let (is, number_format) = match value {
            Value::Null if kinds.is_empty() || schema.nullable => return Outcome::fits(),
            Value::Null => return wrong(&kinds.join(","), "null"),
            Value::Bool(_) => ("boolean", ""),
            Value::String(_) => ("string", ""),
            Value::Array(_) => ("array", ""),
            Value::Object(_) => ("object", ""),
            Value::Number(number) if number.is_i64() => ("integer", "int64"),
            Value::Number(_) => ("number", "float64"),
        };
        let format = schema.checks.as_ref().map_or("", |checks| &*checks.format);
        let whole = || value.as_f64().is_some_and(|float| float.fract() == 0.0 && float.abs() <= (1_i64 << 53) as f64);
        let fits = kinds.contains(&is)
            || is == "number" && kinds.contains(&"integer") && whole()
            || is == "integer" && kinds.contains(&"number");
        let flat = matches!(value, Value::String(_) | Value::Array(_));
        if !flat && !format.is_empty() && !fits && number_format != format {
            return wrong(format, number_format);
        }
        // Whatever has a format is held against that, and not against the type.
        let numeric = kinds.contains(&"number") || kinds.contains(&"integer");
        if !numeric && !format.is_empty() && flat {
            return Outcome::fits();
        }
        if fits { Outcome::fits() } else { wrong(&kinds.join(","), is) }
    }

    fn values(&self, checks: &Checks, value: &Value, path: &str) -> Outcome {
        if checks.values.is_empty() || checks.values.iter().any(|allowed| is_value(allowed, value)) {
            return Outcome::default();
        }
        let names: Vec<String> = checks
            .values
            .iter()
            .map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = Error::not_supported(&self.at(path), sorted(value), &names);
        Outcome::one(Fault { text: format!("{path} in body should be one of {names:?}"), error })
    }

    fn string(&self, checks: &Checks, value: &str, path: &str) -> Outcome {
        let length = value.chars().count() as i64;
        if let Some(most) = checks.max_length.filter(|most| length > *most) {
            let text = format!("{path} in body should be at most {most} chars long");
            return Outcome::one(Fault { text, error: Error::too_long(&self.at(path), most.max(0) as usize) });
        }
        if let Some(least) = checks.min_length.filter(|least| length < *least) {
            return self.wrong(path, value, format!("should be at least {least} chars long"));
        }
        match &checks.pattern {
            // Nothing matches an expression that is none.
            Some(pattern) if !regexp::compile(pattern).is_ok_and(|regex| regex.is_match(value)) => {
                self.wrong(path, value, format!("should match '{pattern}'"))
            }
            _ => Outcome::default(),
        }
    }

    fn number(&self, checks: Option<&Checks>, value: &Number, path: &str) -> Outcome {
        let mut outcome = Outcome::fits();
        let Some(checks) = checks else { return outcome };
        for complaint in number::complaints(checks, value) {
            match complaint {
                number::Complaint::Value(why) => outcome.merge(self.wrong(path, Value::Number(value.clone()), why)),
                number::Complaint::Factor(factor) => {
                    let text = format!("factor MultipleOf declared for {path} must be positive: {factor}");
                    let error = Error::invalid(&self.at(path), factor, text.clone());
                    outcome.add(Fault { text, error });
                }
            }
        }
        outcome
    }

    fn list(
        &self,
        schema: &Schema,
        checks: Option<&Checks>,
        list: &[Value],
        value: &Value,
        before: Option<Before<'_>>,
        path: &str,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if let Some(items) = &schema.items {
            for (index, element) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                let before = before.and_then(|before| before.index(value, index));
                outcome.merge(self.ratchet(items, element, before, &path));
            }
        }
        if let Some(checks) = checks {
            let count = list.len() as i64;
            if let Some(least) = checks.min_items.filter(|least| count < *least) {
                outcome.merge(self.wrong(path, count, format!("should have at least {least} items")));
            }
            if let Some(most) = checks.max_items.filter(|most| count > *most) {
                let error = Error::too_many(&self.at(path), list.len(), most.max(0) as usize);
                outcome.add(Fault { text: format!("{path} in body should have at most {most} items"), error });
            }
            if checks.unique_items && (1..list.len()).any(|at| list[..at].contains(&list[at])) {
                outcome.merge(self.wrong(path, "", "shouldn't contain duplicates".to_owned()));
            }
        }
        outcome.fitted += 1;
        outcome
    }

    fn map(
        &self,
        schema: &Schema,
        checks: Option<&Checks>,
        map: &Map<String, Value>,
        value: &Value,
        before: Option<Before<'_>>,
        path: &str,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let count = map.len() as i64;
        if let Some(least) = checks.and_then(|checks| checks.min_properties).filter(|least| count < *least) {
            outcome.merge(self.wrong(path, count, format!("should have at least {least} properties")));
        }
        if let Some(most) = checks.and_then(|checks| checks.max_properties).filter(|most| count > *most) {
            let error = Error::too_many(&self.at(path), map.len(), most.max(0) as usize);
            outcome.add(Fault { text: format!("{path} in body should have at most {most} properties"), error });
        }
        let unnamed = || map.iter().filter(|(name, _)| schema.property(name).is_none());
        match &schema.additional {
            Additional::Allowed(false) => {
                for (name, _) in unnamed() {
                    let text = format!("{path}.{name} in body is a forbidden property");
                    let error = Error::invalid(&self.at(path), name.as_str(), text.clone());
                    outcome.add(Fault { text, error });
                }
            }
            Additional::Of(schema) => {
                for (name, inner) in unnamed() {
                    let before = self.child(before, value, name, path);
                    outcome.merge(self.ratchet(schema, inner, before, &format!("{path}.{name}")));
                }
            }
            Additional::Unsaid | Additional::Allowed(true) => {}
        }
        for (name, schema) in &schema.properties {
            let Some(inner) = map.get(&**name) else { continue };
            let before = self.child(before, value, name, path);
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            outcome.merge(self.ratchet(schema, inner, before, &path));
        }
        for name in checks.into_iter().flat_map(|checks| &checks.required) {
            if !map.contains_key(&**name) {
                let path = format!("{path}.{name}");
                let error = Error::required(&self.at(&path), "");
                outcome.add(Fault { text: format!("{path} in body is required"), error });
            }
        }
        outcome
    }

    /// Changes of the version are not seen here, so what hangs on it is always checked.
    fn child<'v>(&self, before: Option<Before<'v>>, value: &'v Value, name: &str, path: &str) -> Option<Before<'v>> {
        if path.is_empty() && matches!(name, "kind" | "apiVersion") {
            return None;
        }
        before.and_then(|before| before.key(value, name))
    }

    fn junctors(&self, checks: &Checks, value: &Value, before: Option<Before<'_>>, path: &str) -> Outcome {
        let mut outcome = Outcome::default();
        let quoted = || quote(path);
        if !checks.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut valid = false;
            for schema in &checks.any_of {
                let result = self.check(schema, value, before, path);
                if result.is_valid() {
                    best = Some(result);
                    valid = true;
                    break;
                }
                if best.as_ref().is_none_or(|best| result.fitted > best.fitted) {
                    best = Some(result);
                }
            }
            if !valid {
                outcome.add(self.composite(format!("{} must validate at least one schema (anyOf)", quoted())));
            }
            best.into_iter().for_each(|best| outcome.merge(best));
        }
        if !checks.one_of.is_empty() {
            let (mut best, mut first): (Option<Outcome>, Option<Outcome>) = (None, None);
            let mut valid = 0;
            for schema in &checks.one_of {
                let result = self.check(schema, value, before, path);
                if result.is_valid() {
                    valid += 1;
                    best = None;
                    first.get_or_insert(result);
                } else if valid == 0 && best.as_ref().is_none_or(|best| result.fitted > best.fitted) {
                    best = Some(result);
                }
            }
            match valid {
                1 => first.into_iter().for_each(|first| outcome.merge(first)),
                _ => {
                    let found = if valid == 0 {
                        "Found none valid".to_owned()
                    } else {
                        format!("Found {valid} valid alternatives")
                    };
                    let text = format!("{} must validate one and only one schema (oneOf). {found}", quoted());
                    outcome.add(self.composite(text));
                    best.into_iter().for_each(|best| outcome.merge(best));
                }
            }
        }
        if !checks.all_of.is_empty() {
            let mut valid = 0;
            for schema in &checks.all_of {
                let result = self.check(schema, value, before, path);
                valid += usize::from(result.is_valid());
                outcome.merge(result);
            }
            if valid != checks.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                outcome.add(self.composite(format!("{} must validate all the schemas (allOf){none}", quoted())));
            }
        }
        if let Some(not) = &checks.not
            && self.check(not, value, before, path).is_valid()
        {
            outcome.add(self.composite(format!("{} must not validate the schema (not)", quoted())));
        }
        outcome.fitted += 1;
        outcome
    }

    fn wrong(&self, path: &str, value: impl Into<Value>, why: String) -> Outcome {
        let text = format!("{path} in body {why}");
        let error = Error::invalid(&self.at(path), sorted(&value.into()), text.clone());
        Outcome::one(Fault { text, error })
    }

    fn type_fault(&self, path: &str, ty: &str, is: &str) -> Fault {
        let text = format!("{path} in body must be of type {ty}: {}", quote(is));
        Fault { error: Error::type_invalid(&self.at(path), is, text.clone()), text }
    }

    /// Complaints of junctors name the place in their text only.
    fn composite(&self, text: String) -> Fault {
        let field = if self.base.is_empty() { "<nil>" } else { self.base };
        let error =
            Error { kind: ErrorType::Invalid, field: field.to_owned(), value: Some("".into()), detail: text.clone() };
        Fault { text, error }
    }

    /// The place in the object.
    fn at(&self, path: &str) -> crate::validation::field::Path {
        use crate::validation::field::Path;
        let inner = path.strip_prefix('.').unwrap_or(path);
        match (self.base, inner) {
            ("", "") => Path::root("<nil>"),
            ("", inner) => Path::root(inner),
            (base, "") => Path::root(base),
            (base, inner) => Path::root(base).child(inner),
        }
    }
}

/// Whether a value is the one that is allowed; numbers are compared in the allowed one's type.
fn is_value(allowed: &Value, value: &Value) -> bool {
    match (allowed, value) {
        (Value::Null, _) => false,
        (Value::Number(allowed), Value::Number(value)) => match allowed.as_i64() {
            Some(allowed) => value.as_i64().or_else(|| value.as_f64().map(|float| float as i64)) == Some(allowed),
            None => value.as_f64() == allowed.as_f64(),
        },
        (allowed, value) => allowed == value,
    }
}

/// The value as Go would print it: the keys of maps in order.
pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            Value::Object(members.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
