//! Why no node would do, in upstream's words.

use std::collections::BTreeMap;

use crate::filters::Reason;

/// What every node objected.
#[derive(Debug, Default)]
pub(crate) struct Objections {
    nodes: usize,
    reasons: BTreeMap<String, usize>,
    unhelpful: usize,
}

impl Objections {
    /// Notes one node's objections.
    pub(crate) fn add(&mut self, reasons: Vec<Reason>) {
        self.nodes += 1;
        self.unhelpful += usize::from(reasons.iter().any(|reason| !reason.resolvable));
        for reason in reasons {
            *self.reasons.entry(reason.text).or_default() += 1;
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: 0/3 nodes are available: …`
    pub(crate) fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut parts: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        let preemption = [
            (self.nodes - self.unhelpful, "No preemption victims found for incoming pod"),
            (self.unhelpful, "Preemption is not helpful for scheduling"),
        ];
        let mut helpless: Vec<String> =
            preemption.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
        helpless.sort();
        let head = format!("0/{} nodes are available", self.nodes);
        format!("{head}: {}. preemption: {head}: {}.", parts.join(", "), helpless.join(", "))
    }
}
