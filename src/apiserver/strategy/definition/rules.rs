//! Validation rules in a schema: each has to compile, and none may cost more than a request can pay.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use super::schema::{field_path, unreadable};
use crate::custom::rules::{Compiled, compile, declare};
use crate::tree::Tree;

/// What one expression may cost as estimated, and what all of a schema may.
const EXPRESSION_MAX: u64 = 10_000_000;
const SCHEMA_MAX: u64 = 100_000_000;
/// The largest request there is, in bytes.
const LARGEST_REQUEST: u64 = 3 << 20;
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Complaints about the words of a schema's own rules.
pub(super) fn words(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for (at, rule) in schema.items("x-kubernetes-validations").iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(at);
        let (text, message, expression) =
            (rule.text("rule").trim(), rule.text("message"), rule.text("messageExpression"));
        let breaks = |text: &str| text.contains(['\n', '\r']);
        if text.is_empty() {
            errors.push(Error::required(&path.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(Error::invalid(&path.child("message"), message, "must be non-empty if specified"));
        } else if breaks(message.trim()) {
            errors.push(Error::invalid(&path.child("message"), message, "must not contain line breaks"));
        } else if breaks(text) && message.trim().is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(Error::required(&path.child("message"), why));
        }
        if !expression.is_empty() && expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.push(Error::required(&path.child("messageExpression"), why));
        }
        if let Some(reason) = rule.at("reason").and_then(Value::as_str).filter(|reason| !REASONS.contains(reason)) {
            errors.push(Error::not_supported(&path.child("reason"), reason, &REASONS));
        }
        let (field, path) = (rule.text("fieldPath"), path.child("fieldPath"));
        if !field.is_empty() && field.trim().is_empty() {
            errors.push(Error::invalid(&path, field, "must be non-empty if specified"));
        }
        if breaks(field) {
            errors.push(Error::invalid(&path, field, "must not contain line breaks"));
        }
        // In a schema that cannot be read, nobody looks for fields.
        if !field.is_empty() && unreadable(schema).is_none() && field_path(schema, field, true).is_err() {
            errors.push(Error::invalid(&path, field, "must be a valid path"));
        }
    }
}

/// Complaints about what the rules of a structural schema compute, and what that costs; what each costs alone is let pass
/// where the schema is `unchanged`. Nothing is said of the rules of schemas that are `wrong`.
pub(super) fn expressions(
    schema: &Value,
    unchanged: bool,
    path: &Path,
    wrong: &HashSet<String>,
    errors: &mut ErrorList,
) {
    let mut total = Total { each: !unchanged, wrong, sum: 0, most: Vec::new() };
    Place { schema, path: path.clone(), times: Some(1), apart: None, root: true }.walk(&mut total, errors);
    if total.sum > SCHEMA_MAX {
        for (path, _) in &total.most {
            let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(Error::forbidden(path, why));
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(path, too_expensive(name, total.sum, SCHEMA_MAX)));
    }
}

/// What all rules cost, and the most expensive ones.
struct Total<'s> {
    /// Whether rules are looked at one by one.
    each: bool,
    /// The paths of the schemas about which, or inside of which, there are other complaints.
    wrong: &'s HashSet<String>,
    sum: u64,
    most: Vec<(Path, u64)>,
}

impl Total<'_> {
    fn add(&mut self, path: Path, cost: u64) {
        self.sum = self.sum.saturating_add(cost);
        if cost < SCHEMA_MAX / 100 {
            return;
        }
        self.most.push((path, cost));
        self.most.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        self.most.truncate(4);
    }
}

/// A schema inside the whole one.
struct Place<'s> {
    schema: &'s Value,
    path: Path,
    /// How many values of it an object may have; `None` where nothing limits them.
    times: Option<u64>,
    /// The nearest place from which on old values cannot be found.
    apart: Option<Path>,
    root: bool,
}

impl Place<'_> {
    fn walk(&self, total: &mut Total<'_>, errors: &mut ErrorList) {
        let object = |name: &str| self.schema.get(name).filter(|inner| inner.is_object());
        let apart = |known: bool| self.apart.clone().or_else(|| (!known).then(|| self.path.clone()));
        let inner = |schema, path, known| Place {
            schema,
            path,
            times: self.times.and_then(|times| Some(times.saturating_mul(most_elements(self.schema)?))),
            apart: apart(known),
            root: false,
        };
        if let Some(values) = object("additionalProperties") {
            inner(values, self.path.child("additionalProperties"), true).walk(total, errors);
        }
        for (name, field) in self.schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            inner(field, self.path.child("properties").key(name), true).walk(total, errors);
        }
        if let Some(items) = object("items") {
            let keyed = self.schema.text("x-kubernetes-list-type") == "map";
            inner(items, self.path.child("items"), keyed).walk(total, errors);
        }
        self.own(total, errors);
    }

    fn own(&self, total: &mut Total<'_>, errors: &mut ErrorList) {
        let rules = self.schema.items("x-kubernetes-validations");
        if rules.is_empty() || total.wrong.contains(self.path.as_str()) {
            return;
        }
        let decl = declare(self.schema, self.root);
        let times = self.times.unwrap_or_else(|| {
            let least = decl.as_ref().map_or(0, |decl| decl.min_size());
            LARGEST_REQUEST / (least + 1)
        });
        for (at, rule) in rules.iter().enumerate() {
            let path = self.path.child("x-kubernetes-validations").index(at);
            let compiled = compile(rule, decl.as_ref(), self.schema);
            self.one(rule, &compiled, times, &path, total, errors);
        }
    }

    fn one(
        &self,
        rule: &Value,
        compiled: &Compiled,
        times: u64,
        path: &Path,
        total: &mut Total<'_>,
        errors: &mut ErrorList,
    ) {
        let mut pay = |name: &str, field: &str, cost: u64, errors: &mut ErrorList| {
            let path = path.child(field);
            if cost > EXPRESSION_MAX && total.each {
                errors.push(Error::forbidden(&path, too_expensive(name, cost, EXPRESSION_MAX)));
            }
            total.add(path, cost);
        };
        match &compiled.program {
            Ok(program) => pay("estimated rule cost", "rule", program.cost().max.saturating_mul(times), errors),
            Err(mistake) => errors.push(Error::invalid(&path.child("rule"), shown(rule), mistake.to_string())),
        }
        // Behind a rule that is none, nothing is looked at.
        let good = compiled.program.is_ok();
        match (&compiled.message_mistake, &compiled.message_program) {
            _ if !good => {}
            (Some(mistake), _) => {
                errors.push(Error::invalid(&path.child("messageExpression"), shown(rule), mistake.to_string()));
            }
            (None, Some(program)) => {
                pay("estimated messageExpression cost", "messageExpression", program.cost().max, errors);
            }
            (None, None) => {}
        }
        if compiled.uses_old && good {
            if let Some(apart) = &self.apart {
                let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}");
                errors.push(Error::invalid(&path.child("rule"), rule.text("rule"), why));
            }
        } else if let Some(optional) = rule.at("optionalOldSelf") {
            let why = "may not be set if oldSelf is not used in rule";
            errors.push(Error::invalid(&path.child("optionalOldSelf"), optional.clone(), why));
        }
    }
}

/// How many values a value of the schema may hold; `None` where nothing limits them.
fn most_elements(schema: &Value) -> Option<u64> {
    let limit = |name: &str| schema.int(name).map(|limit| limit.max(0) as u64);
    match schema.text("type") {
        "object" if schema.at("additionalProperties").is_some() => limit("maxProperties"),
        "array" => limit("maxItems"),
        _ => Some(1),
    }
}

/// A rule as complaints show it.
pub(super) fn shown(rule: &Value) -> Value {
    json!({
        "Rule": rule.text("rule"),
        "Message": rule.text("message"),
        "MessageExpression": rule.text("messageExpression"),
        "Reason": rule.at("reason"),
        "FieldPath": rule.text("fieldPath"),
        "OptionalOldSelf": rule.at("optionalOldSelf"),
    })
}

fn too_expensive(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    let advice = "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared";
    format!("{name} exceeds budget by factor of {factor} ({advice})")
}
