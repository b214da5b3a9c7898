//! job-controller: runs pods until as many have succeeded as asked for.
//!
//! Watches: jobs, pods they own or could own.
//! Writes: pods (create, delete, owner references, the tracking finalizer), the jobs' status, events.
//! Invariant: every pod that ended is counted exactly once, whenever we are interrupted: it keeps our finalizer until its
//! uid (or index) is in the job's status, and leaves the list there for the counters only when the finalizer is gone.

mod backoff;
mod indexes;
mod plan;
mod pod;
mod policy;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use api::{Object, Patch, Status};
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result, controlled_by, group_of, itself};
use client::events::{EventType, Recorder, Reference};
use client::kinds;
use client::queue::Key;
use futures::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::seen;
use crate::ownership::{Owner, claim_with_finalizer, possible_owners, selector_of};
use crate::pod_control::{PodControl, is_namespace_terminating, pod_from_template};
use backoff::Record;
use plan::{Act, Kind, Plan, Verdict};
use pod::JobPod;
use view::{Job, JobStatus};

/// The finalizer of pods that are not counted yet.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of a pod of an indexed job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the index failed before, and how many more were ignored.
const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Where containers find their index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest prefix of a generated name.
const PREFIX_MAX: usize = 58;

/// The loop.
pub(crate) fn controller(setup: &Setup) -> Controller<Jobs> {
    let kind = kinds::jobs();
    let events = setup.events();
    let state = Jobs {
        client: setup.client.clone(),
        pods: PodControl::new(&setup.client, &events),
        events,
        jobs: setup.client.cache(&kind),
        records: Mutex::default(),
    };
    let owned = controlled_by(&kind);
    Controller::new("job-controller", Arc::new(state), reconcile).workers(5).watch(&kind, itself).watch(
        &kinds::pods(),
        move |state: &Jobs, change: &Change, keys: &mut Keys<'_>| {
            owned(state, change, keys);
            possible_owners(&state.jobs, &change.object).into_iter().for_each(|key| keys.add(key));
            if change.object.meta.controller().is_none() && is_tracked(&change.object) {
                // Nobody's: the key of no job stands for all such pods of the namespace.
                keys.named(&change.object.meta.namespace, "");
            }
        },
    )
}

/// What the loop works with.
pub(crate) struct Jobs {
    client: Client,
    events: Recorder,
    pods: PodControl,
    jobs: Arc<Cache>,
    /// The failures of each job since its last success.
    records: Mutex<HashMap<Key, Record>>,
}

fn is_tracked(pod: &Object) -> bool {
    pod.meta.finalizers.iter().any(|finalizer| **finalizer == *TRACKING)
}

async fn reconcile(state: Arc<Jobs>, key: Key) -> Result {
    let Some(object) = state.jobs.get_key(&key) else {
        state.records.lock().remove(&key);
        state.release_orphans(&key, None).await?;
        return Ok(Outcome::Done);
    };
    let job: Job = object.view()?;
    if job.is_managed_elsewhere() {
        return Ok(Outcome::Done);
    }
    if job.is_finished() {
        state.records.lock().remove(&key);
        state.release_orphans(&key, None).await?;
        return Ok(Outcome::Done);
    }
    state.release_orphans(&key, Some(&object)).await?;
    let value = object.to_value()?;
    let selector = selector_of(&value).map_err(|error| Error::Other(error.to_string()))?;
    if selector.is_everything() {
        return Ok(Outcome::Done);
    }
    let kind = kinds::jobs();
    let owner = Owner { resource: &kind, object: &object };
    let cache = state.pods.pods();
    let candidates = owner.candidates(cache);
    let claimed = claim_with_finalizer(&state.client, owner, cache, &selector, candidates, TRACKING).await?;
    let mut pods = claimed.iter().map(JobPod::read).collect::<std::result::Result<Vec<_>, _>>()?;
    pods.sort_by_key(|pod| pod.index);
    // Times of the API have no fractions of a second.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let turn =
        Turn { state: &state, key: &key, owner, value: &value, pods, now, written: job.status.clone(), version: None };
    turn.run(job).await
}

/// One job with its pods, as of this turn.
struct Turn<'a> {
    state: &'a Jobs,
    key: &'a Key,
    owner: Owner<'a>,
    value: &'a Value,
    pods: Vec<JobPod>,
    now: Timestamp,
    /// The status as it is stored.
    written: JobStatus,
    /// Its version, once this turn has written it.
    version: Option<u64>,
}

/// The pods there are after acting, as far as the status shows them.
#[derive(Clone, Copy)]
struct Present {
    active: i64,
    ready: i64,
    terminating: i64,
}

impl Turn<'_> {
    async fn run(mut self, mut job: Job) -> Result {
        let (now, deleting) = (self.now, self.owner.object.meta.is_deleting());
        if !job.spec.suspend {
            job.status.start_time.get_or_insert(now);
        }
        job.status.uncounted();
        let record = self.state.records.lock().get(self.key).cloned().unwrap_or_default();
        let mut plan = plan::plan(&job, deleting, &self.pods, &record, now)?;
        let mut status = job.status.clone();
        let (present, failure) = self.act(&job, &plan).await;
        if matches!(plan.act, Act::Stop(_)) {
            // As long as pods are left that could not be deleted the job cannot be declared over.
            plan.verdict = plan.verdict.filter(|_| failure.is_none());
        } else if job.is_complete(plan.succeeded, present.active) {
            plan.verdict = Some(Verdict::complete());
        } else if !deleting {
            self.show_suspension(&job, &mut status);
        }
        status.active = present.active;
        status.ready = Some(present.ready);
        status.terminating = Some(present.terminating);
        let finished = self.count(&job, status, deleting, &plan).await?;
        match failure {
            Some(refused) if !is_namespace_terminating(&refused) => Err(refused.into()),
            _ if finished => Ok(Outcome::Done),
            _ => Ok(plan.again.map_or(Outcome::Done, Outcome::After)),
        }
    }

    fn show_suspension(&self, job: &Job, status: &mut JobStatus) {
        let (reason, message, event) = match job.spec.suspend {
            true => ("JobSuspended", "Job suspended", "Suspended"),
            false => ("JobResumed", "Job resumed", "Resumed"),
        };
        if status.set("Suspended", job.spec.suspend, reason, message, self.now) {
            self.event(EventType::Normal, event, message);
            if !job.spec.suspend {
                // The deadline counts from here, as for a job that was made suspended.
                status.start_time = Some(self.now);
            }
        }
    }

    /// Creates or deletes pods, and says how many there are then.
    async fn act(&self, job: &Job, plan: &Plan) -> (Present, Option<Status>) {
        let count = |of: fn(&JobPod) -> bool| self.pods.iter().filter(|pod| of(pod)).count() as i64;
        let ready = self.pods.iter().filter(|pod| pod.is_active() && pod.is_ready()).count() as i64;
        let mut present =
            Present { active: count(JobPod::is_active), ready, terminating: count(JobPod::is_terminating) };
        let failure = match &plan.act {
            Act::Rest => None,
            Act::Stop(pods) => self.delete(pods, false, &mut present).await,
            Act::Discard(pods) => self.delete(pods, true, &mut present).await,
            Act::Create(count) => {
                let (made, failure) = self.create(job, plan, *count, |_| None).await;
                present.active += made as i64;
                failure
            }
            Act::CreateIndexes(indexes) => {
                let (made, failure) = self.create(job, plan, indexes.len(), |at| Some(indexes[at])).await;
                present.active += made as i64;
                failure
            }
        };
        (present, failure)
    }

    async fn create(
        &self,
        job: &Job,
        plan: &Plan,
        count: usize,
        index: impl Fn(usize) -> Option<i64>,
    ) -> (usize, Option<Status>) {
        tracing::debug!(count, "creating pods");
        let template = &self.value["spec"]["template"];
        let per_index = plan.failed_indexes.is_some();
        let make = |at: usize| {
            let mut pod = pod_from_template(self.owner, template);
            add_finalizer(&mut pod);
            if let Some(index) = index(at) {
                let counts = per_index.then(|| self.failure_counts(job, plan, index));
                for_index(&mut pod, &self.owner.object.meta.name, index, counts);
            }
            pod
        };
        self.state.pods.create_many(self.owner, count, make).await
    }

    /// What the next pod of an index takes over from the one before.
    fn failure_counts(&self, job: &Job, plan: &Plan, index: i64) -> (i64, i64) {
        let Some(before) = plan.predecessors.get(&index).map(|at| &self.pods[*at]) else { return (0, 0) };
        let ignored = job.handling(before) == policy::Handling::Ignore;
        if ignored { (before.failures, before.ignored + 1) } else { (before.failures + 1, before.ignored) }
    }

    async fn delete(&self, positions: &[usize], uncounted: bool, present: &mut Present) -> Option<Status> {
        let deletes = positions.iter().map(async |at| {
            let pod = &self.pods[*at];
            if uncounted {
                self.state.release(&pod.object).await?;
            }
            self.state.pods.delete(self.owner, &pod.object).await?;
            Ok::<bool, Status>(pod.is_ready())
        });
        let mut failure = None;
        for deleted in join_all(deletes).await {
            match deleted {
                Ok(ready) => {
                    present.active -= 1;
                    present.ready -= i64::from(ready);
                    present.terminating += 1;
                }
                Err(status) => failure = Some(status),
            }
        }
        failure
    }

    /// Counts the pods that ended and, when all is counted, seals the job's end. Returns whether it did.
    async fn count(
        &mut self,
        job: &Job,
        mut status: JobStatus,
        deleting: bool,
        plan: &Plan,
    ) -> std::result::Result<bool, Error> {
        let tally = plan::tally(job, &mut status, deleting, &self.pods, plan);
        if let Some(verdict) = &plan.verdict {
            status.set(verdict.conditions().0, true, &verdict.reason, &verdict.message, self.now);
        }
        self.write(&status).await?;
        // From here on the failures are in the status: they would not be seen as new again.
        self.state.records.lock().insert(self.key.clone(), plan.record.clone());

        let releases = tally.release.iter().map(|at| self.state.release(&self.pods[*at].object));
        let released = join_all(releases).await;
        let mut tracked: HashSet<&str> = self.pods.iter().filter(|pod| pod.is_tracked()).map(JobPod::uid).collect();
        let mut failure = None;
        for (at, result) in tally.release.iter().zip(released) {
            match result {
                Ok(()) => drop(tracked.remove(self.pods[*at].uid())),
                Err(refused) => failure = Some(refused),
            }
        }
        plan::settle(&mut status, |uid| tracked.contains(uid));
        let end = plan.verdict.as_ref().filter(|_| failure.is_none() && !tally.more && plan::may_finish(&status));
        if let Some(verdict) = end {
            status.set(verdict.conditions().1, true, &verdict.reason, &verdict.message, self.now);
            if verdict.kind == Kind::Succeeds {
                status.completion_time = Some(self.now);
            }
        }
        self.write(&status).await?;
        if let Some(refused) = failure {
            return Err(refused.into());
        }
        if let Some(verdict) = end {
            self.announce(job, &status, verdict);
        }
        Ok(end.is_some())
    }

    fn announce(&self, job: &Job, status: &JobStatus, verdict: &Verdict) {
        tracing::info!(job = &**self.key, reason = verdict.reason, "a job has ended");
        if verdict.kind == Kind::Fails {
            return self.event(EventType::Warning, &verdict.reason, &verdict.message);
        }
        if job.spec.completions.is_some_and(|completions| status.succeeded > completions) {
            let why = "Too many succeeded pods running after completion count reached";
            self.event(EventType::Warning, "TooManySucceededPods", why);
        }
        self.event(EventType::Normal, "Completed", "Job completed");
    }

    /// Writes the status where it differs, on the version the turn began with and no other.
    async fn write(&mut self, status: &JobStatus) -> std::result::Result<(), Error> {
        if *status == self.written {
            return Ok(());
        }
        let meta = &self.owner.object.meta;
        let version = self.version.unwrap_or(meta.resource_version).to_string();
        let status_value = serde_json::to_value(status).map_err(|error| Error::Other(error.to_string()))?;
        let patch = json!({ "metadata": { "uid": meta.uid, "resourceVersion": version }, "status": status_value });
        let patch = Patch::Merge(patch);
        let jobs = &self.state.jobs;
        let written = self.state.client.patch(jobs.resource(), &meta.namespace, &meta.name, "status", patch).await?;
        seen(jobs, &written).await;
        self.version = Some(written.meta.resource_version);
        self.written = status.clone();
        Ok(())
    }

    fn event(&self, kind: EventType, reason: &str, message: &str) {
        self.state.events.event(Reference::to(self.owner.resource, self.owner.object), kind, reason, message);
    }
}

impl Jobs {
    /// Takes our finalizer from a pod. One that is gone, or another of its name, is no failure.
    async fn release(&self, pod: &Object) -> std::result::Result<(), Status> {
        if !is_tracked(pod) {
            return Ok(());
        }
        let list = json!([TRACKING]);
        let patch = json!({ "metadata": { "uid": pod.meta.uid, "$deleteFromPrimitiveList/finalizers": list } });
        match self.pods.patch(pod, "", Patch::Strategic(patch)).await {
            Err(refused) if !refused.is_not_found() && !refused.is_conflict() => Err(refused),
            _ => Ok(()),
        }
    }

    /// Lets go of the pods that no job will count: those of an earlier job of the key's name and, where `job` is `None`
    /// (there is none, or it has ended), of the last one, and those nobody manages.
    async fn release_orphans(&self, key: &str, job: Option<&Object>) -> std::result::Result<(), Error> {
        let (namespace, name) = api::meta::split_key(key);
        let kind = kinds::jobs();
        let orphaned = |pod: &Arc<Object>| match pod.meta.controller() {
            Some(owner) => {
                let alive = job.is_some_and(|job| job.meta.uid == owner.uid);
                owner.kind == kind.kind
                    && group_of(&owner.api_version) == &*kind.group
                    && *owner.name == *name
                    && !alive
            }
            None => job.is_none() && name.is_empty(),
        };
        let pods = self.pods.pods().list(namespace);
        let orphans = pods.iter().filter(|pod| is_tracked(pod) && orphaned(pod));
        join_all(orphans.map(|pod| self.release(pod))).await.into_iter().collect::<std::result::Result<(), _>>()?;
        Ok(())
    }
}

fn add_finalizer(pod: &mut Value) {
    let finalizers = &mut pod["metadata"]["finalizers"];
    let mut list = finalizers.as_array().cloned().unwrap_or_default();
    if !list.iter().any(|finalizer| finalizer == TRACKING) {
        list.push(TRACKING.into());
    }
    *finalizers = list.into();
}

/// Makes a pod of the template the one of an index. `counts` are the failures before it, counted and ignored.
fn for_index(pod: &mut Value, job: &str, index: i64, counts: Option<(i64, i64)>) {
    let text = index.to_string();
    let suffix = format!("-{text}-");
    let kept = job.len().min(PREFIX_MAX - suffix.len());
    let metadata = &mut pod["metadata"];
    metadata["generateName"] = format!("{}{suffix}", &job[..kept]).into();
    metadata["annotations"][INDEX] = text.clone().into();
    metadata["labels"][INDEX] = text.clone().into();
    if let Some((failures, ignored)) = counts {
        metadata["annotations"][FAILURE_COUNT] = failures.to_string().into();
        if ignored > 0 {
            metadata["annotations"][IGNORED_COUNT] = ignored.to_string().into();
        }
    }
    pod["spec"]["hostname"] = format!("{job}-{text}").into();
    let source = json!({ "fieldRef": { "fieldPath": format!("metadata.labels['{INDEX}']") } });
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let mut variables = container["env"].as_array().cloned().unwrap_or_default();
            if !variables.iter().any(|variable| variable["name"] == INDEX_VARIABLE) {
                variables.push(json!({ "name": INDEX_VARIABLE, "valueFrom": source }));
                container["env"] = variables.into();
            }
        }
    }
}
