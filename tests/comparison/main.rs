//! What isopod says of a write, compared with what upstream's own strategies say of it: defaults, preparation, validation and
//! warnings of every kind, over generated objects. `tests/comparison/run` builds upstream's part and runs it all.
//!
//! The objects in `objects/` are varied at random, always the same for the same `ISOPOD_SEED`. What differs is counted by kind, field and
//! shape of the message. Differences that are meant, or not mended yet, stand in `known-differences`, which may only shrink.

mod case;
mod difference;
mod empties;
mod known;
mod ours;
mod random;
mod specimens;
mod upstream;
mod variation;

use std::collections::BTreeMap;
use std::io::Write;

use api::resource;
use libtest_mimic::{Arguments, Failed, Trial};

use case::{Case, Verdict};
use difference::Differences;
use random::Random;
use specimens::Specimens;

/// Of each kind: creates, updates, and writes of each subresource.
const EACH: usize = 200;

fn main() {
    let trials = vec![
        Trial::test("every_field_of_every_kind_is_in_an_object", complete),
        Trial::test("upstreams_strategies_say_the_same", compare).with_ignored_flag(true),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// What is in no object is not compared.
fn complete() -> Result<(), Failed> {
    let missing = Specimens::read().missing();
    if missing.is_empty() { Ok(()) } else { Err(format!("in no object: {}", missing.join("\n")).into()) }
}

fn compare() -> Result<(), Failed> {
    let program = std::env::var("ISOPOD_UPSTREAM").map_err(|_| "tests/comparison/run says where upstream's part is")?;
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let each = number("ISOPOD_EACH", EACH);
    let seed = number("ISOPOD_SEED", 1);
    let only = std::env::var("ISOPOD_KINDS").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|kind| !kind.is_empty()).collect();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let specimens = Specimens::read();
    let mut upstream = upstream::Upstream::start(&program);
    let ours = runtime.block_on(ours::Ours::start());
    let mut differences = Differences::default();
    let mut summary: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut panics = 0;
    for row in resource::builtin().iter().filter(|row| row.stored) {
        if !only.is_empty() && !only.contains(&&*row.plural) {
            continue;
        }
        let bases = specimens.of(row);
        assert!(!bases.is_empty(), "no object of {} in objects/", row.qualified());
        let mut random = Random::new(seed as u64, &row.qualified());
        let mut judge = |case: &Case| -> Option<serde_json::Value> {
            let (before, theirs) = upstream.judge(case);
            if before.is_none() && case.old.is_some() {
                return None;
            }
            let mine = runtime.block_on(ours.judge(case, before.as_ref()));
            panics += usize::from(theirs == Verdict::Panicked);
            let count = summary.entry(case.name()).or_default();
            count.0 += 1;
            count.1 += usize::from(!differences.note(case, theirs.clone(), mine));
            match theirs {
                Verdict::Taken { object, .. } => Some(object),
                _ => None,
            }
        };
        // Objects that upstream takes are what later writes change.
        let mut taken = Vec::new();
        for at in 0..each {
            let base = &bases[at % bases.len()];
            let steps = if at < bases.len() { 0 } else { [1, 1, 1, 2, 3][random.below(5)] };
            let new = variation::varied(base, row, "", steps, &specimens, &mut random);
            taken.extend(judge(&Case { row: row.clone(), subresource: String::new(), old: None, new }));
        }
        // What shows another row's objects is stored as that row.
        if row.stored_as.is_some() || taken.is_empty() {
            continue;
        }
        let parts = row.subresources.iter().map(|part| &**part);
        let parts =
            parts.filter(|part| matches!(*part, "status" | "finalize" | "approval" | "ephemeralcontainers" | "resize"));
        for part in std::iter::once("").chain(parts) {
            for _ in 0..each {
                let old = case::with_part_of(random.of(&taken), random.of(bases), part);
                let steps = [0, 1, 1, 1, 2, 3][random.below(6)];
                // Mostly small changes of the object itself.
                let from = if random.one_in(4) { random.of(&taken) } else { &old };
                let from = case::with_part_of(from, if random.one_in(3) { random.of(bases) } else { &old }, part);
                let mut new = variation::varied(&from, row, part, steps, &specimens, &mut random);
                case::same_identity(&mut new, &old);
                judge(&Case { row: row.clone(), subresource: part.to_owned(), old: Some(old), new });
            }
        }
    }
    for (name, (all, differing)) in &summary {
        say(&format!("{name}: {} of {all} agree", all - differing));
    }
    say(&format!("upstream panics at {panics} of all"));
    differences.report();
    let known = known::Known::read();
    let complete = only.is_empty() && seed == 1 && each == EACH;
    if known.accounts_for(&differences, complete) {
        Ok(())
    } else {
        Err("known-differences is not what differs".into())
    }
}

/// The report is what this program is for.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output");
}
