//! Quality of service: class, cgroup limits and oom_score_adj, from requests and limits: pure arithmetic.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// The class of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// CPU in thousandths of a core, memory in bytes; None is unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpu: Option<i64>,
    pub(crate) memory: Option<i64>,
}

type List = BTreeMap<String, ApiQuantity>;

/// One amount of a list, in whole units or in thousandths.
pub(crate) fn quantity(list: Option<&List>, name: &str) -> Option<Quantity> {
    Quantity::parse(&list?.get(name)?.0).ok()
}

fn amounts(list: Option<&List>) -> Amounts {
    Amounts { cpu: quantity(list, "cpu").map(|q| q.milli_value()), memory: quantity(list, "memory").map(|q| q.value()) }
}

/// What a container asks for; a limit without a request is a request, too.
pub(crate) fn requests(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let (asked, limit) = (amounts(resources.and_then(|r| r.requests.as_ref())), limits(container));
    Amounts { cpu: asked.cpu.or(limit.cpu), memory: asked.memory.or(limit.memory) }
}

/// What a container may use at most.
pub(crate) fn limits(container: &Container) -> Amounts {
    amounts(container.resources.as_ref().and_then(|r| r.limits.as_ref()))
}

/// Upstream's rules: Guaranteed when every container's limits equal its requests for CPU and memory.
pub(crate) fn class(spec: &PodSpec) -> Class {
    let nonzero = |n: Option<i64>| n.filter(|n| *n > 0);
    if let Some(pod) = &spec.resources {
        let (asked, limit) = (amounts(pod.requests.as_ref()), amounts(pod.limits.as_ref()));
        if asked != Amounts::default() || limit != Amounts::default() {
            let full = nonzero(limit.cpu).is_some() && nonzero(limit.memory).is_some();
            let equal = asked.cpu.or(limit.cpu) == limit.cpu && asked.memory.or(limit.memory) == limit.memory;
            return if full && equal { Class::Guaranteed } else { Class::Burstable };
        }
    }
    let mut guaranteed = true;
    let mut any = false;
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let (asked, limit) = (requests(container), limits(container));
        let all = [asked.cpu, asked.memory, limit.cpu, limit.memory];
        any |= all.iter().any(|n| nonzero(*n).is_some());
        guaranteed &= nonzero(limit.cpu).is_some() && nonzero(limit.memory).is_some() && asked == limit;
    }
    match (any, guaranteed) {
        (false, _) => Class::BestEffort,
        (true, true) => Class::Guaranteed,
        (true, false) => Class::Burstable,
    }
}

/// What the whole pod asks for and may use: containers and sidecars together, or the largest init container with the sidecars before it; plus
/// the overhead. A limit is None as soon as one container has none.
pub(crate) fn pod_amounts(spec: &PodSpec) -> (Amounts, Amounts) {
    let overhead = amounts(spec.overhead.as_ref());
    let sum = |of: fn(&Container) -> Amounts, pick: fn(&Amounts) -> Option<i64>, strict: bool| -> Option<i64> {
        let add = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) if !strict => a.or(b),
            _ => None,
        };
        let mut sidecars = Some(0);
        let mut peak = Some(0);
        for init in spec.init_containers.iter().flatten() {
            let own = add(pick(&of(init)), if strict { Some(0) } else { None });
            let together = add(sidecars, own);
            if init.restart_policy.as_deref() == Some("Always") {
                sidecars = together;
            }
            peak = match (peak, together) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) if !strict => a.or(b),
                _ => None,
            };
        }
        let running = spec.containers.iter().fold(sidecars, |total, c| add(total, pick(&of(c))));
        let total = match (peak, running) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) if !strict => a.or(b),
            _ => None,
        };
        total.map(|n| n + pick(&overhead).unwrap_or(0))
    };
    let asked = Amounts { cpu: sum(requests, |a| a.cpu, false), memory: sum(requests, |a| a.memory, false) };
    let limit = Amounts { cpu: sum(limits, |a| a.cpu, true), memory: sum(limits, |a| a.memory, true) };
    let own = spec.resources.as_ref();
    let (own_asked, own_limit) =
        (amounts(own.and_then(|r| r.requests.as_ref())), amounts(own.and_then(|r| r.limits.as_ref())));
    (
        Amounts { cpu: own_asked.cpu.or(asked.cpu), memory: own_asked.memory.or(asked.memory) },
        Amounts { cpu: own_limit.cpu.or(limit.cpu), memory: own_limit.memory.or(limit.memory) },
    )
}

/// CFS period: 100 ms.
pub(crate) const CPU_PERIOD: i64 = 100_000;

/// `cpu.shares` for thousandths of a core.
pub(crate) fn cpu_shares(milli: i64) -> i64 {
    if milli <= 0 { 2 } else { (milli * 1024 / 1000).clamp(2, 262_144) }
}

/// `cpu.cfs_quota_us` for thousandths of a core; 0 is no quota. Below 1 ms the kernel refuses.
pub(crate) fn cpu_quota(milli: i64) -> i64 {
    if milli <= 0 { 0 } else { (milli * CPU_PERIOD / 1000).max(1000) }
}

/// `cpu.weight` of cgroup v2 for shares of v1, on the kernel's own scale.
pub(crate) fn cpu_weight(shares: i64) -> i64 {
    1 + ((shares.clamp(2, 262_144) - 2) * 9999) / 262_142
}

/// oom_score_adj: the less of its request a burstable container may exceed, the later it dies.
pub(crate) fn oom_score_adj(class: Class, critical: bool, container: &Container, node_memory: u64) -> i64 {
    match class {
        _ if critical => -997,
        Class::Guaranteed => -997,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let asked = requests(container).memory.unwrap_or(0);
            let memory = i64::try_from(node_memory).unwrap_or(i64::MAX).max(1);
            let score = 1000 - (i128::from(asked) * 1000 / i128::from(memory)) as i64;
            score.clamp(3, 999)
        }
    }
}
