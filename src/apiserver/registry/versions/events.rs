//! `events.k8s.io/v1` and core's events: the same object under other names.

use serde_json::Value;

use super::rename;

/// `events.k8s.io` name, core name.
const NAMES: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) fn into_core(event: &mut Value) {
    rename(event, &NAMES);
}

pub(super) fn from_core(event: &mut Value) {
    rename(event, &NAMES.map(|(new, core)| (core, new)));
}
