//! The Common Expression Language as Kubernetes 1.35 has it: parser, type checker, cost estimation, evaluation, and all of
//! Kubernetes' libraries.
//!
//! # How to use it
//!
//! An [`Environment`] declares what an expression may name; [`Environment::compile`] makes a [`Program`] of the expression
//! or says what is wrong with it, in cel-go's words; [`Program::evaluate`] gives a [`Value`] for the data of an
//! [`Activation`] and takes the cost from a [`Budget`].
//!
//! ```
//! use cel::{Budget, DeclType, Environment, Type, Value, Variables};
//!
//! let schema = serde_json::json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
//! let decl = DeclType::from_structural(&schema, false, "self").expect("the schema says something");
//! let environment = Environment::new().with("self", decl.clone());
//!
//! let program = environment.compile("self.replicas <= 5").expect("the rule checks");
//! assert_eq!(*program.returns(), Type::Bool);
//! assert!(program.cost().max < 1_000_000);
//!
//! let object = serde_json::json!({"replicas": 3});
//! let variables = Variables::new().with("self", Value::json(&object, Some(&decl)));
//! let mut budget = Budget::default();
//! assert!(program.evaluate(&variables, &mut budget).expect("it has a value").is_true());
//!
//! let errors = environment.compile("self.x").expect_err("there is no such field");
//! assert!(errors.to_string().starts_with("ERROR: <input>:1:5: undefined field 'x'"));
//! ```
//!
//! Rules of a CRD declare `self` (and `oldSelf`) with [`DeclType::from_structural`]: the sizes in the schema make the
//! estimated cost ([`Program::cost`]), by which upstream refuses CRDs. Policies and match conditions declare `object`,
//! `oldObject` and the like with [`Environment::with_dynamic`] and evaluate on plain JSON. `variables` of a policy is
//! [`Environment::with_lazy`]. What must be text or a boolean is for the caller to see, with [`Program::returns`].
//!
//! Values are views of the JSON they are made from and copy nothing; programs are small, and shared between threads.
//! Everything is bounded: the length and depth of expressions, the cost of an evaluation and with it its time, the memory
//! of what it makes, the size of regular expressions. Evaluation does not wait: see [`Authorize`] for how `authorizer`
//! is answered by those who have to.
//!
//! # Why it is our own
//!
//! The crate `cel` has a parser and an evaluator, on the runtime of ANTLR and with its own dates: 54 crates and 5 MiB of
//! binary for a probe. Kubernetes needs what it has not: a checker whose complaints clients see, costs before and after
//! evaluation that are counted as upstream counts them, views of JSON by schema, and a dozen libraries. With those written, the
//! parser is the smaller part.
//!
//! # The parts
//!
//! `lexer` and `parser` make the tree of `ast`, in which `macros` are expanded; `check` types it with `unify` and the
//! signatures of `library`, and `validate` refuses what checks and is a mistake all the same; `cost` estimates it; `plan`
//! makes a `program` of it. `schema` declares data, `value` views it.

mod ast;
mod authorizer;
mod check;
mod cost;
mod environment;
mod error;
mod escape;
mod lexer;
mod library;
mod macros;
mod parser;
mod plan;
mod program;
mod schema;
#[cfg(test)]
mod tests;
mod types;
mod unify;
mod validate;
mod value;
mod work;

pub use authorizer::{Authorize, Check, Decision};
pub use cost::Range;
pub use environment::Environment;
pub use error::{CompileErrors, Error, ErrorKind, Issue};
pub use escape::escape;
pub use program::{Activation, Budget, Program, Variables};
pub use schema::DeclType;
pub use types::{LibraryType, Type};
pub use value::{Key, List, Map, Struct, Text, Value};
