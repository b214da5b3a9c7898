//! The conditions (CEL) under which an authorization webhook is asked at all.

use std::sync::{Arc, LazyLock};

use cel::{Budget, DeclType, Environment, Program, Type, Variables};
use serde_json::{Value, json};

/// Conditions that were found to be ones; all of them have to hold.
#[derive(Clone, Default)]
pub struct MatchConditions(Vec<Arc<Program>>);

impl std::fmt::Debug for MatchConditions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MatchConditions").field(&self.0.len()).finish()
    }
}

/// What expressions may say of `request`, the spec of a SubjectAccessReview.
static REQUEST: LazyLock<Environment> = LazyLock::new(|| {
    let (text, texts) = (DeclType::string, || DeclType::list(DeclType::string()));
    let requirement = || {
        let fields = [("key", text()), ("operator", text()), ("values", texts())];
        DeclType::object("kubernetes.SelectorRequirement", fields)
    };
    let selector =
        |name| DeclType::object(name, [("rawSelector", text()), ("requirements", DeclType::list(requirement()))]);
    let words = ["namespace", "verb", "group", "version", "resource", "subresource", "name"].map(|name| (name, text()));
    let selectors = [
        ("fieldSelector", selector("kubernetes.FieldSelectorAttributes")),
        ("labelSelector", selector("kubernetes.LabelSelectorAttributes")),
    ];
    let resource = DeclType::object("kubernetes.ResourceAttributes", words.into_iter().chain(selectors));
    let other = DeclType::object("kubernetes.NonResourceAttributes", [("path", text()), ("verb", text())]);
    let request = DeclType::object(
        "kubernetes.SubjectAccessReviewSpec",
        [
            ("resourceAttributes", resource),
            ("nonResourceAttributes", other),
            ("user", text()),
            ("groups", texts()),
            ("extra", DeclType::map(texts())),
            ("uid", text()),
        ],
    );
    Environment::new().with("request", request)
});

impl MatchConditions {
    /// Adds a condition; why it is none otherwise.
    pub(super) fn add(&mut self, source: &str) -> Result<(), String> {
        let program = REQUEST.compile(source).map_err(|errors| format!("compilation failed: {errors}"))?;
        if *program.returns() != Type::Bool {
            return Err(format!("must evaluate to bool but got {}", program.returns()));
        }
        self.0.push(Arc::new(program));
        Ok(())
    }

    /// Whether all conditions hold for the spec of a review. One that does not hold outweighs any that cannot be evaluated.
    pub(super) fn hold(&self, spec: &Value) -> Result<bool, String> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let whole = whole(spec);
        let mut problem = None;
        let mut budget = Budget::default();
        for program in &self.0 {
            match program.evaluate(&Variables::new().with("request", &whole), &mut budget) {
                Ok(value) if value.is_true() => {}
                Ok(_) => return Ok(false),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        problem.map_or(Ok(true), Err)
    }
}

/// A spec with every text in it that expressions may name.
fn whole(spec: &Value) -> Value {
    let mut whole = json!({"user": "", "uid": "", "groups": [], "extra": {}});
    let mut attributes = json!({
        "namespace": "", "verb": "", "group": "", "version": "", "resource": "", "subresource": "", "name": "",
    });
    let fill = |into: &mut Value, from: &Value| {
        for (key, value) in from.as_object().into_iter().flatten() {
            into[key] = value.clone();
        }
    };
    fill(&mut whole, spec);
    if let Some(resource) = spec.get("resourceAttributes") {
        fill(&mut attributes, resource);
        whole["resourceAttributes"] = attributes;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_look_at_the_request() {
        let check = |sources: &[&str], expect: Result<bool, &str>| {
            let mut conditions = MatchConditions::default();
            sources.iter().for_each(|source| conditions.add(source).unwrap());
            let spec = json!({"user": "alice", "resourceAttributes": {"verb": "get", "resource": "pods"}});
            match (conditions.hold(&spec), expect) {
                (Ok(seen), Ok(expect)) => assert_eq!(seen, expect, "{sources:?}"),
                (Err(why), Err(expect)) => assert!(why.contains(expect), "{why}"),
                (seen, _) => panic!("{sources:?}: {seen:?}"),
            }
        };
        check(&[], Ok(true));
        check(&["has(request.resourceAttributes)", "request.user == 'alice'"], Ok(true));
        check(&["request.resourceAttributes.name == 'a'"], Ok(false));
        check(&["!('system:masters' in request.groups)"], Ok(true));
        check(&["request.nonResourceAttributes.path == '/'"], Err("no such key"));
        check(&["request.nonResourceAttributes.path == '/'", "request.user == 'bob'"], Ok(false));
        let mut conditions = MatchConditions::default();
        assert!(conditions.add("request.nothing == 1").unwrap_err().contains("undefined field 'nothing'"));
        assert_eq!(conditions.add("request.user").unwrap_err(), "must evaluate to bool but got string");
    }
}
