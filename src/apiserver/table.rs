//! Tables: how `kubectl get` shows objects. The columns are the server's business, so that clients need not know kinds.

use api::{Object, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The column definitions of a kind.
pub(crate) fn columns(_resource: &Resource) -> Value {
    json!([
        {
            "name": "Name", "type": "string", "format": "name", "priority": 0,
            "description": "Name must be unique within a namespace."
        },
        {
            "name": "Age", "type": "string", "format": "", "priority": 0,
            "description": "CreationTimestamp is a timestamp representing the server time when this object was created."
        }
    ])
}

/// One object's cells, in the order of [`columns`].
pub(crate) fn cells(_resource: &Resource, object: &Object, now: Timestamp) -> Vec<Value> {
    vec![Value::from(&*object.meta.name), Value::from(age(object.meta.creation_timestamp, now))]
}

/// How long ago something was, as `kubectl` writes it.
pub(crate) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    match since {
        Some(since) => human_duration(now.as_second() - since.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// Seconds in at most two units, precise where precision is wanted: `5s`, `3m20s`, `47m`, `3h12m`, `2d4h`, `41d`, `2y15d`.
pub(crate) fn human_duration(seconds: i64) -> String {
    let two = |large: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{sub}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        // The clocks of writers may run ahead a little.
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn durations_read_as_kubectl_writes_them() {
        for (seconds, expect) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (700, "11m"),
            (10_800, "3h"),
            (11_520, "3h12m"),
            (30_000, "8h"),
            (187_200, "2d4h"),
            (800_000, "9d"),
            (64_000_000, "2y10d"),
        ] {
            assert_eq!(human_duration(seconds), expect, "{seconds}");
        }
    }
}
