//! Every kind served at the moment: the built-in rows, and the rows CustomResourceDefinitions have added.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use api::Resource;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::RuntimeConfig;

/// The resource table as it is now. Lookups take no lock; a change replaces the whole table.
#[derive(Debug)]
pub struct Catalog {
    builtin: Vec<Arc<Resource>>,
    rows: Arc<ArcSwap<Rows>>,
    generation: watch::Sender<u64>,
}

#[derive(Debug)]
struct Rows {
    all: Vec<Arc<Resource>>,
    /// `group/version/plural` → place in `all`.
    by_plural: HashMap<String, usize>,
    /// `group/version/kind` → place in `all`.
    by_kind: HashMap<String, usize>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(&RuntimeConfig::default())
    }
}

impl Catalog {
    /// The built-in rows alone, as far as they are served.
    pub fn new(config: &RuntimeConfig) -> Self {
        let builtin = config.rows();
        let rows = Rows::new(builtin.clone());
        Self { builtin, rows: Arc::new(ArcSwap::from_pointee(rows)), generation: watch::Sender::new(1) }
    }

    /// The built-in rows that are served.
    pub(crate) fn builtin(&self) -> &[Arc<Resource>] {
        &self.builtin
    }

    /// The row of a path: `None` is a 404.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let rows = self.rows.load();
        rows.by_plural.get(&key(group, version, plural)).map(|&at| rows.all[at].clone())
    }

    /// The row of a kind, as `apiVersion` and `kind` of an object name it. Kinds that are no resources of their own
    /// (`Scale`, `Eviction`, lists) have none.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Resource>> {
        let rows = self.rows.load();
        rows.by_kind.get(&key(group, version, kind)).map(|&at| rows.all[at].clone())
    }

    /// Every row, built-in ones first, in discovery order.
    pub fn all(&self) -> Vec<Arc<Resource>> {
        self.rows.load().all.clone()
    }

    /// Rises with every change of the table: what discovery and OpenAPI documents are cached under.
    pub fn generation(&self) -> u64 {
        *self.generation.borrow()
    }

    /// Changes with every change of the table.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Tells when a row is taken away or replaced.
    pub(crate) fn changes(&self, row: &Arc<Resource>) -> CatalogChanges {
        CatalogChanges { row: row.clone(), rows: self.rows.clone(), generation: self.generation.subscribe() }
    }

    /// Puts `custom` in place of all rows that are not built in. The registry calls it, after it has made the caches.
    pub(crate) fn replace_custom(&self, custom: Vec<Arc<Resource>>) {
        let all = self.builtin.iter().cloned().chain(custom).collect();
        self.rows.store(Arc::new(Rows::new(all)));
        self.generation.send_modify(|generation| *generation += 1);
    }
}

/// Looks after one row.
#[derive(Debug)]
pub(crate) struct CatalogChanges {
    row: Arc<Resource>,
    rows: Arc<ArcSwap<Rows>>,
    generation: watch::Receiver<u64>,
}

impl CatalogChanges {
    /// Returns when the row is no longer served; never if it stays. Safe to drop and call again.
    pub(crate) async fn replaced(&mut self) {
        let (group, version, plural) = (&self.row.group, &self.row.version, &self.row.plural);
        let key = key(group, version, plural);
        loop {
            {
                let rows = self.rows.load();
                let served = rows.by_plural.get(&key).is_some_and(|&at| Arc::ptr_eq(&rows.all[at], &self.row));
                if !served {
                    return;
                }
            }
            if self.generation.changed().await.is_err() {
                // The catalog is gone, and the server with it.
                return std::future::pending().await;
            }
        }
    }
}

impl Rows {
    fn new(all: Vec<Arc<Resource>>) -> Self {
        let index = |word: fn(&Resource) -> &str| {
            // Backwards, so that the first of two rows of one name wins: no custom row hides a built-in one.
            all.iter().enumerate().rev().map(|(at, r)| (key(&r.group, &r.version, word(r)), at)).collect()
        };
        let (by_plural, by_kind) = (index(|r| &r.plural), index(|r| &r.kind));
        Self { all, by_plural, by_kind }
    }
}

fn key(group: &str, version: &str, word: &str) -> String {
    format!("{group}/{version}/{word}")
}
