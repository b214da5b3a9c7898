//! Upstream's strategies, in a program of their own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::case::{Case, Verdict};

pub(crate) struct Upstream {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Upstream {
    pub(crate) fn start(program: &str) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, questions, answers }
    }

    /// The old object as upstream stores it, and what upstream says of the write.
    pub(crate) fn judge(&mut self, case: &Case) -> (Option<Value>, Verdict) {
        let row = &case.row;
        let mut question = json!({
            "group": row.group, "version": row.version, "plural": row.plural, "subresource": case.subresource,
            "namespace": case.namespace(), "new": versioned(&case.new),
        });
        if let Some(old) = &case.old {
            question["old"] = versioned(old);
        }
        writeln!(self.questions, "{question}").expect("upstream listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("upstream answers");
        let mut answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}: {question}"));
        let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let before = answer.get_mut("before").map(Value::take);
        let verdict = if let Some(object) = answer.get_mut("object") {
            let object = object.take();
            let warnings = answer["warnings"].as_array().into_iter().flatten().map(words).collect();
            Verdict::Taken { object, warnings }
        } else if let Some(causes) = answer["causes"].as_array() {
            let cause = |cause: &Value| {
                format!("{}: {}: {}", words(&cause["Field"]), words(&cause["Reason"]), words(&cause["Message"]))
            };
            Verdict::Refused(causes.iter().map(cause).collect())
        } else if answer.get("panic").is_some() {
            Verdict::Panicked
        } else {
            Verdict::Failed(words(&answer["failure"]))
        };
        (before, verdict)
    }
}

/// Many kinds want to be told which version a change is of.
fn versioned(object: &Value) -> Value {
    let mut object = object.clone();
    if !object["metadata"]["uid"].is_null() {
        object["metadata"]["resourceVersion"] = json!("1");
    }
    object
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It ends with its input, which is ours.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
