//! Single objects that others hold, asked for in this server's own name.

use std::sync::Arc;

use api::Resource;
use serde_json::Value;

use super::Aggregator;
use crate::tree::Tree;

impl Aggregator {
    /// The row of a kind that another server serves.
    pub(crate) fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Resource>> {
        if !self.is_elsewhere(group, version) {
            return None;
        }
        let discovered = self.discovered();
        let known = discovered.versions.iter().find(|known| known.group == group && known.version == version)?;
        known.rows().find(|row| &*row.kind == kind)
    }

    /// An object; `None` when there is none of the name.
    pub(crate) async fn get(&self, row: &Resource, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        self.read(row, &format!("{}/{name}", path(row, namespace))).await
    }

    /// The objects of a namespace, or of all (`""`).
    pub(crate) async fn list(&self, row: &Resource, namespace: &str) -> Result<Vec<Value>, String> {
        let mut list = self.read(row, &path(row, namespace)).await?.unwrap_or_default();
        let items = match list.cut("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let whole = |mut item: Value| {
            // As lists are: their elements need not say what they are.
            item.default_to("kind", &*row.kind);
            item.default_to("apiVersion", row.api_version());
            item
        };
        Ok(items.into_iter().map(whole).collect())
    }

    async fn read(&self, row: &Resource, path: &str) -> Result<Option<Value>, String> {
        let Some(remote) = self.claiming(path) else { return Ok(None) };
        let answer = self.fetch(&remote, false, path, "application/json").await?;
        match answer.status().as_u16() {
            200 => serde_json::from_slice(answer.body()).map(Some).map_err(|error| error.to_string()),
            404 => Ok(None),
            code => Err(format!("{} of another API server cannot be read: {code}", row.qualified())),
        }
    }
}

fn path(row: &Resource, namespace: &str) -> String {
    let root = format!("/apis/{}/{}", row.group, row.version);
    match namespace {
        "" => format!("{root}/{}", row.plural),
        _ => format!("{root}/namespaces/{namespace}/{}", row.plural),
    }
}
