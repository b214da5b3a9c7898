use api::Patch;
use client::kinds;
use client::testing::Cluster;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::schedule::{Schedule, due};
use crate::Options;
use crate::testing::{Running, text};

const NAMES: &[&str] = &["cronjob-controller"];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn schedules_name_their_next_time() {
    let check = |schedule: &str, zone: &str, after: &str, expect: &str| {
        let zone = TimeZone::get(zone).unwrap();
        let next = Schedule::parse(schedule).unwrap().next(at(after), &zone);
        assert_eq!(next.map(api::time::format).as_deref(), Some(expect), "{schedule} after {after}");
    };
    let utc = |schedule: &str, after: &str, expect: &str| check(schedule, "UTC", after, expect);
    utc("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z");
    utc("* * * * *", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z");
    utc("*/15 * * * *", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z");
    utc("5/20 * * * *", "2026-01-01T00:26:00Z", "2026-01-01T00:45:00Z");
    utc("0 9-17/4 * * mon-fri", "2026-01-02T17:30:00Z", "2026-01-05T09:00:00Z");
    utc("0 0 1 jan,JUL *", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z");
    utc("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    utc("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z");
    utc("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z");
    // Day of month and day of week: either, unless one is a star.
    utc("0 0 13 * fri", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    utc("0 0 13 * *", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z");
    utc("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
    check("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z");
    // The hour the clock skips does not come; the one it repeats comes twice.
    check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z");
    check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
    check("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
    assert_eq!(Schedule::parse("0 0 30 2 *").unwrap().next(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), None);
}

#[test]
fn what_is_no_schedule_is_refused() {
    for text in [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "x * * * *",
        "@often",
    ] {
        assert!(Schedule::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_most_recent_time_is_due() {
    let check = |since: &str, now: &str, expect: Option<&str>, too_many: bool| {
        let found = due(&Schedule::parse("0 * * * *").unwrap(), &TimeZone::UTC, at(since), at(now));
        assert_eq!((found.at.map(api::time::format).as_deref(), found.too_many), (expect, too_many), "{since} {now}");
    };
    check("2026-01-01T09:30:00Z", "2026-01-01T09:50:00Z", None, false);
    check("2026-01-01T09:30:00Z", "2026-01-01T10:00:00Z", Some("2026-01-01T10:00:00Z"), false);
    check("2026-01-01T09:30:00Z", "2026-01-01T15:10:00Z", Some("2026-01-01T15:00:00Z"), false);
    check("2026-01-01T09:30:00Z", "2026-01-09T15:10:00Z", Some("2026-01-09T15:00:00Z"), true);
}

#[test]
fn the_most_recent_time_is_found_after_long_silence() {
    let check = |schedule: &str, zone: &str, since: &str, now: &str, expect: &str| {
        let zone = TimeZone::get(zone).unwrap();
        let found = due(&Schedule::parse(schedule).unwrap(), &zone, at(since), at(now)).at;
        assert_eq!(found.map(api::time::format).as_deref(), Some(expect), "{schedule} {since} {now}");
    };
    // Half a year without, then every minute: counted by the first distance, two of those are to be walked.
    check("* * * 1-6 *", "UTC", "2020-06-30T23:58:00Z", "2026-05-01T10:00:30Z", "2026-05-01T10:00:00Z");
    check("* * 29 2 *", "UTC", "2020-02-29T23:58:00Z", "2026-05-01T10:00:30Z", "2024-02-29T23:59:00Z");
    check("@every 7s", "UTC", "2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z", "2020-01-01T00:00:56Z");
    // The hour from two to three comes twice, and another one never.
    check("30 2 * * *", "Europe/Berlin", "2025-10-20T00:00:00Z", "2025-10-26T01:45:00Z", "2025-10-26T01:30:00Z");
    check("30 2 * * *", "Europe/Berlin", "2026-03-20T00:00:00Z", "2026-03-29T10:00:00Z", "2026-03-28T01:30:00Z");
}

fn cron_job(more: Value) -> Value {
    let mut cron = json!({
        "metadata": { "namespace": "a", "name": "c", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "schedule": "0 0 1 1 *", "timeZone": "UTC", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1,
            "jobTemplate": { "metadata": { "labels": { "app": "c" } }, "spec": { "template": { "spec": {} } } },
        },
    });
    more.as_object().unwrap().iter().for_each(|(key, value)| cron["spec"][key] = value.clone());
    // Long ago: the last New Year is due.
    cron["metadata"]["creationTimestamp"] = "2020-06-01T00:00:00Z".into();
    cron
}

#[tokio::test(start_paused = true)]
async fn a_time_that_has_come_makes_one_job() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, crons) = (cluster.client(), kinds::jobs(), kinds::cron_jobs());
    cluster.seed(&crons, cron_job(json!({})));
    let now = running.until(&jobs, |jobs| jobs.len() == 1).await;
    let name = text(&now[0], "/metadata/name").to_owned();
    let minutes: i64 = name.strip_prefix("c-").unwrap().parse().unwrap();
    let scheduled = api::time::format(Timestamp::from_second(minutes * 60).unwrap());
    assert_eq!(now[0]["metadata"]["annotations"][super::SCHEDULED], scheduled.as_str());
    assert_eq!(
        (&now[0]["metadata"]["labels"]["app"], &now[0]["metadata"]["ownerReferences"][0]["kind"]),
        (&json!("c"), &json!("CronJob"))
    );
    let now = running.until(&crons, |crons| crons[0]["status"]["lastScheduleTime"].is_string()).await;
    assert_eq!(now[0]["status"]["lastScheduleTime"], scheduled.as_str());
    assert_eq!(now[0]["status"]["active"][0]["name"], name.as_str());
    let complete =
        json!({ "completionTime": "2026-01-01T00:05:00Z", "conditions": [{ "type": "Complete", "status": "True" }] });
    client.patch(&jobs, "a", &name, "status", Patch::Merge(json!({ "status": complete }))).await.unwrap();
    let now = running.until(&crons, |crons| crons[0]["status"]["active"].is_null()).await;
    assert_eq!(now[0]["status"]["lastSuccessfulTime"], "2026-01-01T00:05:00Z");
    assert_eq!(cluster.keys(&jobs).len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn suspended_late_and_unknown_make_none() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let crons = kinds::cron_jobs();
    let cases = [
        ("s", json!({ "suspend": true })),
        ("l", json!({ "startingDeadlineSeconds": 1 })),
        ("z", json!({ "timeZone": "Mars/Olympus" })),
        ("n", json!({ "schedule": "59 23 31 2 *" })),
    ];
    for (name, more) in cases {
        let mut cron = cron_job(more);
        cron["metadata"]["name"] = name.into();
        cluster.seed(&crons, cron);
    }
    let told = |events: &[Value]| {
        let has = |reason: &str| events.iter().any(|event| event["reason"] == reason);
        has("UnknownTimeZone") && has("InvalidSchedule")
    };
    running.until(&kinds::events(), told).await;
    // One that is due shows that all were looked at.
    cluster.seed(&crons, cron_job(json!({})));
    running.until(&kinds::jobs(), |jobs| !jobs.is_empty()).await;
    running.stop().await;
    assert_eq!(cluster.keys(&kinds::jobs()).len(), 1);
}
