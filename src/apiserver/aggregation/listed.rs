//! What APIServices say there is, whoever serves it: `/apis` and `/apis/GROUP` are made from them. So who takes a built-in one
//! away hides its group from those documents, and who changes a priority changes their order; what is served stays as it is.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::version::rank;

use super::Aggregator;

/// A group and version as its APIService describes it.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The APIService's.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) group_priority: i64,
    pub(crate) version_priority: i64,
}

impl Listed {
    /// What the APIService of a group and version says if nobody has changed it.
    pub(crate) fn of_custom(group: &str, version: &str) -> Self {
        let (group_priority, version_priority) = super::priorities::custom();
        let name = format!("{version}.{group}");
        Self { name, group: group.into(), version: version.into(), group_priority, version_priority }
    }
}

impl Aggregator {
    /// What every APIService says; `None` as long as those of what is built in are being made.
    pub(crate) fn listed(&self) -> Option<Vec<Arc<Listed>>> {
        if !self.registered.load(Ordering::Acquire) {
            return None;
        }
        let remotes = self.remotes();
        let elsewhere = remotes.all.iter().map(|remote| {
            Arc::new(Listed {
                name: remote.name.clone(),
                group: remote.group.clone(),
                version: remote.version.clone(),
                group_priority: remote.group_priority,
                version_priority: remote.version_priority,
            })
        });
        Some(remotes.local.0.iter().map(|(_, listed)| listed.clone()).chain(elsewhere).collect())
    }
}

/// The groups in upstream's order, each with its versions in theirs: a group stands where its most important version would.
pub(crate) fn by_group(mut listed: Vec<Arc<Listed>>) -> Vec<(String, Vec<String>)> {
    listed.retain(|listed| !listed.group.is_empty());
    listed.sort_by(|a, b| (Reverse(a.group_priority), &a.name).cmp(&(Reverse(b.group_priority), &b.name)));
    let (mut places, mut groups) = (HashMap::new(), Vec::<Vec<&Listed>>::new());
    for one in &listed {
        let place = *places.entry(&one.group).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let sorted = groups.into_iter().map(|mut versions| {
        let place = |one: &Listed| Reverse((one.version_priority, rank(&one.version)));
        versions.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.version.cmp(&b.version)));
        (versions[0].group.clone(), versions.into_iter().map(|one| one.version.clone()).collect())
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_versions_stand_by_their_priorities() {
        let check = |listed: &[(&str, &str, i64, i64)], expect: &str| {
            let listed = listed.iter().map(|&(group, version, group_priority, version_priority)| {
                let name = format!("{version}.{group}");
                let (group, version) = (group.into(), version.into());
                Arc::new(Listed { name, group, version, group_priority, version_priority })
            });
            let groups = by_group(listed.collect()).into_iter();
            let said: Vec<String> = groups.map(|(group, versions)| format!("{group}:{}", versions.join(","))).collect();
            assert_eq!(said.join(" "), expect);
        };
        check(&[("", "v1", 18000, 1)], "");
        check(&[("a", "v1", 1, 15), ("b", "v1", 2, 1), ("a", "v2", 1, 9)], "b:v1 a:v1,v2");
        // Whoever is equal stands by the name of its APIService, and that begins with the version.
        check(&[("a", "v2", 1, 1), ("b", "v1", 1, 1)], "b:v1 a:v2");
        // A group stands where its first version does.
        check(&[("a", "v1", 1, 1), ("b", "v1", 2, 1), ("a", "v2", 3, 1)], "a:v2,v1 b:v1");
        check(&[("a", "v1beta1", 1, 1), ("a", "x", 1, 1), ("a", "v1", 1, 1)], "a:v1,v1beta1,x");
    }
}
