//! Expressions (CEL) about the claims of a token, and about the user made of them.

use std::sync::{Arc, LazyLock};

use api::User;
use cel::{Budget, Environment, Program, Type, Variables};
use serde_json::{Map, Value, json};

/// An expression that was found to be one.
#[derive(Clone)]
pub struct Expression {
    source: String,
    program: Arc<Program>,
}

/// A condition, and what is said when it does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationRule {
    /// The condition.
    pub condition: Expression,
    /// What is said; may be empty.
    pub message: String,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

static CLAIMS: LazyLock<Environment> =
    LazyLock::new(|| Environment::new().with_type("claims", Type::Map(Arc::new((Type::String, Type::Dyn)))));

static USER: LazyLock<Environment> = LazyLock::new(|| {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let schema = json!({"type": "object", "properties": {
        "username": {"type": "string"}, "uid": {"type": "string"}, "groups": texts,
        "extra": {"type": "object", "additionalProperties": texts},
    }});
    match cel::DeclType::from_structural(&schema, false, "kubernetes.UserInfo") {
        Some(user) => Environment::new().with("user", user),
        None => Environment::new().with_dynamic("user"),
    }
});

impl Expression {
    /// An expression about `claims`.
    pub fn of_claims(source: &str) -> Result<Self, String> {
        Self::compile(&CLAIMS, source)
    }

    /// A condition about `claims`.
    pub fn condition_of_claims(source: &str) -> Result<Self, String> {
        Self::compile(&CLAIMS, source)?.boolean()
    }

    /// A condition about `user`.
    pub fn condition_of_user(source: &str) -> Result<Self, String> {
        Self::compile(&USER, source)?.boolean()
    }

    fn compile(environment: &Environment, source: &str) -> Result<Self, String> {
        let program = environment.compile(source).map_err(|errors| format!("compilation failed: {errors}"))?;
        Ok(Self { source: source.to_owned(), program: Arc::new(program) })
    }

    fn boolean(self) -> Result<Self, String> {
        if *self.program.returns() == Type::Bool { Ok(self) } else { Err("must evaluate to bool".into()) }
    }

    /// As it is written.
    pub(in crate::authentication) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression reads a claim, by the words it is made of.
    pub(in crate::authentication) fn reads(&self, claim: &str) -> bool {
        ["claims.", "claims.?"].iter().any(|start| {
            let named = format!("{start}{claim}");
            self.source.match_indices(&named).any(|(at, _)| {
                let next = self.source[at + named.len()..].chars().next();
                !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
            })
        })
    }

    /// What it makes of a variable; errors in upstream's words.
    fn evaluate<'v>(&'v self, variable: &'static str, data: &'v Value) -> Result<cel::Value<'v>, String> {
        let variables = Variables::new().with(variable, data);
        let value = self.program.evaluate(&variables, &mut Budget::default());
        value.map_err(|error| format!("expression '{}' resulted in error: {error}", self.source))
    }

    /// The text it makes of the claims; errors in upstream's words, `what` being what it is for.
    pub(super) fn text(&self, claims: &Value, what: &str) -> Result<String, String> {
        let failed = |why: String| format!("oidc: error evaluating {what} claim expression: {why}");
        let value = self.evaluate("claims", claims).map_err(failed)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| failed(format!("{what} claim expression must return a string")))
    }

    /// The texts it makes of the claims, empty ones left out. A list that a function made is a list as any other, which upstream
    /// makes a difference of.
    pub(super) fn texts(&self, claims: &Value) -> Result<Result<Vec<String>, &'static str>, String> {
        let value = self.evaluate("claims", claims)?;
        let texts: Option<Vec<String>> = match (value.as_str(), &value) {
            (Some(text), _) => Some(vec![text.to_owned()]),
            (None, cel::Value::Null) => Some(Vec::new()),
            (None, cel::Value::List(list)) => {
                (0..list.len()).map(|at| list.get(at).and_then(|one| one.as_str().map(str::to_owned))).collect()
            }
            _ => None,
        };
        let texts = texts.map(|texts| texts.into_iter().filter(|text| !text.is_empty()).collect());
        Ok(texts.ok_or("expression must return a string or a list of strings"))
    }
}

impl ValidationRule {
    /// Whether the claims meet the condition; else why not.
    pub(super) fn check_claims(&self, claims: &Value) -> Result<(), String> {
        self.check("claims", claims).map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))
    }

    /// Whether the user meets the condition; else why not.
    pub(super) fn check_user(&self, user: &User) -> Result<(), String> {
        let user = json!({
            "username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
        });
        self.check("user", &user).map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))
    }

    fn check(&self, variable: &'static str, data: &Value) -> Result<(), String> {
        if self.condition.evaluate(variable, data)?.is_true() {
            return Ok(());
        }
        Err(format!("validation expression '{}' failed: {}", self.condition.source, self.message))
    }
}

/// Claims as expressions see them.
pub(super) fn tree(claims: &Map<String, Value>) -> Value {
    Value::Object(claims.clone())
}
