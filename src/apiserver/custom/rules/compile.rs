//! From the words of a rule to programs, in the environment upstream gives them: `self`, and `oldSelf` where it is used.

use std::fmt;
use std::sync::Arc;

use cel::{DeclType, Environment, Program, Type};
use serde_json::Value;

use crate::strategy::definition::field_path;
use crate::tree::Tree;

/// Why a rule is none.
#[derive(Debug)]
pub(crate) struct Mistake(String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A rule, ready to be run.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) message_expression: String,
    pub(crate) reason: String,
    /// The field that complaints are about, if not the value itself.
    pub(crate) field_path: Option<String>,
    /// Whether `oldSelf` may be absent.
    pub(crate) optional_old: bool,
    pub(crate) uses_old: bool,
    pub(crate) program: Result<Program, Mistake>,
    pub(crate) message_program: Option<Program>,
    /// What is wrong with the expression of the message.
    pub(crate) message_mistake: Option<Mistake>,
}

/// What complaints call the type of a schema's values. Upstream adds a number from the clock.
const SELF_TYPE: &str = "selfType0";

/// The declaration of a schema's values; `root` is set for whole objects.
pub(crate) fn declare(schema: &Value, root: bool) -> Option<Arc<DeclType>> {
    DeclType::from_structural(schema, root || schema.truth("x-kubernetes-embedded-resource"), SELF_TYPE)
}

/// Compiles one entry of `x-kubernetes-validations` of a schema.
pub(crate) fn compile(rule: &Value, decl: Option<&Arc<DeclType>>, schema: &Value) -> Compiled {
    let text = |name: &str| rule.text(name).to_owned();
    let optional_old = rule.truth("optionalOldSelf");
    let mut compiled = Compiled {
        rule: text("rule"),
        message: text("message"),
        message_expression: text("messageExpression"),
        reason: text("reason"),
        field_path: None,
        optional_old,
        uses_old: false,
        program: Err(Mistake("failed to convert to declType for CEL validation rules".into())),
        message_program: None,
        message_mistake: None,
    };
    let Some(decl) = decl else { return compiled };
    let alone = Environment::new().with("self", decl.clone());
    // What the old value may cost is limited by the same schema. An optional one has no fields whose sizes were known.
    let both = alone.clone();
    let both = match optional_old {
        true => both.with_type("oldSelf", Type::optional(decl.ty())),
        false => both.with("oldSelf", decl.clone()),
    };
    let made = match alone.compile(&compiled.rule) {
        Ok(program) => Ok(program),
        // It may be that nothing but the old value is missing.
        Err(_) => both.compile(&compiled.rule).inspect(|_| compiled.uses_old = true),
    };
    compiled.program = match made {
        Err(errors) => Err(Mistake(format!("compilation failed: {errors}"))),
        Ok(program) if *program.returns() != Type::Bool => {
            Err(Mistake("cel expression must evaluate to a bool".into()))
        }
        Ok(program) => Ok(program),
    };
    if !compiled.message_expression.is_empty() {
        match both.compile(&compiled.message_expression) {
            Err(errors) => {
                compiled.message_mistake = Some(Mistake(format!("messageExpression compilation failed: {errors}")));
            }
            Ok(program) if *program.returns() != Type::String => {
                compiled.message_mistake = Some(Mistake("messageExpression must evaluate to a string".into()));
            }
            Ok(program) => compiled.message_program = Some(program),
        }
    }
    let path = rule.text("fieldPath");
    if !path.is_empty() {
        compiled.field_path = field_path(schema, path, true).ok().map(|(_, path)| path);
    }
    compiled
}
