//! Amounts of what a node has and a pod asks for.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use serde_json::{Map, Value};

/// Amounts, in the units the scheduler counts in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Thousandths of a core.
    pub(crate) milli_cpu: i64,
    /// Bytes.
    pub(crate) memory: i64,
    /// Bytes of local disk.
    pub(crate) ephemeral_storage: i64,
    /// Everything else by name: huge pages, devices.
    pub(crate) others: BTreeMap<Box<str>, i64>,
}

impl Resources {
    /// Reads a map of quantities (`requests`, `allocatable`). What is no quantity counts as nothing: the API server refused it.
    pub(crate) fn parse(map: &Map<String, Value>) -> Self {
        let mut resources = Self::default();
        for (name, value) in map {
            let Ok(amount) = Quantity::from_json(value) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = amount.milli_value(),
                "memory" => resources.memory = amount.value(),
                "ephemeral-storage" => resources.ephemeral_storage = amount.value(),
                "pods" => {}
                other => {
                    resources.others.insert(other.into(), amount.value());
                }
            }
        }
        resources
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.each(other, |mine, theirs| *mine += theirs);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.each(other, |mine, theirs| *mine -= theirs);
        self.others.retain(|_, amount| *amount != 0);
    }

    /// The larger amount of each.
    pub(crate) fn raise_to(&mut self, other: &Self) {
        self.each(other, |mine, theirs| *mine = theirs.max(*mine));
    }

    fn each(&mut self, other: &Self, mut f: impl FnMut(&mut i64, i64)) {
        f(&mut self.milli_cpu, other.milli_cpu);
        f(&mut self.memory, other.memory);
        f(&mut self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.others {
            f(self.others.entry(name.clone()).or_default(), *amount);
        }
    }
}
