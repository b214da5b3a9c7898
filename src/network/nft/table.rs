//! A whole table as data, in the form `nft list table` shows.

use std::fmt;

use super::{ChainName, Element, Rule, Set};

/// Where in a packet's way a base chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookPoint {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// How a base chain is hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `nat` or `filter`.
    pub(crate) kind: &'static str,
    pub(crate) point: HookPoint,
    pub(crate) priority: i32,
}

impl Hook {
    pub(crate) fn nat(point: HookPoint, priority: i32) -> Option<Self> {
        Some(Self { kind: "nat", point, priority })
    }

    pub(crate) fn filter(point: HookPoint, priority: i32) -> Option<Self> {
        Some(Self { kind: "filter", point, priority })
    }
}

/// A chain with its rules; a base chain if it has a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: ChainName,
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Rule>,
}

impl Chain {
    pub(crate) fn new(name: &str, hook: Option<Hook>, rules: Vec<Rule>) -> Self {
        Self { name: name.into(), hook, rules }
    }
}

/// A table of family `ip`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
    /// Elements, by the set's name.
    pub(crate) elements: Vec<(&'static str, Element)>,
}

#[cfg(test)]
impl Table {
    /// The declaration of one of the table's sets.
    pub(crate) fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        })
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "chain {} {{", self.name)?;
        if let Some(hook) = self.hook {
            writeln!(f, "  type {} hook {} priority {}", hook.kind, hook.point, hook.priority)?;
        }
        for rule in &self.rules {
            let statements: Vec<_> = rule.iter().map(ToString::to_string).collect();
            writeln!(f, "  {}", statements.join(" "))?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for set in &self.sets {
            writeln!(f, "{set}")?;
            for (_, element) in self.elements.iter().filter(|(name, _)| *name == set.name) {
                writeln!(f, "  {}{}", element.key.display(set.key), element.value)?;
            }
        }
        self.chains.iter().try_for_each(|chain| chain.fmt(f))
    }
}
