//! nftables as data: tables, chains, maps and rules that print as `nft` would show them and go to the kernel as one
//! netlink transaction. No `nft` binary, no C library.

mod batch;
mod dump;
mod rule;
mod set;
mod table;

pub(crate) use batch::Batch;
pub(crate) use dump::{drops_by_default, elements, rules_with_comment, table_handle};
pub(crate) use rule::{Choice, Rule, Statement};
pub(crate) use set::{Data, Element, Field, Key, Set, Value, protocol_name};
pub(crate) use table::{Chain, Hook, HookPoint, Table};

/// Delivers an endpoint: address and port.
pub(crate) type Endpoint = std::net::SocketAddrV4;
/// A chain's name, shared between the rules and elements that lead there.
pub(crate) type ChainName = std::sync::Arc<str>;
