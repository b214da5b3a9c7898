//! `--kube-controller-manager-arg`.

use controllers::Options;

use super::values::{duration, number, put, words};
use super::{Argument, argument, feature_gates};

/// The arguments, by name.
pub(super) const TABLE: &[Argument<Options>] = &[
    argument("cluster-signing-duration", |options, text| put(&mut options.signing_duration, duration(text))),
    argument("controllers", |options, text| put(&mut options.disabled, disabled(text))),
    argument("feature-gates", |_, text| feature_gates::check(text)),
    argument("mirroring-max-endpoints-per-subset", |options, text| {
        put(&mut options.mirroring_max_endpoints_per_subset, number(text, 1..=1000))
    }),
    argument("node-cidr-mask-size", |options, text| put(&mut options.node_cidr_mask_v4, number(text, 16..=29))),
    argument("node-monitor-grace-period", |options, text| put(&mut options.node_monitor_grace, duration(text))),
    argument("terminated-pod-gc-threshold", |options, text| {
        put(&mut options.terminated_pod_threshold, number(text, 0..=10_000_000))
    }),
];

/// `*` is all, `name` one more, `-name` all but one: which ones do not run.
fn disabled(text: &str) -> Result<Vec<String>, String> {
    let said = words(text);
    let known: Vec<&str> = controllers::names().collect();
    for word in &said {
        let name = word.strip_prefix('-').unwrap_or(word);
        if name != "*" && !known.contains(&name) {
            return Err(format!("there is no controller {name:?}; there is {}", known.join(", ")));
        }
    }
    let says = |word: &str| said.iter().any(|one| one == word);
    let runs = |name: &&&str| !says(&format!("-{name}")) && (says("*") || says(name));
    Ok(known.iter().filter(|name| !runs(name)).map(|name| (*name).to_owned()).collect())
}
