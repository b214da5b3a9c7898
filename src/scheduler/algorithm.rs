//! One decision: filter, score, choose.

use rand::RngExt;

use crate::explain::Objections;
use crate::filters::{self, fits};
use crate::node::Node;
use crate::pod::Pod;
use crate::scores;

/// With fewer nodes than this all are looked at.
const LOOK_AT_ALL: usize = 100;

/// How many feasible nodes are enough: upstream's adaptive share, 50 % less one for every 125 nodes, at least 5 %.
fn enough(nodes: usize) -> usize {
    if nodes < LOOK_AT_ALL {
        return nodes;
    }
    let share = (50 - (nodes / 125).min(45)).max(5);
    (nodes * share / 100).max(LOOK_AT_ALL)
}

/// The place of the best node, or every node's objections. `start` is where the search begins, so that all nodes get their
/// turn; it is moved on.
pub(crate) fn choose(pod: &Pod, nodes: &[Node], start: &mut usize) -> Result<usize, Objections> {
    let wanted = enough(nodes.len());
    let mut feasible = Vec::with_capacity(wanted.min(nodes.len()));
    let mut looked = 0;
    while looked < nodes.len() && feasible.len() < wanted {
        let at = (*start + looked) % nodes.len();
        if fits(pod, &nodes[at]) {
            feasible.push(at);
        }
        looked += 1;
    }
    *start = if nodes.is_empty() { 0 } else { (*start + looked) % nodes.len() };
    match feasible.as_slice() {
        [] => {
            // Reasons cost strings: they are asked for only when there is nothing but reasons.
            let mut objections = Objections::default();
            nodes.iter().for_each(|node| objections.add(filters::reasons(pod, node)));
            Err(objections)
        }
        [only] => Ok(*only),
        several => {
            let candidates: Vec<&Node> = several.iter().map(|at| &nodes[*at]).collect();
            let totals = scores::totals(pod, &candidates);
            let best = totals.iter().copied().max().unwrap_or(0);
            let best: Vec<usize> =
                totals.iter().zip(several).filter(|(total, _)| **total == best).map(|(_, at)| *at).collect();
            Ok(best[rand::rng().random_range(0..best.len())])
        }
    }
}
