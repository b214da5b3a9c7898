//! The vocabulary of isopod: objects, the resource table, requests and replies, `Status`, users.
//!
//! Everything here is data and pure functions: no IO, no runtime. The API server, the client, the controllers and the
//! node agent all speak in these types, so a request looks the same whether it came over TLS or from the next task.

pub mod apply;
pub mod base64;
pub mod certificate_request;
pub mod custom;
pub mod duration;
pub mod fields;
pub mod json;
pub mod managed_fields;
pub mod meta;
pub mod node_selector;
pub mod object;
pub mod patch;
pub mod protobuf;
pub mod prune;
pub mod qos;
pub mod quantity;
pub mod quota;
pub mod quote;
pub mod regexp;
pub mod request;
pub mod resource;
#[cfg(test)]
mod robustness;
pub mod schema;
pub mod selector;
pub mod shape;
pub mod status;
pub mod strategic_merge;
pub mod time;
pub mod tree;
pub mod user;
pub mod validation;
pub mod version;

pub use meta::{Labels, Meta, OwnerReference};
pub use object::{Object, ObjectError};
pub use request::{
    DeleteOptions, FieldValidation, List, ListOptions, Operation, Patch, Propagation, Reply, Request, WatchEvent,
    WatchOptions, WatchStream, WriteOptions,
};
pub use resource::{Resource, Scope};
pub use status::{Cause, Status};
pub use user::User;
