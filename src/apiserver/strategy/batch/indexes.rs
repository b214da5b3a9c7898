//! Sets of a job's indexes, written as `1,3-5`.

/// The intervals of a text, each below `completions`; says what is wrong with it.
pub(super) fn parse(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let interval = interval(part, completions)?;
        if let Some((_, last)) = found.last().filter(|(_, last)| *last >= interval.0) {
            return Err(format!("non-increasing order, previous: {last}, current: {}", interval.0));
        }
        found.push(interval);
    }
    Ok(found)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let ends: Vec<&str> = text.split('-').collect();
    if ends.len() > 2 {
        return Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            api::quote::quote(text)
        ));
    }
    let index = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {}", api::quote::quote(text))),
        Ok(index) if index >= completions => Err(format!("too large index: {}", api::quote::quote(text))),
        Ok(index) => Ok(index),
    };
    let first = index(ends[0])?;
    match ends.get(1) {
        None => Ok((first, first)),
        Some(last) => match index(last)? {
            last if first >= last => Err(format!("non-increasing order, previous: {first}, current: {last}")),
            last => Ok((first, last)),
        },
    }
}

/// The first index that two sets have in common, as upstream finds it: parts that are malformed are passed over.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (one, other) = (intervals(one), intervals(other));
    let (mut at, mut place) = (0, 0);
    while let (Some((a, b)), Some((c, d))) = (one.get(at), other.get(place)) {
        if a <= d && c <= b {
            return Some(*a.max(c));
        }
        if a <= c {
            at += 1;
        } else {
            place += 1;
        }
    }
    None
}
