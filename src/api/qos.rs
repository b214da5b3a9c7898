//! The quality-of-service class of pods.

use serde_json::Value;

use crate::quantity::Quantity;
use crate::tree::Tree;

/// The class that decides who is evicted first: all limits given and equal to the requests; some given; none.
pub fn class(pod: &Value) -> &'static str {
    let zero = |quantity: &Value| Quantity::from_json(quantity).is_ok_and(|q| q.is_zero());
    let (mut any, mut all) = (false, true);
    let whole = |kind: &str| pod.at("spec.resources").is_some_and(|r| r.entries(kind).next().is_some());
    // What is said for the pod as a whole stands before what its containers say.
    let of_pod = (whole("requests") || whole("limits")).then(|| pod.at("spec")).flatten();
    let containers = pod.items("spec.containers").iter().chain(pod.items("spec.initContainers"));
    for container in of_pod.into_iter().chain(containers.filter(|_| of_pod.is_none())) {
        for resource in ["cpu", "memory"] {
            let of = |kind: &str| {
                container.at("resources").and_then(|r| r.at(kind)).and_then(|k| k.get(resource)).filter(|q| !zero(q))
            };
            let (request, limit) = (of("requests"), of("limits"));
            any |= request.is_some() || limit.is_some();
            let parse = |quantity: Option<&Value>| quantity.and_then(|q| Quantity::from_json(q).ok());
            all &= limit.is_some() && parse(request) == parse(limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (_, true) => "Guaranteed",
        _ => "Burstable",
    }
}
