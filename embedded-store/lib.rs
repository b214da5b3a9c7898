//! The store: keys and values under one increasing revision.
//!
//! [`Store`] is the contract the API server is written against: compare-and-swap writes, lists at a revision, watches
//! after a revision, compaction. The crate knows keys and bytes, no kinds. Two drivers share one index in memory:
//! [`MemoryStore`] ends there, [`DurableStore`] puts a write-ahead log and a checkpoint behind it.

mod durable;
mod error;
mod index;
mod memory;
#[cfg(test)]
mod model;
mod store;
mod types;

pub use durable::{DurableOptions, DurableStore};
pub use error::StoreError;
pub use memory::{MemoryStore, memory};
pub use store::{Store, Watch};
pub use types::{Change, Durability, Entry, Event, EventKind, Expect, Limits, Page, Range, Revision, Write, Written};
