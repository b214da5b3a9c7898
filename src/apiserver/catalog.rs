//! Every kind served at the moment: the built-in rows, and the rows CustomResourceDefinitions have added.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Resource;
use arc_swap::ArcSwap;

/// The resource table as it is now. Lookups take no lock; a change replaces the whole table.
#[derive(Debug)]
pub struct Catalog {
    rows: ArcSwap<Rows>,
    generation: AtomicU64,
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
        Self::new()
    }
}

impl Catalog {
    /// The built-in rows alone.
    pub fn new() -> Self {
        Self { rows: ArcSwap::from_pointee(Rows::new(Vec::new())), generation: AtomicU64::new(1) }
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
        self.generation.load(Ordering::Acquire)
    }

    /// Puts `custom` in place of all rows that are not built in. The registry calls it, after it has made the caches.
    pub(crate) fn replace_custom(&self, custom: Vec<Arc<Resource>>) {
        self.rows.store(Arc::new(Rows::new(custom)));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Rows {
    fn new(custom: Vec<Arc<Resource>>) -> Self {
        let mut all = api::resource::builtin().to_vec();
        all.extend(custom);
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
