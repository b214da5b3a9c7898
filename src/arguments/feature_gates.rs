//! `feature-gates`, an argument of every component. What isopod does it does one way, so a gate may be said to stand as it
//! stands here, as it does by default in Kubernetes 1.35; a gate that should stand otherwise is refused, and so is one that
//! there is not.

mod known;

/// On by default, and not here: there is nothing that the gate could open.
const ABSENT: &str = "ContainerCheckpoint GracefulNodeShutdown GracefulNodeShutdownBasedOnPodPriority \
    HPAConfigurableTolerance ImageVolume KubeletPSI KubeletPodResourcesDynamicResources KubeletPodResourcesGet \
    SELinuxMountReadWriteOncePod SchedulerAsyncPreemption UserNamespacesSupport WindowsGracefulNodeShutdown";
/// Off by default, and here a matter of `runtime-config` alone.
const EITHER_WAY: &str = "MutatingAdmissionPolicy";

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Upstream has it so for good.
    Locked(bool),
    /// Isopod has it so.
    Fixed(bool),
    /// Both are the same.
    Either,
}

impl Gate {
    fn of(name: &str) -> Option<Self> {
        let names = |list: &str| list.split_whitespace().any(|known| known == name);
        match () {
            () if names(EITHER_WAY) => Some(Self::Either),
            () if names(ABSENT) => Some(Self::Fixed(false)),
            () if names(known::ON) => Some(Self::Fixed(true)),
            () if names(known::OFF) || name == "AllAlpha" => Some(Self::Fixed(false)),
            () if names(known::LOCKED_ON) => Some(Self::Locked(true)),
            () if names(known::LOCKED_OFF) => Some(Self::Locked(false)),
            () => None,
        }
    }
}

/// `Name=true` and `Name=false`, with commas between them. What upstream refuses is refused in its words.
pub(super) fn check(text: &str) -> Result<(), String> {
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(format!("missing bool value for {}", pair.trim()));
        };
        let (name, value) = (name.trim(), value.trim());
        let on = match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return Err(format!("invalid value of {name}={value}, expected true or false")),
        };
        let refused = |why: &str| Err(format!("cannot set feature gate {name} to {on}, {why}"));
        match Gate::of(name) {
            None if name == "AllBeta" => {
                return refused("isopod has each of them fixed as Kubernetes 1.35 has it by default");
            }
            None => return Err(format!("unrecognized feature gate: {name}")),
            Some(Gate::Locked(stands)) if stands != on => return refused(&format!("feature is locked to {stands}")),
            Some(Gate::Fixed(stands)) if stands != on => return refused(&format!("isopod has it fixed at {stands}")),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_stand_as_they_stand() {
        let expect = |text: &str, expect: Result<(), &str>| {
            assert_eq!(check(text), expect.map_err(str::to_owned), "{text}");
        };
        expect("", Ok(()));
        expect("WatchList=true,DRAAdminAccess=1,,AllAlpha=false", Ok(()));
        expect("MutatingAdmissionPolicy=true, MutatingAdmissionPolicy=false", Ok(()));
        expect("JobPodReplacementPolicy=true", Ok(()));
        expect(
            "JobPodReplacementPolicy=false",
            Err("cannot set feature gate JobPodReplacementPolicy to false, feature is locked to true"),
        );
        expect("WatchList=false", Err("cannot set feature gate WatchList to false, isopod has it fixed at true"));
        expect("ImageVolume=true", Err("cannot set feature gate ImageVolume to true, isopod has it fixed at false"));
        expect("AllAlpha=true", Err("cannot set feature gate AllAlpha to true, isopod has it fixed at false"));
        expect("Sorcery=true", Err("unrecognized feature gate: Sorcery"));
        expect("WatchList", Err("missing bool value for WatchList"));
        expect("WatchList=on", Err("invalid value of WatchList=on, expected true or false"));
    }

    #[test]
    fn every_gate_stands_one_way() {
        let lists = [known::ON, known::OFF, known::LOCKED_ON, known::LOCKED_OFF];
        let mut all: Vec<&str> = lists.iter().flat_map(|list| list.split_whitespace()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), count), (210, 210));
        let here = |list: &str, within: &str| {
            list.split_whitespace()
                .for_each(|name| assert!(within.split_whitespace().any(|known| known == name), "{name}"));
        };
        here(ABSENT, known::ON);
        here(EITHER_WAY, known::OFF);
    }
}
