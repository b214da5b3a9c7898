//! Answers as YAML, the keys in order, as upstream has them.

use std::io;
use std::sync::Arc;

use api::{List, Object, Resource};
use serde_json::{Map, Value};

use super::pieces::{ItemWriter, Pieces};
use super::respond::Form;
use super::shape;

/// Writes YAML as upstream does: the keys in order.
pub(crate) fn text(mut tree: Value) -> Result<String, serde_saphyr::ser::Error> {
    tree.sort_all_objects();
    serde_saphyr::to_string(&tree)
}

/// A list as YAML: one object is a tree at a time.
pub(super) fn list(resource: &Arc<Resource>, list: List, form: &Form) -> io::Result<Pieces<Items>> {
    let mut head = Vec::new();
    shape::begin(resource, &form.accepted.shape, &shape::ListHead::of(&list), &mut head);
    head.extend_from_slice(b"]}");
    let head: Map<String, Value> = serde_json::from_slice(&head)?;
    let of_items = |(name, _): &(String, Value)| matches!(&**name, "items" | "rows");
    let (items, head): (Map<_, _>, Map<_, _>) = head.into_iter().partition(of_items);
    let name = items.keys().next().map_or("items", String::as_str);
    let (before, behind): (Map<_, _>, Map<_, _>) = head.into_iter().partition(|(key, _)| key.as_str() < name);
    let mut first = part(before)?;
    first.extend_from_slice(name.as_bytes());
    first.extend_from_slice(if list.items.is_empty() { b": []\n" } else { b":\n" });
    let items = Items { resource: resource.clone(), form: form.clone(), end: part(behind)? };
    Ok(Pieces::new(first, list.items.into_iter(), items))
}

/// Items as YAML.
pub(super) struct Items {
    resource: Arc<Resource>,
    form: Form,
    /// What comes behind the items.
    end: Vec<u8>,
}

impl ItemWriter for Items {
    type Error = io::Error;

    fn item(&mut self, object: &Arc<Object>, _last: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let mut json = Vec::new();
        shape::item(&self.resource, object, &self.form, &mut json);
        let text = text(serde_json::from_slice(&json)?).map_err(unwritable)?;
        let mut indent = "- ";
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                out.extend_from_slice(indent.as_bytes());
            }
            out.extend_from_slice(line.as_bytes());
            indent = "  ";
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        out.append(&mut self.end);
        Ok(())
    }
}

/// Some members of a map, one under the other.
fn part(members: Map<String, Value>) -> io::Result<Vec<u8>> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    text(Value::Object(members)).map(String::into_bytes).map_err(unwritable)
}

fn unwritable(error: serde_saphyr::ser::Error) -> io::Error {
    tracing::error!(%error, "an answer cannot be written as YAML");
    io::Error::other(error)
}
