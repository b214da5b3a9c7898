//! `authorizer`: questions to the authorizer, built step by step by an expression.

use std::fmt;

use crate::types::LibraryType;

/// Who answers checks. Evaluation does not wait: an implementation that has to ask elsewhere answers `None`, evaluation ends
/// with [`crate::ErrorKind::Pending`], and the caller evaluates again when it has the answer.
pub trait Authorize: Send + Sync {
    /// The answer to one question, if it is known.
    fn check(&self, check: &Check) -> Option<Decision>;
}

/// One question, as far as it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Check {
    /// Namespace and name of the service account that is asked about, in place of the user of the request.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource; then nothing below is set.
    pub path: Option<String>,
    /// The API group; set once it is about a resource.
    pub group: Option<String>,
    /// The resource; empty until `resource()` is called.
    pub resource: String,
    /// `status` …
    pub subresource: String,
    /// The namespace; empty for all or none.
    pub namespace: String,
    /// The object's name; empty for all.
    pub name: String,
    /// What the request would be limited to, as a field selector.
    pub field_selector: Option<String>,
    /// What the request would be limited to, as a label selector.
    pub label_selector: Option<String>,
    /// What is to be done; empty until `check()` is called.
    pub verb: String,
}

impl Check {
    pub(crate) fn kind(&self) -> LibraryType {
        if self.path.is_some() {
            LibraryType::PathCheck
        } else if self.group.is_none() {
            LibraryType::Authorizer
        } else if self.resource.is_empty() {
            LibraryType::GroupCheck
        } else {
            LibraryType::ResourceCheck
        }
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong in asking.
    pub error: Option<String>,
}

/// An authorizer that knows nothing: for expressions that cannot ask.
pub(crate) struct Nobody;

impl Authorize for Nobody {
    fn check(&self, _: &Check) -> Option<Decision> {
        Some(Decision { error: Some("no authorizer".to_owned()), ..Decision::default() })
    }
}

impl fmt::Debug for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nobody")
    }
}
