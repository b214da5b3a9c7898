//! Reviews: clients ask who somebody is and what they may do. Answered and forgotten.

mod validation;

use std::collections::BTreeMap;

use api::selector::{FieldSelector, LabelSelector};
use api::validation::field::aggregate;
use api::{Request, Resource, Status, User};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Attributes, Authorizer, Decision, Rule};
use crate::authentication::{Authenticator, UNKNOWN_TOKEN};
use crate::tree::Tree;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AccessSpec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<NonResourceAttributes>,
    user: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<Selector>,
    label_selector: Option<Selector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    raw_selector: String,
    requirements: Option<Vec<Requirement>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Requirement {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NonResourceAttributes {
    path: String,
    verb: String,
}

/// A review that was read and found to make sense.
pub(crate) enum Question {
    /// Whose token that is, and for which audiences it is to be.
    Token(String, Vec<String>),
    /// Who asks.
    Myself,
    /// What whoever asks may do in a namespace.
    Rules(String),
    /// What somebody may do.
    Access(Box<AccessSpec>),
}

/// Whether the row is about reviews, which are answered and not stored.
pub(crate) fn is_review(resource: &Resource) -> bool {
    let kind = &*resource.kind;
    match &*resource.group {
        "authentication.k8s.io" => matches!(kind, "TokenReview" | "SelfSubjectReview"),
        "authorization.k8s.io" => matches!(
            kind,
            "SubjectAccessReview" | "LocalSubjectAccessReview" | "SelfSubjectAccessReview" | "SelfSubjectRulesReview"
        ),
        _ => false,
    }
}

impl Question {
    /// Reads a review that a request creates.
    pub(crate) fn read(request: &Request, body: &Value) -> Result<Self, Status> {
        match &*request.resource.kind {
            "TokenReview" => token(body),
            "SelfSubjectReview" => Ok(Self::Myself),
            "SelfSubjectRulesReview" => match body.text("spec.namespace") {
                "" => Err(Status::bad_request("no namespace on request")),
                namespace => Ok(Self::Rules(namespace.to_owned())),
            },
            _ => access(request, body).map(|spec| Self::Access(Box::new(spec))),
        }
    }

    /// The review, answered.
    pub(crate) async fn answer(
        self,
        authenticator: &Authenticator,
        authorizer: &Authorizer,
        request: &Request,
        mut review: Value,
    ) -> Value {
        let metadata = match self {
            Self::Myself => json!({ "creationTimestamp": api::time::format(jiff::Timestamp::now()) }),
            // Answered by a new review, upstream, which was asked nothing.
            Self::Rules(_) => {
                review["spec"] = json!({});
                json!({})
            }
            _ => review.at("metadata").filter(|metadata| metadata.is_object()).cloned().unwrap_or_else(|| json!({})),
        };
        let status = match self {
            Self::Token(token, audiences) => match authenticator.token(&token, &audiences).await {
                Ok(found) => {
                    json!({ "authenticated": true, "user": user_info(&found.user), "audiences": found.audiences })
                }
                Err(why) => json!({ "user": {}, "error": refused_token(&why) }),
            },
            Self::Myself => json!({ "userInfo": user_info(&request.user) }),
            Self::Rules(namespace) => rules(authorizer, &request.user, &namespace),
            Self::Access(spec) => decided(authorizer, request, *spec).await,
        };
        let mut answer = json!({
            "kind": request.resource.kind, "apiVersion": request.resource.api_version(), "metadata": metadata,
        });
        if let Some(spec) = review.get_mut("spec") {
            answer["spec"] = spec.take();
        }
        answer["status"] = status;
        answer
    }
}

/// A token is tried as each kind that the server knows; those that it is none of say nothing, all together say that.
fn refused_token(why: &str) -> String {
    if why == UNKNOWN_TOKEN { why.to_owned() } else { format!("[{UNKNOWN_TOKEN}, {why}]") }
}

fn user_info(user: &User) -> Value {
    let mut info = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

fn token(body: &Value) -> Result<Question, Status> {
    let token = body.text("spec.token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = body.items("spec.audiences").iter();
    Ok(Question::Token(token.to_owned(), audiences.filter_map(|a| a.as_str().map(str::to_owned)).collect()))
}

fn access(request: &Request, body: &Value) -> Result<AccessSpec, Status> {
    validation::check(request, body)?;
    let kind = &*request.resource.kind;
    let Some(spec) = body.get("spec") else { return Ok(AccessSpec::default()) };
    Deserialize::deserialize(spec)
        .map_err(|e| Status::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: {e}")))
}

async fn decided(authorizer: &Authorizer, request: &Request, spec: AccessSpec) -> Value {
    let named = match &*request.resource.kind {
        "SelfSubjectAccessReview" => (*request.user).clone(),
        _ => {
            let (groups, extra) = (spec.groups.unwrap_or_default(), spec.extra.unwrap_or_default());
            User { name: spec.user, uid: spec.uid, groups, extra }
        }
    };
    let mut complaints = Vec::new();
    let decision = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(what), _) => {
            let (fields, complaint) = asked_selection(what.field_selector.as_ref(), "fieldSelector");
            complaints.extend(complaint);
            let (labels, complaint) = asked_selection(what.label_selector.as_ref(), "labelSelector");
            complaints.extend(complaint);
            let asked = Attributes {
                verb: &what.verb,
                group: &what.group,
                // Who says nothing of versions means all of them.
                version: if what.version.is_empty() { "*" } else { &what.version },
                resource: &what.resource,
                subresource: &what.subresource,
                namespace: &what.namespace,
                name: &what.name,
                is_resource: true,
                path: "",
                field_selector: &fields,
                label_selector: &labels,
            };
            authorizer.decide(&named, &asked).await
        }
        (None, Some(what)) => {
            let what = Attributes { verb: &what.verb, path: &what.path, ..Attributes::default() };
            authorizer.decide(&named, &what).await
        }
        (None, None) => Decision::NoOpinion(String::new()),
    };
    let mut status = json!({ "allowed": decision.allows() });
    let reason = match decision {
        Decision::Allow(reason) => reason.to_string(),
        Decision::NoOpinion(reason) => reason,
        Decision::Deny(reason) => {
            status["denied"] = json!(true);
            reason
        }
        Decision::Failed { why, denies } => {
            if denies {
                status["denied"] = json!(true);
            }
            complaints.insert(0, why);
            String::new()
        }
    };
    if !complaints.is_empty() {
        status["evaluationError"] = json!(complaints.join("; "));
    }
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

/// A selector as it stands in a request. What cannot be written so is left out, and complained about: what is asked about is
/// then more than was meant, never less.
fn asked_selection(selector: Option<&Selector>, name: &str) -> (String, Option<String>) {
    let Some(selector) = selector else { return Default::default() };
    let labels = name == "labelSelector";
    let reads =
        |text: &str| if labels { LabelSelector::parse(text).is_ok() } else { FieldSelector::parse(text).is_ok() };
    let requirements = selector.requirements.as_deref().unwrap_or_default();
    let (text, ignored) = if requirements.is_empty() {
        let raw = &selector.raw_selector;
        if reads(raw) { (raw.clone(), false) } else { (String::new(), true) }
    } else {
        let term = |requirement: &Requirement| term(requirement, labels).filter(|term| reads(term));
        let terms: Vec<String> = requirements.iter().filter_map(term).collect();
        (terms.join(","), terms.len() < requirements.len())
    };
    let how = if text.is_empty() { "ignored" } else { "partially ignored" };
    let complaint = ignored.then(|| format!("spec.resourceAttributes.{name} {how} due to parse error"));
    (text, complaint)
}

/// A requirement as it is written; of those on fields only what names one value.
fn term(requirement: &Requirement, labels: bool) -> Option<String> {
    let key = &requirement.key;
    Some(match (&*requirement.operator, requirement.values.as_deref().unwrap_or_default()) {
        ("In", [one]) => format!("{key}={one}"),
        ("NotIn", [one]) => format!("{key}!={one}"),
        _ if !labels => return None,
        ("In", many) if !many.is_empty() => format!("{key} in ({})", many.join(",")),
        ("NotIn", many) if !many.is_empty() => format!("{key} notin ({})", many.join(",")),
        ("Exists", []) => key.clone(),
        ("DoesNotExist", []) => format!("!{key}"),
        _ => return None,
    })
}

fn rules(authorizer: &Authorizer, user: &User, namespace: &str) -> Value {
    let (rules, unlisted) = authorizer.rules(user, namespace);
    let (paths, resources): (Vec<Rule>, Vec<Rule>) =
        rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let mut status =
        json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": !unlisted.is_empty() });
    if !unlisted.is_empty() {
        status["evaluationError"] = json!(aggregate(unlisted.into_iter().map(str::to_owned)));
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_that_cannot_be_read_are_complained_about() {
        let check = |name: &str, selector: Value, text: &str, complaint: Option<&str>| {
            let selector: Selector = Deserialize::deserialize(&selector).unwrap();
            let complaint = complaint.map(|how| format!("spec.resourceAttributes.{name} {how} due to parse error"));
            assert_eq!(asked_selection(Some(&selector), name), (text.to_owned(), complaint));
        };
        let requirement = |operator: &str, values: &[&str]| json!({"key": "k", "operator": operator, "values": values});
        check("labelSelector", json!({"rawSelector": "a=b"}), "a=b", None);
        check("labelSelector", json!({"rawSelector": "a===b"}), "", Some("ignored"));
        let both = json!([requirement("In", &["a"]), requirement("Foo", &[])]);
        check("labelSelector", json!({ "requirements": both }), "k=a", Some("partially ignored"));
        check("labelSelector", json!({"requirements": [requirement("Exists", &[])]}), "k", None);
        check("fieldSelector", json!({"requirements": [requirement("Exists", &[])]}), "", Some("ignored"));
        check("fieldSelector", json!({"requirements": [requirement("NotIn", &["a"])]}), "k!=a", None);
    }
}
