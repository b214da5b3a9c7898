use std::sync::Arc;
use std::time::Duration;

use api::{Object, Patch, Status};
use client::kinds;
use client::testing::Cluster;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::backoff::Record;
use super::indexes::Indexes;
use super::plan::{self, Act, Plan};
use super::pod::JobPod;
use super::view::Job;
use super::{INDEX, TRACKING};
use crate::Options;
use crate::testing::{Running, text};

const NAMES: &[&str] = &["job-controller"];

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

#[test]
fn indexes_are_written_as_intervals() {
    let check = |text: &str, completions: i64, expect: &str, len: i64| {
        let set = Indexes::parse(text, completions);
        assert_eq!((set.to_string().as_str(), set.len()), (expect, len), "{text}");
    };
    check("", 5, "", 0);
    check("0-4", 5, "0-4", 5);
    check("0-9", 5, "0-4", 5);
    check("0,1", 5, "0,1", 2);
    check("0,2-4,7,9-11", 11, "0,2-4,7,9,10", 7);
    check("3,x,1-y,4", 9, "3,4", 2);
    check("0-1,2-3", 9, "0-3", 4);
}

#[test]
fn indexes_grow_and_lack() {
    let check = |text: &str, more: &[i64], expect: &str| {
        assert_eq!(Indexes::parse(text, 100).with(more.iter().copied()).to_string(), expect);
    };
    check("", &[3, 1], "1,3");
    check("0-2", &[3, 5], "0-3,5");
    check("0,4", &[1, 2, 3], "0-4");
    check("2-4", &[3], "2-4");
    let missing = |text: &str, count, completions, expect: &[i64]| {
        assert_eq!(Indexes::parse(text, 100).first_missing(count, completions), expect, "{text}");
    };
    missing("", 3, 2, &[0, 1]);
    missing("0-2", 2, 9, &[3, 4]);
    missing("1,3-5", 4, 9, &[0, 2, 6, 7]);
    missing("0-8", 4, 9, &[]);
    missing("1-20", 4, 9, &[0]);
    let set = Indexes::parse("2-4,8", 100);
    let has: Vec<i64> = (0..10).filter(|index| set.contains(*index)).collect();
    assert_eq!(has, [2, 3, 4, 8]);
    assert_eq!(set.shared_with(&Indexes::parse("0-3,8-9", 100)), 3);
}

fn job(spec: Value, status: Value) -> Job {
    let mut status = status;
    if status["startTime"].is_null() && spec["suspend"] != true {
        status["startTime"] = "2026-01-01T00:59:00Z".into();
    }
    serde_json::from_value(json!({ "spec": spec, "status": status })).unwrap()
}

/// A pod in a few words: `run`, `ready`, `ok` (succeeded), `bad` (failed), `gone` (on its way out, not ended); then `-` for
/// one that has been counted; then its index, and how often the index failed before. Its uid is its position.
fn pod(at: usize, words: &str) -> JobPod {
    let mut words = words.split(' ');
    let state = words.next().unwrap();
    let (state, counted) = state.strip_suffix('-').map_or((state, false), |state| (state, true));
    let numbers: Vec<i64> = words.map(|word| word.parse().unwrap()).collect();
    let phase = match state {
        "ok" => "Succeeded",
        "bad" => "Failed",
        "run" => "Pending",
        _ => "Running",
    };
    let ended = json!({ "exitCode": 3, "finishedAt": "2026-01-01T00:59:55Z" });
    let mut pod = json!({
        "metadata": {
            "name": format!("p{at}"), "namespace": "a", "uid": at.to_string(), "annotations": {},
            "creationTimestamp": format!("2026-01-01T00:00:{at:02}Z"),
        },
        "status": { "phase": phase, "conditions": [{ "type": "Ready", "status": if state == "ready" { "True" } else { "False" } }] },
    });
    if !counted {
        pod["metadata"]["finalizers"] = json!([TRACKING]);
    }
    if matches!(state, "ok" | "bad") {
        pod["status"]["containerStatuses"] = json!([{ "name": "main", "state": { "terminated": ended } }]);
    }
    if state == "gone" {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:59Z".into();
    }
    if let Some(index) = numbers.first() {
        pod["metadata"]["annotations"][INDEX] = index.to_string().into();
    }
    if let Some(failures) = numbers.get(1) {
        pod["metadata"]["annotations"][super::FAILURE_COUNT] = failures.to_string().into();
    }
    JobPod::read(&Arc::new(Object::encode(&pod, 1, &kinds::pods()).unwrap())).unwrap()
}

fn pods(words: &[&str]) -> Vec<JobPod> {
    let mut pods: Vec<JobPod> = words.iter().enumerate().map(|(at, words)| pod(at, words)).collect();
    pods.sort_by_key(|pod| pod.index);
    pods
}

fn planned(spec: &Value, status: &Value, words: &[&str]) -> (Job, Vec<JobPod>, Plan) {
    let (job, pods) = (job(spec.clone(), status.clone()), pods(words));
    let plan = plan::plan(&job, false, &pods, &Record::default(), now()).unwrap();
    (job, pods, plan)
}

#[test]
fn pods_are_made_up_to_parallelism_and_completions() {
    let check = |spec: Value, status: Value, words: &[&str], expect: Act| {
        assert_eq!(planned(&spec, &status, words).2.act, expect, "{spec} {status} {words:?}");
    };
    let none = || json!({});
    let two = || json!({ "parallelism": 2, "completions": 5 });
    check(two(), none(), &[], Act::Create(2));
    check(two(), none(), &["run"], Act::Create(1));
    check(two(), none(), &["run", "run"], Act::Rest);
    check(two(), json!({ "succeeded": 4 }), &[], Act::Create(1));
    check(two(), json!({ "succeeded": 3 }), &["ok", "run"], Act::Rest);
    check(two(), json!({ "succeeded": 5 }), &[], Act::Rest);
    check(json!({ "parallelism": 0, "completions": 5 }), none(), &["run"], Act::Discard(vec![0]));
    check(json!({ "parallelism": 1, "completions": 5 }), none(), &["ready", "run"], Act::Discard(vec![1]));
    // A work queue: parallelism until one succeeds, then only what runs.
    let queue = || json!({ "parallelism": 2 });
    check(queue(), none(), &[], Act::Create(2));
    check(queue(), json!({ "succeeded": 1 }), &["run"], Act::Rest);
    // A failure of five seconds ago: another five to wait.
    check(two(), none(), &["bad", "run"], Act::Rest);
    assert_eq!(planned(&two(), &none(), &["bad", "run"]).2.again, Some(Duration::from_secs(5)));
    // Suspended: nothing runs.
    let suspended = || json!({ "parallelism": 2, "completions": 5, "suspend": true });
    check(suspended(), none(), &["run", "ready"], Act::Discard(vec![0, 1]));
    check(suspended(), none(), &[], Act::Rest);
    // A pod on its way out is replaced at once, or when it has ended.
    let patient = json!({ "parallelism": 1, "completions": 5, "podReplacementPolicy": "Failed" });
    check(patient, none(), &["gone"], Act::Rest);
    let indexed = || json!({ "parallelism": 2, "completions": 3, "completionMode": "Indexed" });
    check(indexed(), none(), &[], Act::CreateIndexes(vec![0, 1]));
    check(indexed(), none(), &["run 1"], Act::CreateIndexes(vec![0]));
    check(indexed(), json!({ "completedIndexes": "0", "succeeded": 1 }), &["run 1"], Act::CreateIndexes(vec![2]));
    check(indexed(), none(), &["ok 1", "run 0"], Act::CreateIndexes(vec![2]));
    // Twins and pods of no index go.
    check(indexed(), none(), &["run 0", "ready 0"], Act::Discard(vec![0]));
    check(indexed(), none(), &["run 7", "run 1"], Act::Discard(vec![1]));
    check(indexed(), none(), &["run", "run 1"], Act::Discard(vec![0]));
}

#[test]
fn verdicts_have_their_reasons() {
    let check = |spec: Value, status: Value, words: &[&str], expect: Option<&str>| {
        let verdict = planned(&spec, &status, words).2.verdict;
        assert_eq!(verdict.as_ref().map(|verdict| &*verdict.reason), expect, "{spec} {status} {words:?}");
    };
    let once = |limit: i64| json!({ "parallelism": 1, "completions": 1, "backoffLimit": limit });
    check(once(1), json!({}), &["bad"], None);
    check(once(0), json!({}), &["bad"], Some("BackoffLimitExceeded"));
    check(once(1), json!({ "failed": 1 }), &["bad"], Some("BackoffLimitExceeded"));
    check(once(1), json!({ "failed": 1 }), &["bad-"], None);
    check(
        once(1),
        json!({ "failed": 1, "uncountedTerminatedPods": { "failed": ["0"] } }),
        &["bad"],
        Some("BackoffLimitExceeded"),
    );
    let mut late = once(6);
    late["activeDeadlineSeconds"] = 60.into();
    check(late.clone(), json!({}), &["run"], Some("DeadlineExceeded"));
    check(late.clone(), json!({ "startTime": "2026-01-01T00:59:01Z" }), &["run"], None);
    late["suspend"] = true.into();
    check(late, json!({ "startTime": "2026-01-01T00:00:00Z" }), &[], None);
    let announced = json!([{ "type": "FailureTarget", "status": "True", "reason": "Because", "message": "m" }]);
    check(once(6), json!({ "conditions": announced }), &["run"], Some("Because"));

    let indexed = |more: Value| {
        let mut spec = json!({ "parallelism": 3, "completions": 3, "completionMode": "Indexed" });
        more.as_object().unwrap().iter().for_each(|(key, value)| spec[key] = value.clone());
        spec
    };
    let per_index = || indexed(json!({ "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1 }));
    check(per_index(), json!({}), &["bad 0 0", "ok 1", "ok 2"], None);
    check(per_index(), json!({}), &["bad 0 1", "run 1", "run 2"], None);
    check(per_index(), json!({}), &["bad 0 1", "ok 1", "ok 2"], Some("FailedIndexes"));
    check(per_index(), json!({ "failedIndexes": "0,1", "completedIndexes": "2" }), &[], Some("FailedIndexes"));
    let mut few = per_index();
    few["maxFailedIndexes"] = 1.into();
    check(few.clone(), json!({}), &["bad 0 1"], None);
    check(few, json!({}), &["bad 0 1", "bad 1 1"], Some("MaxFailedIndexesExceeded"));
    let rules = |rules: Value| indexed(json!({ "successPolicy": { "rules": rules } }));
    check(rules(json!([{ "succeededIndexes": "0,2" }])), json!({}), &["ok 0"], None);
    check(rules(json!([{ "succeededIndexes": "0,2" }])), json!({}), &["ok 0", "ok 2"], Some("SuccessPolicy"));
    check(
        rules(json!([{ "succeededIndexes": "0-2", "succeededCount": 1 }])),
        json!({}),
        &["ok 1"],
        Some("SuccessPolicy"),
    );
    check(rules(json!([{ "succeededCount": 2 }])), json!({}), &["ok 1"], None);
    check(
        rules(json!([{ "succeededCount": 2 }])),
        json!({ "completedIndexes": "0" }),
        &["ok 1"],
        Some("SuccessPolicy"),
    );
}

#[test]
fn restarts_in_place_count_against_the_limit() {
    let check = |limit: i64, restarts: i64, policy: &str, expect: bool| {
        let spec =
            json!({ "completions": 1, "backoffLimit": limit, "template": { "spec": { "restartPolicy": policy } } });
        let mut pods = pods(&["ready"]);
        pods[0].status.container_statuses =
            serde_json::from_value(json!([{ "name": "main", "restartCount": restarts }])).unwrap();
        let plan = plan::plan(&job(spec, json!({})), false, &pods, &Record::default(), now()).unwrap();
        assert_eq!(plan.verdict.is_some(), expect, "{limit} {restarts}");
    };
    check(2, 1, "OnFailure", false);
    check(2, 2, "OnFailure", true);
    check(0, 0, "OnFailure", false);
    check(0, 1, "OnFailure", true);
    check(2, 9, "Never", false);
}

#[test]
fn the_failure_policy_decides_what_a_failure_is() {
    let check = |rule: Value, failed: usize, message: Option<&str>| {
        let spec =
            json!({ "parallelism": 1, "completions": 1, "backoffLimit": 6, "podFailurePolicy": { "rules": [rule] } });
        let (job, pods, plan) = planned(&spec, &json!({}), &["bad"]);
        let mut status = job.status.clone();
        plan::tally(&job, &mut status, false, &pods, &plan);
        assert_eq!(status.uncounted().failed.len(), failed, "{rule}");
        assert_eq!(plan.verdict.map(|verdict| verdict.message).as_deref(), message, "{rule}");
    };
    let codes = |action: &str, operator: &str, values: Value| json!({ "action": action, "onExitCodes": { "operator": operator, "values": values } });
    check(codes("Ignore", "In", json!([3])), 0, None);
    check(codes("Ignore", "In", json!([4])), 1, None);
    check(codes("Ignore", "NotIn", json!([4])), 0, None);
    check(codes("Count", "In", json!([3])), 1, None);
    let why = "Container main for pod a/p0 failed with exit code 3 matching FailJob rule at index 0";
    check(codes("FailJob", "In", json!([3])), 1, Some(why));
    let other =
        json!({ "action": "FailJob", "onExitCodes": { "containerName": "side", "operator": "In", "values": [3] } });
    check(other, 1, None);
    let condition =
        |action: &str| json!({ "action": action, "onPodConditions": [{ "type": "Ready", "status": "False" }] });
    check(condition("Ignore"), 0, None);
    check(condition("FailJob"), 1, Some("Pod a/p0 has condition Ready matching FailJob rule at index 0"));
}

#[test]
fn ended_pods_are_counted_once() {
    let check = |spec: Value, status: Value, words: &[&str], release: &[usize], expect: Value| {
        let (job, pods, plan) = planned(&spec, &status, words);
        let mut after = job.status.clone();
        let tally = plan::tally(&job, &mut after, false, &pods, &plan);
        assert_eq!(tally.release, release, "{words:?}");
        let uncounted = after.uncounted();
        let mut shown = json!({ "ok": uncounted.succeeded, "bad": uncounted.failed });
        shown["succeeded"] = after.succeeded.into();
        shown["failed"] = after.failed.into();
        shown["done"] = after.completed_indexes.clone().unwrap_or_default().into();
        assert_eq!(shown, expect, "{status} {words:?}");
    };
    let plain = || json!({ "parallelism": 2, "completions": 9, "backoffLimit": 6 });
    let shows = |ok: &[&str], bad: &[&str], succeeded: i64, failed: i64, done: &str| json!({ "ok": ok, "bad": bad, "succeeded": succeeded, "failed": failed, "done": done });
    check(plain(), json!({}), &["run", "ready"], &[], shows(&[], &[], 0, 0, ""));
    check(plain(), json!({}), &["ok", "bad", "run", "gone"], &[0, 1, 3], shows(&["0"], &["1", "3"], 0, 0, ""));
    // Interrupted after the list was written: nothing is added, the finalizers go.
    let listed = || json!({ "uncountedTerminatedPods": { "succeeded": ["0"], "failed": ["1"] } });
    check(plain(), listed(), &["ok", "bad"], &[0, 1], shows(&["0"], &["1"], 0, 0, ""));
    // Interrupted after the finalizers went, or the pods themselves: now they count.
    check(plain(), listed(), &["ok-", "bad-"], &[], shows(&[], &[], 1, 1, ""));
    check(plain(), listed(), &[], &[], shows(&[], &[], 1, 1, ""));
    check(plain(), json!({ "succeeded": 1 }), &["ok-"], &[], shows(&[], &[], 1, 0, ""));
    // Pods on their way out have not failed where the job waits for their end.
    let patient = json!({ "parallelism": 2, "completions": 9, "backoffLimit": 6, "podReplacementPolicy": "Failed" });
    check(patient, json!({}), &["gone", "bad"], &[1], shows(&[], &["1"], 0, 0, ""));
    // A job that fails takes its running pods with it.
    let strict = json!({ "parallelism": 2, "completions": 9, "backoffLimit": 0 });
    check(strict, json!({}), &["bad", "run"], &[0, 1], shows(&[], &["0", "1"], 0, 0, ""));
    let indexed = || json!({ "parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimit": 6 });
    check(indexed(), json!({}), &["ok 0", "ok 0", "ok 2", "bad 1"], &[0, 1, 2, 3], shows(&[], &["3"], 2, 0, "0,2"));
    check(indexed(), json!({ "completedIndexes": "0", "succeeded": 1 }), &["ok 0"], &[0], shows(&[], &[], 1, 0, "0"));
    check(indexed(), json!({}), &["ok 9", "bad"], &[0, 1], shows(&[], &[], 0, 0, ""));
    // With a limit per index a failed pod is kept until the next one of the index has taken over its count.
    let mut per_index = indexed();
    per_index["backoffLimitPerIndex"] = 2.into();
    check(per_index.clone(), json!({}), &["bad 1 0"], &[], shows(&[], &[], 0, 0, ""));
    check(per_index.clone(), json!({}), &["bad 1 0", "run 1 1"], &[0], shows(&[], &["0"], 0, 0, ""));
    check(per_index, json!({}), &["bad 1 2"], &[0], shows(&[], &["0"], 0, 0, ""));
}

#[test]
fn waits_double_with_failures_and_end_with_a_success() {
    let failed = pod(0, "bad");
    let after = |seconds: i64| failed.finished_at() + jiff::SignedDuration::from_secs(seconds);
    let check = |failures: usize, elapsed: i64, expect: u64| {
        let record = Record::default().with(&[], &vec![&failed; failures]);
        assert_eq!(record.remaining(after(elapsed)), Duration::from_secs(expect), "{failures} {elapsed}");
    };
    check(0, 0, 0);
    check(1, 0, 10);
    check(1, 4, 6);
    check(1, 11, 0);
    check(2, 0, 20);
    check(4, 0, 80);
    check(9, 0, 600);
    check(90, 0, 600);
    let success = pod(1, "ok");
    assert_eq!(Record::default().with(&[], &[&failed; 3]).with(&[&success], &[]), Record::default());
}

fn made(spec: Value) -> Value {
    let mut job = json!({
        "metadata": { "name": "j" },
        "spec": {
            "parallelism": 1, "completions": 1, "backoffLimit": 6,
            "selector": { "matchLabels": { "job": "j" } },
            "template": {
                "metadata": { "labels": { "job": "j" } },
                "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "i" }] },
            },
        },
    });
    spec.as_object().unwrap().iter().for_each(|(key, value)| job["spec"][key] = value.clone());
    job
}

/// The kubelet: a pod comes to this end, long ago as far as backoff is concerned.
fn end(cluster: &Cluster, pod: &Value, phase: &str) {
    let code = i32::from(phase == "Failed");
    let ended = json!({ "terminated": { "exitCode": code, "finishedAt": "2020-01-01T00:00:00Z" } });
    let status = json!({ "phase": phase, "containerStatuses": [{ "name": "main", "state": ended }] });
    let mut now = cluster.value(&kinds::pods(), "a", text(pod, "/metadata/name"));
    status.as_object().unwrap().iter().for_each(|(key, value)| now["status"][key] = value.clone());
    cluster.seed(&kinds::pods(), now);
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Pending" && pod["metadata"]["deletionTimestamp"].is_null()
}

fn has_condition(jobs: &[Value], kind: &str, reason: &str) -> bool {
    let all = jobs[0]["status"]["conditions"].as_array().into_iter().flatten();
    all.into_iter().any(|c| c["type"] == kind && c["status"] == "True" && (reason.is_empty() || c["reason"] == reason))
}

async fn event(running: &Running, reason: &str) -> Value {
    let all = running.until(&kinds::events(), |all| all.iter().any(|event| event["reason"] == reason)).await;
    all.into_iter().find(|event| event["reason"] == reason).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_to_completion() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
    client.create(&jobs, "a", made(json!({ "parallelism": 2, "completions": 3 }))).await.unwrap();
    for succeeded in 0..3 {
        let active = 2.min(3 - succeeded);
        let now = running.until(&pods, |pods| pods.iter().filter(|p| is_running(p)).count() == active).await;
        let next = now.iter().find(|pod| is_running(pod)).unwrap();
        assert_eq!(next["metadata"]["finalizers"], json!([TRACKING]));
        end(&cluster, next, "Succeeded");
        running.until(&jobs, |jobs| jobs[0]["status"]["succeeded"] == succeeded + 1).await;
    }
    let now = running.until(&jobs, |jobs| has_condition(jobs, "Complete", "CompletionsReached")).await;
    assert!(has_condition(&now, "SuccessCriteriaMet", "CompletionsReached"));
    let status = &now[0]["status"];
    assert_eq!((&status["active"], &status["failed"]), (&Value::Null, &Value::Null));
    assert_eq!(status["uncountedTerminatedPods"], json!({}));
    assert!(status["startTime"].is_string() && status["completionTime"].is_string());
    running
        .until(&pods, |pods| pods.iter().all(|pod| pod["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)))
        .await;
    assert_eq!(event(&running, "Completed").await["message"], "Job completed");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_fails_at_its_backoff_limit() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
    client.create(&jobs, "a", made(json!({ "backoffLimit": 1 }))).await.unwrap();
    for _ in 0..2 {
        let now = running.until(&pods, |pods| pods.iter().any(is_running)).await;
        end(&cluster, now.iter().find(|pod| is_running(pod)).unwrap(), "Failed");
    }
    let now = running.until(&jobs, |jobs| has_condition(jobs, "Failed", "BackoffLimitExceeded")).await;
    assert_eq!(now[0]["status"]["failed"], 2);
    assert!(now[0]["status"]["completionTime"].is_null());
    let told = event(&running, "BackoffLimitExceeded").await;
    assert_eq!(
        (&told["type"], &told["message"]),
        (&json!("Warning"), &json!("Job has reached the specified backoff limit"))
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_indexed_job_gives_every_pod_its_index() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
    let spec = json!({ "parallelism": 2, "completions": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX });
    client.create(&jobs, "a", made(spec)).await.unwrap();
    let now = running.until(&pods, |pods| pods.len() == 2).await;
    let first = &now[0];
    assert!(text(first, "/metadata/name").starts_with("j-0-"));
    assert_eq!(
        (&first["metadata"]["labels"][INDEX], &first["metadata"]["annotations"][INDEX]),
        (&json!("0"), &json!("0"))
    );
    assert_eq!(text(first, "/spec/hostname"), "j-0");
    let variable = &first["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(text(variable, "/valueFrom/fieldRef/fieldPath"), format!("metadata.labels['{INDEX}']"));

    end(&cluster, &now[1], "Succeeded");
    running.until(&jobs, |jobs| jobs[0]["status"]["completedIndexes"] == "1").await;
    end(&cluster, first, "Failed");
    let again = |pod: &Value| is_running(pod) && pod["metadata"]["labels"][INDEX] == "0";
    let now = running.until(&pods, |pods| pods.iter().any(again)).await;
    let second = now.iter().find(|pod| again(pod)).unwrap();
    assert_eq!(second["metadata"]["annotations"][super::FAILURE_COUNT], "1");
    end(&cluster, second, "Failed");
    running.until(&jobs, |jobs| jobs[0]["status"]["failedIndexes"] == "0").await;
    let third = |pod: &Value| is_running(pod) && pod["metadata"]["labels"][INDEX] == "2";
    let now = running.until(&pods, |pods| pods.iter().any(third)).await;
    end(&cluster, now.iter().find(|pod| third(pod)).unwrap(), "Succeeded");
    let now = running.until(&jobs, |jobs| has_condition(jobs, "Failed", "FailedIndexes")).await;
    let status = &now[0]["status"];
    assert_eq!(
        (&status["completedIndexes"], &status["succeeded"], &status["failed"]),
        (&json!("1,2"), &json!(2), &json!(2))
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_has_no_pods_and_counts_none() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
    client.create(&jobs, "a", made(json!({}))).await.unwrap();
    running.until(&pods, |pods| pods.len() == 1).await;
    let suspend = |yes: bool| Patch::Merge(json!({ "spec": { "suspend": yes } }));
    client.patch(&jobs, "a", "j", "", suspend(true)).await.unwrap();
    running.until(&jobs, |jobs| has_condition(jobs, "Suspended", "JobSuspended")).await;
    running.until(&pods, <[Value]>::is_empty).await;
    client.patch(&jobs, "a", "j", "", suspend(false)).await.unwrap();
    running.until(&pods, |pods| pods.len() == 1).await;
    let now = running.until(&jobs, |jobs| jobs[0]["status"]["active"] == 1).await;
    let condition = &now[0]["status"]["conditions"][0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("JobResumed")));
    assert!(now[0]["status"]["failed"].is_null());
    event(&running, "Suspended").await;
    event(&running, "Resumed").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn counting_is_exact_over_failures_of_every_step() {
    for (verb, plural, times) in
        [("patch", "jobs", 1), ("patch", "jobs", 2), ("patch", "pods", 1), ("patch", "pods", 3)]
    {
        let cluster = Cluster::new();
        let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
        let running = Running::start(&cluster, NAMES, Options::default());
        client.create(&jobs, "a", made(json!({ "parallelism": 3, "completions": 3 }))).await.unwrap();
        let now = running.until(&pods, |pods| pods.len() == 3).await;
        running.until(&jobs, |jobs| jobs[0]["status"]["active"] == 3).await;
        cluster.fail(verb, plural, times, Status::internal("the disk is full"));
        for (pod, phase) in now.iter().zip(["Succeeded", "Failed", "Succeeded"]) {
            end(&cluster, pod, phase);
        }
        running.stop().await;
        // Another controller comes up and finds what the first one left.
        let running = Running::start(&cluster, NAMES, Options::default());
        let now = running.until(&pods, |pods| pods.iter().any(is_running)).await;
        end(&cluster, now.iter().find(|pod| is_running(pod)).unwrap(), "Succeeded");
        let now = running.until(&jobs, |jobs| has_condition(jobs, "Complete", "")).await;
        assert_eq!(
            (&now[0]["status"]["succeeded"], &now[0]["status"]["failed"]),
            (&json!(3), &json!(1)),
            "{verb} {plural}"
        );
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_job_that_is_gone_are_let_go() {
    let cluster = Cluster::new();
    let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "gone", "controller": true }]);
    for (name, owners) in [("owned", owner), ("orphan", json!([]))] {
        let metadata = json!({ "namespace": "a", "name": name, "ownerReferences": owners, "finalizers": [TRACKING] });
        cluster.seed(&kinds::pods(), json!({ "metadata": metadata, "spec": {}, "status": { "phase": "Running" } }));
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let free = |pod: &Value| pod["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    running.until(&kinds::pods(), |pods| pods.iter().all(free)).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn adopted_pods_are_counted_and_jobs_of_others_left_alone() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, jobs, pods) = (cluster.client(), kinds::jobs(), kinds::pods());
    let mut foreign = made(json!({ "managedBy": "example.com/other", "selector": { "matchLabels": { "x": "y" } } }));
    foreign["metadata"]["name"] = "z".into();
    client.create(&jobs, "a", foreign).await.unwrap();
    let labels = json!({ "job": "j" });
    cluster.seed(&pods, crate::testing::pod("a", "stray", labels, "n1", "Running"));
    client.create(&jobs, "a", made(json!({ "manualSelector": true }))).await.unwrap();
    let adopted = |pod: &Value| {
        pod["metadata"]["ownerReferences"][0]["kind"] == "Job" && pod["metadata"]["finalizers"] == json!([TRACKING])
    };
    let now = running.until(&pods, |pods| pods.iter().any(adopted)).await;
    end(&cluster, &now[0], "Succeeded");
    let now = running.until(&jobs, |jobs| has_condition(jobs, "Complete", "")).await;
    assert_eq!(now[0]["status"]["succeeded"], 1);
    assert_eq!(cluster.keys(&pods), ["a/stray"]);
    assert!(cluster.value(&jobs, "a", "z")["status"].is_null());
    running.stop().await;
}
