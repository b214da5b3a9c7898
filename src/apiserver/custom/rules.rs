//! Validation rules of custom resources, `x-kubernetes-validations`: compiled when the first object of a version is
//! written, and run when the schema has nothing to complain about that would make them pointless.

mod compile;

use std::sync::Arc;

use api::custom::{Before, ListType, Rules, Schema};
use api::validation::field::{Error, ErrorList, ErrorType, Path};
use cel::{Budget, ErrorKind, Value as CelValue, Variables};
use serde_json::Value;

pub(crate) use compile::{Compiled, compile, declare};

use crate::tree::Tree;

/// The longest message that an expression may make.
const MESSAGE_MAX: usize = 5 * 1024;

/// The rules of a schema, where they stand in it. Parts without rules are left out.
#[derive(Debug)]
struct Node {
    schema: Arc<Schema>,
    /// The type as the schema has it.
    ty: Box<str>,
    decl: Option<Arc<cel::DeclType>>,
    rules: Vec<Compiled>,
    fields: Vec<(Box<str>, Node)>,
    values: Option<Box<Node>>,
    items: Option<Box<Node>>,
}

/// Compiles the rules of a schema; `None` when it has none.
pub(crate) fn of_schema(schema: &Value, compiled: &Arc<Schema>) -> Option<Arc<dyn Rules>> {
    let node = Node::build(schema, compiled, true)?;
    Some(Arc::new(node))
}

/// Complaints of the rules in a schema about a default in it: as a value that stays, and as one that is new.
pub(crate) fn of_default(schema: &Value, compiled: &Arc<Schema>, default: &Value, path: &Path) -> ErrorList {
    let Some(node) = Node::build(schema, compiled, false) else { return ErrorList::new() };
    let complaints = |old: Option<&Value>| {
        let mut run = Run { budget: Budget::default(), errors: ErrorList::new(), warnings: Vec::new() };
        let _ = run.node(&node, default, old, Same { here: None, above: None }, Some(path));
        run.errors
    };
    let staying = complaints(Some(default));
    if staying.is_empty() { complaints(None) } else { staying }
}

impl Node {
    fn build(schema: &Value, compiled: &Arc<Schema>, root: bool) -> Option<Self> {
        let rules = schema.items("x-kubernetes-validations");
        // One that says nothing is complained of where the schema is.
        let rules: Vec<&Value> = rules.iter().filter(|rule| !rule.text("rule").trim().is_empty()).collect();
        let decl = if rules.is_empty() { None } else { declare(schema, root) };
        let part = |name: &str, compiled: Option<&Arc<Schema>>| {
            let schema = schema.get(name).filter(|schema| schema.is_object())?;
            Node::build(schema, compiled?, false).map(Box::new)
        };
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let fields = fields.filter_map(|(name, schema)| {
            let node = Node::build(schema, compiled.property(name)?, false)?;
            Some((name.as_str().into(), node))
        });
        let node = Self {
            rules: rules.iter().map(|rule| compile(rule, decl.as_ref(), schema)).collect(),
            fields: fields.collect(),
            values: part("additionalProperties", compiled.values()),
            items: part("items", compiled.items()),
            schema: compiled.clone(),
            ty: schema.text("type").into(),
            decl,
        };
        let empty = node.rules.is_empty() && node.fields.is_empty() && node.values.is_none() && node.items.is_none();
        (!empty).then_some(node)
    }
}

impl Rules for Node {
    fn check(&self, new: &Value, old: Option<&Value>) -> (ErrorList, Vec<String>) {
        let mut run = Run { budget: Budget::default(), errors: ErrorList::new(), warnings: Vec::new() };
        let before = old.map(|old| Before::new(old, &self.schema));
        // Running out of budget has been complained about.
        let _ = run.node(self, new, old, Same { here: before.map(|before| (before, new)), above: None }, None);
        (run.errors, run.warnings)
    }
}

/// What the value is compared with: unchanged values are let be.
#[derive(Clone, Copy)]
struct Same<'v> {
    here: Option<(Before<'v>, &'v Value)>,
    /// The nearest value above that has something to be compared with.
    above: Option<(Before<'v>, &'v Value)>,
}

impl<'v> Same<'v> {
    fn inside(self, find: impl FnOnce(Before<'v>, &'v Value) -> Option<(Before<'v>, &'v Value)>) -> Self {
        match self.here {
            Some((before, value)) => Self { here: find(before, value), above: self.here },
            None => self,
        }
    }

    fn is_unchanged(self) -> bool {
        self.here.or(self.above).is_some_and(|(before, value)| before.is_same(value))
    }
}

struct Run {
    budget: Budget,
    errors: ErrorList,
    warnings: Vec<String>,
}

/// No further rules are run.
struct Stop;

impl Run {
    fn node<'v>(
        &mut self,
        node: &Node,
        value: &'v Value,
        old: Option<&'v Value>,
        same: Same<'v>,
        path: Option<&Path>,
    ) -> Result<(), Stop> {
        if value.is_null() {
            return Ok(());
        }
        self.rules(node, value, old.filter(|old| !old.is_null()), same, path)?;
        match value {
            Value::Object(map) => {
                // Also where the parts change as one: what was there under the same name is known.
                let before = |name: &str| old.and_then(|old| old.get(name));
                for (name, inner) in map {
                    let (child, inside) = match node.fields.iter().find(|(known, _)| **known == **name) {
                        Some((_, child)) => (child, path.map_or_else(|| Path::root(name), |path| path.child(name))),
                        None => match node.values.as_deref().filter(|_| node.schema.property(name).is_none()) {
                            Some(child) => {
                                (child, path.map_or_else(|| Path::root(&format!("[{name}]")), |path| path.key(name)))
                            }
                            None => continue,
                        },
                    };
                    let same = same.inside(|before, value| Some((before.key(value, name)?, inner)));
                    self.node(child, inner, before(name), same, Some(&inside))?;
                }
            }
            Value::Array(list) => {
                let Some(child) = &node.items else { return Ok(()) };
                let before =
                    old.filter(|_| node.schema.list == ListType::Map).map(|old| Before::new(old, &node.schema));
                for (index, inner) in list.iter().enumerate() {
                    let inside = path.map_or_else(|| Path::root(&format!("[{index}]")), |path| path.index(index));
                    let same = same.inside(|before, value| Some((before.index(value, index)?, inner)));
                    let old = before.and_then(|before| before.index(value, index)).map(|before| before.value());
                    self.node(child, inner, old, same, Some(&inside))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        same: Same<'_>,
        path: Option<&Path>,
    ) -> Result<(), Stop> {
        if node.rules.is_empty() {
            return Ok(());
        }
        let root = Path::root("<nil>");
        let at = path.unwrap_or(&root);
        let decl = node.decl.as_deref();
        let seen = |value| CelValue::json(value, decl);
        for rule in &node.rules {
            let program = match &rule.program {
                Ok(program) => program,
                Err(mistake) => {
                    self.errors.push(Error::invalid(at, &*node.ty, format!("rule compile error: {mistake}")));
                    continue;
                }
            };
            if rule.uses_old && old.is_none() && !rule.optional_old {
                continue;
            }
            let before = match (rule.optional_old, old) {
                (true, old) => CelValue::Optional(old.map(|old| Arc::new(seen(old)))),
                (false, Some(old)) => seen(old),
                (false, None) => CelValue::Null,
            };
            let variables = Variables::new().with("self", seen(value)).with("oldSelf", before);
            let fits = match program.evaluate(&variables, &mut self.budget) {
                Ok(result) => result.is_true(),
                Err(error) => {
                    self.failed(&error, rule, node, at)?;
                    continue;
                }
            };
            if fits {
                continue;
            }
            let message = self.message(rule, &variables);
            let at = match (rule.field_path.as_deref(), path) {
                (None, _) => at.clone(),
                (Some(field), Some(path)) => path.child(field),
                (Some(field), None) => Path::root(field),
            };
            let (message, stop) = match message {
                Ok(message) => (message.unwrap_or_else(|| rule.default_message()), false),
                Err(why) => (why, true),
            };
            let error = match stop {
                true => Error::invalid(&at, &*node.ty, message),
                false => rule.complaint(&at, &node.ty, value, message),
            };
            if !rule.uses_old && same.is_unchanged() {
                self.warnings.push(error.to_string());
            } else {
                self.errors.push(error);
            }
            if stop {
                return Err(Stop);
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: &cel::Error, rule: &Compiled, node: &Node, at: &Path) -> Result<(), Stop> {
        let name = rule.name();
        let (why, stop) = match error.kind {
            ErrorKind::Budget => (error.to_string(), true),
            ErrorKind::Cost => {
                let why = "no further validation rules will be run due to call cost exceeds limit for rule";
                (format!("'{error}': {why}: {name}"), true)
            }
            _ if error.message.starts_with("no such overload") => {
                let why = "call arguments did not match a supported operator, function or macro signature for rule";
                (format!("'{error}': {why}: {name}"), false)
            }
            _ => (format!("{error} evaluating rule: {name}"), false),
        };
        self.errors.push(Error::invalid(at, &*node.ty, why));
        if stop { Err(Stop) } else { Ok(()) }
    }

    /// What the rule's expression says about the value; `None` where it says nothing of use, an error where it cost too much.
    fn message(&mut self, rule: &Compiled, variables: &Variables<'_>) -> Result<Option<String>, String> {
        let Some(program) = &rule.message_program else { return Ok(None) };
        let made = match program.evaluate(variables, &mut self.budget) {
            Ok(made) => made,
            Err(error) if error.kind == ErrorKind::Budget => {
                let why = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
                return Err(why.into());
            }
            Err(error) if error.kind == ErrorKind::Cost => {
                let why =
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression";
                return Err(format!("{why}: {}", api::quote::quote(&rule.message_expression)));
            }
            Err(_) => return Ok(None),
        };
        let text = made.as_str().map(str::trim).unwrap_or_default();
        let usable = !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains(['\n', '\r']);
        Ok(usable.then(|| text.to_owned()))
    }
}

impl Compiled {
    fn complaint(&self, at: &Path, ty: &str, value: &Value, message: String) -> Error {
        let kind = match self.reason.as_str() {
            "FieldValueForbidden" => return Error::forbidden(at, message),
            "FieldValueRequired" => return Error::required(at, message),
            "FieldValueDuplicate" => ErrorType::Duplicate,
            _ => ErrorType::Invalid,
        };
        // Large values are not repeated.
        let value = (!matches!(ty, "object" | "array")).then(|| value.clone());
        let detail = if kind == ErrorType::Duplicate { String::new() } else { message };
        Error { kind, field: at.as_str().to_owned(), value, detail }
    }

    /// The rule as messages name it.
    fn name(&self) -> &str {
        let message = self.message.trim();
        if message.is_empty() { self.rule.trim() } else { message }
    }

    fn default_message(&self) -> String {
        match self.message.trim() {
            "" => format!("failed rule: {}", self.name()),
            message => message.to_owned(),
        }
    }
}
