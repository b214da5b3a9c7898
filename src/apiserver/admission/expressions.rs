//! Expressions about writes: what they can name (`object`, `oldObject`, `request`, `params`, `namespaceObject`,
//! `authorizer`, `variables`), how they are compiled and evaluated, and conditions that decide whether a webhook or a policy
//! is about a write at all.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use api::{Resource, User};
use cel::{Activation, Authorize, Budget, Check, Decision, DeclType, Environment, ErrorKind, Program, Type};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::Attributes;
use crate::authorization::{self, Authorizer};
use crate::discovery::subresource;

/// What all match conditions of one webhook or policy may cost.
const MATCH_CONDITIONS_BUDGET: u64 = Budget::PER_REQUEST / 4;

/// Which variables are there beside `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Names {
    /// `params`
    pub(crate) params: bool,
    /// `authorizer`, `authorizer.requestResource`
    pub(crate) authorizer: bool,
    /// `Object{…}`, `JSONPatch{…}`
    pub(crate) objects: bool,
}

impl Names {
    /// The environment of expressions that can use these names.
    pub(crate) fn environment(self) -> Environment {
        self.environment_for(Type::Dyn, None)
    }

    /// The same with a type for the objects (and the parameters), as type checking has it.
    pub(crate) fn environment_for(self, object: Type, params: Option<Type>) -> Environment {
        let mut environment = Environment::new()
            .with_type("object", object.clone())
            .with_type("oldObject", object)
            .with("request", REQUEST.clone())
            .with("namespaceObject", NAMESPACE.clone());
        if self.params {
            environment = environment.with_type("params", params.unwrap_or(Type::Dyn));
        }
        if self.authorizer {
            environment = environment.with_authorizer();
        }
        if self.objects {
            environment = environment.with_objects();
        }
        environment
    }
}

/// An expression, compiled; or upstream's words for why it cannot be.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) source: String,
    pub(crate) program: Result<Program, String>,
}

/// What is not a value.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The expression did not compile, or failed on these values.
    Failed(String),
    /// Nothing more is evaluated: the budget is spent.
    Spent(String),
}

impl Problem {
    pub(crate) fn message(self) -> String {
        match self {
            Problem::Failed(message) | Problem::Spent(message) => message,
        }
    }
}

impl Expression {
    /// Compiles an expression whose result has to be of one of the types. No types: anything.
    pub(crate) fn compile(source: &str, environment: &Environment, returns: &[Type]) -> Expression {
        Expression { source: source.to_owned(), program: compile(source, environment, returns) }
    }

    /// Evaluates; the authorizer is asked as often as the expression needs it.
    pub(crate) async fn evaluate<'a>(
        &self,
        inputs: &Inputs<'a>,
        budget: &mut Budget,
    ) -> Result<cel::Value<'a>, Problem> {
        let program = self.program.as_ref().map_err(|why| Problem::Failed(format!("compilation error: {why}")))?;
        loop {
            let mut trial = *budget;
            let result = program.evaluate(inputs, &mut trial);
            let error = match result {
                Ok(value) => {
                    *budget = trial;
                    return Ok(value);
                }
                Err(error) => error,
            };
            match error.kind {
                ErrorKind::Pending => inputs.answers.fetch().await,
                ErrorKind::Budget => {
                    *budget = trial;
                    return Err(Problem::Spent(error.message));
                }
                ErrorKind::Cost | ErrorKind::Evaluation => {
                    *budget = trial;
                    let message = format!("expression '{}' resulted in error: {error}", self.source);
                    return Err(Problem::Failed(message));
                }
            }
        }
    }
}

/// A program whose result is of one of the types; upstream's words otherwise.
pub(crate) fn compile(source: &str, environment: &Environment, returns: &[Type]) -> Result<Program, String> {
    let program = environment.compile(source).map_err(|errors| format!("compilation failed: {errors}"))?;
    let found = type_name(program.returns());
    match returns {
        [] => Ok(program),
        returns if returns.contains(program.returns()) => Ok(program),
        [only] => Err(format!("must evaluate to {} but got {found}", type_name(only))),
        several => {
            let several: Vec<_> = several.iter().map(type_name).collect();
            Err(format!("must evaluate to one of [{}] but got {found}", several.join(" ")))
        }
    }
}

/// Types as Go prints them here, which is not how the checker's errors print them.
pub(crate) fn type_name(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        other => other.to_string(),
    }
}

/// The data of one write for expressions.
pub(crate) struct Inputs<'a> {
    pub(crate) object: &'a Value,
    pub(crate) old: &'a Value,
    /// As [`request`] makes it.
    pub(crate) request: &'a Value,
    /// Null when there are none.
    pub(crate) params: &'a Value,
    /// Null for objects of the cluster.
    pub(crate) namespace: &'a Value,
    /// Who answers `authorizer`.
    pub(crate) answers: &'a Answers<'a>,
    /// `variables`, in order.
    pub(crate) variables: &'a [(Arc<str>, Expression)],
    computed: Mutex<HashMap<Arc<str>, Result<cel::Value<'a>, cel::Error>>>,
}

impl<'a> Inputs<'a> {
    /// The data of a write, without parameters, namespace and variables.
    pub(crate) fn new(object: &'a Value, old: &'a Value, request: &'a Value, answers: &'a Answers<'a>) -> Inputs<'a> {
        Inputs {
            object,
            old,
            request,
            params: &Value::Null,
            namespace: &Value::Null,
            answers,
            variables: &[],
            computed: Mutex::default(),
        }
    }
}

impl<'a> Activation<'a> for Inputs<'a> {
    fn variable(&self, name: &str) -> Option<cel::Value<'a>> {
        Some(match name {
            "object" => cel::Value::from(self.object),
            "oldObject" => cel::Value::from(self.old),
            "params" => cel::Value::from(self.params),
            "request" => cel::Value::json(self.request, Some(&REQUEST)),
            "namespaceObject" => cel::Value::json(self.namespace, Some(&NAMESPACE)),
            "authorizer.requestResource" => cel::Value::Check(Arc::new(self.answers.own.clone())),
            _ => return None,
        })
    }

    /// `variables.x`: computed once for each write.
    fn field(&self, _: &str, field: &str, budget: &mut Budget) -> Option<Result<cel::Value<'a>, cel::Error>> {
        if let Some(known) = self.computed.lock().get(field) {
            return Some(known.clone());
        }
        let (name, expression) = self.variables.iter().find(|(name, _)| **name == *field)?;
        let failed = |how: &str, why: &dyn std::fmt::Display| {
            cel::Error::new(format!("composited variable {} {how}: {why}", api::quote::quote(name)))
        };
        let value = match &expression.program {
            Err(why) => Err(failed("fails to compile", why)),
            Ok(program) => match program.evaluate(self, budget) {
                Err(error) if error.kind == ErrorKind::Evaluation => Err(failed("fails to evaluate", &error)),
                other => other,
            },
        };
        let settled = value.as_ref().err().is_none_or(|error| error.kind == ErrorKind::Evaluation);
        if settled {
            self.computed.lock().insert(name.clone(), value.clone());
        }
        Some(value)
    }

    fn authorizer(&self) -> &dyn Authorize {
        self.answers
    }
}

/// What the authorizer has answered for one write, and what it is still to be asked.
pub(crate) struct Answers<'a> {
    authorizer: Option<&'a Authorizer>,
    user: Arc<User>,
    /// The question about the request's own resource.
    own: Check,
    known: Mutex<HashMap<Check, Option<Decision>>>,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(authorizer: Option<&'a Authorizer>, attributes: &Attributes) -> Answers<'a> {
        let own = Check {
            group: Some(attributes.requested.group.to_string()),
            resource: attributes.requested.plural.to_string(),
            subresource: attributes.subresource.clone(),
            namespace: attributes.namespace.clone(),
            name: attributes.name.clone(),
            ..Check::default()
        };
        Answers { authorizer, user: attributes.user.clone(), own, known: Mutex::default() }
    }

    /// Asks whatever is to be asked.
    async fn fetch(&self) {
        let asked = |known: &HashMap<Check, Option<Decision>>| {
            known.iter().find(|(_, decision)| decision.is_none()).map(|(check, _)| check.clone())
        };
        loop {
            let next = asked(&self.known.lock());
            let Some(check) = next else { return };
            let decision = self.ask(&check).await;
            self.known.lock().insert(check, Some(decision));
        }
    }

    async fn ask(&self, check: &Check) -> Decision {
        let Some(authorizer) = self.authorizer else {
            return Decision { error: Some("no authorizer".into()), ..Decision::default() };
        };
        let account = check.service_account.as_ref().map(|(namespace, name)| service_account(namespace, name));
        let what = authorization::Attributes {
            verb: &check.verb,
            group: check.group.as_deref().unwrap_or_default(),
            version: "*",
            resource: &check.resource,
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            is_resource: check.path.is_none(),
            path: check.path.as_deref().unwrap_or_default(),
            field_selector: check.field_selector.as_deref().unwrap_or_default(),
            label_selector: check.label_selector.as_deref().unwrap_or_default(),
        };
        match authorizer.decide(account.as_ref().unwrap_or(&self.user), &what).await {
            authorization::Decision::Allow(why) => Decision { allowed: true, reason: why.to_string(), error: None },
            authorization::Decision::NoOpinion(reason) | authorization::Decision::Deny(reason) => {
                Decision { allowed: false, reason, error: None }
            }
            authorization::Decision::Failed { why, .. } => Decision { error: Some(why), ..Decision::default() },
        }
    }
}

fn service_account(namespace: &str, name: &str) -> User {
    let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    User::new(format!("system:serviceaccount:{namespace}:{name}"), groups)
}

impl Authorize for Answers<'_> {
    fn check(&self, check: &Check) -> Option<Decision> {
        self.known.lock().entry(check.clone()).or_insert(None).clone()
    }
}

/// `request`: the admission review without its objects.
pub(crate) fn request(attributes: &Attributes, row: &Resource) -> Value {
    let user = &attributes.user;
    let mut request = json!({
        "kind": kind(row, &attributes.subresource),
        "resource": resource(row),
        "requestKind": kind(&attributes.requested, &attributes.subresource),
        "requestResource": resource(&attributes.requested),
        "name": attributes.name,
        "operation": attributes.verb.name(),
        "userInfo": {"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra},
        "dryRun": attributes.dry_run,
        "options": attributes.options.to_value(),
    });
    let mut set = |key: &str, value: &str| {
        if !value.is_empty() {
            request[key] = value.into();
        }
    };
    set("subResource", &attributes.subresource);
    set("requestSubResource", &attributes.subresource);
    set("namespace", attributes.about_namespace());
    request
}

fn kind(row: &Resource, subresource: &str) -> Value {
    let described = (!subresource.is_empty()).then(|| subresource::describe(row, subresource).kind).flatten();
    let (group, version, kind) = described.unwrap_or((&row.group, &row.version, &row.kind));
    json!({"group": group, "version": version, "kind": kind})
}

fn resource(row: &Resource) -> Value {
    json!({"group": row.group, "version": row.version, "resource": row.plural})
}

static REQUEST: LazyLock<Arc<DeclType>> = LazyLock::new(|| {
    let text = DeclType::string;
    let texts = || DeclType::list(DeclType::string());
    let kind =
        || DeclType::object("kubernetes.GroupVersionKind", [("group", text()), ("version", text()), ("kind", text())]);
    let resource = || {
        let fields = [("group", text()), ("version", text()), ("resource", text())];
        DeclType::object("kubernetes.GroupVersionResource", fields)
    };
    let user = [("username", text()), ("uid", text()), ("groups", texts()), ("extra", DeclType::map(texts()))];
    DeclType::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", text()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", DeclType::object("kubernetes.UserInfo", user)),
            ("dryRun", DeclType::bool()),
            ("options", DeclType::dynamic()),
        ],
    )
});

static NAMESPACE: LazyLock<Arc<DeclType>> = LazyLock::new(|| {
    let text = DeclType::string;
    let texts = || DeclType::list(DeclType::string());
    let metadata = DeclType::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", DeclType::map(text())),
            ("annotations", DeclType::map(text())),
            ("UID", text()),
            ("creationTimestamp", DeclType::timestamp()),
            ("deletionGracePeriodSeconds", DeclType::int()),
            ("deletionTimestamp", DeclType::timestamp()),
            ("generation", DeclType::int()),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ],
    );
    let condition = DeclType::object(
        "kubernetes.NamespaceCondition",
        [
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", DeclType::timestamp()),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let status = [("conditions", DeclType::list(condition)), ("phase", text())];
    DeclType::object(
        "kubernetes.Namespace",
        [
            ("metadata", metadata),
            ("spec", DeclType::object("kubernetes.NamespaceSpec", [("finalizers", texts())])),
            ("status", DeclType::object("kubernetes.NamespaceStatus", status)),
        ],
    )
});

/// Conditions that a write has to meet, by name.
#[derive(Debug, Default)]
pub(crate) struct MatchConditions(Vec<(String, Expression)>);

impl MatchConditions {
    /// Compiles `matchConditions`: objects with `name` and `expression`.
    pub(crate) fn compile(conditions: &[Value], environment: &Environment) -> MatchConditions {
        let text = |condition: &Value, key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        let compile = |condition: &Value| {
            let expression = Expression::compile(&text(condition, "expression"), environment, &[Type::Bool]);
            (text(condition, "name"), expression)
        };
        MatchConditions(conditions.iter().map(compile).collect())
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the write meets them all. One that it does not meet settles it, whatever went wrong with others; what went
    /// wrong is an error otherwise, in upstream's words.
    pub(crate) async fn met(&self, inputs: &Inputs<'_>) -> Result<bool, String> {
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let mut errors = Vec::new();
        for (_, condition) in &self.0 {
            match condition.evaluate(inputs, &mut budget).await {
                Ok(cel::Value::Bool(false)) => return Ok(false),
                Ok(_) => {}
                Err(Problem::Failed(message)) => errors.push(message),
                Err(Problem::Spent(message)) => return Err(message),
            }
        }
        match errors.len() {
            0 => Ok(true),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }
}
