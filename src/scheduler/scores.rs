//! Which of the nodes a pod may run on suits it best.

use crate::node::Node;
use crate::pod::Pod;

/// The best possible score of one aspect.
const MAX: i64 = 100;

/// One aspect: how well each node does, in any unit, whether more is better, and how much it counts (upstream's weights).
struct Aspect {
    raw: fn(&Pod, &Node) -> i64,
    scale: Scale,
    weight: i64,
}

/// How raw scores become comparable.
enum Scale {
    /// They are 0 to 100 already.
    AsIs,
    /// The highest becomes 100.
    MoreIsBetter,
    /// The lowest becomes 100.
    LessIsBetter,
}

const ASPECTS: [Aspect; 6] = [
    Aspect { raw: least_allocated, scale: Scale::AsIs, weight: 1 },
    Aspect { raw: balanced, scale: Scale::AsIs, weight: 1 },
    Aspect { raw: preferred_affinity, scale: Scale::MoreIsBetter, weight: 2 },
    Aspect { raw: soft_taints, scale: Scale::LessIsBetter, weight: 3 },
    Aspect { raw: siblings, scale: Scale::LessIsBetter, weight: 2 },
    Aspect { raw: image_locality, scale: Scale::AsIs, weight: 1 },
];

/// The total score of each node, in the order given.
pub(crate) fn totals(pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    let mut raw = Vec::with_capacity(nodes.len());
    for aspect in &ASPECTS {
        raw.clear();
        raw.extend(nodes.iter().map(|node| (aspect.raw)(pod, node)));
        let highest = raw.iter().copied().max().unwrap_or(0);
        for (total, raw) in totals.iter_mut().zip(&raw) {
            let score = match aspect.scale {
                Scale::AsIs => *raw,
                Scale::MoreIsBetter if highest == 0 => 0,
                Scale::MoreIsBetter => MAX * raw / highest,
                Scale::LessIsBetter if highest == 0 => MAX,
                Scale::LessIsBetter => MAX - MAX * raw / highest,
            };
            *total += score * aspect.weight;
        }
    }
    totals
}

fn least_allocated(pod: &Pod, node: &Node) -> i64 {
    let free = |have: i64, used: i64| if have > 0 && used <= have { (have - used) * MAX / have } else { 0 };
    let have = &node.spec.allocatable;
    (free(have.milli_cpu, node.weight.0 + pod.weight.0) + free(have.memory, node.weight.1 + pod.weight.1)) / 2
}

/// How evenly processor and memory would be used.
fn balanced(pod: &Pod, node: &Node) -> i64 {
    let part = |have: i64, used: i64| if have > 0 { (used * 1000 / have).min(1000) } else { 1000 };
    let have = &node.spec.allocatable;
    let cpu = part(have.milli_cpu, node.weight.0 + pod.weight.0);
    let memory = part(have.memory, node.weight.1 + pod.weight.1);
    MAX - (cpu - memory).abs() * MAX / 2000
}

fn preferred_affinity(pod: &Pod, node: &Node) -> i64 {
    let matching = pod.preferred.iter().filter(|(_, term)| term.matches(&node.spec.name, &node.spec.labels));
    matching.map(|(weight, _)| *weight).sum()
}

fn soft_taints(pod: &Pod, node: &Node) -> i64 {
    let soft = node.spec.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    soft.filter(|taint| !pod.tolerations.iter().any(|t| t.tolerates(taint))).count() as i64
}

/// Pods of the same owner: upstream's default spreading over host names.
fn siblings(pod: &Pod, node: &Node) -> i64 {
    if pod.owner.is_empty() { 0 } else { node.owners.get(&pod.owner).copied().unwrap_or(0).into() }
}

/// How much of the pod's images is there already: from 23 MiB to 1 GB a container, as upstream.
fn image_locality(pod: &Pod, node: &Node) -> i64 {
    const LEAST: i64 = 23 << 20;
    const MOST: i64 = 1000 << 20;
    let there: i64 = pod.images.iter().filter_map(|image| node.spec.images.get(image)).sum();
    let most = MOST * pod.images.len() as i64;
    if most <= LEAST { 0 } else { MAX * (there.clamp(LEAST, most) - LEAST) / (most - LEAST) }
}
