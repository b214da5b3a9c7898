//! Custom resources: what one version of a kind that a CustomResourceDefinition made needs beyond its row.
//!
//! The schema is compiled from the definition's bytes when the first object of the kind turns up: most of the kinds that
//! operators bring are never used.

mod definition;
mod embedded;
mod form;
mod format;
mod lists;
mod number;
mod ratchet;
mod schema;
mod structural;
#[cfg(test)]
mod tests;
mod validate;

pub use definition::{Conversion, Convert, Custom, Definition, Rules, Scale, Version};
pub use form::FormError;
pub use format::is_known as is_known_format;
pub use number::whole;
pub use ratchet::Before;
pub use schema::{Kind, ListType, Schema};
pub use structural::validate_structural;
