//! Store errors become `Status` here, and only here.

use api::{Resource, Status};
use embedded_store::StoreError;

/// What a client is told when the store fails, apart from conflicts, which their callers answer themselves.
pub(crate) fn store(error: StoreError) -> Status {
    match error {
        StoreError::TooLarge { limit, .. } => Status::too_large(limit),
        StoreError::Compacted { .. } => Status::expired("The resourceVersion for the provided list is too old."),
        StoreError::Future { .. } => Status::timeout("Timeout: Too large resource version", 1),
        StoreError::Unreadable { .. } => {
            tracing::error!(%error, "an object cannot be read");
            Status::internal(error)
        }
        StoreError::Closed => Status::unavailable("the server is shutting down"),
        StoreError::Full(_) => {
            tracing::error!(%error, "a write was refused");
            Status::failure(
                507,
                "InsufficientStorage",
                "the disk of the server is full: nothing was written, and writes \
                 will work again once there is space",
            )
        }
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
            Status::internal("the store failed")
        }
    }
}

/// 404 for an object of the row.
pub(crate) fn not_found(resource: &Resource, name: &str) -> Status {
    Status::not_found(&resource.group, &resource.plural, name)
}

/// 409 for a write that is meant for another object or state than the one that is there: what was named, its value, and what it
/// is there.
pub(crate) fn unmet(
    resource: &Resource,
    namespace: &str,
    name: &str,
    (what, expected, is): (&str, &str, &str),
) -> Status {
    let key = resource.store_key(namespace, name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
         {what} in precondition: {expected}, {what} in object meta: {is}"
    );
    Status::conflict(&resource.group, &resource.plural, name, why)
}

/// 422 for options of a list or watch.
pub(crate) fn invalid_options(errors: &api::validation::field::ErrorList) -> Status {
    Status::invalid("meta.k8s.io", "ListOptions", "", causes(errors))
}

/// The causes of a 422.
pub(crate) fn causes(errors: &api::validation::field::ErrorList) -> Vec<api::Cause> {
    let cause = |error: &api::validation::field::Error| api::Cause {
        reason: error.kind.reason().into(),
        message: error.body(),
        field: error.field.clone(),
    };
    errors.iter().map(cause).collect()
}

/// 504 for a version the caches have not reached in time.
pub(crate) fn too_large_version(asked: u64, current: u64) -> Status {
    let mut status = Status::timeout(format!("Timeout: Too large resource version: {asked}, current: {current}"), 1);
    if let Some(details) = &mut status.details {
        details.causes.push(api::Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            field: String::new(),
        });
    }
    status
}
