//! The difference of two texts as upstream shows it: unified, with three lines around, found the way Python's `difflib` does,
//! because clients see where it puts the changes.

use std::collections::HashMap;
use std::fmt::Write;

/// Lines around a change.
const CONTEXT: usize = 3;
/// More lines than this are not compared: the effort grows with their product.
const LONGEST: usize = 10_000;
/// From this many lines on, lines that occur all over say nothing about where texts agree.
const MANY: usize = 200;

/// A run of lines: what becomes of `old` lines to give `new` lines, as half-open ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    same: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// The difference, empty if there is none.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut text = String::new();
    if a.len().max(b.len()) > LONGEST {
        return text;
    }
    for hunk in hunks(&runs(&a, &b)) {
        let (first, last) = (hunk[0], hunk[hunk.len() - 1]);
        let place = |range: (usize, usize)| match range.1 - range.0 {
            0 => format!("{},0", range.0),
            1 => format!("{}", range.0 + 1),
            length => format!("{},{length}", range.0 + 1),
        };
        let (before, after) = (place((first.old.0, last.old.1)), place((first.new.0, last.new.1)));
        let _ = writeln!(text, "@@ -{before} +{after} @@");
        for run in hunk {
            let mut put = |sign: char, lines: &[&str]| {
                lines.iter().for_each(|line| text.extend([sign.encode_utf8(&mut [0; 4]) as &str, line, "\n"]))
            };
            if run.same {
                put(' ', &a[run.old.0..run.old.1]);
            } else {
                put('-', &a[run.old.0..run.old.1]);
                put('+', &b[run.new.0..run.new.1]);
            }
        }
    }
    text
}

/// Everything, as runs that agree and runs that do not, in turns.
fn runs(a: &[&str], b: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    b.iter().enumerate().for_each(|(at, line)| places.entry(line).or_default().push(at));
    if b.len() >= MANY {
        let most = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    let mut blocks = Vec::new();
    let mut open = vec![((0, a.len()), (0, b.len()))];
    while let Some((old, new)) = open.pop() {
        let (i, j, size) = longest(a, b, &places, old, new);
        if size == 0 {
            continue;
        }
        blocks.push((i, j, size));
        if old.0 < i && new.0 < j {
            open.push(((old.0, i), (new.0, j)));
        }
        if i + size < old.1 && j + size < new.1 {
            open.push(((i + size, old.1), (j + size, new.1)));
        }
    }
    blocks.sort_unstable();
    blocks.push((a.len(), b.len(), 0));
    let mut all: Vec<Run> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (old, new, size) in blocks {
        if i < old || j < new {
            all.push(Run { same: false, old: (i, old), new: (j, new) });
        }
        (i, j) = (old + size, new + size);
        match all.last_mut() {
            Some(last) if last.same => (last.old.1, last.new.1) = (i, j),
            _ if size > 0 => all.push(Run { same: true, old: (old, i), new: (new, j) }),
            _ => {}
        }
    }
    all
}

/// The longest run of lines that both have, the first of the longest.
fn longest(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    old: (usize, usize),
    new: (usize, usize),
) -> (usize, usize, usize) {
    let (mut i, mut j, mut size) = (old.0, new.0, 0);
    // How long the run is that ends with the line before, by where it ends in `b`.
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (at, line) in a.iter().enumerate().take(old.1).skip(old.0) {
        let mut now = HashMap::new();
        for place in places.get(line).into_iter().flatten().copied().filter(|place| (new.0..new.1).contains(place)) {
            let length = place.checked_sub(1).and_then(|before| ending.get(&before)).unwrap_or(&0) + 1;
            now.insert(place, length);
            if length > size {
                (i, j, size) = (at + 1 - length, place + 1 - length, length);
            }
        }
        ending = now;
    }
    // Lines that occur all over do not begin a run, but belong to one that they touch.
    while i > old.0 && j > new.0 && a[i - 1] == b[j - 1] {
        (i, j, size) = (i - 1, j - 1, size + 1);
    }
    while i + size < old.1 && j + size < new.1 && a[i + size] == b[j + size] {
        size += 1;
    }
    (i, j, size)
}

/// The changes with their surroundings; those that are near each other together.
fn hunks(runs: &[Run]) -> Vec<Vec<Run>> {
    let mut all: Vec<Vec<Run>> = Vec::new();
    let mut hunk: Vec<Run> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        if !run.same {
            hunk.push(*run);
            continue;
        }
        let length = run.old.1 - run.old.0;
        let head =
            |count: usize| Run { old: (run.old.0, run.old.0 + count), new: (run.new.0, run.new.0 + count), ..*run };
        let tail =
            |count: usize| Run { old: (run.old.1 - count, run.old.1), new: (run.new.1 - count, run.new.1), ..*run };
        let (first, last) = (at == 0, at + 1 == runs.len());
        if first && last {
            break;
        } else if first {
            hunk.push(tail(length.min(CONTEXT)));
        } else if last {
            hunk.push(head(length.min(CONTEXT)));
        } else if length > 2 * CONTEXT {
            hunk.push(head(CONTEXT));
            all.push(std::mem::take(&mut hunk));
            hunk.push(tail(CONTEXT));
        } else {
            hunk.push(*run);
        }
    }
    all.extend((!hunk.is_empty()).then_some(hunk));
    all
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn changes_stand_among_their_neighbours() {
        let check = |old: &str, new: &str, expect: &str| {
            let lines = |text: &str| text.split(' ').collect::<Vec<_>>().join("\n");
            assert_eq!(unified(&lines(old), &lines(new)), expect, "{old} → {new}");
        };
        check("a b c", "a b c", "");
        check("a b c", "a x c", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        check("a b", "a b c", "@@ -1,2 +1,3 @@\n a\n b\n+c\n");
        check("a b c", "b c", "@@ -1,3 +1,2 @@\n-a\n b\n c\n");
        check("1 2 3 4 5 6 7 8 9", "1 2 3 4 x 6 7 8 9", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n");
        check(
            "a 2 3 4 5 6 7 8 b",
            "x 2 3 4 5 6 7 8 y",
            "@@ -1,4 +1,4 @@\n-a\n+x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-b\n+y\n",
        );
        check("a 2 3 4 5 6 7 b", "x 2 3 4 5 6 7 y", "@@ -1,8 +1,8 @@\n-a\n+x\n 2\n 3\n 4\n 5\n 6\n 7\n-b\n+y\n");
    }
}
