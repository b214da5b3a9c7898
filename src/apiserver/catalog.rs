//! Every kind served at the moment: the built-in rows, and the rows CustomResourceDefinitions have added.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use api::Resource;
use arc_swap::ArcSwap;
use imbl::OrdMap;
use tokio::sync::watch;

use crate::RuntimeConfig;

/// The resource table as it is now. Lookups take no lock; a change replaces the table, of which all that stays is shared.
#[derive(Debug)]
pub struct Catalog {
    builtin: Table,
    custom: ArcSwap<Custom>,
    generation: watch::Sender<u64>,
}

/// What is served of one custom kind from now on.
#[derive(Clone, Debug)]
pub struct CustomKind {
    /// `plural.group`.
    pub name: Box<str>,
    /// Its rows, one a version; empty when it is no longer served.
    pub rows: Vec<Arc<Resource>>,
}

/// Rows that stay.
#[derive(Debug)]
struct Table {
    all: Vec<Arc<Resource>>,
    /// `group/version/plural` → place in `all`.
    by_plural: HashMap<String, usize>,
    /// `group/version/kind` → place in `all`.
    by_kind: HashMap<String, usize>,
}

/// Rows that come and go, as they are at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Custom {
    /// By `plural.group`.
    kinds: OrdMap<Box<str>, Kind>,
    /// `kind.group` → `plural.group`.
    by_kind: OrdMap<Box<str>, Box<str>>,
}

#[derive(Clone, Debug)]
struct Kind {
    rows: Arc<[Arc<Resource>]>,
    /// Raised when the rows are served no longer.
    replaced: Arc<watch::Sender<bool>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(&RuntimeConfig::default())
    }
}

impl Catalog {
    /// The built-in rows alone, as far as they are served.
    pub fn new(config: &RuntimeConfig) -> Self {
        let builtin = Table::new(config.rows());
        Self { builtin, custom: ArcSwap::default(), generation: watch::Sender::new(1) }
    }

    /// The built-in rows that are served.
    pub(crate) fn builtin(&self) -> &[Arc<Resource>] {
        &self.builtin.all
    }

    /// The row of a path: `None` is a 404.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        // No custom row hides a built-in one.
        if let Some(&at) = self.builtin.by_plural.get(&key(group, version, plural)) {
            return Some(self.builtin.all[at].clone());
        }
        let custom = self.custom.load();
        custom.named(&api::status::qualified(plural, group)).iter().find(|row| &*row.version == version).cloned()
    }

    /// The row of a kind, as `apiVersion` and `kind` of an object name it. Kinds that are no resources of their own
    /// (`Scale`, `Eviction`, lists) have none.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Arc<Resource>> {
        if let Some(&at) = self.builtin.by_kind.get(&key(group, version, kind)) {
            return Some(self.builtin.all[at].clone());
        }
        let custom = self.custom.load();
        let name = custom.by_kind.get(&*api::status::qualified(kind, group))?;
        custom.named(name).iter().find(|row| &*row.version == version).cloned()
    }

    /// The custom kinds as they are now.
    pub(crate) fn custom(&self) -> Arc<Custom> {
        self.custom.load_full()
    }

    /// Every row, built-in ones first.
    pub fn all(&self) -> Vec<Arc<Resource>> {
        let custom = self.custom.load();
        let custom = custom.kinds.values().flat_map(|kind| kind.rows.iter());
        self.builtin.all.iter().chain(custom).cloned().collect()
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
        let custom = self.custom.load();
        let kind =
            custom.kinds.get(&*row.qualified()).filter(|kind| kind.rows.iter().any(|served| Arc::ptr_eq(served, row)));
        CatalogChanges(kind.map(|kind| kind.replaced.subscribe()))
    }

    /// Serves these kinds by these rows, in place of those they had. The registry calls it, one call at a time, after it has
    /// made the caches.
    pub(crate) fn replace(&self, kinds: &[CustomKind]) {
        let mut custom = Custom::clone(&self.custom.load());
        let mut replaced = Vec::new();
        for CustomKind { name, rows } in kinds {
            let before = match rows.is_empty() {
                true => custom.kinds.remove(name),
                false => {
                    let kind = Kind { rows: rows.as_slice().into(), replaced: Arc::new(watch::Sender::new(false)) };
                    custom.kinds.insert(name.clone(), kind)
                }
            };
            for row in before.iter().flat_map(|kind| kind.rows.iter()) {
                let known: Box<str> = api::status::qualified(&row.kind, &row.group).into();
                if custom.by_kind.get(&known) == Some(name) {
                    custom.by_kind.remove(&known);
                }
            }
            for row in rows {
                custom.by_kind.insert(api::status::qualified(&row.kind, &row.group).into(), name.clone());
            }
            replaced.extend(before.map(|kind| kind.replaced));
        }
        self.custom.store(Arc::new(custom));
        for replaced in replaced {
            replaced.send_replace(true);
        }
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl Custom {
    /// The rows of a kind, one a served version.
    pub(crate) fn rows(&self, kind: &Resource) -> &[Arc<Resource>] {
        self.named(&kind.qualified())
    }

    /// The same, by its name: `plural.group`.
    pub(crate) fn named(&self, name: &str) -> &[Arc<Resource>] {
        self.kinds.get(name).map_or(&[], |kind| &kind.rows)
    }
}

/// Looks after one row. `None` when it was gone from the beginning.
#[derive(Debug)]
pub(crate) struct CatalogChanges(Option<watch::Receiver<bool>>);

impl CatalogChanges {
    /// Returns when the row is no longer served; never if it stays. Safe to drop and call again.
    pub(crate) async fn replaced(&mut self) {
        if let Some(replaced) = &mut self.0
            && replaced.wait_for(|replaced| *replaced).await.is_err()
        {
            // The catalog is gone, and the server with it.
            std::future::pending().await
        }
    }
}

impl Table {
    fn new(all: Vec<Arc<Resource>>) -> Self {
        let index = |word: fn(&Resource) -> &str| {
            // Backwards, so that the first of two rows of one name wins.
            all.iter().enumerate().rev().map(|(at, r)| (key(&r.group, &r.version, word(r)), at)).collect()
        };
        let (by_plural, by_kind) = (index(|r| &r.plural), index(|r| &r.kind));
        Self { all, by_plural, by_kind }
    }
}

fn key(group: &str, version: &str, word: &str) -> String {
    format!("{group}/{version}/{word}")
}
