//! Validating policies: expressions that have to be true.

use std::collections::BTreeMap;

use api::{Cause, Object, ObjectError, Status};
use cel::{Budget, Type};
use serde::Deserialize;
use serde_json::json;

use super::binding::Binding;
use super::{Common, CommonSpec, Compiled, Policies, namespace_of};
use crate::Registry;
use crate::admission::Attributes;
use crate::admission::expressions::{self, Answers, Expression, Inputs, Problem};
use crate::notes;

/// The longest message an expression may make. Bytes.
const LONGEST_MESSAGE: usize = 5 * 1024;
/// The longest value of an audit annotation. Bytes.
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// One policy.
pub(super) struct Policy {
    common: Common,
    validations: Vec<Validation>,
    annotations: Vec<(String, Expression)>,
}

struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whole {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(flatten)]
    common: CommonSpec,
    validations: Vec<ValidationSpec>,
    audit_annotations: Vec<Annotation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValidationSpec {
    expression: String,
    message: String,
    message_expression: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Annotation {
    key: String,
    value_expression: String,
}

impl Compiled for Policy {
    fn compile(object: &Object) -> Result<Self, ObjectError> {
        let Whole { spec } = object.view()?;
        let (common, names, variables) = Common::compile(&object.meta.name, spec.common);
        let environment = names.environment().with_lazy("variables", &variables);
        // Messages are made without the authorizer.
        let plain = expressions::Names { authorizer: false, ..names };
        let plain = plain.environment().with_lazy("variables", &variables);
        let validation = |from: ValidationSpec| Validation {
            expression: Expression::compile(&from.expression, &environment, &[Type::Bool]),
            message_expression: (!from.message_expression.is_empty())
                .then(|| Expression::compile(&from.message_expression, &plain, &[Type::String])),
            message: from.message,
            reason: from.reason,
        };
        let annotation = |from: Annotation| {
            let returns = [Type::String, Type::Null];
            (from.key, Expression::compile(&from.value_expression, &environment, &returns))
        };
        Ok(Self {
            common,
            validations: spec.validations.into_iter().map(validation).collect(),
            annotations: spec.audit_annotations.into_iter().map(annotation).collect(),
        })
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// Why a policy does not let a write pass.
struct Denial {
    message: String,
    reason: String,
}

impl Denial {
    fn failed(message: impl Into<String>) -> Denial {
        Denial { message: message.into(), reason: String::new() }
    }
}

pub(super) async fn dispatch(
    policies: &Policies<Policy>,
    registry: &Registry,
    attributes: &Attributes,
) -> Result<(), Status> {
    let mut denied: Option<Status> = None;
    let answers = Answers::new(registry.authorizer().map(|authorizer| &**authorizer), attributes);
    for (policy, bindings) in &policies.bound {
        let asked = Asked { policy, policies, registry, attributes, answers: &answers };
        if let Some(status) = asked.bindings(bindings).await? {
            denied = denied.or(Some(status));
        }
    }
    denied.map_or(Ok(()), Err)
}

/// One policy that is asked about one write.
struct Asked<'a> {
    policy: &'a Policy,
    policies: &'a Policies<Policy>,
    registry: &'a Registry,
    attributes: &'a Attributes,
    answers: &'a Answers<'a>,
}

impl Asked<'_> {
    /// Asks through all bindings; gives the first refusal.
    async fn bindings(&self, bindings: &[Binding]) -> Result<Option<Status>, Status> {
        let (common, equivalents) = (&self.policy.common, &self.policies.equivalents);
        let row = match common.matches(self.registry, self.attributes, equivalents).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(why) => return Ok(self.misconfigured(None, &why)),
        };
        let shown = self.registry.show_both(self.attributes, &row).await;
        let request = expressions::request(self.attributes, &row);
        let namespace = namespace_of(self.registry, self.attributes).await?;
        let (mut first, mut annotations) = (None, BTreeMap::new());
        for binding in bindings {
            match binding.matches(self.registry, self.attributes, equivalents).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(why) => {
                    first = first.or(self.misconfigured(Some(binding), &why));
                    continue;
                }
            }
            let params = binding.params(common.param_kind.as_ref(), self.registry, &self.attributes.namespace).await;
            let params = match params {
                Ok(params) => params,
                Err(why) => {
                    first = first.or(self.misconfigured(Some(binding), &why));
                    continue;
                }
            };
            let (object, old) = match &shown {
                Ok(both) => both,
                Err(why) => {
                    let why = format!("failed to convert object version: {}", why.message);
                    first = first.or(self.misconfigured(Some(binding), &why));
                    continue;
                }
            };
            for params in &params {
                let mut inputs = Inputs::new(object, old, &request, self.answers);
                (inputs.params, inputs.namespace, inputs.variables) = (params, &namespace, &common.variables);
                if let Some(denials) = self.denials(&inputs).await {
                    first = first.or(self.act(binding, denials));
                    let refusal = self.annotate(&inputs, &mut annotations).await;
                    first = first.or(refusal.map(|denial| self.refusal(Some(binding), &denial)));
                }
            }
        }
        for (key, values) in annotations.into_iter().filter(|(_, values): &(String, Vec<String>)| !values.is_empty()) {
            notes::annotate(format!("{}/{key}", common.name), values.join(", "));
        }
        Ok(first)
    }

    /// A refusal because policy or binding cannot work, unless the policy fails open.
    fn misconfigured(&self, binding: Option<&Binding>, why: &str) -> Option<Status> {
        if self.policy.common.fails_open {
            return None;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        Some(self.refusal(binding, &Denial::failed(format!("failed to configure {what}: {why}"))))
    }

    /// Does with each denial what the binding says; gives the first refusal.
    fn act(&self, binding: &Binding, denials: Vec<Option<Denial>>) -> Option<Status> {
        let mut first = None;
        for (index, denial) in denials.into_iter().enumerate() {
            let Some(denial) = denial else { continue };
            for action in &binding.actions {
                match &**action {
                    "Deny" => first = first.or_else(|| Some(self.refusal(Some(binding), &denial))),
                    "Audit" => self.audit(binding, index, &denial),
                    "Warn" => notes::warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        self.policy.common.name, binding.name, denial.message
                    )),
                    _ => {}
                }
            }
        }
        first
    }

    /// Collects the audit annotations; one that fails refuses the write, unless the policy fails open.
    async fn annotate(&self, inputs: &Inputs<'_>, annotations: &mut BTreeMap<String, Vec<String>>) -> Option<Denial> {
        let mut budget = Budget::default();
        let mut denial = None;
        for (key, expression) in &self.policy.annotations {
            match expression.evaluate(inputs, &mut budget).await {
                Ok(value) => {
                    let mut text = value.as_str().unwrap_or_default().trim();
                    while text.len() > LONGEST_ANNOTATION {
                        text = &text[..text.floor_char_boundary(LONGEST_ANNOTATION)];
                    }
                    let values = annotations.entry(key.clone()).or_default();
                    if !text.is_empty() && !values.iter().any(|value| value == text) {
                        values.push(text.to_owned());
                    }
                }
                Err(_) if self.policy.common.fails_open => {}
                Err(problem) => denial = denial.or(Some(Denial::failed(problem.message()))),
            }
        }
        denial
    }

    /// What each validation says: nothing, or why the write may not pass. `None` when the policy is not about the write.
    async fn denials(&self, inputs: &Inputs<'_>) -> Option<Vec<Option<Denial>>> {
        let fails_open = self.policy.common.fails_open;
        let failed = |message: String| (!fails_open).then(|| Denial::failed(message));
        match self.policy.common.conditions.met(inputs).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(why) => return Some(vec![failed(why)]),
        }
        let mut budget = Budget::default();
        let mut results = Vec::new();
        for validation in &self.policy.validations {
            match validation.expression.evaluate(inputs, &mut budget).await {
                Err(Problem::Spent(message)) => return Some(vec![failed(message)]),
                result => results.push((validation, result)),
            }
        }
        let mut denials = Vec::new();
        for (validation, result) in results {
            denials.push(match result {
                Ok(value) if value.is_true() => None,
                Ok(_) => match validation.message(inputs, &mut budget).await {
                    Ok(message) => Some(Denial { message, reason: validation.reason.clone() }),
                    Err(why) => failed(format!("failed messageExpression: {why}")),
                },
                Err(problem) => failed(problem.message()),
            });
        }
        Some(denials)
    }

    fn audit(&self, binding: &Binding, index: usize, denial: &Denial) {
        let failure = json!([{
            "message": denial.message,
            "policy": self.policy.common.name,
            "binding": binding.name,
            "expressionIndex": index,
            "validationActions": binding.actions,
        }]);
        notes::annotate("validation.policy.admission.k8s.io/validation_failure".to_owned(), failure.to_string());
    }

    fn refusal(&self, binding: Option<&Binding>, denial: &Denial) -> Status {
        let with = binding.map_or(String::new(), |binding| format!(" with binding '{}'", binding.name));
        let name = &self.policy.common.name;
        let message = format!("ValidatingAdmissionPolicy '{name}'{with} denied request: {}", denial.message);
        let mut status = self.attributes.forbidden(&message);
        let (reason, code) = match &*denial.reason {
            "Unauthorized" => ("Unauthorized", 401),
            "Forbidden" => ("Forbidden", 403),
            "RequestEntityTooLarge" => ("RequestEntityTooLarge", 413),
            _ => ("Invalid", 422),
        };
        (status.reason, status.code) = (reason.into(), code);
        let details = status.details.get_or_insert_default();
        details.causes.push(Cause { message, ..Cause::default() });
        status
    }
}

impl Validation {
    /// What the client is told: the message expression's text if it has a sensible one, or the message, or the
    /// expression. An error when the budget is spent.
    async fn message(&self, inputs: &Inputs<'_>, budget: &mut Budget) -> Result<String, String> {
        if let Some(expression) = &self.message_expression {
            match expression.evaluate(inputs, budget).await {
                Ok(value) => {
                    let text = value.as_str().unwrap_or_default().trim();
                    if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                        return Ok(text.to_owned());
                    }
                }
                Err(Problem::Spent(why)) => return Err(why),
                Err(Problem::Failed(why)) => tracing::debug!(why, "a message expression failed"),
            }
        }
        Ok(match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.source.trim()),
            message => message.to_owned(),
        })
    }
}
