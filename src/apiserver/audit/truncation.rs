//! Records that are too large lose the objects of request and answer, and go if that is not enough.

use std::borrow::Cow;

use super::event::Event;
use super::policy::Level;

/// What a backend takes: kube-apiserver's `--audit-log-truncate-*` and `--audit-webhook-truncate-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Whether there are limits at all.
    pub enabled: bool,
    /// The largest record. Bytes.
    pub max_event_size: usize,
    /// The most that is sent together. Bytes.
    pub max_batch_size: usize,
}

impl Default for Truncation {
    fn default() -> Self {
        Self { enabled: false, max_event_size: 100 << 10, max_batch_size: 10 << 20 }
    }
}

impl Truncation {
    /// The record as it is given to the backend; `line` is all of it. `None` if it is too large even without its objects.
    pub(super) fn fit<'l>(&self, event: &mut Event, line: &'l [u8]) -> Option<Cow<'l, [u8]>> {
        // Upstream counts the line feed.
        let fits = |size: usize| size < self.max_event_size;
        if !self.enabled || fits(line.len()) {
            return Some(Cow::Borrowed(line));
        }
        if event.level < Level::Request {
            return None;
        }
        let objects = (event.request_object.take(), event.response_object.take());
        let marked = event.annotations.insert("audit.k8s.io/truncated".into(), "true".into());
        let less = serde_json::to_vec(event);
        // The next stage may fit, and other backends may take more.
        if marked.is_none() {
            event.annotations.remove("audit.k8s.io/truncated");
        }
        (event.request_object, event.response_object) = objects;
        less.ok().filter(|less| fits(less.len())).map(Cow::Owned)
    }

    /// Whether a batch of a size has room for another record.
    pub(super) fn has_room(&self, batch: usize, event: usize) -> bool {
        !self.enabled || batch == 0 || batch + event < self.max_batch_size
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::super::event::{Event, UserInfo};
    use super::super::policy::{Level, Stage};
    use super::Truncation;

    fn event(level: Level, object: usize, annotation: usize) -> Event {
        let object = RawValue::from_string(json!({"a": "x".repeat(object)}).to_string()).unwrap();
        Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level,
            audit_id: "id".into(),
            stage: Stage::ResponseComplete,
            request_uri: "/".into(),
            verb: "get".into(),
            user: UserInfo::default(),
            impersonated_user: None,
            source_ips: Vec::new(),
            user_agent: String::new(),
            object_ref: None,
            response_status: None,
            request_object: Some(object),
            response_object: None,
            request_received_timestamp: String::new(),
            stage_timestamp: String::new(),
            annotations: BTreeMap::from([("own".to_owned(), "x".repeat(annotation))]),
        }
    }

    #[test]
    fn objects_go_first_and_then_the_record() {
        let truncation = Truncation { enabled: true, max_event_size: 1000, max_batch_size: 2000 };
        let check = |truncation: Truncation, mut event: Event, expect: Option<bool>| {
            let line = serde_json::to_vec(&event).unwrap();
            let fitting = truncation.fit(&mut event, &line).map(|fitting| {
                let shown: Value = serde_json::from_slice(&fitting).unwrap();
                let marked = shown["annotations"]["audit.k8s.io/truncated"] == "true";
                assert_eq!(shown["requestObject"].is_null(), marked);
                assert_eq!(shown["annotations"]["own"], event.annotations["own"].as_str());
                marked
            });
            assert_eq!(fitting, expect);
            assert_eq!(serde_json::to_vec(&event).unwrap(), line, "the next backend sees all of it");
        };
        check(truncation, event(Level::Request, 10, 10), Some(false));
        check(truncation, event(Level::Request, 2000, 10), Some(true));
        check(truncation, event(Level::Request, 2000, 2000), None);
        check(truncation, event(Level::Metadata, 2000, 10), None);
        check(Truncation::default(), event(Level::Request, 200_000, 10), Some(false));
        assert!(truncation.has_room(0, 5000) && truncation.has_room(1000, 999) && !truncation.has_room(1000, 1000));
    }
}
