//! The query of a request, read once, and the options each verb takes from it. Complaints are upstream's.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{FIELD_MANAGER_MAX, is_print, validate_field_manager};
use api::{Cause, DeleteOptions, FieldValidation, ListOptions, Propagation, Status, WatchOptions, WriteOptions};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Names and values in the order sent, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// What cannot be read is left out, as upstream does it: broken escapes, and semicolons, which once were separators.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let whole = |text: &str| unbroken(text).then(|| percent_decode(text, true));
            Some((whole(name)?, whole(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }

    /// The first value of a name, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| &**v)
    }

    /// Upstream's reading of booleans: there, and neither `false` nor `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(&*value.to_ascii_lowercase(), "false" | "0"))
    }

    fn tristate(&self, name: &str) -> Option<bool> {
        self.get(name).map(|_| self.flag(name))
    }

    /// A whole number; `None` where the name is not there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| {
            let why = number_error(&error);
            Status::bad_request(format!("strconv.ParseInt: parsing {}: {why}", api::quote::quote(text)))
        })
    }

    /// What a list takes. How its parts go together is the registry's to check.
    pub(crate) fn list(&self) -> Result<ListOptions, Status> {
        let options = self.list_unchecked()?;
        let mut errors = ErrorList::new();
        if self.tristate("sendInitialEvents").is_some() {
            let field = Path::root("sendInitialEvents");
            errors.push(Error::forbidden(&field, "sendInitialEvents is forbidden for list"));
        }
        invalid("ListOptions", errors).map(|()| options)
    }

    fn list_unchecked(&self) -> Result<ListOptions, Status> {
        let text = |name: &str| self.get(name).unwrap_or_default().to_owned();
        // Lists are over soon enough, but what is no number is refused.
        self.number("timeoutSeconds")?;
        Ok(ListOptions {
            label_selector: text("labelSelector"),
            field_selector: text("fieldSelector"),
            limit: usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(0),
            continue_token: text("continue"),
            resource_version: self.text("resourceVersion").map(str::to_owned),
            resource_version_match: text("resourceVersionMatch"),
        })
    }

    /// What a watch takes.
    pub(crate) fn watch(&self) -> Result<WatchOptions, Status> {
        let list = self.list_unchecked()?;
        let initial_events = self.tristate("sendInitialEvents");
        let timeout_seconds = self.number("timeoutSeconds")?;
        Ok(WatchOptions { bookmarks: self.flag("allowWatchBookmarks"), list, initial_events, timeout_seconds })
    }

    /// What a write takes. `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`; `agent` is the `User-Agent`, whose
    /// first word is the manager where the query names none.
    pub(crate) fn write(&self, kind: &str, agent: &str, apply: bool) -> Result<WriteOptions, Status> {
        let mut errors = ErrorList::new();
        let dry_run = self.dry_run(&mut errors);
        let named = self.get("fieldManager").unwrap_or_default();
        let manager = Path::root("fieldManager");
        if apply && named.is_empty() {
            errors.push(Error::required(&manager, "is required for apply patch"));
        }
        errors.extend(validate_field_manager(named, &manager));
        if kind == "PatchOptions" && !apply && self.get("force").is_some() {
            errors.push(Error::forbidden(&Path::root("force"), "may not be specified for non-apply patch"));
        }
        let field_validation = match self.get("fieldValidation").unwrap_or_default() {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let field = Path::root("fieldValidation");
                errors.push(Error::not_supported(&field, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        invalid(kind, errors)?;
        Ok(WriteOptions {
            dry_run,
            field_manager: named.to_owned(),
            agent: manager_of(agent),
            field_validation,
            force: self.flag("force"),
            ..WriteOptions::default()
        })
    }

    fn dry_run(&self, errors: &mut ErrorList) -> bool {
        dry_run(self.all("dryRun").collect(), errors)
    }

    /// What a delete takes, from the body where there is one, else from the query.
    pub(crate) fn delete(&self, body: Option<&Value>) -> Result<DeleteOptions, Status> {
        let mut errors = ErrorList::new();
        let mut options = DeleteOptions::default();
        let (policy, orphan): (Option<String>, Option<bool>);
        match body {
            Some(body) => {
                let wire: WireDelete = serde::Deserialize::deserialize(body).map_err(|e| {
                    Status::bad_request(format!("DeleteOptions in version \"v1\" cannot be handled: {e}"))
                })?;
                options.grace_period_seconds = wire.grace_period_seconds;
                let guard = wire.preconditions.unwrap_or_default();
                (options.uid, options.resource_version) = (guard.uid, guard.resource_version);
                let said = wire.dry_run.unwrap_or_default();
                options.dry_run = dry_run(said.iter().map(String::as_str).collect(), &mut errors);
                (policy, orphan) = (wire.propagation_policy, wire.orphan_dependents);
            }
            None => {
                options.grace_period_seconds = self.number("gracePeriodSeconds")?;
                let guard = |name| self.text(name).map(str::to_owned);
                (options.uid, options.resource_version) = (guard("uid"), guard("resourceVersion"));
                options.dry_run = self.dry_run(&mut errors);
                // An empty policy is one that does not exist.
                policy = self.all("propagationPolicy").next().map(str::to_owned);
                orphan = self.tristate("orphanDependents");
            }
        }
        let field = Path::root("propagationPolicy");
        if policy.is_some() && orphan.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&field, policy.clone().unwrap_or_default(), why));
        }
        options.propagation = match (policy.as_deref(), orphan) {
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (None, None) => None,
            (Some(other), _) => {
                errors.push(Error::not_supported(&field, other, &["Foreground", "Background", "Orphan", "nil"]));
                None
            }
        };
        invalid("DeleteOptions", errors).map(|()| options)
    }
}

/// What Go says is wrong with digits.
pub(crate) fn number_error(error: &std::num::ParseIntError) -> &'static str {
    match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

/// Whether nothing is to be kept. A list that says anything else is complained of as a whole.
fn dry_run(said: Vec<&str>, errors: &mut ErrorList) -> bool {
    if said.iter().any(|value| *value != "All") {
        errors.push(Error::not_supported(&Path::root("dryRun"), said.clone(), &["All"]));
    }
    said.contains(&"All")
}

/// `DeleteOptions` as it stands in a body.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireDelete {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<WirePreconditions>,
    dry_run: Option<Vec<String>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePreconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

/// 422 about an options kind, unless there is nothing to complain of.
fn invalid(kind: &str, errors: ErrorList) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    let cause = |e: Error| Cause { reason: e.kind.reason().into(), message: e.body(), field: e.field };
    Err(Status::invalid("meta.k8s.io", kind, "", errors.into_iter().map(cause).collect()))
}

/// The manager a `User-Agent` stands for: what precedes the first slash, printable, bounded.
fn manager_of(agent: &str) -> String {
    let prefix = agent.split('/').next().unwrap_or_default();
    let mut manager: String = prefix.chars().filter(|c| is_print(*c)).collect();
    let mut end = manager.len().min(FIELD_MANAGER_MAX);
    while !manager.is_char_boundary(end) {
        end -= 1;
    }
    manager.truncate(end);
    if manager.is_empty() { "unknown".into() } else { manager }
}

/// Whether every percent sign begins an escape.
pub(crate) fn unbroken(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// Undoes percent-encoding; in queries a plus is a space. Broken escapes stay as they are.
pub(crate) fn percent_decode(text: &str, plus: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = decoded_bytes(text, plus);
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The same as bytes, which need not be text.
pub(super) fn decoded_bytes(text: &str, plus: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) if plus => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    out
}
