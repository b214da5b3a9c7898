//! One rule of a role, and what it covers.

use serde::{Deserialize, Serialize};

use super::Attributes;

/// `PolicyRule`, as it stands in roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<Box<str>>,
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Box<str>>,
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<Box<str>>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<Box<str>>,
    #[serde(deserialize_with = "list")]
    pub verbs: Vec<Box<str>>,
}

/// `null` reads as an empty list.
fn list<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Box<str>>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn has(list: &[Box<str>], word: &str) -> bool {
    list.iter().any(|w| &**w == word || &**w == "*")
}

impl Rule {
    /// The two rules that grant everything.
    pub(crate) fn everything() -> [Rule; 2] {
        let all = || vec![Box::from("*")];
        [
            Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
            Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
        ]
    }

    /// Whether the rule grants the request.
    pub(crate) fn allows(&self, what: &Attributes<'_>) -> bool {
        if !has(&self.verbs, what.verb) {
            return false;
        }
        if !what.is_resource {
            return self.non_resource_urls.iter().any(|pattern| url_matches(pattern, what.path));
        }
        has(&self.api_groups, what.group)
            && self.names_resource(what.resource, what.subresource)
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| **n == *what.name))
    }

    fn names_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|r| match (&**r, subresource) {
            ("*", _) => true,
            (whole, "") => whole == resource,
            (whole, sub) => match whole.split_once('/') {
                Some((left, right)) => right == sub && (left == "*" || left == resource),
                None => false,
            },
        })
    }

    /// Whether everything the atom grants is granted by this rule too. The atom is a rule with one verb and one of each
    /// of its other words.
    pub(crate) fn covers(&self, atom: &Rule) -> bool {
        let all = |mine: &[Box<str>], theirs: &[Box<str>]| {
            mine.iter().any(|w| &**w == "*") || theirs.iter().all(|w| mine.contains(w))
        };
        let resources = || {
            all(&self.resources, &atom.resources)
                || atom.resources.iter().all(|theirs| {
                    let under_star = theirs.split_once('/').map(|(_, sub)| format!("*/{sub}"));
                    self.resources.contains(theirs)
                        || under_star.is_some_and(|s| self.resources.iter().any(|m| **m == *s))
                })
        };
        let names = || {
            self.resource_names.is_empty()
                || (!atom.resource_names.is_empty()
                    && atom.resource_names.iter().all(|n| self.resource_names.contains(n)))
        };
        all(&self.verbs, &atom.verbs)
            && if atom.non_resource_urls.is_empty() {
                all(&self.api_groups, &atom.api_groups) && resources() && names()
            } else {
                atom.non_resource_urls
                    .iter()
                    .all(|theirs| self.non_resource_urls.iter().any(|mine| mine == theirs || url_matches(mine, theirs)))
            }
    }

    /// The rule taken apart into atoms: what has to be covered, one by one.
    pub(crate) fn atoms(&self) -> Vec<Rule> {
        let mut atoms = Vec::new();
        let one = |word: &str| vec![Box::from(word)];
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                atoms.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let atom =
                        Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
                    if self.resource_names.is_empty() {
                        atoms.push(atom);
                    } else {
                        let named = |name: &str| Rule { resource_names: one(name), ..atom.clone() };
                        atoms.extend(self.resource_names.iter().map(|name| named(name)));
                    }
                }
            }
        }
        atoms
    }
}

/// The rule in Go's compact form: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.resource_names),
            ("NonResourceURLs", &self.non_resource_urls),
            ("Verbs", &self.verbs),
        ];
        let shown = fields.iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| {
            let words: Vec<String> = words.iter().map(|word| api::quote::quote(word)).collect();
            format!("{name}:[{}]", words.join(" "))
        });
        write!(f, "{{{}}}", shown.collect::<Vec<_>>().join(", "))
    }
}

fn url_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}
