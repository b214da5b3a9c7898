//! Netlink without ceremony: one message buffer, one blocking socket, and the few route, nftables and conntrack
//! requests a node needs.
//!
//! The same three things (append a message, append an attribute, nest) spell every request of the three kernel
//! families used here. Most nftables expressions have no typed form in the published crates, and the CNI plugin must
//! not start an asynchronous runtime for a few milliseconds of work; so everything below is synchronous and untyped
//! at the bottom, and typed one level up.

mod buffer;
pub(crate) mod conntrack;
pub(crate) mod namespace;
pub(crate) mod route;
mod socket;

pub(crate) use buffer::{Buffer, attribute, attributes, cstr, ne32};
pub(crate) use socket::{APPEND, CREATE, EXCLUSIVE, REPLACE, Socket, is};
