//! The texts that the cells of several kinds share.

use std::collections::BTreeMap;

use api::Object;
use api::selector::LabelSelector;
use serde_json::Value;

use super::row::Words;

/// The object's name.
pub(super) fn name(object: &Object) -> &str {
    &object.meta.name
}

/// The time since the object was created.
pub(super) fn age(object: &Object) -> Words {
    Words::since(object.meta.creation_timestamp)
}

/// The text, or `<none>` where there is none.
pub(super) fn or_none(text: impl Into<String>) -> String {
    Some(text.into()).filter(|text| !text.is_empty()).unwrap_or_else(|| "<none>".to_owned())
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(labels: &BTreeMap<String, String>) -> String {
    or_none(labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

/// A `LabelSelector` object in the form of queries; `<none>` for one that is empty or absent.
pub(super) fn selector(selector: Option<&Value>) -> String {
    match LabelSelector::from_object(selector) {
        Ok(selector) => or_none(selector.to_string()),
        Err(_) => "<error>".to_owned(),
    }
}

/// At most `most` texts, and how many there are beside them.
pub(super) fn some_of(texts: &[String], most: usize) -> String {
    let shown = texts.iter().take(most).map(|text| &**text).collect::<Vec<_>>().join(",");
    if texts.len() > most { format!("{shown} + {} more...", texts.len() - most) } else { shown }
}
