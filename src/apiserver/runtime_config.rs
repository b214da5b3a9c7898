//! Which groups, versions and kinds are served of those built in: upstream's `--runtime-config`. Stable versions are, unless
//! they are switched off; versions still to become stable are served when they are asked for. This server's own parts find what
//! they need either way, because they do not ask by name. Of the core group, on which everything else stands, nothing can go.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use api::Resource;

/// What is served otherwise than it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Group, version and plural of what is stable and not served, or not stable and served.
    turned: BTreeSet<(Box<str>, Box<str>, Box<str>)>,
}

/// How far a version has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
    Stable,
}

impl Stage {
    fn of(row: &Resource) -> Self {
        match &*row.version {
            version if version.contains("alpha") => Self::Alpha,
            version if version.contains("beta") => Self::Beta,
            _ => Self::Stable,
        }
    }
}

/// The keys that stand for many versions, in the order in which they count; none for all of them.
const WIDE: [(&str, Option<Stage>); 4] = [
    ("api/all", None),
    ("api/ga", Some(Stage::Stable)),
    ("api/beta", Some(Stage::Beta)),
    ("api/alpha", Some(Stage::Alpha)),
];

impl RuntimeConfig {
    /// Whether a built-in kind is served.
    pub(crate) fn serves(&self, row: &Resource) -> bool {
        (Stage::of(row) == Stage::Stable) != self.turned.contains(&id(row))
    }

    /// The built-in kinds that are served.
    pub(crate) fn rows(&self) -> Vec<Arc<Resource>> {
        api::resource::builtin().iter().filter(|row| self.serves(row)).cloned().collect()
    }

    fn set(&mut self, on: bool, chosen: impl Fn(&Resource) -> bool) {
        for row in api::resource::builtin().iter().filter(|row| chosen(row)) {
            match (Stage::of(row) == Stage::Stable) == on {
                true => self.turned.remove(&id(row)),
                false => self.turned.insert(id(row)),
            };
        }
    }
}

fn id(row: &Resource) -> (Box<str>, Box<str>, Box<str>) {
    (row.group.clone(), row.version.clone(), row.plural.clone())
}

/// `key=true` and `key=false`, with commas between them. What is wrong is told in upstream's words.
impl FromStr for RuntimeConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let on = match value {
                "true" | "1" => true,
                "false" | "0" => false,
                "" if WIDE.iter().all(|(wide, _)| *wide != key) => true,
                _ => return Err(format!("invalid value of {key}: {value}, expected true or false")),
            };
            given.insert(key, on);
        }
        if given.len() == 1 && given.get("api/all") == Some(&false) {
            return Err("invalid key with only api/all=false".to_owned());
        }
        let mut config = Self::default();
        for (key, stage) in WIDE {
            if let Some(on) = given.remove(key) {
                let meant = |row: &Resource| stage.is_none_or(|stage| Stage::of(row) == stage);
                config.set(on, |row| meant(row) && (on || !row.is_core()));
            }
        }
        // Versions before resources, which are the narrower.
        let (resources, versions): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|(key, _)| key.split('/').count() > 2);
        for (key, on) in versions.into_iter().chain(resources) {
            let parts: Vec<&str> = key.split('/').collect();
            let (group, version, plural) = match *parts.as_slice() {
                ["v1"] | ["api", "v1"] => ("", "v1", None),
                [group, version] => (group, version, None),
                [group, version, plural] => (group, version, Some(plural)),
                _ => return Err(format!("runtime-config invalid key {key}")),
            };
            if group.is_empty() && !on {
                return Err(format!("{key}=false: nothing works without the core group"));
            }
            if let Some(plural) = plural.filter(|plural| plural.to_lowercase() != **plural) {
                let plural = api::quote::quote(plural);
                return Err(format!(
                    "invalid key {key}: group/version/resource and resource is always lowercase plural, not {plural}"
                ));
            }
            let rows = || api::resource::builtin().iter().filter(|row| &*row.group == group);
            if rows().next().is_none() {
                return Err(format!("unknown api groups {group}"));
            }
            let meant = |row: &Resource| &*row.version == version && plural.is_none_or(|plural| &*row.plural == plural);
            if !rows().any(|row| meant(row)) {
                return Err(format!("group version {group}/{version} that has not been registered"));
            }
            config.set(on, |row| &*row.group == group && meant(row));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREVIEWS: &str = "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings";

    #[test]
    fn what_is_asked_for_is_served() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let config = text.parse::<RuntimeConfig>();
            let served = config.map(|config| {
                let rows = config.rows();
                let stable = api::resource::builtin().iter().filter(|row| Stage::of(row) == Stage::Stable).count();
                let more = rows.iter().filter(|row| Stage::of(row) != Stage::Stable);
                let more: Vec<_> = more.map(|row| format!("{}/{}/{}", row.group, row.version, row.plural)).collect();
                assert_eq!(rows.len(), stable + more.len());
                more.join(" ")
            });
            assert_eq!(served, expect.map(str::to_owned).map_err(str::to_owned), "{text}");
        };
        check("", Ok(""));
        check("v1=true,api/v1,apps/v1=1,api/ga=true", Ok(""));
        check("admissionregistration.k8s.io/v1beta1=true", Ok(PREVIEWS));
        check("api/all=true", Ok(PREVIEWS));
        check("api/beta=true", Ok(PREVIEWS));
        check("api/alpha=true", Ok(""));
        check("admissionregistration.k8s.io/v1beta1=false,api/all=true", Ok(""));
        let one = "admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies";
        check(&format!("{one}=true"), Ok(one));
        check(
            &format!("api/beta=true, {one}bindings=false"),
            Err("group version admissionregistration.k8s.io/v1beta1 that has not been registered"),
        );
        check("api/all=false", Err("invalid key with only api/all=false"));
        check("api/all", Err("invalid value of api/all: , expected true or false"));
        check("v1=false", Err("v1=false: nothing works without the core group"));
        check(
            "batch/v1/CronJobs=false",
            Err(
                "invalid key batch/v1/CronJobs: group/version/resource and resource is always lowercase plural, not \"CronJobs\"",
            ),
        );
        check("x.io/v1=true", Err("unknown api groups x.io"));
        check("apps/v1beta1=true", Err("group version apps/v1beta1 that has not been registered"));
        check("a/b/c/d", Err("runtime-config invalid key a/b/c/d"));
        check("apps/v1=yes", Err("invalid value of apps/v1: yes, expected true or false"));
    }

    #[test]
    fn what_is_switched_off_is_not_served() {
        let check = |text: &str, expect: &[(&str, &str, bool)]| {
            let config: RuntimeConfig = text.parse().unwrap();
            for (group, plural, served) in expect {
                let row = api::resource::find(group, "v1", plural).unwrap();
                assert_eq!(config.serves(row), *served, "{text}: {plural}");
            }
        };
        let (pods, deployments, jobs, cron_jobs) =
            (("", "pods"), ("apps", "deployments"), ("batch", "jobs"), ("batch", "cronjobs"));
        let is = |(group, plural), served| (group, plural, served);
        check("apps/v1=false", &[is(deployments, false), is(jobs, true)]);
        check("batch/v1/cronjobs=false", &[is(cron_jobs, false), is(jobs, true)]);
        check("batch/v1=false,batch/v1/jobs=true", &[is(cron_jobs, false), is(jobs, true)]);
        check("api/ga=false", &[is(deployments, false), is(cron_jobs, false), is(pods, true)]);
        check("api/all=false,apps/v1=true", &[is(deployments, true), is(jobs, false), is(pods, true)]);
    }
}
