//! cronjob-controller: makes a job whenever the schedule says so.
//!
//! Watches: cron jobs, jobs they own.
//! Writes: jobs (create, delete), the cron jobs' status, events.
//! Invariant: a time of the schedule makes at most one job: the job's name is made of the cron job's and of that time.

mod schedule;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use api::{DeleteOptions, Object, Patch, Propagation, Status};
use client::Client;
use client::controller::{Controller, Error, Outcome, Result, controlled_by, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use watch_cache::Cache;

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::Owner;
use crate::pod_control::is_namespace_terminating;
use schedule::{Schedule, due, until_next};

/// Says on a job which time it is of.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<CronJobs> {
    let kind = kinds::cron_jobs();
    let state = CronJobs {
        client: setup.client.clone(),
        events: setup.events(),
        cron_jobs: setup.client.cache(&kind),
        jobs: setup.client.cache(&kinds::jobs()),
    };
    let owned = controlled_by(&kind);
    Controller::new("cronjob-controller", Arc::new(state), reconcile)
        .workers(5)
        .watch(&kind, itself)
        .watch(&kinds::jobs(), owned)
}

/// What the loop works with.
pub(crate) struct CronJobs {
    client: Client,
    events: Recorder,
    cron_jobs: Arc<Cache>,
    jobs: Arc<Cache>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CronJob {
    spec: Spec,
    status: CronStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    schedule: String,
    time_zone: Option<String>,
    suspend: bool,
    concurrency_policy: String,
    starting_deadline_seconds: Option<i64>,
    successful_jobs_history_limit: Option<usize>,
    failed_jobs_history_limit: Option<usize>,
    job_template: Value,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct CronStatus {
    active: Vec<Value>,
    last_schedule_time: Option<Timestamp>,
    last_successful_time: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobView {
    status: JobStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JobStatus {
    conditions: Vec<crate::pods::Condition>,
    start_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
}

/// A job of the cron job.
struct Child {
    object: Arc<Object>,
    view: JobStatus,
}

impl Child {
    /// `Complete` or `Failed`, once it has ended.
    fn end(&self) -> Option<&str> {
        let ended = |c: &&crate::pods::Condition| c.status == "True" && matches!(&*c.kind, "Complete" | "Failed");
        self.view.conditions.iter().find(ended).map(|condition| &*condition.kind)
    }
}

async fn reconcile(state: Arc<CronJobs>, key: Key) -> Result {
    let Some(object) = state.cron_jobs.get_key(&key) else { return Ok(Outcome::Done) };
    let cron: CronJob = object.view()?;
    let mut children = Vec::new();
    for job in state.jobs.controlled_by(&object.meta.namespace, &object.meta.uid) {
        children.push(Child { view: job.view::<JobView>()?.status, object: job });
    }
    let turn = Turn { state: &state, object: &object, cron: &cron, children, now: Timestamp::now() };
    let mut status = cron.status.clone();
    let done = turn.run(&mut status).await;
    if status != cron.status {
        turn.write(&status).await?;
    }
    done
}

struct Turn<'a> {
    state: &'a CronJobs,
    object: &'a Arc<Object>,
    cron: &'a CronJob,
    children: Vec<Child>,
    now: Timestamp,
}

impl Turn<'_> {
    async fn run(&self, status: &mut CronStatus) -> Result {
        self.forget_old().await?;
        self.note_ended(status);
        let spec = &self.cron.spec;
        if self.object.meta.is_deleting() {
            return Ok(Outcome::Done);
        }
        let zone = match &spec.time_zone {
            None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
            Some(name) => match TimeZone::get(name) {
                Ok(zone) => zone,
                Err(_) => {
                    let message = format!("invalid timeZone: {name:?}: unknown time zone {name}");
                    self.event(EventType::Warning, "UnknownTimeZone", message);
                    return Ok(Outcome::Done);
                }
            },
        };
        if spec.suspend {
            return Ok(Outcome::Done);
        }
        let schedule = match Schedule::parse(&spec.schedule) {
            Ok(schedule) => schedule,
            Err(why) => {
                let message = format!("unparseable schedule: {:?} : {why}", spec.schedule);
                self.event(EventType::Warning, "UnparseableSchedule", message);
                return Ok(Outcome::Done);
            }
        };
        let Some(again) = until_next(&schedule, &zone, self.now).map(Outcome::After) else {
            // A day that never comes. Upstream finds that all its times are one and the same.
            let why = "time difference between two schedules is less than 1 second";
            let message = format!("invalid schedule: {} : {why}", spec.schedule);
            self.event(EventType::Warning, "InvalidSchedule", message);
            return Ok(Outcome::Done);
        };
        let created = self.object.meta.creation_timestamp.unwrap_or(self.now);
        let mut since = status.last_schedule_time.unwrap_or(created);
        let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        if let Some(earliest) = deadline.and_then(|deadline| self.now.checked_sub(deadline).ok()) {
            since = since.max(earliest);
        }
        let due = due(&schedule, &zone, since, self.now);
        if due.too_many {
            let message =
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.event(EventType::Warning, "TooManyMissedTimes", message.to_owned());
        }
        let Some(at) = due.at else { return Ok(again) };
        if deadline.and_then(|deadline| at.checked_add(deadline).ok()).is_some_and(|last| last < self.now) {
            let message = format!("Missed scheduled time to start a job: {}", api::time::format(at));
            self.event(EventType::Warning, "MissSchedule", message);
            return Ok(again);
        }
        let name = format!("{}-{}", self.object.meta.name, at.as_second() / 60);
        let is_active = status.active.iter().any(|active| active["name"] == name.as_str());
        if is_active || status.last_schedule_time == Some(at) {
            return Ok(again);
        }
        if spec.concurrency_policy == "Forbid" && !status.active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.event(EventType::Normal, "JobAlreadyActive", message.to_owned());
            return Ok(again);
        }
        if spec.concurrency_policy == "Replace" {
            for child in &self.children {
                if status.active.iter().any(|active| active["uid"] == *child.object.meta.uid) {
                    self.delete(&child.object).await?;
                }
            }
            status.active.clear();
        }
        if let Some(job) = self.create(&name, at, &zone).await? {
            status.active.push(reference(&job));
            status.last_schedule_time = Some(at);
        }
        Ok(again)
    }

    /// Deletes the jobs that ended first, beyond the limits.
    async fn forget_old(&self) -> std::result::Result<(), Status> {
        let spec = &self.cron.spec;
        for (end, limit) in
            [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
        {
            let Some(limit) = limit else { continue };
            let mut ended: Vec<&Child> = self.children.iter().filter(|child| child.end() == Some(end)).collect();
            ended.sort_by_key(|child| Reverse((child.view.start_time, child.object.meta.name.clone())));
            for child in ended.iter().skip(limit).filter(|child| !child.object.meta.is_deleting()) {
                self.delete(&child.object).await?;
            }
        }
        Ok(())
    }

    /// Takes from the list of active jobs those that have ended or are gone.
    fn note_ended(&self, status: &mut CronStatus) {
        for child in &self.children {
            let meta = &child.object.meta;
            let listed = status.active.iter().position(|active| active["uid"] == *meta.uid);
            match (listed, child.end()) {
                (None, None) => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", meta.name);
                    self.event(EventType::Warning, "UnexpectedJob", message);
                }
                (Some(at), Some(end)) => {
                    status.active.remove(at);
                    let message = format!("Saw completed job: {}, condition: {end}", meta.name);
                    self.event(EventType::Normal, "SawCompletedJob", message);
                }
                _ => {}
            }
            if child.end() == Some("Complete") {
                status.last_successful_time = status.last_successful_time.max(child.view.completion_time);
            }
        }
        status.active.retain(|active| {
            let there = self.children.iter().any(|child| active["uid"] == *child.object.meta.uid);
            if !there {
                let message = format!("Active job went missing: {}", active["name"].as_str().unwrap_or_default());
                self.event(EventType::Normal, "MissingJob", message);
            }
            there
        });
    }

    /// `None` when the job was made before, or its namespace is going away.
    async fn create(
        &self,
        name: &str,
        at: Timestamp,
        zone: &TimeZone,
    ) -> std::result::Result<Option<Arc<Object>>, Status> {
        let (kind, namespace) = (kinds::jobs(), &self.object.meta.namespace);
        let owner = Owner { resource: &kinds::cron_jobs(), object: self.object };
        let template = &self.cron.spec.job_template;
        let mut metadata = json!({ "name": name, "namespace": namespace, "ownerReferences": [owner.reference()] });
        for field in ["labels", "annotations"] {
            if let Some(given) = template["metadata"][field].as_object() {
                metadata[field] = given.clone().into();
            }
        }
        let local = at.to_zoned(zone.clone());
        let shown = match local.offset().is_zero() {
            true => api::time::format(at),
            false => local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        };
        metadata["annotations"][SCHEDULED] = shown.into();
        let job = json!({ "metadata": metadata, "spec": template["spec"] });
        match self.state.client.create(&kind, namespace, job).await {
            Ok(made) => {
                seen(&self.state.jobs, &made).await;
                self.event(EventType::Normal, "SuccessfulCreate", format!("Created job {name}"));
                Ok(Some(made))
            }
            Err(refused) if refused.is_already_exists() => {
                // Made in a turn that did not come to write the status; or somebody else's, which is left alone.
                let there = self.state.client.get(&kind, namespace, name).await?;
                let ours = there.meta.controller().is_some_and(|owner| owner.uid == self.object.meta.uid);
                Ok(ours.then_some(there))
            }
            Err(refused) if is_namespace_terminating(&refused) => Ok(None),
            Err(refused) => {
                self.event(EventType::Warning, "FailedCreate", format!("Error creating job: {refused}"));
                Err(refused)
            }
        }
    }

    async fn delete(&self, job: &Object) -> std::result::Result<(), Status> {
        let options = DeleteOptions {
            uid: Some(job.meta.uid.to_string()),
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        match self.state.client.delete(&kinds::jobs(), &job.meta.namespace, &job.meta.name, options).await {
            Ok(()) => {
                self.event(EventType::Normal, "SuccessfulDelete", format!("Deleted job {}", job.meta.name));
                seen_deleted(&self.state.jobs, job).await;
                Ok(())
            }
            Err(refused) if refused.is_not_found() || refused.is_conflict() => Ok(()),
            Err(refused) => {
                self.event(EventType::Warning, "FailedDelete", format!("Deleted job: {refused}"));
                Err(refused)
            }
        }
    }

    async fn write(&self, status: &CronStatus) -> std::result::Result<(), Error> {
        let meta = &self.object.meta;
        let time = |at: Option<Timestamp>| at.map(api::time::format);
        let status = json!({
            "active": if status.active.is_empty() { Value::Null } else { status.active.clone().into() },
            "lastScheduleTime": time(status.last_schedule_time),
            "lastSuccessfulTime": time(status.last_successful_time),
        });
        let patch = Patch::Merge(json!({ "metadata": { "uid": meta.uid }, "status": status }));
        let kind = self.state.cron_jobs.resource();
        let written = self.state.client.patch(kind, &meta.namespace, &meta.name, "status", patch).await?;
        seen(&self.state.cron_jobs, &written).await;
        Ok(())
    }

    fn event(&self, kind: EventType, reason: &str, message: String) {
        self.state.events.event(Reference::to(&kinds::cron_jobs(), self.object), kind, reason, message);
    }
}

fn reference(job: &Object) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "namespace": job.meta.namespace, "name": job.meta.name,
        "uid": job.meta.uid, "resourceVersion": job.meta.resource_version.to_string(),
    })
}
