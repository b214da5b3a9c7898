//! `componentstatuses`, which upstream has given up and people still ask for.

use std::sync::Arc;

use api::{ListOptions, Object, Resource, Status};
use serde_json::json;

use super::selection::Selection;

/// The parts of a control plane by upstream's names. They are parts of this process: where it answers, they run.
const COMPONENTS: [&str; 3] = ["controller-manager", "etcd-0", "scheduler"];

/// What is said of each part that is selected.
pub(super) fn statuses(resource: &Arc<Resource>, options: &ListOptions) -> Result<Vec<Arc<Object>>, Status> {
    let selection = Selection::parse(resource, options)?;
    let status = |name: &str| {
        let healthy = json!({ "type": "Healthy", "status": "True", "message": "ok" });
        let component = json!({ "metadata": { "name": name }, "conditions": [healthy] });
        Object::encode(&component, 0, resource).map(Arc::new).map_err(Status::internal)
    };
    let selected = |one: &Result<Arc<Object>, Status>| one.as_ref().map_or(true, |one| selection.matches(one));
    COMPONENTS.into_iter().map(status).filter(selected).collect()
}
