//! The OpenAPI documents, `/openapi/v2` and `/openapi/v3`.

use api::Status;
use axum::body::Body;
use http::{HeaderMap, Response};

use crate::Catalog;
use crate::http::query::Query;

/// Answers a path below `/openapi/`.
pub(crate) fn serve(
    _catalog: &Catalog,
    _path: &str,
    _query: &Query,
    _headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    Err(Status::no_such_path())
}
